"""The volatility of a decision: what barriers, expected moves, stops and sizes are measured in.

It is computed in floats and then rounded to six decimals of a fraction, so that every price and quantity derived from it is an
exact decimal, and the same in training, in a backtest and in the ledger.
"""

from __future__ import annotations

import math
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from signalbox.market.candles import MINUTE_MS, Bars, from_ms, to_ms

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ENTRY_BARS: Final = 241  # 241 bars give the 240 returns of a volatility
LEAST_RETURNS: Final = 120
VOLATILITY_PLACES: Final = 6  # of a fraction: a hundredth of a basis point
_UNIT: Final = Decimal(1).scaleb(-VOLATILITY_PLACES)
_BLOCK: Final = 4_096  # decisions whose returns are in memory at a time


def volatility(bars: Bars, decided_at: datetime, horizon_minutes: int) -> Decimal | None:
    """Return the standard deviation of the log return over the horizon as a fraction, None with fewer than LEAST_RETURNS returns.

    It is the standard deviation of the one-minute returns in the last 240 minutes before `decided_at`, times the square root of
    the horizon in minutes. Returns across a missing minute are left out.
    """
    import numpy as np  # noqa: PLC0415 - a sixth of a cold start of functions that plan no entry

    until, times = to_ms(decided_at), bars.open_time_ms
    start, stop = times.searchsorted(until - ENTRY_BARS * MINUTE_MS), times.searchsorted(until - MINUTE_MS + 1)
    times, logs = times[start:stop], np.log(bars.close[start:stop])
    returns = logs[1:] - logs[:-1]
    count = returns.shape[0]
    if count and times.item(-1) - times.item(0) != count * MINUTE_MS:  # a minute is missing
        returns = returns[times[1:] - times[:-1] == MINUTE_MS]
        count = returns.shape[0]
    if count < LEAST_RETURNS:
        return None
    returns -= np.add.reduce(returns) / count  # as returns.std(ddof=1) does it, without asking for types and axes
    returns *= returns
    found = math.sqrt(np.add.reduce(returns) / (count - 1)) * math.sqrt(horizon_minutes)
    return Decimal(repr(round(found, VOLATILITY_PLACES))).quantize(_UNIT)


def volatilities(bars: Bars, row: NDArray[np.int64], horizon_minutes: int) -> NDArray[np.float64]:
    """Return `volatility` of many decisions as floats: NaN where it is None or 0.

    row: (n,) int64, the newest closed bar of each decision.
    """
    import numpy as np  # noqa: PLC0415 - as above
    from numpy.lib.stride_tricks import sliding_window_view  # noqa: PLC0415 - as above

    found = np.full(row.shape[0], np.nan)
    factor = float(np.sqrt(horizon_minutes))
    whole = np.zeros(row.shape[0], dtype=np.bool_)
    old = row >= ENTRY_BARS - 1
    whole[old] = bars.open_time_ms[row[old]] - bars.open_time_ms[row[old] - (ENTRY_BARS - 1)] == (ENTRY_BARS - 1) * MINUTE_MS
    places = np.flatnonzero(whole)
    if places.shape[0]:
        logs = sliding_window_view(np.log(bars.close), ENTRY_BARS)
        for start in range(0, places.shape[0], _BLOCK):
            own = places[start : start + _BLOCK]
            seen = logs[row[own] - (ENTRY_BARS - 1)]
            deviations = (seen[:, 1:] - seen[:, :-1]).std(axis=1, ddof=1)
            found[own] = [round(one * factor, VOLATILITY_PLACES) for one in deviations.tolist()]
    for place in np.flatnonzero(~whole).tolist():  # a minute is missing: few decisions are
        at = int(bars.open_time_ms[row[place]]) + MINUTE_MS
        move = volatility(bars, from_ms(at), horizon_minutes)
        found[place] = np.nan if move is None else float(move)
    found[found == 0] = np.nan
    return found
