"""Fetches funding rates, open interest, long/short ratios and liquidations of perpetuals through ccxt, page by page.

Liquidations are public over REST at OKX alone; Binance and Bybit send them over websockets, which no scheduled function hears.
A transient failure is not retried here: a source has the values for days, and the next run asks for them again.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from functools import partial
from types import MappingProxyType
from typing import Any, Final

from ccxt.base import errors as ccxt_errors
from requests.adapters import BaseAdapter

from signalbox.adapters.venues.ccxt_answers import UNREADABLE, all_at, bound
from signalbox.adapters.venues.ccxt_candles import failure_text, problem_of
from signalbox.alternative.collection import RawObservation
from signalbox.alternative.observations import ObservationKind
from signalbox.events import CollectionProblem
from signalbox.market.candles import from_ms, to_ms
from signalbox.market.collection import VenueError

TIMEOUT_SECONDS: Final = 5.0
MAX_PAGES: Final = 40  # of one series and run; the rest is the next run's
_PERPETUALS: Final = (ObservationKind.FUNDING_RATE, ObservationKind.OPEN_INTEREST, ObservationKind.LONG_SHORT_RATIO)
KINDS: Final[Mapping[str, tuple[ObservationKind, ...]]] = MappingProxyType(
    {
        "binanceusdm": _PERPETUALS,
        "bybit": _PERPETUALS,
        "okx": (*_PERPETUALS, ObservationKind.LIQUIDATION),
    }
)
_PAGE: Final = MappingProxyType({"binanceusdm": 500, "bybit": 200, "okx": 100})  # rows of an answer
_STEP_MS: Final = MappingProxyType(
    {
        ObservationKind.FUNDING_RATE: 3_600_000,  # the shortest interval that venues use
        ObservationKind.OPEN_INTEREST: 300_000,
        ObservationKind.LONG_SHORT_RATIO: 300_000,
    }
)


class CcxtObservationSource:
    """ObservationSource over the perpetuals of one venue, quoted in USDT. url, transport: as CcxtCandleSource."""

    def __init__(self, venue: str, *, url: str = "", transport: BaseAdapter | None = None) -> None:
        if venue not in KINDS:
            raise VenueError(CollectionProblem.VENUE_REFUSED, f"expected one of {', '.join(KINDS)}, got {venue}")
        self._venue, self._url, self._transport = venue, url, transport
        self._client: Any = None

    @property
    def name(self) -> str:
        return self._venue

    @property
    def kinds(self) -> Sequence[ObservationKind]:
        return KINDS[self._venue]

    def fetch(self, kind: ObservationKind, subject: str, since: datetime, until: datetime) -> Sequence[RawObservation]:
        """Return the values with since <= observed_at <= until. subject: a symbol such as BTC-USD. Raises VenueError."""
        client = self._ask(self._loaded)
        pair = f"{subject.partition('-')[0]}/USDT:USDT"
        if pair not in client.markets:
            raise VenueError(CollectionProblem.VENUE_REFUSED, f"{self._venue} has no perpetual future {pair}")
        start, end = to_ms(since), to_ms(until)
        if kind is ObservationKind.LIQUIDATION:
            found: Sequence[RawObservation] = self._ask(partial(_liquidations, client, pair, start, end))
            return found
        rows: dict[int, RawObservation] = {}
        page_ms = _PAGE[self._venue] * _STEP_MS[kind]
        for _ in range(MAX_PAGES):
            if start > end:
                break
            stop = min(start + page_ms - 1, end)
            page = self._ask(partial(_page, client, kind, pair, start, stop, _PAGE[self._venue]))
            rows.update((to_ms(one.observed_at), one) for one in page if start <= to_ms(one.observed_at) <= stop)
            start = stop + 1
        return [rows[at] for at in sorted(rows)]

    def _loaded(self) -> Any:
        if self._client is None:
            made = getattr(importlib.import_module(f"ccxt.{self._venue}"), self._venue)(
                {"timeout": round(TIMEOUT_SECONDS * 1000), "enableRateLimit": True, "number": str}
            )
            made.has["fetchCurrencies"] = False
            made.options["defaultType"] = "swap"
            made.options["fetchMarkets"] = {"types": ["swap" if self._venue == "okx" else "linear"]}
            bound(made, 2 * TIMEOUT_SECONDS, inner=self._transport)
            if self._url:
                made.urls["api"] = all_at(self._url, made.urls["api"])
            made.load_markets()
            self._client = made
        return self._client

    def _ask(self, call: Callable[[], Any]) -> Any:
        try:
            return call()
        except ccxt_errors.BaseError as error:
            detail = f"{self._venue}: {failure_text(error)}"[:500]
            raise VenueError(problem_of(error, self._venue), detail) from error
        except UNREADABLE as error:  # an answer of another shape
            detail = f"{self._venue}: {failure_text(error)}"[:500]
            raise VenueError(CollectionProblem.ANSWER_MALFORMED, detail) from error


def _page(  # noqa: PLR0917 - of what, in which bounds
    client: Any, kind: ObservationKind, pair: str, start: int, stop: int, limit: int
) -> list[RawObservation]:
    """Return one page. Its end is bounded, so that a venue that sends its newest rows first does not hide the older ones."""
    bounds: dict[str, Any] = {"until": stop}
    if kind is ObservationKind.FUNDING_RATE:
        if client.id == "okx":
            bounds = {"after": str(stop + 1)}  # older than; ccxt does not translate `until` here
        found = client.fetch_funding_rate_history(pair, start, limit, bounds)
        return [_raw(row["timestamp"], row["fundingRate"]) for row in found]
    if kind is ObservationKind.OPEN_INTEREST:
        found = client.fetch_open_interest_history(pair, "5m", start, limit, bounds)
        return [_raw(row["timestamp"], row["openInterestAmount"]) for row in found]
    if client.id == "bybit":
        bounds = {"startTime": str(start), "endTime": str(stop)}  # ccxt leaves both out
        found = client.fetch_long_short_ratio_history(pair, "5min", None, limit, bounds)
    else:
        found = client.fetch_long_short_ratio_history(pair, "5m", start, limit, bounds)
    return [_raw(row["timestamp"], row["longShortRatio"]) for row in found]


def _liquidations(client: Any, pair: str, start: int, stop: int) -> list[RawObservation]:
    """Return OKX's forced orders of a perpetual, newest first until the period is covered. Sizes come in contracts.

    Orders of one instant, side and price are one value: the answer has no id to tell them apart.
    """
    market = client.market(pair)
    size = Decimal(market["contractSize"])
    underlying = f"{market['base']}-{market['quote']}"
    rows: dict[tuple[int, str], RawObservation] = {}
    after = stop + 1
    for _ in range(MAX_PAGES):
        wanted = {"instType": "SWAP", "uly": underlying, "state": "filled", "after": str(after), "limit": "100"}
        answer = client.request("public/liquidation-orders", ["public"], "GET", wanted)  # ccxt has no name for it
        counted: dict[tuple[int, str], Decimal] = {}
        for one in (row for group in answer["data"] if group["instId"] == market["id"] for row in group["details"]):
            key = int(one["ts"]), f"{_side(one)} {one['bkPx']}"
            counted[key] = counted.get(key, Decimal(0)) + Decimal(one["sz"]) * size
        rows.update((key, RawObservation(from_ms(key[0]), counted[key], key[1])) for key in counted if start <= key[0] <= stop)
        oldest = min((at for at, _ in counted), default=start)
        if oldest <= start or oldest >= after:
            break
        after = oldest
    return [rows[key] for key in sorted(rows)]


def _side(one: Mapping[str, str]) -> str:
    """Return whose position was closed. Where the venue has net positions only, a forced sale closes a long one."""
    if one["posSide"] in {"long", "short"}:
        return one["posSide"]
    return "long" if one["side"] == "sell" else "short"


def _raw(timestamp: Any, value: Any) -> RawObservation:
    return RawObservation(from_ms(int(timestamp)), Decimal(str(value)))  # some are computed by ccxt, as floats
