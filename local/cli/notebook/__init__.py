"""`signalbox notebook`: three worked notebooks from the Markdown files in `templates`."""
