"""`signalbox collect`: years of a venue's candles into a lake. Start at `command.py`; rules: `signalbox.market.backfill`."""
