"""A model of facts that are valid already is the one that validating them makes, to the byte."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from signalbox.frozen import Frozen
from signalbox.orders.events import OrderFilled, OrderInitialized, OrderReleased, OrderSubmitted, parse_order_events
from signalbox.orders.messages import ExecutionRequested, Instruction
from signalbox.orders.terms import Leg, OrderTerms, OrderType, Side
from signalbox.portfolio.entries import Fill
from tests.builders import NOON

TERMS = OrderTerms(
    account="live-1",
    strategy="dir60",
    symbol="BTC-USD",
    decided_at=NOON,
    leg=Leg.ENTRY,
    side=Side.BUY,
    type=OrderType.LIMIT,
    quantity=Decimal("0.10"),
    limit_price=Decimal("60000.50"),
    send_before=NOON + timedelta(minutes=5),
)
KEY = TERMS.client_order_id
REQUEST = {
    "account": "live-1", "venue": "exchange", "instruction": Instruction.SUBMIT, "client_order_id": KEY, "terms": TERMS,
    "at": NOON, "snapshot_id": "f" * 64, "entry": None, "stop_loss": None, "take_profit": None,
}  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "facts"),
    [
        (OrderInitialized, {"client_order_id": KEY, "at": NOON, "terms": TERMS}),
        (OrderReleased, {"client_order_id": KEY, "at": NOON}),
        (OrderSubmitted, {"client_order_id": KEY, "at": NOON}),
        (ExecutionRequested, REQUEST),
    ],
)
def test_trusted_facts_make_the_validated_model(kind: type[Frozen], facts: dict[str, object]) -> None:
    trusted, validated = kind.trusted(**facts), kind(**facts)
    assert trusted == validated
    assert trusted.model_dump_json() == validated.model_dump_json()
    assert trusted.model_fields_set == validated.model_fields_set
    assert hash(trusted) == hash(validated)
    with pytest.raises(Exception, match="frozen"):
        trusted.at = NOON  # type: ignore[attr-defined]


def test_fill_of_an_order_is_the_entry_that_is_read_from_its_text() -> None:
    event = OrderFilled(
        client_order_id=KEY,
        at=NOON,
        account="live-1",
        symbol="BTC-USD",
        trade_id="t1",
        quantity=Decimal("0.10"),
        price=Decimal(6),
    )
    fill = Fill.of(TERMS, event)
    assert Fill.model_validate_json(fill.model_dump_json()) == fill
    assert fill.model_dump_json() == Fill(**fill.model_dump()).model_dump_json()
    assert parse_order_events([event.model_dump_json()]) == [event]


def test_fill_with_a_trade_id_that_is_no_key_is_refused() -> None:
    event = OrderFilled(
        client_order_id=KEY,
        at=NOON,
        account="live-1",
        symbol="BTC-USD",
        trade_id="t" * 129,
        quantity=Decimal(1),
        price=Decimal(6),
    )
    with pytest.raises(ValueError, match="at most 128"):
        Fill.of(TERMS, event)
