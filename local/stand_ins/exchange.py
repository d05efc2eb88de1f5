"""A stand-in for the REST API of Coinbase Exchange: products, candles, time and currencies, with its limits and errors.

Candles are rows `[time, low, high, open, close, volume]`, newest first, at most 300 per request, and only bars that are closed at
the stand-in's own time (`set_time`). Shapes follow https://docs.cdp.coinbase.com/exchange/reference and the recorded answers.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Protocol

import numpy as np
from typing_extensions import override

from local.stand_ins.faults import Fault, Faults, VenueFault
from local.stand_ins.server import SILENCE, Reply, Request, StandInServer
from signalbox.errors import SignalboxError
from signalbox.market.candles import MINUTE_MS, ONE_MINUTE, Bars, Symbol, from_ms, to_ms

PAGE: Final = 300  # candles per request
GRANULARITIES: Final = frozenset({60, 300, 900, 3600, 21600, 86400})  # seconds
REQUESTS_PER_SECOND: Final = 10.0  # public endpoints, per address
BURST: Final = 15.0
PRICE_STEPS: Final = {"BTC-USD": "0.01", "ETH-USD": "0.01", "SOL-USD": "0.01"}

Row = list[Any]  # [time in s, low, high, open, close, volume]


class BarFeed(Protocol):
    """The source of the bars that are served. `bars` is called once per request, so it should not read files."""

    def bars(self, symbol: Symbol, start: datetime, end: datetime) -> Bars:
        """Return the bars with start <= open_time < end."""


class LoadedBars:
    """A feed of bars that are already in memory."""

    def __init__(self, bars: Mapping[Symbol, Bars]) -> None:
        self._bars = bars

    def bars(self, symbol: Symbol, start: datetime, end: datetime) -> Bars:
        all_bars = self._bars[symbol]
        low, high = np.searchsorted(all_bars.open_time_ms, [to_ms(start), to_ms(end)])
        return all_bars.window(slice(int(low), int(high)))


@dataclass(slots=True)
class Bucket:
    """A token bucket on the wall clock, like the real rate limit."""

    rate: float  # tokens per second
    size: float
    tokens: float
    filled_at: float

    def take(self) -> bool:
        now = time.monotonic()
        self.tokens = min(self.size, self.tokens + (now - self.filled_at) * self.rate)
        self.filled_at = now
        if self.tokens < 1.0:
            return False
        self.tokens -= 1.0
        return True


class ExchangeStandIn(StandInServer):
    """Serves a feed up to the replayed time. The scope of `faults` is the product id."""

    def __init__(
        self,
        feed: BarFeed,
        symbols: tuple[Symbol, ...],
        now: datetime,
        port: int = 0,
        *,
        requests_per_second: float = REQUESTS_PER_SECOND,
        burst: float = BURST,
    ) -> None:
        self.faults: Faults[VenueFault] = Faults()
        self._feed, self._symbols, self._now = feed, symbols, now
        self._bucket = Bucket(requests_per_second, burst, burst, time.monotonic())
        self._lock = threading.Lock()
        self._requests = self._limited = 0
        super().__init__(port)

    @property
    def now(self) -> datetime:
        """The replayed time."""
        return self._now

    @property
    def requests(self) -> int:
        """The number of requests since the start, whether answered or not."""
        return self._requests

    @property
    def limited(self) -> int:
        """The number of requests refused by the rate limit."""
        return self._limited

    def set_time(self, now: datetime) -> None:
        """Set the replayed time. Bars that are closed by then become visible."""
        self._now = now

    def product(self, symbol: str) -> dict[str, Any]:
        """Return the listing of a product."""
        return _product(symbol)

    @override
    def answer(self, request: Request) -> Reply:
        with self._lock:
            self._requests += 1
            if not self._bucket.take():
                self._limited += 1
                return _error(429, "Public rate limit exceeded")
        if request.method != "GET":
            return _error(405, "Method Not Allowed")
        lists: dict[str, Any] = {
            "/time": {"iso": _iso(self._now), "epoch": self._now.timestamp()},
            "/currencies": [_currency(c) for c in sorted({part for s in self._symbols for part in s.split("-")})],
            "/products": [self.product(s) for s in self._symbols],
        }
        if request.path in lists:
            return _json(lists[request.path])
        try:
            return self._product_answer(request)
        except SignalboxError as error:  # a live feed that does not answer counts as an outage of this exchange
            return _error(500, str(error))

    def _product_answer(self, request: Request) -> Reply:
        match = re.fullmatch(r"/products/([A-Za-z0-9-]+)(/candles|/ticker)?", request.path)
        if match is None or match[1] not in self._symbols:
            return _error(404, "NotFound")
        symbol = Symbol(match[1])
        if match[2] is None:
            return _json(self.product(symbol))
        if match[2] == "/ticker":
            return self._ticker(symbol)
        return self._candles(symbol, request.query)

    def _ticker(self, symbol: Symbol) -> Reply:
        rows = self._rows(symbol, self._now - PAGE * ONE_MINUTE, self._now)
        if not rows:
            return _error(404, "NotFound")
        price = str(rows[0][4])
        return _json(
            {"price": price, "bid": price, "ask": price, "volume": str(rows[0][5]), "time": _iso(self._now), "size": "0"}
        )

    def _candles(self, symbol: Symbol, query: Mapping[str, str]) -> Reply:
        try:
            granularity = int(query.get("granularity", "60"))
            end = _instant(query["end"]) if "end" in query else self._now
            start = _instant(query["start"]) if "start" in query else end - (PAGE - 1) * ONE_MINUTE
        except ValueError:
            return _error(400, "Invalid start or end")
        if granularity not in GRANULARITIES:
            return _error(400, "Unsupported granularity")
        if granularity != 60:
            return _error(400, "Unsupported granularity (this stand-in serves one-minute candles only)")
        if (end - start) // ONE_MINUTE > PAGE:
            return _error(
                400, f"granularity too small for the requested time range. Count of aggregations requested exceeds {PAGE}"
            )
        rows = self._rows(symbol, start, min(end + ONE_MINUTE, self._now))
        for fault in self.faults.take(symbol):
            spoilt = self._spoil(fault, symbol, rows, start)
            if isinstance(spoilt, Reply):
                return spoilt
            rows = spoilt
        return _json(rows)

    def _rows(self, symbol: Symbol, start: datetime, stop: datetime) -> list[Row]:
        """Return the rows of closed bars that open in [start, stop), newest first."""
        if start >= stop:
            return []
        bars = self._feed.bars(symbol, start, stop).until(self._now)
        columns = (bars.open_time_ms // 1000, bars.low, bars.high, bars.open, bars.close, bars.volume)
        return [[int(t), *map(float, rest)] for t, *rest in zip(*columns, strict=True)][::-1]

    def _spoil(self, fault: Fault[VenueFault], symbol: Symbol, rows: list[Row], start: datetime) -> list[Row] | Reply:
        if fault.kind in _REPLIES:
            return _REPLIES[fault.kind]
        if fault.kind is VenueFault.OVERLAPPING:
            before = self._rows(symbol, start - 5 * ONE_MINUTE, start)
            return rows + [[t, *(value * 1.01 for value in rest)] for t, *rest in before]
        if fault.kind is VenueFault.DROPPED:
            since, until = (None if at is None else at.timestamp() for at in (fault.since, fault.until))
            return [r for r in rows if not ((since is None or r[0] >= since) and (until is None or r[0] < until))]
        if fault.kind in {VenueFault.FUTURE, VenueFault.UNFINISHED}:
            last = rows[0] if rows else [self._now.timestamp() - 60, 1.0, 1.0, 1.0, 1.0, 1.0]
            first = to_ms(self._now) // MINUTE_MS * 60
            count = 3 if fault.kind is VenueFault.FUTURE else 1
            return [[first + 60 * n, *last[1:]] for n in reversed(range(count))] + rows
        return _spoil_rows(fault.kind, rows)

    @override
    def close(self) -> None:
        self.faults.clear()
        super().close()


def _spoil_rows(kind: VenueFault, rows: list[Row]) -> list[Row]:
    if kind is VenueFault.UNSORTED:
        return rows[1::2] + rows[::2]
    if kind is VenueFault.DUPLICATE:
        return [row for row in rows for _ in range(2)]
    if not rows:
        return rows
    at, low, high, open_, close, volume = rows[0]
    if kind is VenueFault.NEGATIVE:
        return [[at, -low, high, open_, close, volume], *rows[1:]]
    # as text, because a bare NaN is not JSON and would make the whole answer unreadable
    return [[at, low, high, open_, "NaN", volume], *rows[1:]]


def _json(value: Any) -> Reply:
    return Reply(200, json.dumps(value, allow_nan=False).encode())


def _error(status: int, message: str) -> Reply:
    return Reply(status, json.dumps({"message": message}).encode())


_REPLIES: Final[dict[VenueFault, Reply]] = {
    VenueFault.SERVER_ERROR: _error(500, "Internal server error"),
    VenueFault.RATE_LIMITED: _error(429, "Public rate limit exceeded"),
    VenueFault.TIMEOUT: SILENCE,
    VenueFault.EMPTY: _json([]),
    VenueFault.MALFORMED: Reply(200, b"<html><body>upstream error</body></html>", "text/html"),
}


def _instant(text: str) -> datetime:
    """Parse ISO 8601 text or seconds since the epoch, as the real endpoint does."""
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return from_ms(round(float(text) * 1000))
    instant = datetime.fromisoformat(text)
    return instant if instant.tzinfo is not None else instant.replace(tzinfo=UTC)


def _iso(instant: datetime) -> str:
    return instant.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _product(symbol: str) -> dict[str, Any]:
    base, quote = symbol.split("-")
    return {
        "id": symbol,
        "base_currency": base,
        "quote_currency": quote,
        "quote_increment": PRICE_STEPS.get(symbol, "0.01"),
        "base_increment": "0.00000001",
        "display_name": f"{base}-{quote}",
        "min_market_funds": "1",
        "margin_enabled": False,
        "post_only": False,
        "limit_only": False,
        "cancel_only": False,
        "status": "online",
        "status_message": "",
        "trading_disabled": False,
        "fx_stablecoin": False,
        "max_slippage_percentage": "0.02000000",
        "auction_mode": False,
        "high_bid_limit_percentage": "",
    }


def _currency(code: str) -> dict[str, Any]:
    kind = "fiat" if code == "USD" else "crypto"
    return {
        "id": code,
        "name": code,
        "min_size": "0.01" if kind == "fiat" else "0.00000001",
        "status": "online",
        "message": "",
        "max_precision": "0.01" if kind == "fiat" else "0.00000001",
        "convertible_to": [],
        "details": {"type": kind, "symbol": None, "sort_order": 0, "display_name": code},
        "default_network": "",
        "supported_networks": [],
        "display_name": code,
    }
