"""`signalbox signals`: what was decided, and how it turned out."""
