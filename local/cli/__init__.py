"""The `signalbox` command: a file or folder a command group. Start at `command.py`; an `app.py` declares what the rest runs."""
