"""A venue's view of five thousand trades goes over the bus in parts and is compared whole. On a local cloud of its own."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from local.cloud.processes import wait_until
from signalbox.contracts import EVENT_SOURCE
from signalbox.ledger_errors import LedgerBusyError
from signalbox.market.candles import Symbol
from signalbox.orders.transitions import OrderState
from signalbox.trading.changes import RiskEventKind
from signalbox.trading.state import AccountState
from signalbox.trading.venue_comparison import request_view
from tests.e2e.test_live_account import LIVE, World, passing_bundle, running_world
from tests.fakes.keys import Sealers

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]
TRADES = 2_500  # of each of two orders
SIZES = {"ETH-USD": Decimal("0.001"), "SOL-USD": Decimal("0.01")}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with running_world("large-view", tmp_path) as found:
        yield found


def test_five_thousand_trades_are_told_in_parts_and_recorded_by_one_comparison(world: World, tmp_path: Path) -> None:
    seen = listen(world, "VenueViewReported")
    world.deploy(passing_bundle(tmp_path / "bundle"))
    configuration = {"kind": "live-spot", "capital": "100000", "venue": "coinbase", "mode": "live"}
    world.call("PUT", f"/accounts/{LIVE}", {"request_id": "open-1", "configuration": configuration})
    world.call("POST", f"/accounts/{LIVE}/confirm", {"request_id": "confirm-1", "what": "live"})
    world.give_credentials()
    world.cycle(world.first)
    world.monitor()
    wait_until(lambda: world.state().compared_at, what="a comparison with the exchange", seconds=60)
    assert [part["parts"] for part in seen()] == [1]

    # prices that are fresh enough for an order, and no signal that trades on them
    world.call("POST", f"/accounts/{LIVE}/halt", {"request_id": "halt-1", "why": "these orders are a person's"})
    at = world.young_cycle()
    world.cycle(at)
    wait_until(lambda: (world.state().watched_until or world.first) >= at or None, what="the newest cycle's prices", seconds=60)
    world.call("POST", f"/accounts/{LIVE}/resume", {"request_id": "resume-1", "why": "no signal came through"})

    # two resting orders, each filled in thousands of trades that nobody reported
    keys = []
    for symbol, size in SIZES.items():
        price = (world.state().marks[Symbol(symbol)].price * Decimal("0.97")).quantize(Decimal("0.01"))
        order = {"symbol": symbol, "side": "BUY", "type": "LIMIT", "quantity": str(size * TRADES), "limit_price": str(price)}
        about = {"request_id": f"order-{symbol}", "requested_at": datetime.now(UTC).isoformat(), "account": LIVE}
        sent = world.call("POST", "/orders", about | order)["order"]
        assert (sent["state"], sent["reason"]) == ("RELEASED", None)
        keys.append(sent["client_order_id"])
    wait_until(lambda: len(world.exchange.orders) == len(SIZES) or None, what="both orders at the exchange", seconds=60)
    world.cloud.watch.until_quiet(seconds=60)
    for there in world.exchange.orders:
        assert there.price is not None
        for _ in range(TRADES):
            world.exchange.fill(there.id, SIZES[there.product], there.price)
    before = world.state()
    (request,) = request_view(before, datetime.now(UTC))[1].events
    detail = json.dumps(Sealers.of(world.cloud).detail_of(request))
    entry = {"Source": EVENT_SOURCE, "DetailType": request.type.value, "Detail": detail, "EventBusName": world.bus}
    assert world.events.put_events(Entries=[entry])["FailedEntryCount"] == 0
    wait_until(lambda: was_compared(world, before) or None, what="the comparison", seconds=180)
    world.cloud.watch.until_quiet(seconds=60)

    parts = seen()
    assert len(parts) > 3
    assert sorted(part["part"] for part in parts) == list(range(1, parts[0]["parts"] + 1))
    assert sum(len(part["trades"]) for part in parts) == len(SIZES) * TRADES
    state, facts = world.state(), world.facts()
    assert {symbol: state.books.position(symbol).quantity for symbol in SIZES} == {s: size * TRADES for s, size in SIZES.items()}
    filled = {order.client_order_id: order.state for order in facts.orders if order.client_order_id in keys}
    assert set(filled.values()) == {OrderState.FILLED}
    assert len(facts.fills) == len(SIZES) * TRADES
    assert state.halt is None
    wrong = {RiskEventKind.DIFFERENCE, RiskEventKind.EVENT_REFUSED, RiskEventKind.VIEW_INCOMPLETE}
    assert not [line for line in facts.risk_events if line.kind in wrong]


def was_compared(world: World, before: AccountState) -> bool:
    """Whether a newer comparison was made; while it is being made the account is locked."""
    try:
        return world.state().compared_at != before.compared_at
    except LedgerBusyError:
        return False


def listen(world: World, kind: str) -> Callable[[], list[dict[str, Any]]]:
    """Hear every event of a type from now on; each call returns the details of those since the last."""
    url = world.sqs.create_queue(QueueName=kind)["QueueUrl"]
    arn = world.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    pattern = json.dumps({"source": [EVENT_SOURCE], "detail-type": [kind]})
    world.events.put_rule(Name=kind, EventBusName=world.bus, EventPattern=pattern)
    world.events.put_targets(Rule=kind, EventBusName=world.bus, Targets=[{"Id": kind, "Arn": arn}])

    def heard() -> list[dict[str, Any]]:
        found = []
        while messages := world.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", []):
            for message in messages:
                found.append(json.loads(message["Body"])["detail"])
                world.sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return found

    return heard
