"""What a trader asks of a run: returns, risk and the quality of its trades, as quantstats and empyrical define them.

Returns are those of UTC days, 365 a year, because crypto trades every day; the risk-free rate is 0. sharpe = mean / deviation
(n - 1) * sqrt(365); sortino = mean / downside deviation * sqrt(365), where the downside deviation is the root of the mean, over
all days, of the squared negative returns; calmar = CAGR / deepest drawdown of daily equity. A figure that the period cannot give,
such as a ratio of a single day, is NaN and shown as a dash.

Money comes from the Decimal books of the run; ratios of it are floats. Drawdown is also measured from every minute's worst price:
each held symbol at the low of the minute if long, at its high if short, as the deployed monitoring does.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from signalbox.market.candles import Symbol
from signalbox.orders.order import Order
from signalbox.orders.terms import Side
from signalbox.trading.snapshot import equity_of
from signalbox.trading.state import Trade
from training.backtest.bar_grid import BarGrid
from training.backtest.engine import BacktestRun
from training.backtest.figures import Figures
from training.backtest.record import TradeRow

DAYS_A_YEAR: Final = 365
NAN: Final = float("nan")
_COUNTS: Final = frozenset({"longest_losing_run", "trades", "days"})
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Excursion:
    """How far the price of a trade went, in multiples of the amount at risk (entry to stop). r: of the profit after fees."""

    r: float
    adverse: float  # MAE, at or above 0
    favourable: float  # MFE, at or above 0


@dataclass(frozen=True, slots=True)
class Performance:
    """Figures of a run. Shares are fractions; amounts are in the account's currency."""

    net_return: float  # of the capital
    gross_return: float  # before fees
    buy_and_hold: float  # mean return of the symbols from the first to the last close of the period
    cagr: float
    volatility: float  # of daily returns, a year
    sharpe: float
    sortino: float
    calmar: float
    max_drawdown: float  # fraction of the highest equity before, at every minute's worst price
    max_drawdown_at: datetime | None
    max_drawdown_daily: float  # of the equity at the ends of days
    profit_factor: float  # gains over losses; infinite without a loss
    expectancy: float  # mean profit of a trade, after fees
    expectancy_r: float
    win_rate: float
    average_win: float
    average_loss: float  # below 0
    longest_losing_run: int  # trades in a row
    exposure: float  # share of the minutes with an open position
    turnover: float  # value of all fills of closed trades over the capital
    fees: float
    fees_of_gross: float  # fees over the gross profit of winning trades; NaN without one
    trades: int
    days: int

    def to_json(self) -> dict[str, Any]:
        """Return the figures as JSON; null for a figure that the period is too short for."""
        found = asdict(self) | {"max_drawdown_at": None if self.max_drawdown_at is None else self.max_drawdown_at.isoformat()}
        return {name: None if isinstance(value, float) and not math.isfinite(value) else value for name, value in found.items()}


def performance_from(content: Mapping[str, Any]) -> Performance:
    """Return the figures of a JSON report. Raises KeyError, TypeError or ValueError for another content."""
    values = {one.name: content[one.name] for one in fields(Performance)}
    at = values.pop("max_drawdown_at")
    without = NAN if content["average_loss"] is not None or content["trades"] == 0 else math.inf  # a profit factor without a loss
    known = {
        name: (without if name == "profit_factor" else NAN) if value is None else int(value) if name in _COUNTS else float(value)
        for name, value in values.items()
    }
    return Performance(**known, max_drawdown_at=None if at is None else datetime.fromisoformat(at))  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True, eq=False)
class MinuteEquity:
    """Equity of every minute from the start: at its close, and at its worst prices. Instants are minute counts of the grid."""

    first: int
    close: Floats
    worst: Floats
    is_held: NDArray[np.bool_]

    def falls(self, capital: float) -> Floats:
        """Return (n,) how far the worst price of each minute is below the highest close before it, as a fraction of that."""
        highest = np.maximum.accumulate(np.concatenate([[capital], self.close]))
        found: Floats = np.maximum(1 - self.worst / highest[:-1], 0.0)
        return found


