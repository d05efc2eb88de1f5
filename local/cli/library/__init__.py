"""`signalbox library`."""
