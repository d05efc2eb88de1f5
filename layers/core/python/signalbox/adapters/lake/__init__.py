"""Candles in Parquet: the lake's day files, and recorded flat files. Read `series.py` first. Needs pyarrow."""
