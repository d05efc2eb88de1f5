"""From a signal to an entry: what is skipped and why, its size, where its exits stand; in the ledger as in an account state."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox.market.candles import MINUTE_MS, ONE_MINUTE, Bars, to_ms
from signalbox.market.empty_minutes import flat_bar
from signalbox.trading.account import TradingMode
from signalbox.trading.bars import apply_bars
from signalbox.trading.changes import NO_CHANGES
from signalbox.trading.entries import enter
from signalbox.trading.entry_plan import ENTRY_BARS, LEAST_RETURNS, SignalSkipReason, volatility
from signalbox.trading.state import AccountState, TradeState
from tests.fakes.memory_trading import MemoryTradingLedger
from tests.unit.trading.market import BASE, BTC, START, history, paper, signal, state_at, wave


def test_size_risks_the_fraction_of_equity_and_keeps_within_the_notional_cap() -> None:
    state, changes = enter(state_at(paper()), signal(), history(), START)
    trade, policy = state.trades[BTC], state.account.policy
    quantity = state.orders[trade.entry].quantity
    move = volatility(history(), START, 60)
    assert move is not None
    distance = BASE[BTC] - trade.stop_loss
    assert abs(distance - 3 * move * BASE[BTC]) <= Decimal("0.01")
    by_risk, by_notional = 100_000 * policy.risk_fraction / distance, 100_000 * policy.max_notional_fraction / BASE[BTC]
    assert 0 <= min(by_risk, by_notional) - quantity < Decimal("0.0001")
    assert trade.state is TradeState.ENTERING
    assert trade.deadline == START + timedelta(minutes=60)
    assert not changes.risk


@pytest.mark.parametrize(
    ("changes", "late", "reason"),
    [
        ({"issued": False}, 0, SignalSkipReason.NOT_ISSUED),
        ({"late": True}, 0, SignalSkipReason.LATE),
        ({"tier": "LOW"}, 0, SignalSkipReason.TIER),
        ({}, 5, SignalSkipReason.EXPIRED),
    ],
)
def test_signal_is_held_back_with_its_reason(changes: dict[str, Any], late: int, reason: SignalSkipReason) -> None:
    state, done = enter(state_at(paper()), signal(**changes), history(), START + ONE_MINUTE * late)
    assert [risk.code for risk in done.risk] == [reason]
    assert not state.orders


def test_too_few_bars_a_thin_edge_and_an_open_position_hold_back() -> None:
    state = state_at(paper())
    _, done = enter(state, signal(), history(count=120), START)  # 119 returns
    assert done.risk[0].code == SignalSkipReason.VOLATILITY_UNKNOWN
    costly = paper(policy=paper().policy.model_copy(update={"minimum_edge_over_cost": Decimal(10)}))
    _, done = enter(state_at(costly), signal(), history(), START)
    assert done.risk[0].code == SignalSkipReason.EDGE_BELOW_COST
    _, done = enter(state_at(paper("paper-1k", paper().policy.model_copy(update={"risk_fraction": Decimal("0.00001")}))),
                          signal(), history(), START)  # fmt: skip
    assert done.risk[0].code == SignalSkipReason.BELOW_MINIMUM_SIZE
    state, _ = enter(state, signal(), history(), START)
    _, done = enter(state, signal(at=START + ONE_MINUTE), history(), START + ONE_MINUTE)
    assert done.risk[0].code == SignalSkipReason.POSITION_OPEN
    assert enter(state, signal(), history(), START) == (state, NO_CHANGES)
    assert enter(state, signal(direction="HOLD"), history(), START) == (state, NO_CHANGES)


def test_a_signal_on_prices_that_do_not_value_the_account_opens_nothing() -> None:
    _, done = enter(state_at(paper()), signal(market="kraken"), history(), START)
    assert done.risk[0].code == SignalSkipReason.OTHER_MARKET
    state, _ = enter(state_at(paper().model_copy(update={"market": "kraken"})), signal(market="kraken"), history(), START)
    assert state.trades.keys() == {BTC}


def test_a_signal_known_late_misses_the_open_of_its_minute_and_fills_at_the_next() -> None:
    fills = {}
    for known_at in (None, START + timedelta(seconds=20)):
        state, _ = enter(state_at(paper()), signal(known_at=known_at), history(), START)
        state, _ = apply_bars(state, {BTC: wave(BTC, START, 3)}, START + ONE_MINUTE * 3)
        (fills[known_at],) = state.orders[state.trades[BTC].entry].trades
    on_time, late = fills.values()
    assert late.at - on_time.at == ONE_MINUTE


def test_an_entry_waits_for_a_minute_in_which_somebody_trades() -> None:
    state, _ = enter(state_at(paper()), signal(), history(), START)
    first, *others = wave(BTC, START, 3)
    quiet = flat_bar(replace(first, open_time=START - ONE_MINUTE), START)
    state, _ = apply_bars(state, {BTC: [quiet, *others]}, START + ONE_MINUTE * 3)
    (fill,) = state.orders[state.trades[BTC].entry].trades
    assert fill.at >= others[0].open_time


def test_dry_run_records_what_it_would_have_done_and_sends_nothing() -> None:
    state, done = enter(state_at(paper().model_copy(update={"mode": TradingMode.DRY_RUN})), signal(), history(), START)
    assert [risk.code for risk in done.risk] == [SignalSkipReason.DRY_RUN]
    assert not state.orders


def test_ledger_between_every_two_steps_gives_the_desk_that_stays_in_memory() -> None:
    ledger, account = MemoryTradingLedger(), paper("ftmo-2step-100k")
    ledger.open_account(account, START - timedelta(hours=1), "anna")
    ledger.database.add_candles("coinbase", [c for s in BASE for c in wave(s, START - ONE_MINUTE * 300, 400)])
    kept: AccountState | None = None
    at = START
    for minute in range(81):
        at = START + ONE_MINUTE * minute
        with ledger.transaction(account.account) as tx:
            state = tx.load(at)
            bars = tx.candles(state.watched_until, at)
            after, changes = apply_bars(state, bars, at)
            kept, _ = apply_bars(kept or state, bars, at)
            if minute in {0, 3}:
                symbol = BTC if minute == 0 else next(s for s in BASE if s != BTC)
                found = signal(symbol, at, price=after.marks[symbol].price)
                after, more = enter(after, found, tx.bars(symbol, at, ENTRY_BARS), at)
                kept, _ = enter(kept, found, tx.bars(symbol, at, ENTRY_BARS), at)
                changes += more
            tx.save(state, after, changes)
    assert kept is not None
    with ledger.transaction(account.account) as tx:
        stored = tx.load(at, tuple(kept.orders))
    assert stored == kept
    assert len(ledger.database.accounts[account.account].trades) == 2


@given(seed=st.integers(0, 2**32 - 1), count=st.integers(100, 260), missing=st.integers(0, 99), horizon=st.integers(1, 240))
def test_volatility_is_numpys_standard_deviation_of_returns(seed: int, count: int, missing: int, horizon: int) -> None:
    """Returns across a missing minute do not count, and those before the last 240 minutes do not either."""
    random = np.random.default_rng(seed)
    times = to_ms(START) - np.arange(count, 0, -1, dtype=np.int64) * MINUTE_MS
    close = 60_000 * np.exp(np.cumsum(random.normal(0, 0.001, count)))
    kept = np.arange(count) != missing
    bars = Bars(BTC, times[kept], *(close[kept],) * 5)
    recent = kept & (times >= to_ms(START) - ENTRY_BARS * MINUTE_MS)
    returns = np.diff(np.log(close[recent]))[np.diff(times[recent]) == MINUTE_MS]
    found = volatility(bars, START, horizon)
    if returns.shape[0] < LEAST_RETURNS:
        assert found is None
    else:
        assert found is not None
        assert abs(float(found) - returns.std(ddof=1) * np.sqrt(horizon)) < 0.51e-6
