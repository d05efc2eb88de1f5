"""`signalbox backup` and `signalbox restore`."""
