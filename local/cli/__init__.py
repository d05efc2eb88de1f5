"""The `signalbox` command: one file or folder per command group. Start at `command.py`; each `app.py` declares a group."""
