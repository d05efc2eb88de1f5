"""What a decision may count on: the quantity that the trade's own stop closes, while that stop really stands."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

import pytest

from signalbox.market.candles import ONE_MINUTE
from signalbox.orders.events import (
    OrderAccepted,
    OrderCanceled,
    OrderEvent,
    OrderSubmitted,
    OrderUnconfirmed,
)
from signalbox.orders.identity import ClientOrderId
from signalbox.orders.messages import ExecutionRequested
from signalbox.orders.terms import Leg, OrderTerms, OrderType, Side
from signalbox.risk.exposure import book_of
from signalbox.risk.order import Position
from signalbox.risk.snapshot import HaltLevel
from signalbox.trading import halts, operator_orders
from signalbox.trading.bars import apply_bars
from signalbox.trading.changes import NO_CHANGES, ChangeSet
from signalbox.trading.entries import enter
from signalbox.trading.events import RuleBreached
from signalbox.trading.snapshot import proposed, risk_snapshot
from signalbox.trading.state import AccountState
from tests.unit.trading.market import BTC, START, bar, flat, history, paper, signal, state_at
from tests.unit.trading.test_live import SECOND, accepted, entered, fill, opened, reported

FTMO = paper("ftmo-2step-100k")
STOP = Decimal("59330.94")  # of the signal: 1.1 % below


def person(
    state: AccountState, side: Side, quantity: str, at: datetime, name: str = "1", **changes: object
) -> tuple[AccountState, ChangeSet]:
    """Send a person's order; at the market unless told otherwise."""
    facts: dict[str, object] = {
        "account": state.account.account,
        "strategy": f"manual-{name}",
        "symbol": BTC,
        "decided_at": at,
        "leg": Leg.ENTRY,
        "side": side,
        "type": OrderType.MARKET,
        "quantity": Decimal(quantity),
        "send_before": at + timedelta(minutes=5),
    }
    return operator_orders.submit(state, OrderTerms.model_validate(facts | changes), at)


def traded() -> AccountState:
    """The FTMO account with 0.3736 BTC of a signal, bought at 60 006.01."""
    state, _ = enter(state_at(FTMO), signal(), history(), START)
    state, _ = apply_bars(state, {BTC: [bar(BTC, START, "60000")]}, START + ONE_MINUTE)
    assert state.trades[BTC].stop_loss == STOP
    return state


def held(state: AccountState) -> Position:
    assert state.at is not None
    return risk_snapshot(state, state.at).positions[BTC]


def protected(state: AccountState) -> tuple[Decimal, Decimal | None, Decimal]:
    position = held(state)
    return position.quantity, position.stop_price, position.protected


def at_risk(state: AccountState) -> Decimal:
    assert state.at is not None
    return book_of(risk_snapshot(state, state.at), state.account.limits).worst_loss.quantize(Decimal("0.01"))


# Case 7


def test_a_persons_addition_is_not_counted_as_protected_and_a_gap_breaks_no_limit() -> None:
    state, at, refused = traded(), START + ONE_MINUTE, list[str]()
    for number in range(25):  # 1.25 BTC, 0.05 at a time
        state, changes = person(state, Side.BUY, "0.05", at, str(number))
        refused += [line.code for line in changes.risk]
        state, _ = apply_bars(state, {BTC: [bar(BTC, at, "60000")]}, at + ONE_MINUTE)
        at += ONE_MINUTE
    quantity, stop, stopped = protected(state)
    assert (stop, stopped) == (STOP, Decimal("0.3736"))
    assert Decimal("0.3736") < quantity < Decimal("1.1")
    assert set(refused) == {"DAILY_LOSS_HEADROOM_INSUFFICIENT"}
    gap = [bar(BTC, at, "55200"), *flat(BTC, at + ONE_MINUTE, 2, "55200")]  # 8 %, over the stop
    state, changes = apply_bars(state, {BTC: gap}, at + 3 * ONE_MINUTE)
    assert not [event for event in changes.events if isinstance(event, RuleBreached)]
    assert state.loss_rules is not None
    assert state.loss_rules.worst_equity > 95_000


def test_a_late_fill_has_no_stop_and_counts_with_the_worst_move() -> None:
    state, entry = entered()
    key, at = entry.client_order_id, START + SECOND
    state, _ = reported(state, key, at, *accepted(key, at), OrderCanceled(client_order_id=key, at=at, reason="CANCELED"))
    assert not state.trades
    state, _ = reported(state, key, at + SECOND, fill(key, at + SECOND, "0.3736"))
    assert protected(state) == (Decimal("0.3736"), None, Decimal(0))
    assert at_risk(state) == Decimal("2248.89")


def test_a_stop_the_mark_jumped_over_counts_with_the_worst_move_from_the_mark() -> None:
    state = traded()
    marked = replace(state, marks={BTC: replace(state.marks[BTC], price=STOP - 4_000)})
    assert at_risk(marked) == (Decimal("0.3736") * (STOP - 4_000) * (Decimal("0.1") + Decimal("0.000325"))).quantize(
        Decimal("0.01")
    )


# Netted positions


