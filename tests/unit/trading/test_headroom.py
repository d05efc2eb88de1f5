"""An account with too little above its own stop for any entry is told so once, and nothing more is tried."""

from __future__ import annotations

from dataclasses import replace as replaced
from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signalbox.exact import exactly
from signalbox.market.candles import Symbol
from signalbox.orders.identity import ClientOrderId
from signalbox.orders.terms import Side
from signalbox.portfolio.account import record
from signalbox.portfolio.entries import FundingPayment, Transfer
from signalbox.risk.assess import assess
from signalbox.risk.decision import RiskApproved
from signalbox.risk.exposure import order_loss
from signalbox.risk.ftmo.monitor import FtmoRuleMonitor
from signalbox.risk.order import ProposedOrder
from signalbox.risk.snapshot import HaltLevel, LossRule, Mark
from signalbox.trading import halts
from signalbox.trading.account import DIR60_STANDARD, EntryPolicy
from signalbox.trading.bars import apply_bars
from signalbox.trading.changes import ChangeSet, RiskEventKind
from signalbox.trading.documents import LimitDocument
from signalbox.trading.entries import enter
from signalbox.trading.entry_plan import SignalSkipReason, plan
from signalbox.trading.events import AccountExhausted, OrderRefused
from signalbox.trading.headroom import EntryReach, depleted_headroom, least_loss
from signalbox.trading.instruments import INSTRUMENTS
from signalbox.trading.snapshot import equity_of, risk_snapshot
from signalbox.trading.state import AccountState, TradeState
from signalbox.trading.view import account_view
from signalbox.trading.warnings import DepletionWarning
from tests.examples import examples
from tests.unit.trading.market import BASE, BTC, ETH, SOL, START, bar, history, paper, signal, state_at
from tests.unit.trading.test_service import Floor

ACCOUNT = "ftmo-2step-100k"  # new risk is blocked below 92,000, and below a day's first balance less 4,000
DAY = timedelta(days=1)


def state_with(
    balances: list[str], at: datetime = START, kind: str = ACCOUNT, policy: EntryPolicy = DIR60_STANDARD
) -> AccountState:
    """A flat account whose days, of which `at` is the last, ended at these balances."""
    state = state_at(paper(kind, policy), at)
    assert state.account.rules is not None
    monitor = FtmoRuleMonitor(state.account.rules, state.account.capital)
    for days_ago, balance in zip(range(len(balances) - 1, -1, -1), map(Decimal, balances), strict=True):
        monitor.observe(at - days_ago * DAY, balance=balance, equity=balance, is_flat=True)
    amount = Decimal(balances[-1]) - state.account.capital
    lost = FundingPayment(account=kind, key="lost", at=at - timedelta(minutes=1), symbol=BTC, amount=amount)
    return replaced(state, books=record(state.books, lost).books, loss_rules=monitor.state())


def tried(state: AccountState, count: int = 3, at: datetime = START) -> tuple[AccountState, ChangeSet]:
    """What signals of consecutive minutes, of every symbol in turn, make of it."""
    changes = ChangeSet()
    for i in range(count):
        symbol = (BTC, ETH, SOL)[i % 3]
        state, more = enter(state, signal(symbol, at), history(symbol, at), at)
        changes += more
    return state, changes


def exhausted(changes: ChangeSet) -> list[AccountExhausted]:
    return [event for event in changes.events if isinstance(event, AccountExhausted)]


def test_depleted_headroom_is_reported_once_and_no_entry_is_tried() -> None:
    state, changes = tried(state_with(["96100", "92150"]), 3)
    (reported,) = exhausted(changes)
    assert (reported.rule, reported.until, reported.left, reported.balance) == ("max_loss", None, Decimal(150), Decimal(92150))
    assert reported.left < reported.least_loss < 250
    assert changes.order_events == ()
    assert not any(isinstance(event, OrderRefused) for event in changes.events)
    kinds = [(line.kind, line.code) for line in changes.risk]
    assert kinds.count((RiskEventKind.SIGNAL_HELD_BACK, SignalSkipReason.EXHAUSTED)) == 3
    assert kinds.count((RiskEventKind.EXHAUSTED, "max_loss")) == 1
    shown = account_view(state)["exhausted"]
    assert shown is not None
    assert shown["rule"] == "max_loss"


