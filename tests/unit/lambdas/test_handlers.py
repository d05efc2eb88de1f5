import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from types import ModuleType
from typing import Any, ClassVar

import pytest
from pydantic import ValidationError

from signalbox.alerts.delivery import EMAIL, Delivery, Move
from signalbox.application.chat_deliveries import DUPLICATE, SENT, DeliveryResult, DeliveryState
from signalbox.application.generate_signals import BesideOutcome
from signalbox.application.send_alerts import FanOut
from signalbox.bootstrap.relay_outbox import OutboxRelay, Waiting
from signalbox.bootstrap.settings import (
    CollectCandlesSettings,
    GenerateSignalsSettings,
    SettingsError,
)
from signalbox.chat.messenger import MessengerUnavailableError
from signalbox.contracts import Function
from signalbox.events import AlertUndeliverable, BusEvent, CollectionProblem, MarketDataStale, SymbolCandles
from signalbox.market.acceptance import AcceptedCandles
from signalbox.market.collection import CollectionReport, SymbolCollection
from signalbox.signals.cycle import NO_WRITES, CycleOutcome
from signalbox.signals.model import ModelChoice, ModelProblem
from signalbox.signals.ports import CycleState, OutboxEvent, PartlyPublishedError, SymbolRefusal
from tests.builders import BTC, ETH, NOON, candles, event
from tests.fakes.keys import message_of
from tests.fakes.lambda_context import FakeLambdaContext

CONTEXT = FakeLambdaContext()


def logged(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]


def metric_values(lines: list[dict[str, Any]]) -> dict[str, float]:
    found: dict[str, float] = {}
    for line in lines:
        for block in line.get("_aws", {}).get("CloudWatchMetrics", []):
            for metric in block["Metrics"]:
                value = line[metric["Name"]]
                found[metric["Name"]] = sum(value) if isinstance(value, list) else value
    return found


def sqs(*events: Any, queue: str = "q", receive_count: int = 1) -> dict[str, Any]:
    return {
        "Records": [
            {
                "messageId": f"m{i}",
                "receiptHandle": f"r{i}",
                "body": message_of(e) if not isinstance(e, str) else e,
                "attributes": {
                    "ApproximateReceiveCount": str(receive_count),
                    "MessageGroupId": "alerts",
                    "SentTimestamp": str(int(NOON.timestamp() * 1000)),
                },
                "messageAttributes": {},
                "eventSource": "aws:sqs",
                "eventSourceARN": f"arn:aws:sqs:eu-central-1:123456789012:{queue}",
                "awsRegion": "eu-central-1",
            }
            for i, e in enumerate(events)
        ]
    }


@pytest.mark.parametrize("function", list(Function))
def test_every_function_composes_from_the_environment_without_any_io(
    load: Callable[[str], ModuleType], function: Function
) -> None:
    assert callable(load(function.value).handler)


def test_a_missing_variable_is_one_error_that_names_them_all() -> None:
    with pytest.raises(SettingsError, match="EVENT_BUS_NAME") as caught:
        CollectCandlesSettings.read({"SIGNALBOX_STAGE": "x", "VENUE": "coinbase"})
    assert "SYMBOLS" in str(caught.value)
    assert "COLLECTION_CURSOR_TABLE" in str(caught.value)


def test_settings_are_read_from_the_templates_names(environment: dict[str, str]) -> None:
    found = GenerateSignalsSettings.read()
    assert (found.host, found.port, found.user) == ("/nowhere", 5432, "signalbox_manage_orders")
    assert CollectCandlesSettings.read().symbols == (BTC, ETH)


class TestCollectCandles:
    def test_the_scheduled_instant_is_the_clock_and_the_outcome_is_counted(
        self, load: Callable[[str], ModuleType], capsys: pytest.CaptureFixture[str]
    ) -> None:
        asked: list[datetime] = []

        def collect(at: datetime) -> CollectionReport:
            asked.append(at)
            accepted = AcceptedCandles(tuple(candles(BTC, NOON, 5)), ("one bad row",))
            good = SymbolCollection("coinbase", BTC, NOON, accepted, None, None)
            bad = SymbolCollection("coinbase", ETH, NOON, AcceptedCandles((), ()), CollectionProblem.VENUE_TIMEOUT, "no answer")
            return CollectionReport("coinbase", NOON, (good, bad), 1)

        handler = load("collect_candles").make_handler(collect)
        answer = handler({"job": "collect_candles", "scheduled_at": "2024-03-01T12:00:00Z"}, CONTEXT)
        assert asked == [datetime(2024, 3, 1, 12, tzinfo=UTC)]
        assert answer["symbols"]["ETH-USD"] == {"candles": 0, "problem": "VENUE_TIMEOUT"}
        lines = logged(capsys)
        assert metric_values(lines) == {"CandlesCollected": 5, "CandlesRefused": 1, "VenueFailures": 1}

    @pytest.mark.parametrize(
        "payload",
        [{}, {"job": "x", "scheduled_at": "<aws.scheduler.scheduled-time>"}, {"job": "x", "scheduled_at": "2024-03-01T12:00:00"}],
    )
    @pytest.mark.filterwarnings("ignore:No application metrics")
    def test_an_unresolved_or_naive_instant_is_refused(self, load: Callable[[str], ModuleType], payload: dict[str, Any]) -> None:
        handler = load("collect_candles").make_handler(lambda _: pytest.fail("must not collect"))
        with pytest.raises(ValidationError):
            handler(payload, CONTEXT)


