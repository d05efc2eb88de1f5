"""`signalbox signals`: what was decided, and how it came out."""