def test_an_account_with_room_for_one_entry_is_not_over() -> None:
    state, changes = tried(state_with(["96100", "92600"]), 1)
    assert [t.state for t in state.trades.values()] == [TradeState.ENTERING]
    assert (exhausted(changes), account_view(state)["exhausted"]) == ([], None)


def test_exhausted_for_the_day_is_not_exhausted_for_good() -> None:
    state, changes = tried(state_with(["96150"]), 2)
    (reported,) = exhausted(changes)
    midnight = datetime.fromisoformat("2024-03-01T23:00:00Z")  # in Prague
    assert (reported.rule, reported.until) == ("max_daily_loss", midnight)
    tomorrow = midnight + timedelta(minutes=30)
    state, _ = apply_bars(state, {s: [bar(s, tomorrow - timedelta(minutes=1), p)] for s, p in BASE.items()}, tomorrow)
    state, changes = tried(state, 1, tomorrow)
    assert (exhausted(changes), len(state.trades)) == ([], 1)


def test_exhausted_for_good_outlasts_midnights_without_being_told_again() -> None:
    state, changes = tried(state_with(["96100", "92150"]))
    for days in range(1, 4):
        at = START + days * DAY
        state, _ = apply_bars(state, {s: [bar(s, at - timedelta(minutes=1), p)] for s, p in BASE.items()}, at)
        state, more = tried(state, 3, at)
        changes += more
    assert len(exhausted(changes)) == 1
    assert not state.orders


def test_money_that_is_earned_ends_it_and_its_loss_is_told_anew() -> None:
    state, _ = tried(state_with(["96100", "92150"]), 1)
    money = FundingPayment(account=ACCOUNT, key="more", at=START, symbol=BTC, amount=Decimal(1000))
    rich = replaced(state, books=record(state.books, money).books)
    entered, changes = tried(rich, 1)
    assert (len(entered.trades), exhausted(changes)) == (1, [])
    assert not any(isinstance(warning, DepletionWarning) for warning in entered.warned)


def test_whoever_resumes_is_told_again() -> None:
    state, _ = tried(state_with(["96100", "92150"]), 1)
    state, _ = halts.halt(state, HaltLevel.HALT, "ada", "lunch", START)
    state, changes = tried(state, 1)
    assert [line.code for line in changes.risk] == ["ACCOUNT_HALTED"]  # the halt is what is in the way
    state, _ = halts.resume(state, "ada", "lunch is over", START)
    _, changes = tried(state, 1, START + timedelta(minutes=1))
    assert len(exhausted(changes)) == 1


def test_through_the_ledger_it_is_told_once_however_often_signals_come() -> None:
    floor = Floor(paper(ACCOUNT))
    floor.rows(ACCOUNT).state = state_with(["96100", "92150"])
    reported = floor.deliver(signal(BTC), signal(ETH), signal(SOL), signal(BTC), signal(ETH))
    events = [event for one in reported for event in one.changes.events]
    assert [type(event) for event in events] == [AccountExhausted]
    assert len([line for line in floor.rows(ACCOUNT).risk.values() if line.code == SignalSkipReason.EXHAUSTED]) == 3


policies = st.builds(
    lambda risk, most, stop: DIR60_STANDARD.model_copy(
        update={"risk_fraction": risk, "max_notional_fraction": most, "stop_volatilities": stop}
    ),
    st.decimals("0.0005", "0.05", places=4),
    st.decimals("0.05", "3", places=2),
    st.decimals("0.5", "6", places=1),
)
moves = st.one_of(st.decimals("0.000001", "0.002", places=6), st.decimals("0.000001", "0.15", places=6))


