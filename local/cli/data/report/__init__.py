"""`signalbox data report`: what a folder of candles holds and lacks. Start at `command.py`; rules: `signalbox.market.quality`."""
