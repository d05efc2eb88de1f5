"""Fetches closed one-minute bars through ccxt: exact, because ccxt keeps JSON numbers as text, and page by page.

Venues page differently: bounds are inclusive or exclusive, rows come newest or oldest first, and a page may have fewer rows than
requested. So no page counts as complete: the minutes before its first row and after its last row are requested again until the
venue has answered for them. docs/venues.md lists each venue's behaviour; tests/unit/adapters/test_venues.py writes that list.

A transient failure (timeout, 429, 5xx, broken connection) is retried a few times within one deadline, after the pause that the
venue asks for. If it persists, a VenueError names the problem. This module does not judge the bars; the domain does.
"""

from __future__ import annotations

import difflib
import importlib
import threading
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from types import MappingProxyType
from typing import Any, Final

from ccxt.base import errors as ccxt_errors
from requests.adapters import BaseAdapter

from signalbox.adapters.venues.ccxt_answers import UNREADABLE, all_at, asked_pause, bound, http_status, problem_of_status
from signalbox.events import CollectionProblem
from signalbox.market.acceptance import RawRow
from signalbox.market.candles import MINUTE_MS, Symbol, from_ms, to_ms
from signalbox.market.collection import VenueError

CCXT_IDS: Final = {"coinbase": "coinbaseexchange"}  # the Exchange API has public candles without a key
PAGE: Final = 300  # candles per answer of Coinbase Exchange, and of a venue whose limit ccxt does not know
LARGEST_PAGE: Final = 1_500
SHORT_MS: Final = 30 * MINUTE_MS  # a gap at the end of a page that is longer than this is requested again
PAST_BAR_MS: Final = 1_000  # a page ends this much after its last bar opens, which works for inclusive and exclusive bounds
HISTORY: Final = MappingProxyType({"kraken": timedelta(minutes=720)})  # the venue never returns older bars
TRADES: Final = 100  # of an answer
ATTEMPTS: Final = 3
FIRST_PAUSE_SECONDS: Final = 0.5
DEADLINE_SECONDS: Final = 25.0  # per symbol, including pages and retries
FIRST_CONTACT_SECONDS: Final = 3.0  # a person is waiting, so fail fast without a network
UNBOUNDED: Final = frozenset({"kraken", "kucoin"})  # ccxt would pass `until` on to these venues, which do not know it

_PROBLEMS: Final = (  # the first match counts; in ccxt's tree RequestTimeout and the others are below NetworkError
    (ccxt_errors.RequestTimeout, CollectionProblem.VENUE_TIMEOUT),
    (ccxt_errors.RateLimitExceeded, CollectionProblem.VENUE_RATE_LIMITED),
    (ccxt_errors.DDoSProtection, CollectionProblem.VENUE_RATE_LIMITED),
    (ccxt_errors.NetworkError, CollectionProblem.VENUE_UNAVAILABLE),
    (ccxt_errors.BadResponse, CollectionProblem.ANSWER_MALFORMED),
    (ccxt_errors.BaseError, CollectionProblem.VENUE_REFUSED),
)
_PASSING: Final = frozenset(
    {CollectionProblem.VENUE_TIMEOUT, CollectionProblem.VENUE_RATE_LIMITED, CollectionProblem.VENUE_UNAVAILABLE}
)
_SERVER_FAULTS: Final = MappingProxyType({"bybit": ('"retCode":10016', '"retCode": 10016')})  # comes with a 200


