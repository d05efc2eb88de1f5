"""`signalbox data report`: reports on the coverage and faults of a folder of candles.

Start at `command.py`; rules: `signalbox.market.quality`.
"""
