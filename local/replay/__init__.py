"""`signalbox demo`: replay hours through the local cloud and report what it did. Start at `demo.py`, then `replay.py`."""
