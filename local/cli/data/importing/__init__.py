"""`signalbox data import`: candle files that people have into a lake. Start at `run.py`; what is ambiguous: `columns.py`."""
