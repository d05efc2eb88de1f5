"""`signalbox data import`: imports people's candle files into a lake.

Start at `run.py`; `columns.py` decides what ambiguous columns mean.
"""
