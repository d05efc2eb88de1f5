"""Figures of a run: return, drawdown, months, groups of trades, costs, and what was held back or refused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from signalbox.events import SignalGenerated
from signalbox.market.candles import to_ms
from signalbox.trading.paper import SLIPPAGE_BPS, SPREAD_BPS
from signalbox.trading.snapshot import equity_of
from training.backtest.bar_grid import BarGrid
from training.backtest.coin import coin_wins
from training.backtest.engine import BacktestRun
from training.backtest.record import EquityRow, TradeRow
from training.data.splits import DAY_MS
from training.judge.estimates import Estimate, mean_by_day

MODELLED_BPS: Final = float(SPREAD_BPS) / 2 + float(SLIPPAGE_BPS)  # per side, on top of the fee


@dataclass(frozen=True, slots=True)
class FiguresPart:
    """Figures for one group of trades. wins: share that earned after costs. net, fees, modelled: in account currency."""

    trades: int
    wins: Estimate
    coin: float  # share that a random side would have won on the same entries
    net: float
    fees: float
    modelled: float  # half spread and slippage of both sides, as the paper venue models them
    net_bps: Estimate  # per trade, of the entry's value
    minutes_held: float  # mean per trade


@dataclass(frozen=True, slots=True)
class Month:
    """One UTC month. change: of equity, as a fraction of the equity at the start of the month."""

    month: str
    change: float
    trades: int
    worst: float  # deepest drawdown in the month, from the highest equity so far


@dataclass(frozen=True, slots=True)
class Figures:
    """Figures of the whole run."""

    capital: float
    equity: float
    change: float  # of the capital
    max_drawdown: float  # fraction of the highest equity before, at the applied instants; of all minutes by at_worst_prices
    # largest loss of a day below its midnight balance, as a fraction of the capital; None without rules
    max_day_loss: float | None
    whole: FiguresPart
    by_symbol: dict[str, FiguresPart]
    by_side: dict[str, FiguresPart]
    by_tier: dict[str, FiguresPart]
    by_leg: dict[str, FiguresPart]  # coin is NaN here, because the exit of a trade is known only afterwards
    months: list[Month]
    signals: dict[str, int]
    held_back: dict[str, int]  # by reason: those of the rate limit, then those of the account
    refused: dict[str, int]  # orders, by the code of the first failed check
    locked: dict[str, int]  # how often each protection locked
    limits_used: dict[str, int]  # how often each warning level of a loss limit was reached

    def to_json(self) -> dict[str, Any]:
        """Return the figures as JSON."""
        return asdict(self)


def figures_of(grid: BarGrid, signals: Sequence[SignalGenerated], found: BacktestRun, horizon_minutes: int) -> Figures:
    """Return the figures of a run. signals: those that the run received."""
    record, capital = found.record, float(found.state.account.capital)
    groups = _Groups(grid, record.trades, horizon_minutes)
    tiers = {(signal.symbol, signal.decided_at): signal.tier for signal in signals}
    change = float(equity_of(found.state)) / capital - 1
    falls = drawdowns([row.equity for row in record.equity], found.state.account.capital)
    lost = [float((day.baseline - day.worst_equity) / found.state.account.capital) for day in found.days]
    return Figures(
        capital=capital,
        equity=float(equity_of(found.state)),
        change=change,
        max_drawdown=float(falls.max(initial=0.0)),
        max_day_loss=max(lost, default=0.0) if found.state.account.rules is not None else None,
        whole=groups.of(lambda _: True),
        by_symbol=groups.by(lambda trade: trade.symbol),
        by_side=groups.by(lambda trade: trade.side.value),
        by_tier=groups.by(lambda trade: tiers[trade.symbol, trade.decided_at]),
        by_leg={leg: replace(part, coin=float("nan")) for leg, part in groups.by(lambda trade: trade.leg.value).items()},
        months=_months(record.equity, falls, record.trades, capital),
        signals={
            "issued": sum(signal.issued for signal in signals),
            "over_the_hourly_limits": sum(signal.held_back is not None for signal in signals),
            "after_it_was_over": found.signals_after,
        },
        held_back={
            **Counter(signal.held_back for signal in signals if signal.held_back),
            **_count(found, "SIGNAL_HELD_BACK"),
        },
        refused=_count(found, "ORDER_REFUSED"),
        locked=_count(found, "LOCKED"),
        limits_used=dict(Counter(f"{line.code} {line.detail}" for line in record.risk if line.kind == "LIMIT_USED")),
    )


def _count(found: BacktestRun, kind: str) -> dict[str, int]:
    return dict(Counter(str(line.code) for line in found.record.risk if line.kind == kind).most_common())


def drawdowns(equity: Sequence[Decimal], capital: Decimal) -> NDArray[np.float64]:
    """Return (n,) how far each equity is below the highest one before it, as a fraction of that."""
    values = np.array([capital, *equity], dtype=np.float64)
    falls: NDArray[np.float64] = 1 - values / np.maximum.accumulate(values)
    return falls[1:]


def _months(rows: Sequence[EquityRow], falls: NDArray[np.float64], trades: Sequence[TradeRow], capital: float) -> list[Month]:
    found, before = [], capital
    closed = Counter(f"{trade.closed_at:%Y-%m}" for trade in trades)
    names = [f"{row.at:%Y-%m}" for row in rows]
    for name in sorted(set(names)):
        own = [i for i, one in enumerate(names) if one == name]
        last = float(rows[own[-1]].equity)
        found.append(Month(name, last / before - 1, closed[name], float(falls[own].max())))
        before = last
    return found


class _Groups:
    def __init__(self, grid: BarGrid, trades: Sequence[TradeRow], horizon_minutes: int) -> None:
        self._trades = trades
        self._coin = coin_wins(grid, trades, horizon_minutes)
        self._day = np.array([to_ms(trade.decided_at) // DAY_MS for trade in trades], dtype=np.int64)
        self._net = np.array([float(trade.realised) for trade in trades], dtype=np.float64)
        self._value = np.array([float(trade.quantity * trade.entry_price) for trade in trades], dtype=np.float64)
        self._fees = np.array([float(trade.fees) for trade in trades], dtype=np.float64)
        self._held = np.array([_minutes(trade.opened_at, trade.closed_at) for trade in trades], dtype=np.float64)
        out = np.array([float(trade.quantity * trade.exit_price) for trade in trades], dtype=np.float64)
        self._modelled = (self._value + out) * MODELLED_BPS / 1e4

    def by(self, key: Callable[[TradeRow], str]) -> dict[str, FiguresPart]:
        return {name: self.of(lambda trade, name=name: key(trade) == name) for name in sorted({key(t) for t in self._trades})}  # type: ignore[misc]

    def of(self, takes: Callable[[TradeRow], bool]) -> FiguresPart:
        rows = np.array([takes(trade) for trade in self._trades], dtype=np.bool_)
        net, day = self._net[rows], self._day[rows]
        return FiguresPart(
            trades=int(rows.sum()),
            wins=mean_by_day((net > 0).astype(np.float64), day),
            coin=float(self._coin[rows].mean()) if rows.any() else float("nan"),
            net=float(net.sum()),
            fees=float(self._fees[rows].sum()),
            modelled=float(self._modelled[rows].sum()),
            net_bps=mean_by_day(net / self._value[rows] * 1e4, day),
            minutes_held=float(self._held[rows].mean()) if rows.any() else float("nan"),
        )


def _minutes(opened: datetime, closed: datetime) -> float:
    return (closed - opened).total_seconds() / 60
