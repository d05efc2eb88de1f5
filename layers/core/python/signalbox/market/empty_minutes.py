"""Distinguishes minutes in which nobody traded from minutes that are missing.

Some venues publish no bar for a minute without a trade. Others publish a flat bar without volume, and the models learnt from
those. At a venue of the first kind a minute is empty if the venue was asked twice and returned no row for it, has a bar before it
and a newer one, and the minute is not part of a long run. It then becomes the flat bar that other venues would have sent. Every
other absent minute stays a gap. See docs/decisions/0096.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import takewhile
from typing import Final

from signalbox.market.acceptance import AcceptedCandles
from signalbox.market.candles import MINUTE_MS, ONE_MINUTE, Candle, to_ms

OMITS_EMPTY_MINUTES: Final = frozenset({"coinbase", "kucoin"})  # docs/venues.md, checked by the venues' tests
LONGEST_RUN: Final = timedelta(minutes=30)  # of empty minutes in a row; a longer run may be an outage and stays a gap
# The period before the wanted minutes is looked at too, for the bar before a run and the usual step of bars.
LEAD: Final = 4 * LONGEST_RUN
_FEWEST_STEPS: Final = 3  # minimum number of steps to recognise bars of a longer timeframe


def absent_minutes(candles: Sequence[Candle], since: datetime, until: datetime) -> tuple[datetime, ...]:
    """Return the whole minutes of [since, until) that have no candle, oldest first."""
    there = {candle.open_time for candle in candles}
    count = max((until - since) // ONE_MINUTE, 0)
    return tuple(minute for i in range(count) if (minute := since + i * ONE_MINUTE) not in there)


def empty_bars(looks: AcceptedCandles, since: datetime, until: datetime) -> tuple[Candle, ...]:
    """Return the flat bars of the empty minutes in [since, until), oldest first, for a venue that publishes none itself.

    looks: the result of two fetches of these minutes, including bars of LEAD before `since`. Bars of a longer timeframe
    have no empty minutes between them.
    """
    if looks.newest is None or _is_coarse(looks.candles):
        return ()
    found: list[Candle] = []
    ends = [*(candle.open_time for candle in looks.candles[1:]), min(until, looks.newest)]
    for before, end in zip(looks.candles, ends, strict=bool(looks.candles)):
        run = absent_minutes((), before.close_time, end)
        if len(run) * ONE_MINUTE <= LONGEST_RUN:
            # after a refused row the close is unknown
            empty = takewhile(lambda minute: to_ms(minute) not in looks.doubted, run)
            found.extend(flat_bar(before, minute) for minute in empty)
    return tuple(bar for bar in found if since <= bar.open_time < until)


def untraded_bars(  # noqa: PLR0917 - what is there, and how far it proves anything
    candles: Sequence[Candle],
    doubted: Collection[int],
    trades: Sequence[datetime],
    since: datetime,
    until: datetime,
    alive: datetime | None,
) -> tuple[Candle, ...]:
    """Return flat bars for the absent minutes in [since, until) in which nobody traded, as the venue's own trades prove.

    trades: instants of the newest trades, in any order; between the oldest and the newest of them none is missing, and after the
    newest there was none. candles: the bars around them, oldest first. A minute needs a bar, or such a minute, right before it.
    alive: the newest minute in which the venue is known to have published a trade of another symbol. A feed that stands still
    shows no trade either, so a minute after it, and after the newest of `trades`, is not proved.
    """
    if not trades:
        return ()
    proved = to_ms(max(trades)) // MINUTE_MS if alive is None else max(to_ms(max(trades)), to_ms(alive)) // MINUTE_MS
    there = {candle.open_time: candle for candle in candles}
    traded = {to_ms(trade) // MINUTE_MS for trade in trades}
    oldest = to_ms(min(trades)) // MINUTE_MS  # of this minute the answer may lack trades
    found: list[Candle] = []
    for minute in absent_minutes(candles, since, until):
        place = to_ms(minute) // MINUTE_MS
        before = there.get(minute - ONE_MINUTE)
        is_quiet = oldest < place <= proved and place not in traded
        if before is not None and is_quiet and to_ms(minute) not in doubted:
            there[minute] = flat_bar(before, minute)
            found.append(there[minute])
    return tuple(found)


def _is_coarse(candles: Sequence[Candle]) -> bool:
    """Whether these are bars of a longer timeframe that a venue sent instead of minutes."""
    import numpy as np  # noqa: PLC0415 - functions that collect nothing import this module for its constants

    from signalbox.market.lake import coarse_steps  # noqa: PLC0415 - as above

    times = np.array([to_ms(candle.open_time) for candle in candles], dtype=np.int64)
    steps = np.diff(times)
    is_regular = len(steps) >= _FEWEST_STEPS and steps[0] > MINUTE_MS and bool((steps == steps[0]).all())
    return is_regular or coarse_steps(times) is not None


def flat_bar(before: Candle, minute: datetime) -> Candle:
    """Return the bar of a minute without a trade: flat at the previous close, without volume."""
    return Candle(before.symbol, minute, before.close, before.close, before.close, before.close, Decimal(0))
