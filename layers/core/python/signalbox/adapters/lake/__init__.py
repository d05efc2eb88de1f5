"""Candles in Parquet: the lake's day files, and recorded flat files. Start at `series.py`; needs pyarrow."""