class FakeGenerate:
    def __init__(self, outcome: CycleOutcome | Exception, problem: ModelProblem | None = None) -> None:
        self.outcome, self.problem, self.publishes = outcome, problem, 0
        self.publish_error: Exception | None = None
        self.decided: list[BusEvent] = []
        self.beside = BesideOutcome()

    def decide(self, event: Any) -> Any:
        self.decided.append(event)
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome, ModelChoice(None, self.problem)

    def decide_beside(self, *_cycle: Any) -> BesideOutcome:
        return self.beside

    def publish(self) -> int:
        self.publishes += 1
        if self.publish_error:
            raise self.publish_error
        return 3


class TestGenerateSignals:
    def test_refusals_duplicates_and_a_refused_model_are_counted(
        self, load: Callable[[str], ModuleType], capsys: pytest.CaptureFixture[str]
    ) -> None:
        outcome = CycleOutcome(NOON, CycleState.DECIDED, NO_WRITES, (), (SymbolRefusal(BTC, NOON, "STALE_DATA", "late"),))
        app = FakeGenerate(outcome, ModelProblem("m2", "BundleTamperedError", "m1"))
        answer = load("generate_signals").make_handler(app)(sqs(event()), CONTEXT)
        assert answer == {"batchItemFailures": []}
        values = metric_values(logged(capsys))
        assert {k: values[k] for k in ("SymbolsRefused", "DuplicatesIgnored", "ModelRefused")} == {
            "SymbolsRefused": 1, "DuplicatesIgnored": 1, "ModelRefused": 1,
        }  # fmt: skip

    def test_what_challengers_decide_is_published_and_their_problems_are_counted(
        self, load: Callable[[str], ModuleType], capsys: pytest.CaptureFixture[str]
    ) -> None:
        app = FakeGenerate(CycleOutcome(NOON, CycleState.READY, NO_WRITES, (), ()))
        app.beside = BesideOutcome(problems=(ModelProblem("m3", "it is too slow", "m1"),))
        assert load("generate_signals").make_handler(app)(sqs(event()), CONTEXT) == {"batchItemFailures": []}
        assert app.publishes == 2
        lines = logged(capsys)
        assert metric_values(lines)["ModelRefused"] == 1

    def test_a_failing_record_is_returned_alone_and_committed_events_are_published(
        self, load: Callable[[str], ModuleType]
    ) -> None:
        app = FakeGenerate(ConnectionError("the ledger is away"))
        answer = load("generate_signals").make_handler(app)(sqs(event()), CONTEXT)
        assert answer == {"batchItemFailures": [{"itemIdentifier": "m0"}]}
        assert app.publishes == 1

    @pytest.mark.parametrize("ahead", [timedelta(seconds=31), timedelta(days=3650)])
    def test_a_cycle_of_the_future_is_refused_before_the_ledger_and_the_others_run(
        self,
        load: Callable[[str], ModuleType],
        capsys: pytest.CaptureFixture[str],
        caplog: pytest.LogCaptureFixture,
        ahead: timedelta,
    ) -> None:
        app = FakeGenerate(CycleOutcome(NOON, CycleState.WAITING, NO_WRITES, (), ()))
        past = event(NOON - timedelta(days=900))
        batch = sqs(event().model_copy(update={"cycle_at": NOON + ahead}), past, event())
        assert load("generate_signals").make_handler(app)(batch, CONTEXT) == {"batchItemFailures": []}
        assert app.decided == [past, event()]
        assert metric_values(logged(capsys))["EventsRefused"] == 1
        (refused,) = (line for line in caplog.records if line.getMessage() == "message_refused")
        assert vars(refused)["reason"].startswith("InstantAheadError")

    def test_an_unpublished_outbox_does_not_fail_the_cycle(
        self, load: Callable[[str], ModuleType], capsys: pytest.CaptureFixture[str]
    ) -> None:
        app = FakeGenerate(CycleOutcome(NOON, CycleState.WAITING, NO_WRITES, (), ()))
        app.publish_error = ConnectionError("the bus is away")
        assert load("generate_signals").make_handler(app)(sqs(event()), CONTEXT) == {"batchItemFailures": []}
        assert "outbox_published" not in {line.get("message") for line in logged(capsys)}

    @pytest.mark.parametrize(
        "body",
        [
            "{",
            json.dumps({"source": "signalbox", "detail-type": "Unknown", "detail": {}}),
            json.dumps({"source": "signalbox", "detail-type": "CandlesClosed", "detail": {"venue": "x"}}),
            json.dumps({"source": "signalbox", "detail-type": "CandlesClosed", "detail": []}),
            json.dumps({"source": "signalbox", "detail-type": ["CandlesClosed"], "detail": {}}),
            "[" * 200_000,
        ],
    )
    def test_a_message_that_is_no_event_is_refused_for_good_and_counted(
        self, load: Callable[[str], ModuleType], capsys: pytest.CaptureFixture[str], body: str
    ) -> None:
        app = FakeGenerate(CycleOutcome(NOON, CycleState.WAITING, NO_WRITES, (), ()))
        assert load("generate_signals").make_handler(app)(sqs(body), CONTEXT) == {"batchItemFailures": []}
        assert metric_values(logged(capsys))["EventsRefused"] == 1