def performance_of(grid: BarGrid, found: BacktestRun, start: datetime, end: datetime) -> Performance:
    """Return the figures of a run over (start, end]. Daily figures run to the end of the run, if it ended before."""
    trades, capital = found.record.trades, float(found.state.account.capital)
    last = min(end, found.ended_at) if found.ended_at > start else end
    minutes = minute_equity(grid, found, start, last)
    falls = minutes.falls(capital)
    deepest = int(np.argmax(falls)) if falls.size and falls.max() > 0 else None
    returns = daily_returns(grid, minutes, capital)
    net = [float(trade.realised) for trade in trades]
    wins, losses = [one for one in net if one > 0], [one for one in net if one < 0]
    fees = float(sum((trade.fees for trade in trades), Decimal(0)))
    equity = float(equity_of(found.state))
    booked = _fees_booked(found)
    growth = (equity / capital) ** (DAYS_A_YEAR / returns.size) - 1 if returns.size and equity > 0 else NAN
    daily = max_drawdown(returns)
    value = sum(float(trade.quantity) * (float(trade.entry_price) + float(trade.exit_price)) for trade in trades)
    gross_wins = sum(float(trade.realised + trade.fees) for trade in trades if trade.realised + trade.fees > 0)
    excursions = excursions_of(grid, trades)
    return Performance(
        net_return=equity / capital - 1,
        gross_return=(equity + booked) / capital - 1,
        buy_and_hold=_held(grid, start, last),
        cagr=growth,
        volatility=float(returns.std(ddof=1)) * math.sqrt(DAYS_A_YEAR) if returns.size > 1 else NAN,
        sharpe=sharpe(returns),
        sortino=sortino(returns),
        calmar=growth / daily if daily > 0 else NAN,
        max_drawdown=0.0 if deepest is None else float(falls[deepest]),
        max_drawdown_at=None if deepest is None else grid.instant(minutes.first + deepest + 1),
        max_drawdown_daily=daily,
        profit_factor=sum(wins) / -sum(losses) if losses else (math.inf if wins else NAN),
        expectancy=_mean(net),
        expectancy_r=_mean([one.r for one in excursions if math.isfinite(one.r)]),
        win_rate=len(wins) / len(net) if net else NAN,
        average_win=_mean(wins),
        average_loss=_mean(losses),
        longest_losing_run=longest_run([one <= 0 for one in net]),
        exposure=float(minutes.is_held.mean()) if minutes.is_held.size else 0.0,
        turnover=value / capital,
        fees=fees,
        fees_of_gross=fees / gross_wins if gross_wins > 0 else NAN,
        trades=len(trades),
        days=int(returns.size),
    )