class CcxtCandleSource:
    """CandleSource over any ccxt exchange that has `fetchOHLCV`.

    venue: the project's name of the exchange, or ccxt's. url: replaces the exchange's address (test server, proxy). transport:
    sends the requests instead of the network. Each symbol has its own client, because callers fetch symbols in parallel; the
    list of markets is loaded once.
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
        transport: BaseAdapter | None = None,
    ) -> None:
        self._venue = venue
        self._transport = transport
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
            raise VenueError(CollectionProblem.VENUE_REFUSED, f"{self._venue} has no one-minute candles")
        if pair not in client.markets:
            known = [market.replace("/", "-") for market in client.markets]
            near = difflib.get_close_matches(symbol, known, n=3, cutoff=0.5)
            hint = f"; it has {', '.join(near)}" if near else ""
            raise VenueError(CollectionProblem.VENUE_REFUSED, f"{self._venue} {symbol}: no such market{hint}")

    def fetch(self, symbol: Symbol, since: datetime, until: datetime) -> Sequence[RawRow]:
        """Return the venue's rows from `since` up to `until`. Neighbouring rows may be included."""
        deadline = self._monotonic() + self._deadline_seconds
        client = self._client(symbol, deadline)
        start, stop = to_ms(since), to_ms(until)
        if (history := HISTORY.get(self._venue)) is not None:
            start = self._within(history, symbol, client.milliseconds(), start, stop)
        at_once = page_rows(self._venue, client)
        page_ms = at_once * MINUTE_MS
        rows: list[RawRow] = []
        unanswered = [(start, stop)]
        while unanswered:
            if self._monotonic() > deadline:  # every request was answered, but more are needed
                raise VenueError(
                    CollectionProblem.VENUE_TIMEOUT, f"{self._venue} {symbol}: the time limit ended after {len(rows)} rows"
                )
            start, stop = unanswered.pop()
            end = min(start + page_ms, stop)
            if end < stop:
                unanswered.append((end, stop))
            page = self._page(client, symbol, deadline, start, end, at_once)
            rows.extend(page)
            times = [row[0] for row in page if start <= row[0] < end]
            if times:  # without rows, the venue has answered that it has none there
                first, after_last = min(times), max(times) + MINUTE_MS
                unanswered += [part for part in ((after_last, end), (start, first)) if part[1] - part[0] > SHORT_MS]
        return rows

    def trade_times(self, symbol: Symbol) -> Sequence[datetime]:
        """Return when the venue's newest trades of a symbol were made, up to TRADES of them. Raises VenueError."""
        deadline = self._monotonic() + FIRST_CONTACT_SECONDS
        client = self._client(symbol, deadline)
        trades = self._retry(symbol, deadline, client, partial(client.fetch_trades, symbol.replace("-", "/"), limit=TRADES))
        try:
            return [from_ms(int(trade["timestamp"])) for trade in trades]
        except UNREADABLE as error:
            detail = f"{self._venue} {symbol}: expected trades: {error}"[:300]
            raise VenueError(CollectionProblem.ANSWER_MALFORMED, detail) from error

    def _within(self, history: timedelta, symbol: Symbol, now_ms: int, start: int, stop: int) -> int:
        """Return the start of the part of a window that the venue still has. Raises VenueError if it has none of it."""
        oldest = now_ms - now_ms % MINUTE_MS - history // timedelta(milliseconds=1) + MINUTE_MS
        if stop <= oldest:
            raise VenueError(
                CollectionProblem.VENUE_REFUSED,
                f"{self._venue} {symbol}: the venue gives only the newest {history // timedelta(minutes=1)} minutes, "
                f"nothing before {from_ms(oldest):%Y-%m-%d %H:%M} UTC; ask for a later period or another venue",
            )
        return max(start, oldest)

    def _page(self, client: Any, symbol: Symbol, deadline: float, start: int, end: int, rows: int) -> list[RawRow]:  # noqa: PLR0917
        """Return the venue's rows for the minutes [start, end), in ms, at most `rows` of them. Raises VenueError."""
        # `until` bounds the page; a smaller `limit` would make ccxt drop the oldest rows of an answer with repeated rows
        bounds = {} if self._venue in UNBOUNDED else {"until": end - MINUTE_MS + PAST_BAR_MS}
        pair = symbol.replace("-", "/")
        ask = partial(client.fetch_ohlcv, pair, "1m", since=start, limit=rows, params=bounds)
        page = self._retry(symbol, deadline, client, ask)
        if not page and not _holds_candles(client.last_json_response):
            # ccxt turns an unreadable answer into an empty list; an outage must not look like a quiet market
            content = str(client.last_http_response)[:120]
            raise VenueError(CollectionProblem.ANSWER_MALFORMED, f"{self._venue} {symbol}: expected candles, got {content!r}")
        found = [_row(symbol, entry) for entry in page]
        return found if bounds else [row for row in found if row[0] < end]  # drop rows after the page

    def _client(self, symbol: Symbol, deadline: float) -> Any:
        with self._lock:
            if symbol not in self._clients:
                client = _exchange(self._venue)(
                    # numbers as text: with Decimal, ccxt cannot read the precision of Kraken's markets
                    {"timeout": self._timeout_ms, "enableRateLimit": True, "number": str, "enableLastJsonResponse": True}
                )
                _spot_alone(client)
                bound(client, 2 * self._timeout_ms / 1000, inner=self._transport)
                if self._url:
                    client.urls["api"] = all_at(self._url, client.urls["api"])
                if self._markets is None:
                    self._retry(symbol, deadline, client, client.load_markets)
                    self._markets = (client.markets, client.currencies)
                else:
                    client.set_markets(*self._markets)
                self._clients[symbol] = client
            return self._clients[symbol]

    def _retry(self, symbol: Symbol, deadline: float, client: Any, call: Callable[[], Any]) -> Any:
        wait = FIRST_PAUSE_SECONDS
        for attempt in range(1, self._attempts + 1):
            try:
                return call()
            except ccxt_errors.BaseError as error:
                problem = problem_of(error, self._venue)
                pause = max(wait, asked_pause(client) if problem is CollectionProblem.VENUE_RATE_LIMITED else 0.0)
                if problem not in _PASSING or attempt == self._attempts or self._monotonic() + pause > deadline:
                    detail = f"{self._venue} {symbol}: {failure_text(error)}"[:500]
                    raise VenueError(problem, detail) from error
                self._pause(pause)
                wait *= 2
            except UNREADABLE as error:  # an answer of another shape
                detail = f"{self._venue} {symbol}: {failure_text(error)}"[:500]
                raise VenueError(CollectionProblem.ANSWER_MALFORMED, detail) from error
        raise AssertionError("unreachable: the last attempt returns or raises")


