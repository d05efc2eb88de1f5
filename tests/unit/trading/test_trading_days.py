"""A trading day is one on which a fill opened a position: one rule, for paper, live, a backtest and a file of events."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox.market.candles import ONE_MINUTE
from signalbox.orders.messages import ExecutionRequested
from signalbox.orders.terms import Side
from signalbox.portfolio.entries import Fill
from signalbox.risk.ftmo import FTMO_2STEP, Closed, FtmoAccount, FtmoRuleMonitor, Opened, PositionId
from signalbox.risk.ftmo.trading_days import opens_position
from signalbox.trading.account import TradingAccount, TradingMode
from signalbox.trading.bars import apply_bars
from signalbox.trading.changes import ChangeSet
from signalbox.trading.monitoring import opening
from signalbox.trading.state import AccountState
from tests.unit.trading.market import BTC, START, bar, state_at
from tests.unit.trading.test_live import accepted, compared, fill, reported
from tests.unit.trading.test_protection import FTMO, person

DAY = timedelta(days=1)
LIVE: TradingAccount = TradingAccount.model_validate(
    FTMO.model_dump() | {"account": "live-1", "mode": TradingMode.LIVE, "venue": "exchange"}
)


def days(state: AccountState) -> int:
    assert state.loss_rules is not None
    return state.loss_rules.trading_days


@pytest.mark.parametrize(
    ("before", "traded", "opens"),
    [
        ("0", "1", True), ("0", "-1", True), ("1", "0.5", True), ("-1", "-0.5", True),
        ("1", "-0.5", False), ("1", "-1", False), ("-1", "1", False), ("1", "-1.5", True), ("-1", "1.0001", True),
    ],
)  # fmt: skip
def test_what_opens_a_position(before: str, traded: str, *, opens: bool) -> None:
    assert opens_position(Decimal(before), Decimal(traded)) is opens


# Case 11


def sold_live(quantities: tuple[str, ...], *, size: str) -> AccountState:
    """A live account that bought `size` on the first day and sells a part on each of the next, by plain orders."""
    state = compared(state_at(LIVE))
    for number, (side, quantity) in enumerate([(Side.BUY, size), *((Side.SELL, q) for q in quantities)]):
        at = START + DAY * number
        state, _ = apply_bars(state, {BTC: [bar(BTC, at - ONE_MINUTE, "60000")]}, at)
        state, changes = person(state, side, quantity, at, str(number))
        key = _sent(changes)
        state, _ = reported(state, key, at, *accepted(key, at), fill(key, at, quantity, trade=f"t{number}"))
    return state


def _sent(changes: ChangeSet) -> str:
    (request,) = [event for event in changes.events if isinstance(event, ExecutionRequested)]
    return request.client_order_id


def test_live_a_plain_sale_that_only_reduces_is_no_trading_day() -> None:
    assert days(sold_live(("0.1", "0.1", "0.1"), size="0.3")) == 1


def test_live_a_sale_through_zero_opens_on_its_day() -> None:
    assert days(sold_live(("0.1", "0.3"), size="0.3")) == 2


@pytest.mark.parametrize(("quantity", "count"), [("0.05", 1), ("0.1", 1), ("0.2", 2)])
def test_paper_counts_the_same(quantity: str, count: int) -> None:
    state, _ = person(state_at(FTMO), Side.BUY, "0.1", START)
    state, _ = apply_bars(state, {BTC: [bar(BTC, START, "60000")]}, START + ONE_MINUTE)
    at = START + DAY
    state, _ = apply_bars(state, {BTC: [bar(BTC, at - ONE_MINUTE, "60000")]}, at)
    state, changes = person(state, Side.SELL, quantity, at, "2")
    assert not changes.risk
    state, _ = apply_bars(state, {BTC: [bar(BTC, at, "60000")]}, at + ONE_MINUTE)
    assert state.books.position(BTC).quantity == Decimal("0.1") - Decimal(quantity)
    assert days(state) == count


def test_an_opening_that_is_reported_after_midnight_belongs_to_its_own_day() -> None:
    late = datetime(2024, 3, 1, 22, 59, 59, tzinfo=START.tzinfo)  # a second before midnight in Prague
    state = compared(state_at(LIVE, late - timedelta(seconds=59)))
    keys = []
    for number in range(2):
        state, changes = person(state, Side.BUY, "0.1", late, str(number))
        keys.append(_sent(changes))
    state, _ = reported(state, keys[0], late, *accepted(keys[0], late), fill(keys[0], late, "0.1", trade="a"))
    after = late + timedelta(minutes=2)
    state, _ = apply_bars(state, {BTC: [bar(BTC, late + timedelta(seconds=1), "60000")]}, after)
    state, _ = reported(state, keys[1], after, *accepted(keys[1], late), fill(keys[1], late, "0.1", trade="b"))
    assert days(state) == 1
    monitor = FtmoRuleMonitor(FTMO_2STEP, Decimal(100_000))
    for day in (0, 2, 1):  # the second day's word comes last: it may have been counted, so it is not
        delivered = {"balance": Decimal(100_000), "equity": Decimal(100_000), "is_flat": False, "opened_at": START + DAY * day}
        monitor.observe(START + DAY * 2, **delivered)  # type: ignore[arg-type]
    assert monitor.trading_days == 2


SIZES = st.lists(st.integers(-5, 5).filter(bool), min_size=1, max_size=12)


@given(sizes=SIZES)
def test_openings_are_those_that_leave_more_on_their_own_side(sizes: list[int]) -> None:
    fills = [
        Fill(
            account="a", key=str(i), at=START + i * ONE_MINUTE, symbol=BTC, side=Side.BUY if size > 0 else Side.SELL,
            quantity=Decimal(abs(size)), price=Decimal(1),
        )
        for i, size in enumerate(sizes)
    ]  # fmt: skip
    found, at = [], 0
    for i, size in enumerate(sizes):
        longs, shorts = max(at, 0), max(-at, 0)
        at += size
        if max(at, 0) > longs or max(-at, 0) > shorts:  # of longs or of shorts there is more than before
            found.append(str(i))
    assert [one.key for one in opening(fills, {})] == found


def test_a_file_of_events_counts_by_the_same_rule() -> None:
    account = FtmoAccount(FTMO_2STEP, Decimal(100_000))
    for number, side in enumerate((Side.BUY, Side.SELL)):
        name = PositionId(str(number))
        account.apply(Opened(START + DAY * number, name, BTC, side, Decimal(1), Decimal(60_000), Decimal(0)))
    account.apply(Closed(START + DAY * 2, PositionId("0"), Decimal(60_000), Decimal(0)))
    assert account.trading_days == 2
