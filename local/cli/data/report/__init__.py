"""`signalbox data report`: what a folder of candles has and lacks. Start at `command.py`; rules: `signalbox.market.quality`."""
