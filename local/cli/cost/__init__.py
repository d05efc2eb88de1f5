"""`signalbox cost`: what a stage costs a month, counted from its templates."""
