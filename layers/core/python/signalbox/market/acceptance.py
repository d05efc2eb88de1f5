"""Decides which rows of a venue's answer become candles. Invalid rows are refused and counted, never repaired.

Rules, in this order: a row whose time is outside [since, until) is dropped silently when it is merely the bar still open
or before the window, and refused when it lies in the future; identical duplicates are one candle; two rows for one
minute that disagree are both refused; every other rule is `Candle`'s own.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TypeAlias

from signalbox.market.candles import MINUTE_MS, Candle, MarketDataError, Symbol, from_ms, to_ms

RawRow: TypeAlias = tuple[int, Decimal, Decimal, Decimal, Decimal, Decimal]  # open_time ms, open, high, low, close, volume


@dataclass(frozen=True, slots=True)
class AcceptedCandles:
    """Candles fit for the ledger, oldest first, and what was wrong with the other rows.

    doubted: minutes (open times, ms) for which the venue sent a row that was refused, so they are neither there nor empty.
    newest: open time of the venue's newest row, the bar that is still open included; None when it sent none.
    """

    candles: tuple[Candle, ...]
    refused: tuple[str, ...]  # one reason for each refused row, for the log
    doubted: frozenset[int] = frozenset()
    newest: datetime | None = None


def accept_rows(symbol: Symbol, rows: Iterable[RawRow], *, since: datetime, until: datetime) -> AcceptedCandles:
    """Return the candles of [since, until) closed at or before `until`, sorted and unique, and the refusals."""
    since_ms, until_ms = to_ms(since), to_ms(until)
    found: dict[int, Candle] = {}
    disputed: set[int] = set()
    refused_at: set[int] = set()
    refused: list[str] = []
    newest_ms: int | None = None
    for time_ms, *numbers in rows:
        if time_ms >= until_ms + MINUTE_MS:
            refused.append(f"{symbol} {_instant(time_ms)}: a bar of the future (cycle {until.isoformat()})")
            continue
        newest_ms = time_ms if newest_ms is None else max(newest_ms, time_ms)
        if time_ms < since_ms or time_ms + MINUTE_MS > until_ms:
            continue
        try:
            candle = Candle(symbol, from_ms(time_ms), *numbers)
        except MarketDataError as error:
            refused.append(str(error))
            refused_at.add(time_ms - time_ms % MINUTE_MS)
            continue
        known = found.setdefault(time_ms, candle)
        if known != candle:
            disputed.add(time_ms)
            refused.append(
                f"{symbol} {candle.open_time.isoformat()}: two bars that disagree, closes {known.close} and {candle.close}"
            )
    candles = tuple(found[t] for t in sorted(found) if t not in disputed)
    doubted = frozenset(disputed | (refused_at - found.keys()))
    return AcceptedCandles(candles, tuple(refused), doubted, _newest(newest_ms))


def merge_looks(first: AcceptedCandles, second: AcceptedCandles) -> AcceptedCandles:
    """Merge the results of two fetches of the same minutes.

    Where they differ, the second counts: the venue may have revised a bar.
    """
    found = {candle.open_time: candle for candle in first.candles} | {candle.open_time: candle for candle in second.candles}
    seen_again = {to_ms(candle.open_time) for candle in second.candles}
    doubted = (first.doubted - seen_again) | second.doubted
    candles = tuple(found[t] for t in sorted(found) if to_ms(t) not in doubted)
    refused = tuple(dict.fromkeys((*first.refused, *second.refused)))
    newest = max((look.newest for look in (first, second) if look.newest is not None), default=None)
    return AcceptedCandles(candles, refused, doubted, newest)


def _newest(time_ms: int | None) -> datetime | None:
    try:
        return None if time_ms is None else from_ms(time_ms)
    except (ValueError, OverflowError, OSError):  # a row of long before the calendar
        return None


def _instant(time_ms: int) -> str:
    """Return an instant as text, whatever a venue sent: seconds taken for milliseconds can lie in the year 55977."""
    try:
        return from_ms(time_ms).isoformat()
    except (ValueError, OverflowError, OSError):
        return f"{time_ms} ms since 1970"