@pytest.mark.parametrize(
    ("side", "quantity", "left", "stopped"),
    [("SELL", "0.1", "0.2736", "0.2736"), ("BUY", "0.1", "0.4736", "0.3736"), ("SELL", "0.3", "0.0736", "0.0736")],
)
def test_a_stop_protects_what_is_left_of_the_trade_in_the_netted_position(
    side: str, quantity: str, left: str, stopped: str
) -> None:
    state, changes = person(traded(), Side(side), quantity, START + ONE_MINUTE)
    assert not changes.risk
    state, _ = apply_bars(state, {BTC: [bar(BTC, START + ONE_MINUTE, "60000")]}, START + 2 * ONE_MINUTE)
    assert protected(state) == (Decimal(left), STOP, Decimal(stopped))


def test_a_position_on_the_other_side_of_the_trade_is_not_protected() -> None:
    state, _ = person(state_at(FTMO), Side.SELL, "0.5", START)
    state, _ = apply_bars(state, {BTC: [bar(BTC, START, "60000")]}, START + ONE_MINUTE)
    assert protected(state) == (Decimal("-0.5"), None, Decimal(0))


def test_on_paper_no_stop_is_read_from_the_bars_while_another_exit_is_open() -> None:
    state, _ = halts.halt(traded(), HaltLevel.FLATTEN, "anna", "news", START + ONE_MINUTE)
    assert any(order.terms.leg is Leg.FLATTEN and not order.state.is_closed for order in state.orders.values())
    assert protected(state) == (Decimal("0.3736"), None, Decimal(0))


# Live: only what the venue has confirmed


def live_stop() -> tuple[AccountState, ClientOrderId]:
    state, _, stop = opened()
    return state, ClientOrderId(stop.client_order_id)


def delivered(state: AccountState, key: ClientOrderId, *events: OrderEvent) -> AccountState:
    return reported(state, key, START + 2 * SECOND, *events)[0]


def test_a_confirmed_stop_protects_and_one_on_its_way_does_not() -> None:
    state, entry = entered()
    key, at = entry.client_order_id, START + SECOND
    state, changes = reported(state, key, at, *accepted(key, at), fill(key, at, "0.2"))
    (stop,) = [e.client_order_id for e in changes.events if isinstance(e, ExecutionRequested)]
    assert protected(state) == (Decimal("0.2"), None, Decimal(0))  # asked for
    state, _ = reported(state, stop, at, OrderSubmitted(client_order_id=stop, at=at))
    assert protected(state) == (Decimal("0.2"), None, Decimal(0))  # sent
    state, _ = reported(state, stop, at, OrderAccepted(client_order_id=stop, at=at, venue_order_id="V1"))
    assert protected(state) == (Decimal("0.2"), STOP, Decimal("0.2"))
    state, _ = reported(state, key, at + SECOND, fill(key, at + SECOND, "0.1", trade="t2"))
    assert protected(state) == (Decimal("0.3"), STOP, Decimal("0.2"))  # it is growing, and not confirmed larger


def test_a_stop_that_is_being_cancelled_or_that_nobody_knows_of_protects_nothing() -> None:
    state, key = live_stop()
    cancelled, _ = operator_orders.cancel(state, key, "r1", START + 2 * SECOND)
    assert protected(cancelled)[2] == 0
    moved, _ = operator_orders.replace(state, key, "r2", START + 2 * SECOND, stop_price=STOP - 100)
    unknown = delivered(moved, key, OrderUnconfirmed(client_order_id=key, at=START + 2 * SECOND, attempt="r2"))
    assert protected(unknown)[2] == 0
    gone = delivered(state, key, OrderCanceled(client_order_id=key, at=START + 2 * SECOND, reason="CANCELED"))
    assert protected(gone)[2] == 0


def test_a_stop_being_moved_counts_at_the_worse_price_and_the_smaller_quantity() -> None:
    state, key = live_stop()
    lower, changes = operator_orders.replace(state, key, "r1", START + 2 * SECOND, stop_price=STOP - 100, quantity=Decimal("0.1"))
    assert not changes.risk
    assert protected(lower)[1:] == (STOP - 100, Decimal("0.1"))
    higher, _ = operator_orders.replace(state, key, "r1", START + 2 * SECOND, stop_price=STOP + 100)
    assert protected(higher)[1:] == (STOP, Decimal("0.3736"))


def test_an_unfilled_entry_counts_with_its_stop_and_a_changing_order_at_the_worse() -> None:
    state, entry = entered()
    (working,) = risk_snapshot(state, START).working
    assert (working.order.order_id, working.order.stop_price, working.order.is_stop) == (entry.client_order_id, STOP, False)
    state, _ = person(state_at(paper()), Side.BUY, "0.1", START, type=OrderType.LIMIT, limit_price=Decimal(59_000))
    (resting,) = state.orders
    changing, _ = operator_orders.replace(state, resting, "r1", START, limit_price=Decimal(60_500))
    assert proposed(changing.orders[resting]).price == 60_500
    assert proposed(state.orders[resting]).price == 59_000


def test_a_persons_stop_order_trades_beyond_its_price() -> None:
    state, changes = person(state_at(paper()), Side.BUY, "0.1", START, type=OrderType.STOP, stop_price=Decimal(61_000))
    assert changes != NO_CHANGES
    (order,) = state.orders.values()
    assert proposed(order).is_stop
    distance = Decimal(61_000) * Decimal("1.005") - Decimal(60_000) * Decimal("0.9")
    fees = 2 * Decimal(61_000) * Decimal("1.005") * Decimal("0.000325")
    assert at_risk(state) == (Decimal("0.1") * (distance + fees)).quantize(Decimal("0.01"))
