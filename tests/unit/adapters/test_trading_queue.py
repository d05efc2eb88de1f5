"""What comes by the queue: nothing that is stamped ahead of its arrival moves an account into the future."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from typing_extensions import override

from signalbox.adapters.aws.trading_queue import Door, MessageRefusedError, handle_message
from signalbox.events import MAX_AHEAD, BusEvent, CycleDecided, SignalGenerated
from signalbox.orders.events import OrderFilled, OrderSubmitted
from signalbox.orders.messages import ExecutionReported, VenueViewReported, ViewedTrade, ViewedTransfer
from signalbox.orders.parts import in_parts, whole
from signalbox.orders.terms import Side
from signalbox.trading.commands import AnyCommand, HaltTrading
from signalbox.trading.events import AccountReviewDue, TurnMissed
from signalbox.trading.service import AccountOutcome
from tests.builders import NOON
from tests.fakes.keys import REPORT_KEYS, message_of

KEY = "ab" * 16


@dataclass
class Heard:
    """A trading service that keeps what it gets."""

    events: list[BusEvent] = field(default_factory=list)

    def handle(self, event: BusEvent, sent_at: datetime | None = None) -> tuple[AccountOutcome, ...]:
        self.events.append(event)
        return ()

    def command(self, command: AnyCommand, who: str) -> AccountOutcome:
        raise AssertionError(f"no command is expected: {command} {who}")

    def kill(self, command: HaltTrading, who: str) -> AccountOutcome:
        raise AssertionError(f"no command is expected: {command} {who}")


def sent(event: BusEvent, at: datetime) -> BusEvent:
    service = Heard()
    handle_message(service, message_of(event), sender="me", sent_ms=str(int(at.timestamp() * 1000)), keys=REPORT_KEYS)
    return service.events[0]


@pytest.mark.parametrize(("ahead", "expected"), [(timedelta(hours=2), NOON), (timedelta(0), NOON), (-timedelta(minutes=9), None)])
def test_a_report_is_of_the_time_it_was_sent_at_the_latest(ahead: timedelta, expected: datetime | None) -> None:
    at = NOON + ahead
    reported = (OrderSubmitted(client_order_id=KEY, at=NOON),)
    found = sent(ExecutionReported(account="a", client_order_id=KEY, reported_at=at, events=reported), NOON)
    assert isinstance(found, ExecutionReported)
    assert found.reported_at == (expected or at)
    view = sent(VenueViewReported(account="a", requested_at=NOON, asked_at=at, orders=(), trades=(), positions={}), NOON)
    assert isinstance(view, VenueViewReported)
    assert view.asked_at == (expected or at)


@pytest.mark.parametrize("ahead", [timedelta(minutes=3), timedelta(hours=3), timedelta(days=27_000)])
def test_trade_that_a_venue_stamps_ahead_is_of_when_it_was_told(ahead: timedelta) -> None:
    """What is decided after a booking is stamped no earlier than it, so one such fill would end an account's deadlines."""
    fill = OrderFilled(
        client_order_id=KEY, at=NOON + ahead, account="a", symbol="BTC-USD", trade_id="t", quantity=Decimal(1), price=Decimal(2)
    )
    submitted = OrderSubmitted(client_order_id=KEY, at=NOON - timedelta(seconds=1))
    report = ExecutionReported(account="a", client_order_id=KEY, reported_at=NOON, events=(submitted, fill))
    found = sent(report, NOON)
    assert isinstance(found, ExecutionReported)
    assert [one.at for one in found.events] == [submitted.at, NOON]
    assert found.event_id == report.event_id
    trade = ViewedTrade(
        trade_id="t", client_order_id=KEY, symbol="BTC-USD", side=Side.BUY, quantity=Decimal(1), price=Decimal(2),
        executed_at=NOON + ahead,
    )  # fmt: skip
    money = ViewedTransfer(key="k", at=NOON + ahead, amount=Decimal(5))
    view = sent(
        VenueViewReported(
            account="a", requested_at=NOON, asked_at=NOON, orders=(), trades=(trade,), positions={}, transfers=(money,)
        ),
        NOON,
    )
    assert isinstance(view, VenueViewReported)
    assert (view.trades[0].executed_at, view.transfers[0].at) == (NOON, NOON)


