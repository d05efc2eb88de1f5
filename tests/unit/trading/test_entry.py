"""From a signal to an entry: what is held back and why, how large it is, where its exits stand; in the ledger as in a desk."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from signalbox.market.candles import ONE_MINUTE
from signalbox.trading import steps
from signalbox.trading.account import TradingMode
from signalbox.trading.changes import NOTHING
from signalbox.trading.entry import HeldBack, volatility
from signalbox.trading.state import TradeState
from tests.fakes.memory_trading import MemoryTradingLedger
from tests.unit.trading.market import BASE, BTC, START, desk_at, history, paper, signal, wave


def test_size_risks_the_fraction_of_equity_and_keeps_within_the_notional_cap() -> None:
    desk, changes = steps.enter(desk_at(paper()), signal(), history(), START)
    trade, policy = desk.trades[BTC], desk.account.policy
    quantity = desk.orders[trade.entry].quantity
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
        ({"issued": False}, 0, HeldBack.NOT_ISSUED),
        ({"late": True}, 0, HeldBack.LATE),
        ({"tier": "LOW"}, 0, HeldBack.TIER),
        ({}, 5, HeldBack.EXPIRED),
    ],
)
def test_signal_is_held_back_with_its_reason(changes: dict[str, Any], late: int, reason: HeldBack) -> None:
    desk, done = steps.enter(desk_at(paper()), signal(**changes), history(), START + ONE_MINUTE * late)
    assert [risk.code for risk in done.risk] == [reason]
    assert not desk.orders


def test_too_few_bars_a_thin_edge_and_an_open_position_hold_back() -> None:
    desk = desk_at(paper())
    _, done = steps.enter(desk, signal(), history(count=120), START)  # 119 returns
    assert done.risk[0].code == HeldBack.VOLATILITY_UNKNOWN
    costly = paper(policy=paper().policy.model_copy(update={"minimum_edge_over_cost": Decimal(10)}))
    _, done = steps.enter(desk_at(costly), signal(), history(), START)
    assert done.risk[0].code == HeldBack.EDGE_BELOW_COST
    _, done = steps.enter(desk_at(paper("paper-1k", paper().policy.model_copy(update={"risk_fraction": Decimal("0.00001")}))),
                          signal(), history(), START)  # fmt: skip
    assert done.risk[0].code == HeldBack.BELOW_MINIMUM_SIZE
    desk, _ = steps.enter(desk, signal(), history(), START)
    _, done = steps.enter(desk, signal(at=START + ONE_MINUTE), history(), START + ONE_MINUTE)
    assert done.risk[0].code == HeldBack.POSITION_OPEN
    assert steps.enter(desk, signal(), history(), START) == (desk, NOTHING)
    assert steps.enter(desk, signal(direction="HOLD"), history(), START) == (desk, NOTHING)


def test_dry_run_records_what_it_would_have_done_and_sends_nothing() -> None:
    desk, done = steps.enter(desk_at(paper().model_copy(update={"mode": TradingMode.DRY_RUN})), signal(), history(), START)
    assert [risk.code for risk in done.risk] == [HeldBack.DRY_RUN]
    assert not desk.orders


def test_ledger_between_every_two_steps_gives_the_desk_that_stays_in_memory() -> None:
    ledger, account = MemoryTradingLedger(), paper("ftmo-2step-100k")
    ledger.open_account(account, START - timedelta(hours=1), "anna")
    ledger.database.add_candles("coinbase", [c for s in BASE for c in wave(s, START - ONE_MINUTE * 300, 400)])
    kept = None
    for minute in range(81):
        at = START + ONE_MINUTE * minute
        with ledger.transaction(account.account) as tx:
            desk = tx.load(at)
            bars = tx.candles(desk.watched_until, at)
            after, changes = steps.watch(desk, bars, at)
            kept, _ = steps.watch(kept or desk, bars, at)
            if minute in {0, 3}:
                symbol = BTC if minute == 0 else next(s for s in BASE if s != BTC)
                found = signal(symbol, at, price=after.marks[symbol].price)
                after, more = steps.enter(after, found, tx.bars(symbol, at, steps.ENTRY_BARS), at)
                kept, _ = steps.enter(kept, found, tx.bars(symbol, at, steps.ENTRY_BARS), at)
                changes += more
            tx.save(desk, after, changes)
    with ledger.transaction(account.account) as tx:
        stored = tx.load(at, tuple(kept.orders))
    assert stored == kept
    assert len(ledger.database.accounts[account.account].trades) == 2
