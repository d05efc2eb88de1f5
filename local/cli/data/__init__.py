"""`signalbox collect` and `signalbox data`: store candles in a lake, and show what a folder of candles has and lacks."""