class FakeAlerts:
    def __init__(self, results: list[Any], *, fan_outs: list[Any] | None = None, moves: tuple[Move, ...] = ()) -> None:
        self.results, self.fan_outs, self.moves = results, fan_outs or [], moves
        self.retries: list[tuple[str, str, int]] = []
        self.notified: list[Move] = []

    def fan_out(self, _event: BusEvent) -> FanOut:
        result = self.fan_outs.pop(0)
        if isinstance(result, Exception):
            raise result
        found: FanOut = result
        return found

    def deliver(self, batch: list[Delivery], on_move: Callable[[Move], None]) -> list[DeliveryResult]:
        for move in self.moves:
            on_move(move)
        return [self.results.pop(0) for _ in batch]

    def report_move(self, move: Move) -> None:
        self.notified.append(move)
        raise MessengerUnavailableError("told to")

    def retry_in(self, receipt_handle: str, queue_arn: str, seconds: int) -> None:
        self.retries.append((receipt_handle, queue_arn.rsplit(":", 1)[1], seconds))


STALE = MarketDataStale(symbol=BTC, since=NOON, reason="STALE_DATA", newest_close=None)
LOST = AlertUndeliverable(alert_id="a", chat_id="1", reason="HTTP 403", text="hi")
GONE = DeliveryResult(DeliveryState.UNDELIVERABLE, reason="HTTP 403", lost=LOST)


def later(seconds: int | None, state: DeliveryState = DeliveryState.POSTPONED) -> DeliveryResult:
    return DeliveryResult(state, seconds, "told to")


def delivery(chat: str = "1") -> str:
    return json.dumps({"delivery": {"alert_id": "a", "chat_id": chat, "text": "hi"}})