@given(ahead=st.integers(-5, 60), apart=st.lists(st.integers(0, 3_000), min_size=8, max_size=8))
def test_a_view_in_parts_has_one_time_whenever_its_parts_were_sent(ahead: int, apart: list[int]) -> None:
    """A clock that runs ahead by a second made each part a view of its own, which never became whole."""
    trades = tuple(
        ViewedTrade(
            trade_id=f"t{number}", client_order_id=KEY, symbol="BTC-USD", side=Side.BUY, quantity=Decimal(1), price=Decimal(2),
            executed_at=NOON + timedelta(seconds=ahead),
        )
        for number in range(8)
    )  # fmt: skip
    asked_at = NOON + timedelta(seconds=ahead)
    view = VenueViewReported(account="a", requested_at=NOON, asked_at=asked_at, orders=(), trades=trades, positions={})
    parts = [sent(part, NOON + timedelta(milliseconds=ms)) for part, ms in zip(in_parts(view, limit=1), apart, strict=True)]
    made = whole([part for part in parts if isinstance(part, VenueViewReported)])
    assert made == view
    dated = made.dated_by(NOON)
    assert {dated.asked_at, *(one.executed_at for one in dated.trades)} == {min(asked_at, NOON)}


@pytest.mark.parametrize("door", list(Door))
def test_no_stop_waits_for_a_clock_that_runs_ahead(door: Door) -> None:
    heard: list[HaltTrading] = []

    class Stopped(Heard):
        @override
        def kill(self, command: HaltTrading, who: str) -> AccountOutcome:
            heard.append(command)
            return None  # type: ignore[return-value]

        @override
        def command(self, command: AnyCommand, who: str) -> AccountOutcome:
            assert isinstance(command, HaltTrading)
            return self.kill(command, who)

    halt = HaltTrading(account="a", request_id="stop-1", requested_at=NOON + timedelta(hours=9), why="news")
    for _ in range(2):  # the queue's second delivery has the same instant, so it is the same command
        handle_message(
            Stopped(), halt.model_dump_json(), sender="me", sent_ms=str(int(NOON.timestamp() * 1000)), keys=None, door=door
        )
    assert [one.requested_at for one in heard] == [NOON, NOON]


def unsealed(at: datetime) -> tuple[BusEvent, ...]:
    """What anybody who reaches the bus can say: one event of each kind, of an instant."""
    decided = CycleDecided(venue="coinbase", cycle_at=at, symbols=("BTC-USD",), late=False)
    signal = SignalGenerated(
        symbol="BTC-USD", decided_at=at, deployment="m1", stage="active", direction="BUY", tier="HIGH", issued=True,
        held_back=None,
        late=False, probability_up=0.9, confidence=0.9, price=Decimal(100), horizon_minutes=60, schema_name="s", schema_hash="h",
    )  # fmt: skip
    return (
        decided,
        signal,
        TurnMissed(account="a", missed=decided, why="busy"),
        TurnMissed(account="a", missed=signal, why="busy"),
        AccountReviewDue(account="a", at=at, due=at),
    )


@given(st.timedeltas(-timedelta(days=3650), timedelta(days=3650)))
@example(MAX_AHEAD)
@example(MAX_AHEAD + timedelta(microseconds=1))
def test_no_unsealed_event_of_the_future_reaches_an_account(apart: timedelta) -> None:
    for event in unsealed(NOON + apart):
        if apart <= MAX_AHEAD:
            assert sent(event, NOON) == event
        else:
            with pytest.raises(MessageRefusedError, match="InstantAheadError"):
                sent(event, NOON)
