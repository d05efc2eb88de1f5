"""Closed one-minute bars through ccxt, exact (ccxt is told to keep JSON numbers as text) and paged.

A transient failure (timeout, 429, 5xx, a broken connection) is tried again a few times within one deadline; what then
remains is a VenueError that names the problem. Nothing is judged here: acceptance is the domain's.
"""

from __future__ import annotations

import difflib
import importlib
import threading
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from decimal import Decimal, InvalidOperation
from functools import partial
from typing import Any, Final

from ccxt.base import errors as ccxt_errors

from signalbox.events import CollectionProblem
from signalbox.market.acceptance import RawRow
from signalbox.market.candles import MINUTE_MS, Symbol, to_ms
from signalbox.market.collection import VenueError

CCXT_IDS: Final = {"coinbase": "coinbaseexchange"}  # the Exchange API: public candles without a key
PAGE: Final = 300  # candles in one answer of Coinbase Exchange, and of a venue of which ccxt says nothing
LARGEST_PAGE: Final = 1_500
SHORT_PAGE_MS: Final = 30 * MINUTE_MS  # a page that ends this much before its window is asked again from where it ended
ATTEMPTS: Final = 3
FIRST_PAUSE_SECONDS: Final = 0.5
DEADLINE_SECONDS: Final = 25.0  # for one symbol, pages and retries included
FIRST_CONTACT_SECONDS: Final = 3.0  # a person waits: without a network that is told soon

_PROBLEMS: Final = (  # the first that matches; ccxt's tree has RequestTimeout and the others below NetworkError
    (ccxt_errors.RequestTimeout, CollectionProblem.VENUE_TIMEOUT),
    (ccxt_errors.RateLimitExceeded, CollectionProblem.VENUE_RATE_LIMITED),
    (ccxt_errors.DDoSProtection, CollectionProblem.VENUE_RATE_LIMITED),
    (ccxt_errors.NetworkError, CollectionProblem.VENUE_UNAVAILABLE),
    (ccxt_errors.BadResponse, CollectionProblem.ANSWER_MALFORMED),
    (ccxt_errors.BaseError, CollectionProblem.VENUE_REFUSED),
)


