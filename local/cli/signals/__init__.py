"""`signalbox signals`: the decided signals and their outcomes."""