def problem_of(error: Exception, venue: str) -> CollectionProblem:
    """Return which problem an error is.

    The HTTP status counts before ccxt's class, because a 429 with an unknown text is no refusal.
    """
    status = http_status(error) or 0  # Kraken and Bybit refuse with a 200
    if (problem := problem_of_status(status)) is not None:
        return problem
    if any(code in str(error) for code in _SERVER_FAULTS.get(venue, ())):
        return CollectionProblem.VENUE_UNAVAILABLE
    return next(problem for kind, problem in _PROBLEMS if isinstance(error, kind))


def failure_text(error: Exception) -> str:
    """Return what went wrong, without the names that ccxt and Python have for it."""
    if not isinstance(error, ccxt_errors.BaseError):
        return f"expected an answer as the venue documents it, got another one ({error})"
    request, status = str(error), http_status(error)
    if status is not None:
        return f"HTTP {status}: {request}"
    if isinstance(error, ccxt_errors.RequestTimeout):
        return f"no answer in time: {request}"
    if type(error) in {ccxt_errors.NetworkError, ccxt_errors.ExchangeNotAvailable}:
        return f"no connection: {request}"
    return request


def _exchange(venue: str) -> Any:
    """Return ccxt's class of an exchange. Raises VenueError if ccxt does not know the name."""
    exchange_id = CCXT_IDS.get(venue, venue)
    try:
        found = getattr(importlib.import_module(f"ccxt.{exchange_id}"), exchange_id)
    except (ImportError, AttributeError) as error:
        raise VenueError(CollectionProblem.VENUE_REFUSED, f"ccxt knows no exchange named {venue}") from error
    # As ccxt's own package does it when it is run. Else its name would stand for the module.
    setattr(importlib.import_module("ccxt"), exchange_id, found)
    return found


def _spot_alone(client: Any) -> None:
    """Make a client list spot markets only. Currencies and derivatives take up to ten more requests at some venues."""
    client.has["fetchCurrencies"] = False
    client.options["defaultType"] = "spot"
    wanted = client.options.get("fetchMarkets")
    if isinstance(wanted, dict) and (kinds := wanted.get("types")):
        wanted["types"] = {kind: kind == "spot" for kind in kinds} if isinstance(kinds, dict) else ["spot"]
        wanted["fetchTickersFees"] = False  # KuCoin's fees come with every ticker


def page_rows(venue: str, client: Any) -> int:
    """Return how many candles to request at once: as many as ccxt says that the exchange returns.

    Without `until`, ccxt requests `limit` minutes plus the bar that opens after them, so a page holds one fewer.
    """
    spot = (client.features or {}).get("spot") or {}
    stated = (spot.get("fetchOHLCV") or {}).get("limit")
    return (min(int(stated), LARGEST_PAGE) if stated else PAGE) - (venue in UNBOUNDED)


def _holds_candles(answer: Any) -> bool:
    """Whether an answer holds a list of candles, even an empty one: as a whole, in `data` or `result`, or one level below."""
    inside = answer.get("data", answer.get("result")) if isinstance(answer, dict) else answer
    lists = inside.values() if isinstance(inside, dict) else (inside,)
    return any(isinstance(rows, list) and all(isinstance(row, list | dict) for row in rows) for rows in lists)


def _row(symbol: Symbol, entry: Any) -> RawRow:
    try:
        time_ms, *numbers = entry
        values = [Decimal("NaN") if n is None else Decimal(n) for n in numbers]
        o, h, low, c, v = values
        return int(time_ms), o, h, low, c, v
    except UNREADABLE as error:
        raise VenueError(CollectionProblem.ANSWER_MALFORMED, f"{symbol}: expected a candle, got {entry!r}"[:300]) from error
