"""`signalbox collect`: stores years of a venue's candles in a lake. Start at `command.py`; rules: `signalbox.market.backfill`."""
