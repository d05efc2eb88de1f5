"""Settles signals on bars: the label of training, the outcome that serving announces and the check of a backtest are this code.

A signal enters at the open of the bar that opens at its decision. Without barriers it leaves at the open of the bar that opens
when its horizon ends. With barriers it leaves when the first of them is touched, read from a bar as the paper venue reads it
(signalbox.orders.paper): at the open the stop, then the target; inside the bar the stop if it was touched, else the target, which
must be traded through. What touches no barrier is settled at the open that ends the horizon.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import IntEnum
from typing import TYPE_CHECKING, Final

from signalbox.labels.contract import SignalContract, TimeoutRule
from signalbox.labels.volatility import ENTRY_BARS, volatility
from signalbox.market.candles import MINUTE_MS, Bars, to_ms

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MEAN_ABSOLUTE_MOVE: Final = 0.797885  # of a normal return in its standard deviations: the square root of 2 / pi


class SignalEnding(IntEnum):
    """What ended a signal."""

    HORIZON = 0
    TARGET = 1
    STOP = 2


@dataclass(frozen=True, slots=True, eq=False)
class Settlements:
    """Outcomes of n signals of one side.

    earned: (n,) float64, simple return of the side before costs. right: (n,) bool. price: (n,) float64, of the exit, in quote
    currency. ending: (n,) int8, of SignalEnding. minutes: (n,) int64, from the decision to the open of the bar it ended in.
    """

    earned: NDArray[np.float64]
    right: NDArray[np.bool_]
    price: NDArray[np.float64]
    ending: NDArray[np.int8]
    minutes: NDArray[np.int64]


def settle_rows(
    contract: SignalContract, bars: Bars, entry: NDArray[np.int64], side: int, volatilities: NDArray[np.float64] | None
) -> Settlements:
    """Return the outcomes of signals of one side.

    entry: (n,) int64, the bar that opens at each decision. It and the `horizon_minutes` bars after it must follow each other
    without a missing minute; the caller has made sure of it.
    side: 1 for BUY, -1 for SELL.
    volatilities: (n,) float64 above 0, a fraction, of `volatility_minutes`; used by a contract with barriers alone.
    """
    import numpy as np  # noqa: PLC0415 - a sixth of a cold start of functions that settle nothing

    count, horizon = entry.shape[0], contract.horizon_minutes
    start = bars.open[entry]
    price, minutes = bars.open[entry + horizon].copy(), np.full(count, horizon, dtype=np.int64)
    ending = np.full(count, SignalEnding.HORIZON, dtype=np.int8)
    if contract.barriers is not None and volatilities is not None:
        target = start * (1.0 + side * contract.barriers.target_volatilities * volatilities)
        stop = start * (1.0 - side * contract.barriers.stop_volatilities * volatilities)
        best, worst = (bars.high, bars.low) if side > 0 else (bars.low, bars.high)
        waiting = np.arange(count)
        for minute in range(horizon):
            bar = entry[waiting] + minute
            opened, goal, limit = bars.open[bar], target[waiting], stop[waiting]
            stopped_at_open = (side * (opened - limit) <= 0) if minute else np.zeros(bar.shape[0], np.bool_)
            reached_at_open = (side * (opened - goal) >= 0) & ~stopped_at_open if minute else stopped_at_open
            stopped = stopped_at_open | (~reached_at_open & (side * (worst[bar] - limit) <= 0))
            reached = reached_at_open | (~stopped & (side * (best[bar] - goal) > 0))
            rows = waiting[stopped]
            price[rows] = np.where(stopped_at_open[stopped], opened[stopped], limit[stopped])
            ending[rows], minutes[rows] = SignalEnding.STOP, minute
            rows = waiting[reached]
            price[rows], ending[rows], minutes[rows] = goal[reached], SignalEnding.TARGET, minute
            waiting = waiting[~(stopped | reached)]
            if not waiting.shape[0]:
                break
    earned = side * (price / start - 1.0)
    by_horizon = earned > 0 if contract.settlement.timeout is TimeoutRule.SIGN else np.zeros(count, np.bool_)
    right = np.where(ending == SignalEnding.HORIZON, by_horizon, ending == SignalEnding.TARGET)
    return Settlements(earned, right, price, ending, minutes)


@dataclass(frozen=True, slots=True)
class SettledDecision:
    """The outcome of one signal. price, entry: in quote currency; at: when the bar opened that ended it."""

    right: bool
    entry: float
    price: float
    ending: SignalEnding
    at: datetime


def settle_signal(contract: SignalContract, bars: Bars, decided_at: datetime, side: int) -> SettledDecision | None:
    """Return the outcome of one signal; None if a minute, or the volatility at its decision, is missing.

    bars: of its symbol and market, from `settlement_bars` before the end of its horizon, including the bar that opens there.
    """
    import numpy as np  # noqa: PLC0415 - as above

    entry = int(np.searchsorted(bars.open_time_ms, to_ms(decided_at)))
    leave = entry + contract.horizon_minutes
    if leave >= len(bars) or int(bars.open_time_ms[entry]) != to_ms(decided_at):
        return None
    if int(bars.open_time_ms[leave] - bars.open_time_ms[entry]) != contract.horizon_minutes * MINUTE_MS:
        return None
    volatilities = None
    if contract.barriers is not None:
        move = volatility(bars, decided_at, contract.barriers.volatility_minutes)
        if not move:
            return None
        volatilities = np.array([float(move)])
    found = settle_rows(contract, bars, np.array([entry]), side, volatilities)
    return SettledDecision(
        right=bool(found.right[0]),
        entry=float(bars.open[entry]),
        price=float(found.price[0]),
        ending=SignalEnding(int(found.ending[0])),
        at=decided_at + timedelta(minutes=int(found.minutes[0])),
    )


def settlement_bars(contract: SignalContract) -> int:
    """Return how many bars before the end of the bar that ends its horizon settle a signal, those of its volatility included."""
    return contract.horizon_minutes + 1 + (ENTRY_BARS if contract.barriers is not None else 0)


def covers_cost(
    contract: SignalContract, probability_up: NDArray[np.float64], volatilities: NDArray[np.float64] | None
) -> NDArray[np.bool_]:
    """Return (n,) bool: whether the expected move exceeds the contract's multiple of its cost; true where it asks for none.

    probability_up: (n,), calibrated. volatilities: (n,), fractions, of the horizon; NaN, or None for all, where unknown: false.
    The expected return of a side that is right with probability p is (2 p - 1) times the mean absolute return.
    """
    import numpy as np  # noqa: PLC0415 - as above

    least = float(contract.cost.expected_move_over_cost * contract.cost.round_trip_bps) * 1e-4
    if not least:
        return np.ones(probability_up.shape[0], np.bool_)
    if volatilities is None:
        return np.zeros(probability_up.shape[0], np.bool_)
    expected = np.abs(2.0 * probability_up - 1.0) * MEAN_ABSOLUTE_MOVE * volatilities
    covered: NDArray[np.bool_] = expected >= least  # NaN is not
    return covered
