"""`signalbox collect` and `signalbox data`: candles into a lake, and what a folder of candles holds and lacks."""
