"""Live public candles of Coinbase Exchange through ccxt, for the last days; needs a network."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import ccxt
import numpy as np

from local.errors import DataError
from local.market.source import HistoryCoverage
from signalbox.adapters.venues.ccxt_candles import failure_text
from signalbox.market.candles import MINUTE_MS, Bars, Symbol, to_ms
from signalbox.market.clock import cycle_of

TIMEOUT_MS: Final = 3_000  # how long to wait before deciding that there is no network
PAGE: Final = 300  # candles per request, the exchange's limit
REACH: Final = timedelta(days=7)


class LiveSource:
    """Fetches the requested candles page by page."""

    def __init__(self, exchange: Any = None) -> None:
        self._exchange = exchange or ccxt.coinbaseexchange({"timeout": TIMEOUT_MS, "enableRateLimit": True})

    @property
    def name(self) -> str:
        return "live candles of Coinbase Exchange"

    def reachable(self, symbol: Symbol) -> bool:
        """Return whether the exchange answers now."""
        try:
            self._exchange.publicGetProductsId({"id": symbol})
        except ccxt.BaseError:
            return False
        return True

    def coverage(self, symbols: Sequence[Symbol]) -> HistoryCoverage:  # noqa: ARG002 - the same for all symbols
        now = datetime.now(UTC)  # the only source that uses the wall clock, because it is live
        return HistoryCoverage(now - REACH, cycle_of(now))

    def default_end(self, symbols: Sequence[Symbol]) -> datetime:
        return cycle_of(self.coverage(symbols).last)

    def bars(self, symbol: Symbol, start: datetime, end: datetime) -> Bars:
        rows: dict[int, list[float]] = {}
        since, stop = to_ms(start), to_ms(end)
        while since < stop:
            try:
                page = self._exchange.fetch_ohlcv(symbol.replace("-", "/"), "1m", since, min(PAGE, (stop - since) // MINUTE_MS))
            except ccxt.BaseError as error:
                raise DataError(f"{symbol}: the live exchange did not answer: {failure_text(error)}") from error
            rows.update({int(row[0]): row for row in page if since <= row[0] < stop})
            since += PAGE * MINUTE_MS
        table = np.array([rows[t] for t in sorted(rows)], dtype=np.float64).reshape(len(rows), 6)
        return Bars(symbol, table[:, 0].astype(np.int64), *(np.ascontiguousarray(table[:, i]) for i in range(1, 6)))