class TestSendAlerts:
    def test_sent_duplicate_and_undeliverable_are_counted(
        self, load: Callable[[str], ModuleType], capsys: pytest.CaptureFixture[str]
    ) -> None:
        app = FakeAlerts([SENT, DeliveryResult(DeliveryState.SENT, chart_missing=True), DUPLICATE, GONE])
        answer = load("send_alerts").make_handler(app)(sqs(*[delivery()] * 4), CONTEXT)
        assert answer == {"batchItemFailures": []}
        assert metric_values(logged(capsys)) == {
            "AlertsSent": 2, "DuplicatesIgnored": 1, "AlertsUndeliverable": 1, "ChartsMissing": 1,
        }  # fmt: skip

    def test_an_e_mail_is_counted_as_one(self, load: Callable[[str], ModuleType], capsys: pytest.CaptureFixture[str]) -> None:
        load("send_alerts").make_handler(FakeAlerts([SENT]))(sqs(delivery(EMAIL)), CONTEXT)
        assert metric_values(logged(capsys)) == {"AlertsMailed": 1, "DuplicatesIgnored": 0}

    @pytest.mark.filterwarnings("ignore:No application metrics")
    def test_an_event_is_queued_and_nothing_is_sent_by_it(self, load: Callable[[str], ModuleType]) -> None:
        app = FakeAlerts([], fan_outs=[FanOut(queued=2)])
        assert load("send_alerts").make_handler(app)(sqs(STALE), CONTEXT) == {"batchItemFailures": []}

    def test_an_alert_that_has_no_chat_alarms(
        self, load: Callable[[str], ModuleType], capsys: pytest.CaptureFixture[str]
    ) -> None:
        app = FakeAlerts([], fan_outs=[FanOut(undeliverable=LOST)])
        load("send_alerts").make_handler(app)(sqs(STALE), CONTEXT)
        assert metric_values(logged(capsys)) == {"AlertsUndeliverable": 1}

    def test_settings_that_cannot_be_used_alarm(
        self, load: Callable[[str], ModuleType], capsys: pytest.CaptureFixture[str]
    ) -> None:
        app = FakeAlerts([], fan_outs=[FanOut(queued=1, problems=("alerts of chat 1: zone",))])
        load("send_alerts").make_handler(app)(sqs(STALE), CONTEXT)
        assert metric_values(logged(capsys)) == {"ChatSettingsRefused": 1}

    @pytest.mark.parametrize(("asked", "waited"), [(17, 17), (900, 900), (3600, 3600), (9 * 3600, 6 * 3600)])
    def test_what_comes_again_waits_as_long_as_it_was_asked_to_each_by_itself(
        self, load: Callable[[str], ModuleType], asked: int, waited: int
    ) -> None:
        app = FakeAlerts([SENT, later(asked), SENT])
        answer = load("send_alerts").make_handler(app)(sqs(*[delivery()] * 3, queue="deliveries.fifo"), CONTEXT)
        assert [f["itemIdentifier"] for f in answer["batchItemFailures"]] == ["m1"]
        assert app.retries == [("r1", "deliveries.fifo", waited)]

    @pytest.mark.filterwarnings("ignore:No application metrics")
    def test_quiet_hours_are_no_postponement(self, load: Callable[[str], ModuleType], capsys: pytest.CaptureFixture[str]) -> None:
        app = FakeAlerts([later(3600, DeliveryState.HELD)])
        answer = load("send_alerts").make_handler(app)(sqs(delivery(), queue="deliveries.fifo"), CONTEXT)
        assert [f["itemIdentifier"] for f in answer["batchItemFailures"]] == ["m0"]
        assert app.retries == [("r0", "deliveries.fifo", 3600)]
        assert metric_values(logged(capsys)) == {}

    @pytest.mark.parametrize(("receive_count", "wait"), [(1, 5), (2, 10), (4, 40), (30, 640)])
    def test_whatever_passes_is_tried_again_ever_more_slowly(
        self, load: Callable[[str], ModuleType], receive_count: int, wait: int
    ) -> None:
        app = FakeAlerts([later(None)])
        load("send_alerts").make_handler(app)(sqs(delivery(), receive_count=receive_count), CONTEXT)
        assert [seconds for _, _, seconds in app.retries] == [wait]
        failing = FakeAlerts([], fan_outs=[SettingsError("the secret")])
        answer = load("send_alerts").make_handler(failing)(sqs(STALE, receive_count=receive_count), CONTEXT)
        assert len(answer["batchItemFailures"]) == 1
        assert [seconds for _, _, seconds in failing.retries] == [wait]

    def test_a_move_is_told_by_log_metric_and_message_though_the_message_may_be_lost(
        self, load: Callable[[str], ModuleType], capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
    ) -> None:
        app = FakeAlerts([SENT], moves=(Move("-5", "-1005"),))
        assert load("send_alerts").make_handler(app)(sqs(delivery()), CONTEXT) == {"batchItemFailures": []}
        assert metric_values(logged(capsys)) == {"ChatsMoved": 1, "AlertsSent": 1, "DuplicatesIgnored": 0}
        moved = [vars(record) for record in caplog.records if record.getMessage() == "chat_moved"]
        assert [(one["chat_id"], one["new_id"]) for one in moved] == [("-5", "-1005")]
        assert app.notified == [Move("-5", "-1005")]

    @pytest.mark.parametrize(
        "body", ["{", "[" * 200_000, '{"delivery": 1}', '{"delivery": {"chat_id": "1"}}', '{"detail-type": {}}']
    )
    def test_what_is_neither_is_refused_for_good(
        self, load: Callable[[str], ModuleType], capsys: pytest.CaptureFixture[str], body: str
    ) -> None:
        app = FakeAlerts([])
        assert load("send_alerts").make_handler(app)(sqs(body), CONTEXT) == {"batchItemFailures": []}
        assert metric_values(logged(capsys))["EventsRefused"] == 1
        assert app.retries == []


