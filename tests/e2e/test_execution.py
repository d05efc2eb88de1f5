"""Live orders through the deployed function: bus → queue → execute_orders → exchange or terminal → bus. A cloud of its own."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from boto3.session import Session
from typing_extensions import override

from local.cli.accounts.command import OrdersApi
from local.cli.mt5.command import Mailbox, begin_rotation, finish_rotation
from local.cli.secrets.rotation import KEYS, rotate_key
from local.cloud.local_cloud import LocalCloud
from local.cloud.processes import wait_until
from local.market.feed import CachedFeed
from local.market.simulator import SimulatedSource
from local.settings import ACCOUNT, REGION, load_settings
from local.stand_ins.faults import Fault, TradingFault
from local.stand_ins.mt5 import TerminalStandIn
from local.stand_ins.trading import API_KEY, API_SECRET, PASSPHRASE, TradingStandIn
from signalbox.contracts import (
    EVENT_SOURCE,
    Env,
    Function,
    MailboxQueue,
    Metric,
    StackOutput,
    mailbox_key_name,
    mailbox_queue_name,
)
from signalbox.events import BusEvent, parse_event
from signalbox.orders.events import OrderFilled
from signalbox.orders.messages import ExecutionReported, ExecutionRequested, OrderInstruction
from signalbox.signing import SigningKey
from signalbox_mt5.agent import Agent
from signalbox_mt5.checked_clock import CheckedClock
from signalbox_mt5.config import read_keys
from signalbox_mt5.journal import Journal
from signalbox_mt5.mailbox import SqsMailbox
from signalbox_mt5.venue import TerminalVenue
from tests.builders import BTC
from tests.e2e.released import change_environment
from tests.fakes.keys import Sealers
from tests.unit.orders.samples import submission, terms

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]
LIVE, FTMO, OTHER, NOBODY = "live-1", "ftmo-1", "ftmo-2", "nobody-1"


class LiveExchange(TradingStandIn):
    """The exchange on the world's clock: a deployed function signs with it."""

    @property
    @override
    def now(self) -> datetime:
        return datetime.now(UTC)


