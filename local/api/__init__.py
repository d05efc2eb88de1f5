"""Implements `signalbox.api` for notebooks and scripts: candles, features, scores, backtests and the ledger as pandas frames.

Start at candles.py. The public names are those of `signalbox/api.py` (docs/api.md, decision 0100); nothing else here is stable.
"""
