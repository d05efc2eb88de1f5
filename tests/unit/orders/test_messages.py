"""A message about an order is about one order of one account, wherever it names them."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError

from signalbox.orders.events import OrderFilled, OrderSubmitted
from signalbox.orders.messages import ExecutionReported, ExecutionRequested, OrderInstruction
from tests.builders import BTC, NOON
from tests.unit.orders.samples import terms

KEY, OTHER = "ab" * 16, "cd" * 16


def fill(**changes: Any) -> OrderFilled:
    facts = {"client_order_id": KEY, "at": NOON, "account": "live-1", "symbol": BTC, "trade_id": "t"}
    return OrderFilled(**facts | {"quantity": Decimal(1), "price": Decimal(2)} | changes)


def test_a_request_has_terms_of_its_own_account() -> None:
    of = terms(account="live-1")
    facts: dict[str, Any] = {
        "venue": "coinbase",
        "instruction": OrderInstruction.SUBMIT,
        "client_order_id": of.client_order_id,
        "terms": of,
        "at": NOON,
    }
    assert ExecutionRequested(account="live-1", **facts).terms == of
    with pytest.raises(ValidationError, match="expected terms of account live-2, got live-1"):
        ExecutionRequested(account="live-2", **facts)


@pytest.mark.parametrize(
    "event", [fill(account="live-2"), fill(client_order_id=OTHER), OrderSubmitted(client_order_id=OTHER, at=NOON)]
)
def test_a_report_has_events_of_its_own_order_and_account(event: Any) -> None:
    mine = OrderSubmitted(client_order_id=KEY, at=NOON)
    facts: dict[str, Any] = {"account": "live-1", "client_order_id": KEY, "reported_at": NOON}
    assert ExecutionReported(**facts, events=(mine, fill())).events == (mine, fill())
    with pytest.raises(ValidationError, match="expected events of abab"):
        ExecutionReported(**facts, events=(mine, event))
