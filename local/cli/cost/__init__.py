"""`signalbox cost`: estimates the monthly cost of a stage from its templates."""