class CcxtCandleSource:
    """CandleSource over any ccxt exchange that has `fetchOHLCV`.

    venue: the project's name of the exchange, or ccxt's own. url: replaces the exchange's address (a stand-in, a proxy).
    Symbols are fetched in parallel by the caller, so each has a client of its own; the market list is loaded once.
    """

    def __init__(
        self,
        venue: str,
        *,
        url: str = "",
        timeout_seconds: float = 5.0,
        attempts: int = ATTEMPTS,
        deadline_seconds: float = DEADLINE_SECONDS,
        monotonic: Callable[[], float] = time.monotonic,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._venue = venue
        self._url = url
        self._timeout_ms = round(timeout_seconds * 1000)
        self._attempts, self._deadline_seconds = attempts, deadline_seconds
        self._monotonic = monotonic
        self._pause = pause
        self._clients: dict[Symbol, Any] = {}
        self._markets: tuple[Any, Any] | None = None
        self._lock = threading.Lock()

    @property
    def venue(self) -> str:
        return self._venue

    def require(self, symbol: Symbol) -> None:
        """Raise VenueError unless the venue can be reached and has one-minute candles of the symbol."""
        client = self._client(symbol, self._monotonic() + FIRST_CONTACT_SECONDS)
        pair = symbol.replace("-", "/")
        if not client.has.get("fetchOHLCV") or "1m" not in (client.timeframes or {"1m": ""}):
            raise VenueError(CollectionProblem.VENUE_REFUSED, f"{self._venue}: gives no one-minute candles")
        if pair not in client.markets:
            known = [market.replace("/", "-") for market in client.markets]
            near = difflib.get_close_matches(symbol, known, n=3, cutoff=0.5)
            hint = f"; it has {', '.join(near)}" if near else ""
            raise VenueError(CollectionProblem.VENUE_REFUSED, f"{self._venue} {symbol}: no such market{hint}")

    def fetch(self, symbol: Symbol, since: datetime, until: datetime) -> Sequence[RawRow]:
        """Return the venue's rows from `since` up to `until`."""
        deadline = self._monotonic() + self._deadline_seconds
        client = self._client(symbol, deadline)
        page_rows = _page_rows(client)
        pair = symbol.replace("-", "/")
        start, stop = to_ms(since), to_ms(until)
        rows: list[RawRow] = []
        while start < stop:
            limit = min(page_rows, (stop - start) // MINUTE_MS)
            # `until` bounds the page; a smaller `limit` would make ccxt cut an answer with repeated rows at its oldest ones
            bounds = {"until": start + (limit - 1) * MINUTE_MS}
            ask = partial(client.fetch_ohlcv, pair, "1m", since=start, limit=page_rows, params=bounds)
            page = self._retry(symbol, deadline, ask)
            if not page and str(client.last_http_response).strip() not in ("[]", ""):
                # ccxt turns an answer it cannot read into no candles; an outage must not look like a quiet market
                content = str(client.last_http_response)[:120]
                raise VenueError(CollectionProblem.ANSWER_MALFORMED, f"{self._venue} {symbol}: expected candles, was {content!r}")
            parsed = [_row(symbol, entry) for entry in page]
            rows.extend(parsed)
            start = _next_start(start, limit, [row[0] for row in parsed])
        return rows

    def _client(self, symbol: Symbol, deadline: float) -> Any:
        with self._lock:
            if symbol not in self._clients:
                client = _exchange(self._venue)({"timeout": self._timeout_ms, "enableRateLimit": True, "number": Decimal})
                if self._url:
                    client.urls["api"] = dict.fromkeys(client.urls["api"], self._url)
                if self._markets is None:
                    self._retry(symbol, deadline, client.load_markets)
                    self._markets = (client.markets, client.currencies)
                else:
                    client.set_markets(*self._markets)
                self._clients[symbol] = client
            return self._clients[symbol]

    def _retry(self, symbol: Symbol, deadline: float, call: Callable[[], Any]) -> Any:
        wait = FIRST_PAUSE_SECONDS
        for attempt in range(1, self._attempts + 1):
            try:
                return call()
            except ccxt_errors.NetworkError as error:  # timeouts, 429 and 5xx are below it
                if attempt == self._attempts or self._monotonic() + wait > deadline:
                    raise self._problem(symbol, error) from error
                self._pause(wait)
                wait *= 2
            except ccxt_errors.BaseError as error:
                raise self._problem(symbol, error) from error
            except (ValueError, TypeError, KeyError, IndexError, AttributeError, InvalidOperation) as error:
                # ccxt parses without checking: an answer of another shape surfaces as one of these
                raise VenueError(
                    CollectionProblem.ANSWER_MALFORMED, f"{self._venue} {symbol}: {type(error).__name__}: {error}"
                ) from error
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _problem(self, symbol: Symbol, error: Exception) -> VenueError:
        problem = next(p for kind, p in _PROBLEMS if isinstance(error, kind))
        return VenueError(problem, f"{self._venue} {symbol}: {type(error).__name__}: {error}"[:500])


def _exchange(venue: str) -> Any:
    """Return ccxt's class of an exchange. Raises VenueError when there is none of that name."""
    exchange_id = CCXT_IDS.get(venue, venue)
    try:
        return getattr(importlib.import_module(f"ccxt.{exchange_id}"), exchange_id)
    except (ImportError, AttributeError) as error:
        raise VenueError(CollectionProblem.VENUE_REFUSED, f"{venue}: ccxt knows no exchange of that name") from error


def _page_rows(client: Any) -> int:
    """Return how many candles ccxt says the exchange gives at once."""
    spot = (client.features or {}).get("spot") or {}
    stated = (spot.get("fetchOHLCV") or {}).get("limit")
    return min(int(stated), LARGEST_PAGE) if stated else PAGE


def _next_start(start: int, limit: int, times: Sequence[int]) -> int:
    """Return where the next page begins: after this one's window, or after its newest row when it stopped well before."""
    end = start + limit * MINUTE_MS
    newest = max((t for t in times if start <= t < end), default=end)
    return newest + MINUTE_MS if newest < end - SHORT_PAGE_MS else end


def _row(symbol: Symbol, entry: Any) -> RawRow:
    try:
        time_ms, *numbers = entry
        values = [Decimal("NaN") if n is None else Decimal(n) for n in numbers]
        o, h, low, c, v = values
        return int(time_ms), o, h, low, c, v
    except (TypeError, ValueError, InvalidOperation) as error:
        raise VenueError(CollectionProblem.ANSWER_MALFORMED, f"{symbol}: expected a candle, was {entry!r}"[:300]) from error
