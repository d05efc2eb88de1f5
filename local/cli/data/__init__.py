"""`signalbox collect` and `signalbox data`: store candles in a lake, and report on the coverage of a folder of candles."""