@settings(max_examples=examples(300), deadline=None)
@given(policy=policies, move=moves, equity=st.decimals("500", "200000", places=2), side=st.sampled_from(("BUY", "SELL")))
@pytest.mark.parametrize("symbol", [BTC, SOL])
@exactly
def test_no_entry_of_a_policy_risks_less_than_the_least(
    symbol: Symbol, policy: EntryPolicy, move: Decimal, equity: Decimal, side: str
) -> None:
    account, instrument, price = paper(ACCOUNT, policy), INSTRUMENTS[symbol], BASE[symbol]
    found = plan(account, signal(symbol, direction=side), instrument, move, equity)
    if found is None:
        return
    order = ProposedOrder(ClientOrderId("x"), symbol, Side(side), found.terms.quantity, stop_price=found.stop_loss)
    loss = order_loss(order, order.quantity, price, instrument.fee_fraction, account.limits)
    step_value = instrument.step * price
    assert least_loss(account, equity, EntryReach(step_value=step_value)) <= loss
    nominal = move * policy.stop_volatilities  # the stop is that far, and a tick at most beyond it
    assert least_loss(account, equity, EntryReach(nominal, nominal + instrument.tick, step_value)) <= loss


@settings(max_examples=examples(60), deadline=None)
@given(left=st.integers(0, 600), move=moves, side=st.sampled_from(("BUY", "SELL")), day=st.booleans())
def test_where_it_says_exhausted_every_entry_is_refused(left: int, move: Decimal, side: str, day: bool) -> None:
    state = state_with([str(96_000 + left)] if day else ["96100", "95000", str(92_000 + left)])
    over = depleted_headroom(state, START)
    instrument = INSTRUMENTS[BTC]
    found = plan(state.account, signal(BTC, direction=side), instrument, move, equity_of(state))
    if found is None:
        return
    order = ProposedOrder(ClientOrderId("x"), BTC, Side(side), found.terms.quantity, stop_price=found.stop_loss)
    decision = assess(order, risk_snapshot(state, START), state.account.limits)
    assert not (over is not None and isinstance(decision, RiskApproved))
    if over is not None:
        assert over.rule is (LossRule.MAX_DAILY_LOSS if day else LossRule.MAX_LOSS)


def test_no_depletion_is_reported_without_rules_without_prices_or_with_open_orders() -> None:
    assert depleted_headroom(state_at(paper("paper-100k")), START) is None
    state = state_with(["96100", "92600"])
    entered, _ = tried(state, 1)
    poor = FundingPayment(account=ACCOUNT, key="gone", at=START, symbol=BTC, amount=Decimal(-500))
    assert depleted_headroom(replaced(entered, books=record(entered.books, poor).books), START) is None
    bare = state_with(["96100", "92150"])
    assert depleted_headroom(replaced(bare, marks={}), START) is None
    dear = replaced(bare, marks={BTC: Mark(Decimal(10) ** 9, START)})
    assert depleted_headroom(dear, START) is None  # a step is worth so much that nothing can be said


def test_account_shows_how_much_of_each_loss_limit_is_left() -> None:
    daily, overall = _limits(state_with(["96100", "94000"]))
    assert (daily["rule"], daily["used"], daily["remaining"], daily["counts_from"]) == ("max_daily_loss", "2100", "2900", None)
    assert (overall["limit"], overall["used"], overall["remaining"], overall["level"]) == ("90000", "6000", "4000", "ALERT")


def test_deposit_lifts_the_shown_limits_and_leaves_what_may_be_lost() -> None:
    state = state_with(["94000"])
    paid = Transfer(account=ACCOUNT, key="more", at=START, amount=Decimal(10_000))
    before, after = _limits(state)[1], _limits(replaced(state, books=record(state.books, paid).books))[1]
    assert (before["limit"], after["limit"]) == ("90000", "100000")
    assert before["remaining"] == after["remaining"] == "4000"


def test_limits_without_a_price_are_unknown_and_without_rules_none() -> None:
    state, _ = tried(state_with(["100000"]), 1)
    state, _ = apply_bars(state, {BTC: [bar(BTC, START, BASE[BTC])]}, START + timedelta(minutes=1))
    assert state.books.positions[BTC].quantity
    assert _limits(state)
    assert account_view(replaced(state, marks={}))["limits"] is None
    assert account_view(state_at(paper("paper-25k"), START))["limits"] == []


def _limits(state: AccountState) -> list[LimitDocument]:
    found = account_view(state)["limits"]
    assert found is not None
    return found
