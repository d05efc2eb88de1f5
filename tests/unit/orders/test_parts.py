"""A view that is too large for one event travels in parts and is the same afterwards, or is not a view at all."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from signalbox.adapters.venues.mt5_mailbox import MailboxDirection, seal
from signalbox.events import parse_event
from signalbox.orders.errors import ViewPartsError
from signalbox.orders.events import OrderFilled
from signalbox.orders.messages import ExecutionReported, VenueViewReported, ViewedOrder, ViewedTrade
from signalbox.orders.parts import PART_BYTES, in_parts, whole

AT = datetime(2024, 3, 1, 12, tzinfo=UTC)
KEY = "ab" * 16
MESSAGE_BYTES = 262_144  # of the bus and of a queue


def view_of(orders: int, trades: int) -> VenueViewReported:
    return VenueViewReported(
        account="live-1",
        requested_at=AT,
        asked_at=AT + timedelta(seconds=1),
        orders=tuple(
            ViewedOrder(
                client_order_id=f"{i:032x}", venue_order_id=f"V{i}", symbol="BTC-USD", status="OPEN", quantity=Decimal(1),
                filled=Decimal(0),
            )
            for i in range(orders)
        ),
        trades=tuple(
            ViewedTrade(
                trade_id=f"t-{i}", client_order_id=KEY, symbol="BTC-USD", side="BUY", quantity=Decimal("0.00012345"),
                price=Decimal("61234.56"), executed_at=AT, fee=Decimal("0.0123456789012345"),
            )
            for i in range(trades)
        ),
        positions={"BTC-USD": Decimal("1.50")},
    )  # fmt: skip


def over_the_bus(view: VenueViewReported) -> VenueViewReported:
    found = parse_event(view.type.value, json.loads(json.dumps(view.to_detail())))
    assert isinstance(found, VenueViewReported)
    return found


@given(st.integers(0, 8), st.integers(0, 30), st.integers(150, 3_000), st.randoms(use_true_random=False))
def test_parts_in_any_order_are_the_view_again(orders: int, trades: int, limit: int, random: object) -> None:
    view = view_of(orders, trades)
    parts = [over_the_bus(part) for part in in_parts(view, limit)]
    assert len({part.event_id for part in parts}) == len(parts)
    random.shuffle(parts)  # type: ignore[attr-defined]
    assert whole(parts) == view
    if len(parts) == 1:
        assert parts == [view]


@given(st.integers(5, 30), st.data())
def test_without_a_part_with_one_twice_or_with_one_of_another_view_it_is_none(trades: int, data: st.DataObject) -> None:
    parts = in_parts(view_of(2, trades), 300)
    which = data.draw(st.integers(0, len(parts) - 1))
    left = [part for i, part in enumerate(parts) if i != which]
    with pytest.raises(ViewPartsError, match="expected each of"):
        whole(left)
    with pytest.raises(ViewPartsError, match="expected each of"):
        whole([*parts, parts[which]])
    foreign = next(p for p in in_parts(view_of(3, trades), 300) if p.part == parts[which].part)
    with pytest.raises(ViewPartsError, match=r"expected each of|the parts are not one view"):
        whole([*left, foreign])


def test_five_thousand_trades_fit_into_messages_also_in_an_agents_envelope() -> None:
    parts = in_parts(view_of(20, 5_000))
    assert len(parts) > 4
    for part in parts:
        assert len(json.dumps(part.to_detail()).encode()) < PART_BYTES * 1.25
        sealed = seal(part, key=b"k" * 32, direction=MailboxDirection.REPORT, account="live-1", sequence=10**13, sent_at=AT)
        assert len(sealed.encode()) < MESSAGE_BYTES - 4_096


def test_a_view_that_fits_is_not_touched_and_keeps_its_id() -> None:
    view = view_of(3, 100)
    assert in_parts(view) == (view,)
    assert view.event_id == "VenueViewReported:live-1:2024-03-01T12:00:00+00:00:2024-03-01T12:00:01+00:00"


@pytest.mark.parametrize("numbers", [{"part": 2}, {"part": 2, "parts": 2}, {"part": 3, "parts": 2, "view": KEY}, {"view": KEY}])
def test_numbers_that_cannot_be_are_refused(numbers: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        VenueViewReported.model_validate(view_of(0, 0).model_dump() | numbers)


def test_a_long_report_of_one_order_says_the_same_in_parts() -> None:
    events = tuple(
        OrderFilled(
            client_order_id=KEY, at=AT, account="live-1", symbol="BTC-USD", trade_id=f"t-{i}", quantity=Decimal(1),
            price=Decimal(2), fee=Decimal(0),
        )
        for i in range(2_000)
    )  # fmt: skip
    report = ExecutionReported(account="live-1", client_order_id=KEY, reported_at=AT, events=events)
    parts = in_parts(report)
    assert len(parts) > 1
    assert tuple(event for part in parts for event in part.events) == events
    assert in_parts(parts[0]) == (parts[0],)
