"""The CDK templates. Start at app.py; composition.py lists the stacks in deployment order."""
