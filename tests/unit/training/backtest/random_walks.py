"""Random walks with gaps and jumps, signals on them, and the account brought through them as the deployed functions do it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal

import numpy as np

from signalbox.events import SignalGenerated
from signalbox.market.candles import MINUTE_MS, Bars, Symbol, to_ms
from signalbox.trading.account import DIR60_STANDARD, TradingAccount, account_named
from signalbox.trading.bars import apply_bars
from signalbox.trading.entries import enter
from signalbox.trading.entry_plan import ENTRY_BARS
from signalbox.trading.state import AccountState, opened
from training.backtest.bar_grid import CYCLE_MINUTES, BarGrid
from training.backtest.record import BacktestRecord

BTC, ETH, SOL = Symbol("BTC-USD"), Symbol("ETH-USD"), Symbol("SOL-USD")
SYMBOLS = (BTC, ETH, SOL)
BEGIN = datetime(2024, 3, 29, 12, 0, tzinfo=UTC)  # before a change of clocks in Prague
WITH_TARGET = DIR60_STANDARD.model_copy(update={"target_volatilities": Decimal(2), "version": "with-target.1"})
BOLD = DIR60_STANDARD.model_copy(
    update={"risk_fraction": Decimal("0.02"), "max_notional_fraction": Decimal(1), "version": "bold.1"}
)  # loses enough to meet every limit
TIGHT = WITH_TARGET.model_copy(update={"stop_volatilities": Decimal(1), "version": "tight.1"})
WARM_UP = 300


def walk_bars(
    seed: int, minutes: int, *, minute_bps: float, gaps: Sequence[tuple[int, int, int]] = (), jump_every: int = 0
) -> list[Bars]:
    """Three symbols of `minutes` bars from BEGIN. gaps: (symbol, first minute, length); symbol 3 is all of them.

    jump_every: minutes after which all open elsewhere, by 8 % up and down in turns, beyond any stop.
    """
    rng = np.random.default_rng(seed)
    found = []
    for i, symbol in enumerate(SYMBOLS):
        price = [60_000.0, 3_000.0, 100.0][i]
        common = rng.normal(0.0, minute_bps / 1e4, minutes) * rng.choice([0.5, 1.0, 4.0], minutes, p=[0.5, 0.45, 0.05])
        close = np.round(price * np.exp(np.cumsum(common)), 2)
        first = np.concatenate([[price], close[:-1]])
        if jump_every:
            level = np.where(np.arange(minutes) // jump_every % 2, 1.08, 1.0)
            close, first = np.round(close * level, 2), np.round(first * level, 2)
        reach = np.abs(rng.normal(0.0, minute_bps / 2e4, (2, minutes)))
        high = np.round(np.maximum(first, close) * (1 + reach[0]) + 0.005, 2)
        low = np.round(np.minimum(first, close) * (1 - reach[1]) - 0.005, 2)
        kept = np.ones(minutes, dtype=bool)
        for which, at, length in gaps:
            if which in {i, len(SYMBOLS)}:
                kept[at : at + length] = False
        times = to_ms(BEGIN) + np.arange(minutes) * MINUTE_MS
        found.append(
            Bars(
                symbol,
                times[kept],
                open=first[kept],
                high=np.maximum(high, np.maximum(first, close))[kept],
                low=np.minimum(low, np.minimum(first, close))[kept],
                close=close[kept],
                volume=np.full(minutes, 5.0)[kept],
            )
        )
    return found


def walk_signals(grid: BarGrid, seed: int, *, share: float) -> list[SignalGenerated]:
    """A signal at `share` of the cycles of each symbol that has its newest bar, some of them held back."""
    rng = np.random.default_rng(seed + 1)
    found = []
    for at in range(WARM_UP, grid.minutes, CYCLE_MINUTES):
        for row, symbol in enumerate(grid.symbols):
            draw, side, kind = rng.random(3)
            if draw > share or np.isnan(grid.close[row, at - 1]):
                continue
            held_back = "RATE" if kind > 0.8 else None
            found.append(
                SignalGenerated(
                    symbol=symbol,
                    decided_at=grid.instant(at),
                    deployment="walk",
                    stage="shadow",
                    direction="BUY" if side > 0.5 else "SELL",
                    tier="HIGH" if kind < 0.4 else "MEDIUM",
                    issued=held_back is None,
                    held_back=held_back,
                    late=False,
                    probability_up=0.6 if side > 0.5 else 0.4,
                    confidence=0.6,
                    price=grid.price(symbol, at),
                    horizon_minutes=60,
                    schema_name="s",
                    schema_hash="h",
                )
            )
    return found


def account(kind: str, policy: object = DIR60_STANDARD) -> TradingAccount:
    """A paper account by its name."""
    return account_named(kind, market="coinbase", policy=policy)  # type: ignore[arg-type]


def deployed(
    grid: BarGrid, signals: Sequence[SignalGenerated], of: TradingAccount, start: int, end: int
) -> tuple[AccountState, BacktestRecord, dict[int, Decimal]]:
    """As the trading service: every cycle applies all its bars, then every signal applies and enters. Also balance by cycle."""
    state, record, balance = opened(of, grid.instant(start)), BacktestRecord(), {}
    due: dict[int, list[SignalGenerated]] = {}
    for signal in (one for one in signals if one.issued):
        due.setdefault(grid.minute(signal.decided_at), []).append(signal)
    for cycle in range(start + CYCLE_MINUTES, end + 1, CYCLE_MINUTES):
        at = grid.instant(cycle)
        for signal in (None, *due.get(cycle, ())):
            since = start if state.watched_until is None else grid.minute(state.watched_until)
            after, changes = apply_bars(state, grid.candles(since, cycle), at)
            record.take(state, after, changes)
            state = after
            if signal is not None:
                bars = grid.known_bars(Symbol(signal.symbol), cycle, ENTRY_BARS)
                after, changes = enter(state, signal, bars, at)
                record.take(state, after, changes)
                state = after
        balance[cycle] = state.books.balance
    return state, record, balance
