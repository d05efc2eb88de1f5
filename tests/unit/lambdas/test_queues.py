"""The functions between queues over a real (emulated) cloud: who gets what, in which message group, how often."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from types import ModuleType
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from moto import mock_aws

from local.stand_ins.faults import Fault, MessengerFault
from local.stand_ins.telegram import BOT_TOKEN, TelegramStandIn
from signalbox.adapters.aws.event_router import RouteEvents
from signalbox.application.send_alerts import SendAlerts
from signalbox.bootstrap.send_alerts import compose
from signalbox.bootstrap.settings import SendAlertsSettings
from signalbox.contracts import Env
from signalbox.events import BusEvent, MarketDataStale
from signalbox.orders.messages import ExecutionRequested, OrderInstruction
from signalbox.orders.terms import Leg
from signalbox.trading.routing import Destination
from tests.builders import BTC, NOON
from tests.fakes.keys import message_of
from tests.fakes.lambda_context import FakeLambdaContext
from tests.unit.lambdas.test_handlers import logged, metric_values, sqs
from tests.unit.trading.test_routing import asked, events

if TYPE_CHECKING:
    from mypy_boto3_sqs.literals import QueueAttributeNameType

pytestmark = [pytest.mark.usefixtures("aws"), pytest.mark.filterwarnings("ignore:No application metrics")]
CONTEXT = FakeLambdaContext()
SUBMIT = OrderInstruction.SUBMIT


@pytest.fixture
def cloud() -> Iterator[None]:
    with mock_aws():
        yield


def queue(name: str) -> str:
    attributes: dict[QueueAttributeNameType, str] = {"FifoQueue": "true", "ContentBasedDeduplication": "true"}
    url: str = boto3.client("sqs").create_queue(QueueName=f"{name}.fifo", Attributes=attributes)["QueueUrl"]
    return url


def received(url: str) -> list[tuple[str, str]]:
    """Take what lies in a queue: (message group, body)."""
    client, found = boto3.client("sqs"), []
    asked_for: dict[str, Any] = {"QueueUrl": url, "MaxNumberOfMessages": 10, "AttributeNames": ["MessageGroupId"]}
    while messages := client.receive_message(**asked_for).get("Messages"):
        for message in messages:
            found.append((message["Attributes"]["MessageGroupId"], message["Body"]))
            client.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    return found


def body(event: BusEvent) -> str:
    return message_of(event, id="e-1")


class TestRouteEvents:
    def test_each_account_has_groups_of_its_own_and_the_messages_go_on_as_they_are(
        self, load: Callable[[str], ModuleType], cloud: None, capsys: pytest.CaptureFixture[str]
    ) -> None:
        urls = {Destination.EXECUTION: queue("execution"), Destination.TRADING: queue("trading")}
        handler = load("route_events").make_handler(RouteEvents(boto3.client("sqs"), urls))
        reported = [
            body(event) for account in ("a-1", "b-1") for event in events(account) if not isinstance(event, ExecutionRequested)
        ]
        reported += [body(asked("a-1", leg, SUBMIT)) for leg in (Leg.ENTRY, Leg.EXIT)]
        assert handler(sqs(*reported, queue="routing.fifo"), CONTEXT) == {"batchItemFailures": []}
        execution, trading = received(urls[Destination.EXECUTION]), received(urls[Destination.TRADING])
        assert sorted(group for group, _ in execution) == ["a-1", "a-1:entry", "a-1:view", "b-1:view"]
        assert sorted(group for group, _ in trading) == [
            f"{a}{end}" for a in ("a-1", "b-1") for end in ("", "", ":market", ":view")
        ]
        assert sorted(text for _, text in [*execution, *trading]) == sorted(reported)
        assert len([line for line in logged(capsys) if line["message"] == "event_routed"]) == len(reported)

    @pytest.mark.parametrize(
        "strange",
        ["{", "[" * 200_000, json.dumps({"source": "signalbox", "detail-type": "ExecutionReported", "detail": []}), body(
            MarketDataStale(symbol=BTC, since=NOON, reason="x", newest_close=None))],
    )  # fmt: skip
    def test_what_has_no_route_is_refused_for_good_and_holds_nothing_back(
        self, load: Callable[[str], ModuleType], cloud: None, capsys: pytest.CaptureFixture[str], strange: str
    ) -> None:
        urls = {Destination.EXECUTION: queue("execution"), Destination.TRADING: queue("trading")}
        handler = load("route_events").make_handler(RouteEvents(boto3.client("sqs"), urls))
        assert handler(sqs(strange, body(asked("a-1", Leg.EXIT, SUBMIT)), queue="routing.fifo"), CONTEXT) == {
            "batchItemFailures": []
        }
        assert [group for group, _ in received(urls[Destination.EXECUTION])] == ["a-1"]
        assert metric_values(logged(capsys))["EventsRefused"] == 1

    def test_a_queue_that_is_away_gives_back_what_was_not_sent_in_order(
        self, load: Callable[[str], ModuleType], cloud: None
    ) -> None:
        urls = {Destination.EXECUTION: "http://127.0.0.1:9/gone.fifo", Destination.TRADING: queue("trading")}
        client = boto3.client("sqs")
        handler = load("route_events").make_handler(RouteEvents(client, urls))
        found = handler(sqs(*[body(asked("a-1", Leg.EXIT, SUBMIT))] * 2, queue="routing.fifo"), CONTEXT)
        assert [one["itemIdentifier"] for one in found["batchItemFailures"]] == ["m0", "m1"]


def alert(hour: int) -> MarketDataStale:
    return MarketDataStale(symbol=BTC, since=datetime(2026, 1, 14, hour, tzinfo=UTC), reason="x", newest_close=None)


class Alerts:
    """send_alerts between its two queues and the messenger's stand-in."""

    def __init__(self, load: Any, telegram: TelegramStandIn, chats: list[Any]) -> None:
        self.load, self.telegram = load, telegram
        self.deliveries, self.sqs = queue("deliveries"), boto3.client("sqs")
        boto3.client("events").create_event_bus(Name="signalbox-test")
        boto3.client("dynamodb").create_table(
            TableName="idempotency",
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        self.secrets = boto3.client("secretsmanager")
        self.secrets.create_secret(Name="telegram", SecretString=json.dumps({"bot_token": BOT_TOKEN, "chat_ids": chats}))
        self.app = self.composed()
        self.waits: list[int] = []
        self.app.retry_in = lambda _handle, _arn, seconds: self.waits.append(seconds)
        self.handler = load("send_alerts").make_handler(self.app)

    def composed(self) -> SendAlerts:
        found = {
            Env.STAGE: "test",
            Env.EVENT_BUS_NAME: "signalbox-test",
            Env.TELEGRAM_SECRET_ARN: "telegram",
            Env.TELEGRAM_URL: self.telegram.url,
            Env.IDEMPOTENCY_TABLE: "idempotency",
            Env.DELIVERIES_QUEUE_URL: self.deliveries,
            Env.ALARM_TOPIC_ARN: boto3.client("sns").create_topic(Name="alarms")["TopicArn"],
        }
        return compose(SendAlertsSettings.read({str(key): value for key, value in found.items()}))

    def queue(self, *events: MarketDataStale) -> list[tuple[str, str]]:
        """Give events to the function; return the deliveries that it queued."""
        assert self.handler(sqs(*events, queue="alerts.fifo"), CONTEXT) == {"batchItemFailures": []}
        return received(self.deliveries)

    def deliver(self, *bodies: str) -> list[str]:
        answer = self.handler(sqs(*bodies, queue="deliveries.fifo"), CONTEXT)
        return [one["itemIdentifier"] for one in answer["batchItemFailures"]]

    def sent(self) -> list[tuple[str, str]]:
        return [(m.chat_id, m.text.split(":")[0][-2:]) for m in self.telegram.messages]


@pytest.fixture
def telegram() -> Iterator[TelegramStandIn]:
    stand_in = TelegramStandIn(chat_ids=frozenset({"1", "2", "-5"}))
    yield stand_in
    stand_in.close()


class TestSendAlerts:
    def test_an_alert_is_one_message_a_chat_in_the_chats_group(
        self, load: Callable[[str], ModuleType], cloud: None, telegram: TelegramStandIn
    ) -> None:
        alerts = Alerts(load, telegram, ["1", 2])
        queued = alerts.queue(alert(13), alert(14))
        assert [group for group, _ in queued] == ["1", "2", "1", "2"]
        assert telegram.messages == ()
        assert alerts.deliver(*[text for _, text in queued]) == []
        for chat in ("1", "2"):  # chats are written to at the same time, each in its order
            assert [one for one in alerts.sent() if one[0] == chat] == [(chat, "13"), (chat, "14")]

    def test_the_same_event_again_is_one_message_whether_the_queue_remembers_or_not(
        self, load: Callable[[str], ModuleType], cloud: None, telegram: TelegramStandIn
    ) -> None:
        alerts = Alerts(load, telegram, ["1"])
        queued = alerts.queue(alert(13), alert(13))
        assert len(queued) == 1  # within five minutes
        alerts.deliver(*[text for _, text in queued] * 2)
        assert alerts.sent() == [("1", "13")]

    def test_a_chat_in_flood_control_delays_no_other(
        self, load: Callable[[str], ModuleType], cloud: None, telegram: TelegramStandIn
    ) -> None:
        alerts = Alerts(load, telegram, ["1", "2"])
        flood = telegram.faults.add(Fault(MessengerFault.RATE_LIMITED, "1", retry_after=900))
        (_, first), (_, second) = alerts.queue(alert(13))
        assert (alerts.deliver(first), alerts.waits) == (["m0"], [900])
        assert alerts.deliver(second) == []
        assert alerts.sent() == [("2", "13")]
        telegram.faults.remove(flood)
        assert (alerts.deliver(first), alerts.deliver(second)) == ([], [])
        assert alerts.sent() == [("2", "13"), ("1", "13")]

    @pytest.mark.parametrize("fault", [MessengerFault.FORBIDDEN, MessengerFault.KICKED, MessengerFault.DEACTIVATED])
    def test_a_chat_that_will_never_take_it_is_final_and_told(
        self,
        load: Callable[[str], ModuleType],
        cloud: None,
        telegram: TelegramStandIn,
        capsys: pytest.CaptureFixture[str],
        fault: MessengerFault,
    ) -> None:
        telegram.faults.add(Fault(fault, "1"))
        alerts = Alerts(load, telegram, ["1", "404"])
        assert alerts.deliver(*[text for _, text in alerts.queue(alert(13))]) == []
        assert metric_values(logged(capsys))["AlertsUndeliverable"] == 2
        assert alerts.waits == []

    def test_no_chat_is_an_alarm_and_never_sent_to_nobody(
        self, load: Callable[[str], ModuleType], cloud: None, telegram: TelegramStandIn, capsys: pytest.CaptureFixture[str]
    ) -> None:
        alerts = Alerts(load, telegram, [])
        assert [group for group, _ in alerts.queue(alert(13))] == ["(e-mail)"]
        assert metric_values(logged(capsys)) == {"AlertsUndeliverable": 1}

    def test_a_group_that_became_a_supergroup_is_followed_by_every_worker_from_then_on(
        self, load: Callable[[str], ModuleType], cloud: None, telegram: TelegramStandIn, capsys: pytest.CaptureFixture[str]
    ) -> None:
        telegram.upgrade("-5", "-1005")
        alerts = Alerts(load, telegram, ["-5"])
        queued = [text for _, text in alerts.queue(alert(13), alert(14))]
        assert alerts.deliver(queued[0]) == []
        assert [m.chat_id for m in telegram.messages] == ["-1005", "-1005"]  # the word of the move, and the alert
        assert metric_values(logged(capsys))["ChatsMoved"] == 1
        refused = telegram.refused
        alerts.handler = load("send_alerts").make_handler(alerts.composed())  # another process
        assert alerts.deliver(*queued) == []
        assert (len(telegram.messages), telegram.refused) == (3, refused)

    def test_old_and_new_id_configured_together_are_one_chat(
        self, load: Callable[[str], ModuleType], cloud: None, telegram: TelegramStandIn
    ) -> None:
        telegram.upgrade("-5", "-1005")
        alerts = Alerts(load, telegram, ["-5", "-1005"])
        alerts.app.moves.remember("-5", "-1005")
        assert [group for group, _ in alerts.queue(alert(13))] == ["-5"]


def test_a_pause_is_never_longer_than_a_queue_hides_a_message(load: Callable[[str], ModuleType]) -> None:
    assert timedelta(seconds=load("send_alerts").MAX_WAIT_SECONDS) < timedelta(hours=12)
