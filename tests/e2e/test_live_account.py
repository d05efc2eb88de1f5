"""A live account: opened, confirmed, compared, and only then an entry reaches the exchange. On a local cloud of its own.

Times are the world's, because a venue's clock is: no cycle is played before its time, and an entry takes a cycle that is young.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from local.cli.accounts.command import AccountsError, orders_api
from local.cloud.local_cloud import LocalCloud, default_symbols
from local.cloud.processes import wait_until
from local.market.feed import CachedFeed
from local.market.simulator import SimulatedSource
from local.settings import STAGE, load_settings
from local.stand_ins.trading import API_KEY, API_SECRET, PASSPHRASE
from signalbox.adapters.postgres.trading_reading import AccountFacts
from signalbox.contracts import EVENT_SOURCE, Env, Function, StackOutput
from signalbox.events import parse_event
from signalbox.inference import Gate, Verdict
from signalbox.market.clock import CYCLE, cycle_of
from signalbox.orders.messages import ExecutionReported
from signalbox.risk.snapshot import HaltLevel
from signalbox.signals.rate_limit import SignalLimits
from signalbox.trading.changes import RiskEventKind
from signalbox.trading.commands import HaltTrading
from signalbox.trading.state import AccountState
from tests.e2e.released import change_environment
from tests.e2e.test_execution import LiveExchange
from tests.fakes.keys import Sealers
from tests.unit.inference.tiny_bundle import TEMPERATURE, WIDTH, golden, rows, write_bundle

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]
LIVE = "live-1"
YOUNG = timedelta(seconds=60)  # of a cycle, when an entry is made of it: a live order takes prices of at most three minutes
LOGIT = 0.9  # what the model always says: a BUY of tier HIGH


def buying_member() -> bytes:
    """logit = LOGIT, whatever the features are."""
    nodes = [
        helper.make_node("MatMul", ["features", "w"], ["nothing"]),
        helper.make_node("Add", ["nothing", "b"], ["logit"]),
    ]
    graph = helper.make_graph(
        nodes,
        "buying",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, [None, WIDTH])],
        [helper.make_tensor_value_info("logit", TensorProto.FLOAT, [None, 1])],
        [
            numpy_helper.from_array(np.zeros((WIDTH, 1), np.float32), "w"),
            numpy_helper.from_array(np.full((1,), LOGIT, np.float32), "b"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    content: bytes = model.SerializeToString()
    return content


def passing_bundle(folder: Path) -> Path:
    """A bundle whose manifest says that every gate passed."""
    features = rows(8)
    output = np.full(len(features), 1.0 / (1.0 + np.exp(-np.float64(np.float32(LOGIT)) / TEMPERATURE)))

    def passed(content: dict[str, Any]) -> None:
        content |= {"gates": dict.fromkeys(Gate, Verdict.PASS), "passes_promotion": True}

    member = buying_member()
    files = {"linear-1.onnx": member, "linear-2.onnx": member, "golden.npz": golden(features, output)}
    return write_bundle(folder, "buying", files=files, change=passed)


class World:
    """The cloud, the exchange that the live account trades at, and what the venue's side said on the bus."""

    def __init__(self, cloud: LocalCloud, exchange: LiveExchange, first: datetime, folder: Path) -> None:
        self.cloud, self.exchange, self.first, self.played = cloud, exchange, first, first - CYCLE
        ports = folder / "up" / "ports.json"  # as `signalbox up` leaves it
        ports.parent.mkdir()
        ports.write_text(json.dumps({"emulator": cloud.emulator.port}))
        self.api = orders_api(STAGE, load_settings({"SIGNALBOX_STATE": str(folder)}))
        client = cloud.emulator.client
        self.sqs, self.events, self.bus = client("sqs"), client("events"), cloud.outputs[StackOutput.EVENT_BUS_NAME]
        self.seen = self.sqs.create_queue(QueueName="reported")["QueueUrl"]
        arn = self.sqs.get_queue_attributes(QueueUrl=self.seen, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        pattern = json.dumps({"source": [EVENT_SOURCE], "detail-type": ["ExecutionReported"]})
        self.events.put_rule(Name="reported", EventBusName=self.bus, EventPattern=pattern)
        self.events.put_targets(Rule="reported", EventBusName=self.bus, Targets=[{"Id": "reported", "Arn": arn}])
        change_environment(cloud, Function.EXECUTE_ORDERS, Env.VENUE_URL, exchange.url)
        # three cycles of three issued signals are more than an hour's
        limits = SignalLimits(per_hour=60, high_per_hour=60).model_dump_json()
        change_environment(cloud, Function.GENERATE_SIGNALS, Env.SIGNAL_LIMITS, limits)

    def give_credentials(self) -> None:
        secrets, secret_id = self.cloud.emulator.client("secretsmanager"), self.cloud.outputs[StackOutput.EXCHANGE_SECRET_ARN]
        secret = json.loads(secrets.get_secret_value(SecretId=secret_id)["SecretString"])
        coinbase = {"venue": "coinbase", "api_key": API_KEY, "api_secret": API_SECRET, "passphrase": PASSPHRASE}
        secret["accounts"] = {LIVE: coinbase}
        secrets.put_secret_value(SecretId=secret_id, SecretString=json.dumps(secret))

    def deploy(self, bundle: Path) -> None:
        """Deploy as active, as an operator who promotes it."""
        self.cloud.deploy_bundle(bundle, stage="active")

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """Ask the orders API as `signalbox accounts` does."""
        return self.api.call(method, path, body)

    def cycle(self, at: datetime) -> None:
        self.cloud.exchange.set_time(at)
        assert self.cloud.clock.fire(self.cloud.schedule_of(Function.COLLECT_CANDLES), at).error is None
        self.cloud.watch.until_decided(at, seconds=90)
        self.cloud.watch.until_quiet(seconds=60)
        self.played = at

    def young_cycle(self) -> datetime:
        """Wait for a cycle that is young, play those before it that were not played, and return it, to be played at once."""

        def young() -> datetime | None:
            now = datetime.now(UTC)
            return cycle_of(now) if now - cycle_of(now) < YOUNG else None

        while True:
            found = wait_until(young, what="the next cycle", seconds=320, every=0.5)
            while self.played < found - CYCLE:
                self.cycle(self.played + CYCLE)
            if datetime.now(UTC) - found < YOUNG and self.played < found:
                return found

    def monitor(self) -> None:
        """Watch the accounts now; a live one asks its venue what it has."""
        at = datetime.now(UTC).replace(second=0, microsecond=0)
        assert self.cloud.clock.fire(self.cloud.schedule_of(Function.MONITOR_RISK), at).error is None
        self.cloud.watch.until_quiet(seconds=60)

    def reasons(self) -> set[str]:
        """What is against the account, but for old prices: each cycle here but the last is of the past."""
        found = {one["code"] for one in self.call("GET", f"/accounts/{LIVE}/readiness")["reasons"]}
        return found - {"DATA_STALE"}

    def state(self) -> AccountState:
        return self.cloud.accounts.state(LIVE, datetime.now(UTC))

    def facts(self) -> AccountFacts:
        day = timedelta(days=1)
        (found,) = (
            one.facts for one in self.cloud.accounts.record(self.first - day, self.first + day) if one.account.account == LIVE
        )
        return found

    def reports(self) -> list[ExecutionReported]:
        found = []
        while messages := self.sqs.receive_message(QueueUrl=self.seen, MaxNumberOfMessages=10).get("Messages", []):
            for message in messages:
                envelope = json.loads(message["Body"])
                event = parse_event(envelope["detail-type"], envelope["detail"])
                assert isinstance(event, ExecutionReported)
                found.append(event)
                self.sqs.delete_message(QueueUrl=self.seen, ReceiptHandle=message["ReceiptHandle"])
        return found

    def publish(self, events: list[ExecutionReported]) -> None:
        for event in events:
            detail = json.dumps(Sealers.of(self.cloud).detail_of(event))
            entry = {"Source": EVENT_SOURCE, "DetailType": event.type.value, "Detail": detail, "EventBusName": self.bus}
            assert self.events.put_events(Entries=[entry])["FailedEntryCount"] == 0


@contextmanager
def running_world(name: str, work: Path) -> Iterator[World]:
    """A local cloud and a live exchange of their own, in a folder `name` that is gone afterwards."""
    settings = load_settings()
    folder = settings.state / "e2e" / f"{name}-{os.getpid()}"
    first = cycle_of(datetime.now(UTC)) - 2 * CYCLE
    exchange = LiveExchange(SimulatedSource(7), default_symbols(), datetime.now(UTC), requests_per_second=1000, burst=1000)
    try:
        with LocalCloud(settings, folder, CachedFeed(SimulatedSource(7)), now=first) as cloud:
            yield World(cloud, exchange, first, work)
    finally:
        exchange.close()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with running_world("live", tmp_path) as found:
        yield found


def test_a_ready_account_sends_an_entry_holds_a_position_and_is_closed_by_a_halt(world: World, tmp_path: Path) -> None:
    # opened live, and held back: nobody confirmed it, and nobody compared it
    world.deploy(passing_bundle(tmp_path / "bundle"))
    configuration = {"kind": "live-spot", "capital": "100000", "venue": "coinbase", "mode": "live"}
    opened = world.call("PUT", f"/accounts/{LIVE}", {"request_id": "open-1", "configuration": configuration})
    assert (opened["mode"], opened["venue"]) == ("live", "coinbase")
    assert world.reasons() >= {"MODE_NOT_CONFIRMED", "MODEL_NOT_ACTIVE", "NOT_COMPARED", "SECRETS_MISSING"}
    world.cycle(world.first)
    held_back = [line for line in world.facts().risk_events if line.kind is RiskEventKind.SIGNAL_HELD_BACK]
    assert {line.code for line in held_back} == {"NOT_READY"}
    assert world.reasons() == {"MODE_NOT_CONFIRMED", "NOT_COMPARED", "SECRETS_MISSING"}

    # confirmed by name, with credentials, and compared
    world.call("POST", f"/accounts/{LIVE}/confirm", {"request_id": "confirm-1", "what": "live"})
    assert world.reasons() == {"NOT_COMPARED", "SECRETS_MISSING"}
    world.give_credentials()
    world.monitor()
    wait_until(lambda: world.state().compared_at, what="a comparison with the exchange", seconds=60)
    assert world.reasons() == set()
    assert not world.exchange.orders

    # the kill switch keeps a signal back, until somebody resumes
    world.call("POST", f"/accounts/{LIVE}/halt", {"request_id": "halt-0", "why": "not yet"})
    world.cycle(world.first + CYCLE)
    newest = [line for line in world.facts().risk_events if line.kind is RiskEventKind.SIGNAL_HELD_BACK][-1]
    assert "HALTED" in newest.detail
    fresh = world.young_cycle()
    assert not world.exchange.orders
    world.call("POST", f"/accounts/{LIVE}/resume", {"request_id": "resume-0", "why": "now"})
    world.monitor()  # asks the exchange again where the comparison is older than five minutes
    wait_until(lambda: not world.reasons() or None, what="a comparison that is young", seconds=60)

    # the next signal is an order at the exchange, and its fill is a position
    world.cycle(fresh)
    wait_until(
        lambda: any(p.quantity for p in world.state().books.positions.values()) or None, what="a filled entry", seconds=120
    )
    world.cloud.watch.until_quiet(seconds=60)
    entries = [order for order in world.facts().orders if not order.terms.reduce_only]
    bought = {order.product: order.filled for order in world.exchange.orders if order.side == "buy"}
    assert bought
    assert {symbol: p.quantity for symbol, p in world.state().books.positions.items()} == bought
    assert {order.terms.symbol for order in entries if order.filled} == set(bought)

    # what the venue said, again and in another order, changes nothing
    before, sent = world.facts(), len(world.exchange.orders)
    reports = world.reports()
    assert {event.client_order_id for event in reports} >= {order.client_order_id for order in entries if order.filled}
    world.publish([*reversed(reports), *reports, *reports[::2]])

    # behind them in the same message group comes the halt; it stops the account and is told
    halt = HaltTrading(account=LIVE, request_id="halt-1", requested_at=datetime.now(UTC), why="enough for today")
    world.cloud.watch.until_quiet(seconds=60)
    url = world.cloud.outputs[StackOutput.TRADING_QUEUE_URL]
    world.sqs.send_message(QueueUrl=url, MessageBody=halt.model_dump_json(), MessageGroupId=LIVE)
    wait_until(lambda: world.state().halt, what="the halt", seconds=60)
    after = world.facts()
    assert (after.order_events[: len(before.order_events)], after.entries) == (before.order_events, before.entries)
    assert world.state().halt is not None
    assert world.state().halt.level is HaltLevel.HALT  # type: ignore[union-attr]
    assert not [line for line in after.risk_events if line.kind in {RiskEventKind.EVENT_REFUSED, RiskEventKind.DIFFERENCE}]
    assert world.reasons() >= {"HALTED"}
    assert sum(order.side == "buy" for order in world.exchange.orders) == len(bought)
    assert len(world.exchange.orders) >= sent
    wanted = {"account": LIVE, "symbol": "SOL-USD", "side": "BUY", "type": "MARKET", "quantity": "1"}
    asked_at = datetime.now(UTC).isoformat()
    with pytest.raises(AccountsError, match="may not trade live now: HALTED"):
        world.call("POST", "/orders", {"request_id": "order-1", "requested_at": asked_at, **wanted})
    who = [line.who for line in world.facts().risk_events if line.code == "CONFIRM"]
    assert who
    assert all(who)
    assert Decimal(world.call("GET", f"/accounts/{LIVE}")["cash"]) < Decimal(100_000)