class LiveStage:
    """The ledger's end of the bus."""

    def __init__(self, cloud: LocalCloud, exchange: LiveExchange) -> None:
        self.cloud, self.exchange, self.sealers = cloud, exchange, Sealers.of(cloud)
        self.bus = cloud.outputs[StackOutput.EVENT_BUS_NAME]
        self.sqs, self.events = cloud.emulator.client("sqs"), cloud.emulator.client("events")
        self.url = self.sqs.create_queue(QueueName="seen")["QueueUrl"]
        arn = self.sqs.get_queue_attributes(QueueUrl=self.url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        pattern = json.dumps({"source": [EVENT_SOURCE], "detail-type": ["ExecutionReported", "VenueViewReported"]})
        self.events.put_rule(Name="seen", EventBusName=self.bus, EventPattern=pattern)
        self.events.put_targets(Rule="seen", EventBusName=self.bus, Targets=[{"Id": "seen", "Arn": arn}])
        coinbase = {"venue": "coinbase", "api_key": API_KEY, "api_secret": API_SECRET, "passphrase": PASSPHRASE}
        secrets, secret_id = cloud.emulator.client("secretsmanager"), cloud.outputs[StackOutput.EXCHANGE_SECRET_ARN]
        self.secret = json.loads(secrets.get_secret_value(SecretId=secret_id)["SecretString"])
        self.secret["accounts"] = {LIVE: coinbase}
        secrets.put_secret_value(SecretId=secret_id, SecretString=json.dumps(self.secret))
        change_environment(cloud, Function.EXECUTE_ORDERS, Env.VENUE_URL, exchange.url)
        session = Session(aws_access_key_id=ACCOUNT, aws_secret_access_key="local", region_name=REGION)
        self.api = OrdersApi(cloud.outputs[StackOutput.ORDERS_API_URL].rstrip("/"), session, REGION, cloud.emulator.url)

    def mailbox(self, account: str, queue: MailboxQueue) -> str:
        return str(self.sqs.get_queue_url(QueueName=mailbox_queue_name("local", account, queue))["QueueUrl"])

    def logged(self, message: str) -> None:
        """Wait until the function logged this."""
        lines = self.cloud.logs.lines
        wait_until(lambda: any(one.get("message") == message for one in lines(Function.EXECUTE_ORDERS)), what=message, seconds=60)

    def ask(self, account: str, venue: str, **changes: Any) -> ExecutionRequested:
        now = datetime.now(UTC)
        of = terms(
            **{"account": account, "quantity": "0.1", "decided_at": now, "send_before": now + timedelta(minutes=5)} | changes
        )
        return submission(of, now, venue)

    def publish(self, event: BusEvent) -> None:
        self.put(event, self.sealers.detail_of(event))

    def put(self, event: BusEvent, facts: dict[str, Any]) -> None:
        """As whoever may put events on the bus."""
        detail = json.dumps(facts)
        entry = {"Source": EVENT_SOURCE, "DetailType": event.type.value, "Detail": detail, "EventBusName": self.bus}
        assert self.events.put_events(Entries=[entry])["FailedEntryCount"] == 0

    def reports(self, request: ExecutionRequested, count: int = 1) -> list[ExecutionReported]:
        found: list[ExecutionReported] = []

        def look() -> list[ExecutionReported] | None:
            for message in self.sqs.receive_message(QueueUrl=self.url, MaxNumberOfMessages=10).get("Messages", []):
                envelope = json.loads(message["Body"])
                event = parse_event(envelope["detail-type"], envelope["detail"])
                self.sqs.delete_message(QueueUrl=self.url, ReceiptHandle=message["ReceiptHandle"])
                if isinstance(event, ExecutionReported) and event.client_order_id == request.client_order_id:
                    found.append(event)
            return found if len(found) >= count else None

        return wait_until(look, what=f"{count} reports of {request.client_order_id}", seconds=60)


@contextmanager
def stage_in(name: str, *, before: Callable[[LocalCloud], None] = lambda _: None) -> Iterator[LiveStage]:
    """A local cloud of its own and an exchange beside it. name: of its folder; before: what the cloud gets first."""
    settings = load_settings()
    folder = settings.state / name
    exchange = LiveExchange(SimulatedSource(7), (BTC,), datetime.now(UTC), requests_per_second=1000, burst=1000)
    exchange.set_price(BTC, Decimal(50000))
    try:
        with LocalCloud(settings, folder, CachedFeed(SimulatedSource(7)), now=datetime(2026, 1, 14, 12, tzinfo=UTC)) as cloud:
            before(cloud)
            yield LiveStage(cloud, exchange)
    finally:
        exchange.close()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def stage() -> Iterator[LiveStage]:
    with stage_in("e2e-execution") as made:
        yield made


def kinds(reports: list[ExecutionReported]) -> list[str]:
    return [event.kind for report in reports for event in report.events]


def test_a_released_order_is_filled_at_the_exchange_and_reported(stage: LiveStage) -> None:
    request = stage.ask(LIVE, "coinbase")
    stage.publish(request)
    assert kinds(stage.reports(request)) == ["OrderSubmitted", "OrderAccepted", "OrderFilled"]


def test_the_same_request_twice_is_one_order(stage: LiveStage) -> None:
    before = len(stage.exchange.orders)
    request = stage.ask(LIVE, "coinbase", strategy="twice")
    stage.publish(request)
    stage.publish(request.model_copy(update={"at": request.at + timedelta(seconds=1)}))  # not the queue's own deduplication
    stage.reports(request, count=2)
    assert len(stage.exchange.orders) == before + 1


def test_a_lost_acknowledgement_is_found_and_a_rate_limit_waited_out(stage: LiveStage) -> None:
    before = len(stage.exchange.orders)
    stage.exchange.trading_faults.add(Fault(TradingFault.RATE_LIMITED, "POST /orders", times=1))
    stage.exchange.trading_faults.add(Fault(TradingFault.LOST_ACKNOWLEDGEMENT, "POST /orders", times=2))
    request = stage.ask(LIVE, "coinbase", strategy="unlucky")
    stage.publish(request)
    assert "OrderFilled" in kinds(stage.reports(request))
    assert len(stage.exchange.orders) == before + 1


def test_an_account_without_credentials_sends_nothing(stage: LiveStage) -> None:
    request = stage.ask(NOBODY, "coinbase")
    stage.publish(request)
    (report,) = stage.reports(request)
    assert [getattr(event, "reason", None) for event in report.events] == ["CREDENTIALS"]


def counted(stage: LiveStage, function: Function, metric: Metric, count: float) -> None:
    wait_until(
        lambda: stage.cloud.logs.total(function, metric) >= count or None, what=f"{count} of {metric} by {function}", seconds=60
    )


def test_a_forged_request_on_the_bus_reaches_no_venue_alarms_and_holds_nobody_up(stage: LiveStage) -> None:
    before, asked_before = len(stage.exchange.orders), len(stage.exchange.signed_requests)
    refused = stage.cloud.logs.total(Function.EXECUTE_ORDERS, Metric.REQUESTS_REFUSED)
    forged = [stage.ask(LIVE, "coinbase", strategy=f"forged-{n}") for n in range(3)]
    stage.put(forged[0], forged[0].to_detail())
    stage.put(forged[1], Sealers(request=SigningKey.of("guessed-" * 8)).detail_of(forged[1]))
    larger = forged[2].terms.model_copy(update={"quantity": Decimal(9)})
    stage.put(forged[2], {**stage.sealers.detail_of(forged[2]), "terms": larger.model_dump(mode="json")})
    counted(stage, Function.EXECUTE_ORDERS, Metric.REQUESTS_REFUSED, refused + 3)
    assert (len(stage.exchange.orders), len(stage.exchange.signed_requests)) == (before, asked_before)
    genuine = stage.ask(LIVE, "coinbase", strategy="behind-forged")
    stage.publish(genuine)
    assert "OrderFilled" in kinds(stage.reports(genuine))
    assert len(stage.exchange.orders) == before + 1
    assert stage.cloud.watch.dead_letters() == {}


def test_a_forged_report_on_the_bus_is_not_believed_and_alarms(stage: LiveStage) -> None:
    refused = stage.cloud.logs.total(Function.MANAGE_ORDERS, Metric.REPORTS_REFUSED)
    request = stage.ask(LIVE, "coinbase", strategy="never-sent")
    fill = OrderFilled(
        client_order_id=request.client_order_id,
        at=request.at,
        account=LIVE,
        symbol=BTC,
        trade_id="forged",
        quantity=Decimal("0.1"),
        price=Decimal(1),
    )
    report = ExecutionReported(account=LIVE, client_order_id=request.client_order_id, reported_at=request.at, events=(fill,))
    stage.put(report, report.to_detail())
    counted(stage, Function.MANAGE_ORDERS, Metric.REPORTS_REFUSED, refused + 1)


def test_both_keys_are_changed_while_orders_go_on(stage: LiveStage) -> None:
    secrets = stage.cloud.emulator.client("secretsmanager")
    for name in KEYS:
        rotate_key(secrets, stage.cloud.outputs, name, datetime.now(UTC), leaked=False)
    old = stage.ask(LIVE, "coinbase", strategy="sealed-before")
    stage.publish(old)  # by a ledger that still keeps the key before
    assert "OrderFilled" in kinds(stage.reports(old))
    stage.sealers = Sealers.of(stage.cloud)
    new = stage.ask(LIVE, "coinbase", strategy="sealed-after")
    stage.publish(new)
    assert "OrderFilled" in kinds(stage.reports(new))


@pytest.fixture
def agent(stage: LiveStage, tmp_path: Path) -> Iterator[Agent]:
    """The agent of FTMO with what its machine is given: its queues and its key."""
    secret = stage.cloud.emulator.client("secretsmanager").get_secret_value(SecretId=mailbox_key_name("local", FTMO))
    clock = CheckedClock(lambda: datetime.now(UTC))
    mailbox = SqsMailbox(
        stage.cloud.emulator.client("sqs", read_timeout=60),
        commands_url=stage.mailbox(FTMO, MailboxQueue.COMMANDS),
        reports_url=stage.mailbox(FTMO, MailboxQueue.REPORTS),
        hear=clock.hear,
    )
    terminal = TerminalStandIn(datetime.now(UTC), {"BTCUSD": (49_990.0, 50_010.5)})
    journal = Journal(tmp_path / "journal")
    venue = TerminalVenue(terminal, login=1, symbols={BTC: "BTCUSD"}, journal=journal, clock=clock)
    key = json.loads(secret["SecretString"])["current"].encode()
    yield Agent(venue, journal, mailbox, account=FTMO, key=key, clock=clock)
    journal.close()


def test_an_order_for_metatrader_goes_through_its_mailbox_to_a_terminal_and_back(stage: LiveStage, agent: Agent) -> None:
    request = stage.ask(FTMO, "mt5")
    stage.publish(request)
    assert kinds(stage.reports(request)) == ["OrderSubmitted"]
    assert agent.step() == 1
    assert kinds(stage.reports(request)) == ["OrderSubmitted", "OrderAccepted", "OrderFilled"]


def test_an_agents_key_is_replaced_while_orders_go_on(stage: LiveStage, agent: Agent, tmp_path: Path) -> None:
    """Begun: the cloud signs with the old key, the agent with the new one. Finished: both with the new one."""
    mailbox, out = Mailbox(stage.api.session, "local", FTMO, stage.cloud.emulator.url), tmp_path / "signing.key"
    steps: tuple[Callable[[], str], ...] = (lambda: begin_rotation(mailbox, out), lambda: finish_rotation(mailbox))
    for step in steps:
        step()
        change_environment(
            stage.cloud, Function.EXECUTE_ORDERS, Env.VENUE_URL, stage.exchange.url
        )  # a new process reads the keys
        agent._keys = read_keys(out)  # as after its restart
        request = stage.ask(FTMO, "mt5", strategy=f"rotated-{len(mailbox.keys())}")
        stage.publish(request)
        assert kinds(stage.reports(request)) == ["OrderSubmitted"]
        assert agent.step() == 1
        assert "OrderFilled" in kinds(stage.reports(request))


def test_whoever_may_put_reports_puts_no_request_for_another_account(stage: LiveStage) -> None:
    before = len(stage.exchange.orders)
    request = stage.ask(LIVE, "coinbase", strategy="forged")
    body = json.dumps({"detail-type": request.type.value, "detail": request.to_detail()})
    url = stage.mailbox(FTMO, MailboxQueue.REPORTS)
    stage.sqs.send_message(QueueUrl=url, MessageBody=body, MessageGroupId=FTMO, MessageDeduplicationId="forged")
    stage.logged("envelope_refused")
    assert len(stage.exchange.orders) == before


def test_a_command_that_is_taken_out_of_its_queue_unseen_halts_its_account(stage: LiveStage) -> None:
    configuration = {"kind": "ftmo-2step", "capital": "100000", "venue": "mt5", "mode": "live", "phase": "challenge"}
    stage.api.call("PUT", f"/accounts/{OTHER}", {"request_id": "open-1", "configuration": configuration})
    checks = stage.cloud.outputs[StackOutput.MT5_CHECKS_QUEUE_URL]
    stage.sqs.set_queue_attributes(QueueUrl=checks, Attributes={"DelaySeconds": "0"})  # the deadline is over at once
    submit = stage.ask(OTHER, "mt5")
    stage.publish(
        submit.model_copy(update={"instruction": OrderInstruction.CANCEL, "request_id": "r1"})
    )  # of which nothing is reported

    def halted() -> Any:
        return stage.api.call("GET", f"/accounts/{OTHER}")["halt"]

    halt = wait_until(halted, what="the halt of the account", seconds=60)
    assert halt["level"] == "HALT"
    assert "did not acknowledge command 1" in halt["why"]
