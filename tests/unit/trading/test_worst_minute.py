"""A minute is judged at its worst: a stop takes out the quantity that it closed and nothing else of the symbol."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from signalbox.market.candles import ONE_MINUTE
from signalbox.orders.terms import OrderType, Side
from signalbox.portfolio.account import record
from signalbox.portfolio.entries import Transfer
from signalbox.risk.ftmo.monitor import FtmoRuleState
from signalbox.trading.bars import apply_bars
from signalbox.trading.entries import enter
from signalbox.trading.events import RuleBreached
from signalbox.trading.state import AccountState
from tests.examples import examples
from tests.unit.trading.market import BTC, START, bar, history, signal, state_at
from tests.unit.trading.test_protection import FTMO, person, traded


def judged(state: AccountState) -> FtmoRuleState:
    assert state.loss_rules is not None
    return state.loss_rules


def bought(state: AccountState, quantity: str, side: Side = Side.BUY) -> AccountState:
    """The account state with more BTC at the open of the next minute, which stands still."""
    assert state.watched_until is not None
    at = state.watched_until
    state, changes = person(state, side, quantity, at, "more")
    assert not changes.risk
    return apply_bars(state, {BTC: [bar(BTC, at, "60000")]}, at + ONE_MINUTE)[0]


def minute(state: AccountState, low: str, close: str, high: str = "60000") -> tuple[AccountState, list[RuleBreached]]:
    assert state.watched_until is not None
    at = state.watched_until
    state, changes = apply_bars(state, {BTC: [bar(BTC, at, "60000", low=low, high=high, close=close)]}, at + ONE_MINUTE)
    return state, [event for event in changes.events if isinstance(event, RuleBreached)]


# Case 8


def test_low_of_a_minute_counts_for_what_the_stop_did_not_close() -> None:
    alone, broken = minute(bought(state_at(FTMO), "0.5"), "50000", "59900")
    assert [(event.rule, event.equity.quantize(Decimal(1))) for event in broken] == [("max_daily_loss", Decimal(94_987))]
    both, broken = minute(bought(traded(), "0.5"), "50000", "59900")
    # the half coin as before, less what the stopped trade lost: 0.3736 from 60 006.01 to 59 327.97, and both its fees
    lost = Decimal("0.3736") * (Decimal("60006.01") - Decimal("59327.97")) + Decimal("7.28592974") + Decimal("7.20360213")
    assert [event.rule for event in broken] == ["max_daily_loss"]
    assert abs(broken[0].equity - (judged(alone).breaches[0].equity - lost)) < Decimal("0.01")
    assert judged(both).worst_equity == broken[0].equity


def test_stop_alone_is_judged_where_it_traded_and_not_at_the_low() -> None:
    state, broken = minute(traded(), "40000", "59900")
    assert not broken
    assert judged(state).worst_equity == state.books.balance


def test_a_persons_stop_takes_out_what_it_closed_before_the_low() -> None:
    state = bought(state_at(FTMO), "0.5")
    assert state.watched_until is not None
    stop = {"type": OrderType.STOP, "stop_price": Decimal(59_000), "reduce_only": True}
    state, changes = person(state, Side.SELL, "0.5", state.watched_until, "out", **stop)
    assert not changes.risk
    state, broken = minute(state, "48000", "59900")
    assert not broken
    assert judged(state).worst_equity == state.books.balance


def test_what_a_resting_limit_bought_on_the_way_down_is_held_at_the_low() -> None:
    state = state_at(FTMO)
    state, changes = person(state, Side.BUY, "0.5", START, type=OrderType.LIMIT, limit_price=Decimal(59_900))
    assert not changes.risk
    state, broken = minute(state, "49000", "59950")
    assert [event.rule for event in broken] == ["max_daily_loss"]
    fee = Decimal("0.5") * 59_900 * Decimal("0.000325")
    assert judged(state).worst_equity == 100_000 - Decimal("0.5") * (59_900 - 49_000) - fee


def test_what_a_resting_limit_sold_on_the_way_up_was_held_at_the_low() -> None:
    state = bought(state_at(FTMO), "0.5")
    assert state.watched_until is not None
    target = {"type": OrderType.LIMIT, "limit_price": Decimal(60_500), "reduce_only": True}
    state, _ = person(state, Side.SELL, "0.5", state.watched_until, "out", **target)
    state, broken = minute(state, "49000", "60000", high="60600")  # nobody knows which came first
    assert [event.rule for event in broken] == ["max_daily_loss"]
    assert not state.books.position(BTC).quantity


def test_target_is_not_reached_with_a_loss_that_is_not_booked_yet() -> None:
    """Flat by a stop inside the minute, at the balance of before the loss: the target is asked for once it is booked."""
    state = state_at(FTMO)
    more = Transfer(account=FTMO.account, key="more", at=START, amount=Decimal(10_100))
    nearly = replace(judged(state), trading_days=3, last_trading_day=date(2024, 2, 29))
    state = replace(state, books=record(state.books, more).books, loss_rules=nearly)
    state, changes = enter(state, signal(), history(), START)
    assert not changes.risk
    state, _ = minute(state, "50000", "59900")
    assert state.is_idle
    assert state.books.balance < 110_000
    assert (judged(state).trading_days, judged(state).target_reached_at) == (4, None)


@settings(max_examples=examples(25), deadline=None)
@given(
    extra=st.integers(1, 8),
    is_short=st.booleans(),
    low=st.integers(52_000, 59_990),
    high=st.integers(60_010, 66_000),
    close=st.integers(0, 100),
)
def test_worst_equity_is_what_the_stop_brought_and_the_worse_end_for_everything_else(
    extra: int, is_short: bool, low: int, high: int, close: int
) -> None:
    """Oracle: from the position before the minute and the stop's own fill. A short has no trade beside it."""
    state = bought(state_at(FTMO) if is_short else traded(), str(Decimal(extra) / 20), Side.SELL if is_short else Side.BUY)
    balance, position, known = state.books.balance, state.books.position(BTC), judged(state).worst_equity
    last = Decimal(low + (high - low) * close // 100)
    end = Decimal(high if is_short else low)
    state, _ = minute(state, str(low), str(last), str(high))
    at_end = balance + position.unrealised(end)
    stops = [order for order in state.orders.values() if order.terms.reduce_only and order.trades]
    assert len(stops) == (not is_short and low <= 59_333)  # the bid is half a spread lower
    for stop in stops:
        at_end += stop.filled * (stop.trades[0].price - end) - stop.fees
    at_close = state.books.balance + state.books.position(BTC).unrealised(last)
    assert judged(state).worst_equity == min(known, at_end, at_close)