class TestRelayOutbox:
    def test_the_age_of_the_oldest_event_is_measured_against_the_scheduled_instant(
        self, load: Callable[[str], ModuleType], capsys: pytest.CaptureFixture[str]
    ) -> None:
        handler = load("relay_outbox").make_handler(OutboxRelay(lambda: Waiting(NOON), lambda: 4))
        answer = handler({"job": "relay_outbox", "scheduled_at": "2024-03-01T12:02:00Z"}, CONTEXT)
        assert answer == {"published": 4}
        assert metric_values(logged(capsys)) == {"OutboxOldestAge": 120, "OutboxPublished": 4}

    def test_the_age_is_told_before_the_bus_is_asked_and_though_it_cannot_be_reached(
        self, load: Callable[[str], ModuleType], capsys: pytest.CaptureFixture[str]
    ) -> None:
        told: list[dict[str, Any]] = []

        def away() -> int:
            told.append(metric_values(logged(capsys)))  # what is out when the bus is asked: a function may be killed in there
            raise ConnectionError("the bus is away")

        handler = load("relay_outbox").make_handler(OutboxRelay(lambda: Waiting(NOON), away))
        with pytest.raises(ConnectionError):
            handler({"job": "relay_outbox", "scheduled_at": "2024-03-01T12:02:00Z"}, CONTEXT)
        assert told == [{"OutboxOldestAge": 120}]

    def test_what_went_is_counted_though_the_rest_was_refused(
        self, load: Callable[[str], ModuleType], capsys: pytest.CaptureFixture[str]
    ) -> None:
        def partly() -> int:
            raise PartlyPublishedError("one was refused", [OutboxEvent(1, "a", "x", "{}", NOON)])

        handler = load("relay_outbox").make_handler(OutboxRelay(lambda: Waiting(NOON, ("big",)), partly))
        with pytest.raises(PartlyPublishedError):
            handler({"job": "relay_outbox", "scheduled_at": "2024-03-01T12:02:00Z"}, CONTEXT)
        assert metric_values(logged(capsys)) == {"OutboxOldestAge": 120, "OutboxPublished": 1}


class TestPrepareDatabase:
    REQUEST: ClassVar = {
        "RequestType": "Create",
        "StackId": "s",
        "RequestId": "r",
        "LogicalResourceId": "l",
        "ResponseURL": "http://cfn",
    }

    def run(self, load: Callable[[str], ModuleType], prepare: Any, **changes: str) -> dict[str, Any]:
        answers: list[tuple[str, dict[str, Any]]] = []
        handler = load("prepare_database").make_handler(prepare, lambda url, reply: answers.append((url, reply)))
        handler(self.REQUEST | changes, CONTEXT)
        ((url, reply),) = answers
        assert url == "http://cfn"
        return reply

    def test_success_is_told_with_what_was_applied(self, load: Callable[[str], ModuleType]) -> None:
        reply = self.run(load, lambda: ["0001", "0002"])
        assert (reply["Status"], reply["Data"]) == ("SUCCESS", {"Applied": "2"})

    def test_every_failure_is_told_without_its_details(self, load: Callable[[str], ModuleType]) -> None:
        def fail() -> list[str]:
            raise RuntimeError("password=hunter2")

        reply = self.run(load, fail)
        assert reply["Status"] == "FAILED"
        assert "hunter2" not in json.dumps(reply)

    def test_deleting_the_resource_touches_nothing(self, load: Callable[[str], ModuleType]) -> None:
        reply = self.run(load, lambda: pytest.fail("must not migrate"), RequestType="Delete", PhysicalResourceId="kept")
        assert (reply["Status"], reply["PhysicalResourceId"]) == ("SUCCESS", "kept")


def test_migrate_database_never_logs_the_password(load: Callable[[str], ModuleType], capsys: pytest.CaptureFixture[str]) -> None:
    seen: list[tuple[str, str]] = []

    def migrate(user: str, password: str) -> list[str]:
        seen.append((user, password))
        return ["0001"]

    handler = load("migrate_database").make_handler(migrate)
    assert handler({"username": "admin", "password": "hunter2"}, CONTEXT) == {"applied": ["0001"]}
    assert seen == [("admin", "hunter2")]
    assert "hunter2" not in capsys.readouterr().out


def test_the_wire_form_of_a_symbol_keeps_its_problem() -> None:
    item = SymbolCandles(symbol="BTC-USD", candles=(), problem=CollectionProblem.NO_CANDLES)
    assert SymbolCandles.model_validate_json(item.model_dump_json()) == item
