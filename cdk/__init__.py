"""The templates. Start at app.py; composition.py lists the stacks in the order they deploy."""
