"""The stable Python API for notebooks and scripts (docs/api.md). Names and columns change by a decision alone (0100).

It is the one module of the library that stands above the workbench: its code is in `local/api`. No function imports it.
"""

from __future__ import annotations

from local.api.candles import candles, features
from local.api.ledger import LedgerReading, open_ledger
from local.api.models import Backtest, backtest, score

__all__ = ["Backtest", "LedgerReading", "backtest", "candles", "features", "open_ledger", "score"]
