"""`signalbox rollback`."""