def at_worst_prices(figures: Figures, grid: BarGrid, minutes: MinuteEquity) -> Figures:
    """Return the figures with drawdowns from every minute's worst price, of the run and of each month."""
    falls = minutes.falls(figures.capital)
    began = np.datetime64(grid.first_ms // 60_000 + minutes.first, "m")
    month = (began + np.arange(falls.size)).astype("datetime64[M]").astype(str)
    names = {one.month: float(falls[month == one.month].max(initial=0.0)) for one in figures.months}
    months = [replace(one, worst=names[one.month]) for one in figures.months]
    return replace(figures, max_drawdown=float(falls.max(initial=0.0)), months=months)


def minute_equity(grid: BarGrid, found: BacktestRun, start: datetime, end: datetime) -> MinuteEquity:
    """Return the equity of every minute, from the trades of the run, those still open included.

    The books move at fills: an entry costs its fee, an exit brings its result. Between fills a position is worth its quantity
    times the price. In the minute of an entry the whole minute counts, and in the minute of an exit the price of the exit.
    """
    first, last = grid.minute(start), max(grid.minute(end), grid.minute(start) + 1)
    size = last - first
    moved = np.zeros(size)
    close, worst = np.zeros(size), np.zeros(size)
    held = np.zeros(size, dtype=np.bool_)
    capital = float(found.state.account.capital)
    for one in (*(_Holding.of(trade) for trade in found.record.trades), *_open_holdings(found)):
        i = max(grid.minute(one.opened_at) - first, 0)
        j = size if one.closed_at is None else min(grid.minute(one.closed_at) - first, size - 1)
        if i >= size:
            continue
        row = grid.row[Symbol(one.symbol)]
        cut, entry = slice(first + i, first + j), one.quantity * one.entry
        moved[i] -= one.entry_fee
        low, high, last_close = (_filled(series[row, cut], one.entry) for series in (grid.low, grid.high, grid.close))
        worst[i:j] += one.quantity * (low if one.quantity > 0 else high) - entry
        close[i:j] += one.quantity * last_close - entry
        held[i : max(j, i + 1)] = True
        if one.closed_at is not None and one.result is not None:
            moved[j] += one.result + one.entry_fee
    balance = capital + np.cumsum(moved)
    return MinuteEquity(first, balance + close, balance + worst, held)


def daily_returns(grid: BarGrid, minutes: MinuteEquity, capital: float) -> Floats:
    """Return the returns of UTC days from the equity at their last minutes; the last day may be a part of one."""
    if not minutes.close.size:
        return np.empty(0)
    day = (grid.first_ms // 60_000 + minutes.first + np.arange(minutes.close.size)) // 1440
    ends = np.append(np.flatnonzero(np.diff(day)), minutes.close.size - 1)
    equity = np.concatenate([[capital], minutes.close[ends]])
    found: Floats = equity[1:] / equity[:-1] - 1
    return found


def sharpe(returns: Floats) -> float:
    """Return the ratio of the mean to the deviation of daily returns, a year. NaN for fewer than two days or no deviation."""
    deviation = float(returns.std(ddof=1)) if returns.size > 1 else 0.0
    return float(returns.mean()) / deviation * math.sqrt(DAYS_A_YEAR) if deviation > 0 else NAN


def sortino(returns: Floats) -> float:
    """Return the ratio of the mean to the downside deviation of daily returns, a year. NaN without a losing day."""
    downside = math.sqrt(float((np.minimum(returns, 0.0) ** 2).mean())) if returns.size > 1 else 0.0
    return float(returns.mean()) / downside * math.sqrt(DAYS_A_YEAR) if downside > 0 else NAN


def max_drawdown(returns: Floats) -> float:
    """Return the deepest fall of the compounded returns below their highest value, at or above 0."""
    value = np.cumprod(np.concatenate([[1.0], 1 + returns]))
    return float((1 - value / np.maximum.accumulate(value)).max())


def longest_run(flags: Sequence[bool]) -> int:
    """Return the length of the longest run of true values."""
    longest = run = 0
    for flag in flags:
        run = run + 1 if flag else 0
        longest = max(longest, run)
    return longest


def excursions_of(grid: BarGrid, trades: Sequence[TradeRow]) -> list[Excursion]:
    """Return how far the price went against and for each trade while it was open, from the lows and highs of its minutes."""
    found = []
    for trade in trades:
        row, i = grid.row[Symbol(trade.symbol)], grid.minute(trade.opened_at)
        j = max(grid.minute(trade.closed_at), i + 1)
        entry, risk = float(trade.entry_price), abs(float(trade.entry_price - trade.stop_loss))
        ends = [entry, float(trade.exit_price)]
        inside = slice(i, j)  # the minute of the exit counts by the price of the exit, because its path is not known
        low = float(np.nanmin([*grid.low[row, inside], *ends]))
        high = float(np.nanmax([*grid.high[row, inside], *ends]))
        adverse, favourable = (entry - low, high - entry) if trade.side is Side.BUY else (high - entry, entry - low)
        amount = risk * float(trade.quantity)
        r = float(trade.realised) / amount if amount else NAN
        found.append(Excursion(r, adverse / risk if risk else NAN, favourable / risk if risk else NAN))
    return found


@dataclass(frozen=True, slots=True)
class _Holding:
    symbol: str
    quantity: float  # negative when short
    entry: float
    entry_fee: float
    opened_at: datetime
    closed_at: datetime | None
    result: float | None  # after all fees

    @classmethod
    def of(cls, trade: TradeRow) -> _Holding:
        value_in, value_out = float(trade.quantity * trade.entry_price), float(trade.quantity * trade.exit_price)
        share = value_in / (value_in + value_out)  # fees are a fraction of each side's value
        return cls(
            trade.symbol,
            trade.side.sign * float(trade.quantity),
            float(trade.entry_price),
            float(trade.fees) * share,
            trade.opened_at,
            trade.closed_at,
            float(trade.realised),
        )


def open_positions(found: BacktestRun) -> Iterator[tuple[Trade, datetime, Order, Decimal]]:
    """Yield each trade that is open at the end of a run: when it was opened, its entry order and that order's average price."""
    for trade in found.state.trades.values():
        order = found.state.orders.get(trade.entry)
        if trade.opened_at is not None and order is not None and order.average_price is not None:
            yield trade, trade.opened_at, order, order.average_price


def _open_holdings(found: BacktestRun) -> list[_Holding]:
    return [
        _Holding(trade.symbol, trade.side.sign * float(order.filled), float(price), float(order.fees), opened_at, None, None)
        for trade, opened_at, order, price in open_positions(found)
    ]


def _fees_booked(found: BacktestRun) -> float:
    return float(sum((position.fees for position in found.state.books.positions.values()), Decimal(0)))


def _filled(values: Floats, before: float) -> Floats:
    """Return the values with missing minutes replaced by the last known one."""
    known = np.where(np.isnan(values), -1, np.arange(values.size))
    at = np.maximum.accumulate(known) if values.size else known
    found: Floats = np.where(at >= 0, values[np.maximum(at, 0)], before)
    return found


def _held(grid: BarGrid, start: datetime, end: datetime) -> float:
    """Return the mean return of buying every symbol at the first close and holding it to the last, before costs."""
    returns = []
    for row in range(len(grid.symbols)):
        closes = grid.close[row, max(grid.minute(start) - 1, 0) : grid.minute(end)]
        known = closes[np.isfinite(closes)]
        if known.size:
            returns.append(float(known[-1] / known[0]) - 1)
    return _mean(returns)


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else NAN
