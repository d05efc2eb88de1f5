"""manage_orders and monitor_risk as Lambda calls them: the queue, the API, the clock; any composition behind them."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from types import ModuleType
from typing import Any, ClassVar

import pytest
from pydantic import ValidationError
from typing_extensions import override

from signalbox.access import Refusal, Role
from signalbox.application.manage_orders import MissedTurn
from signalbox.events import BusEvent, CycleDecided, InstantAheadError, MarketDataStale
from signalbox.orders.errors import OrderTermsError
from signalbox.orders.events import OrderInitialized, OrderSubmitted
from signalbox.orders.lifecycle import initialise
from signalbox.orders.messages import ExecutionReported, VenueViewReported
from signalbox.orders.order import Order
from signalbox.orders.terms import Leg, OrderTerms, OrderType, Side
from signalbox.risk.snapshot import HaltLevel
from signalbox.signing import AcceptedKeys, KeyUnavailableError, SigningKey
from signalbox.trading.account import TradingAccount, account_named
from signalbox.trading.changes import NO_CHANGES, ChangeSet, RiskEvent, RiskEventKind
from signalbox.trading.commands import AnyCommand, CancelOrder, HaltTrading, SubmitOrder
from signalbox.trading.errors import (
    AccountError,
    AccountUnreadableError,
    CommandError,
    OrderUnknownError,
    RowRefusedError,
    UnpricedError,
)
from signalbox.trading.events import TradingHalted
from signalbox.trading.service import AccountOutcome, ReadinessReport, TradingService
from signalbox.trading.state import AccountState, Halt, opened
from tests.builders import NOON
from tests.fakes.keys import REPORT_KEY, REPORT_KEYS, detail_of, message_of, sealed
from tests.fakes.lambda_context import FakeLambdaContext
from tests.fakes.memory_trading import MemoryTradingLedger
from tests.unit.lambdas.test_handlers import logged, metric_values
from tests.unit.lambdas.test_handlers import sqs as plain_sqs

CONTEXT = FakeLambdaContext()
ACCOUNT = "ftmo-2step-100k"
WHO = "arn:aws:iam::123456789012:user/trader"
KEY = "ab" * 16
CYCLE = CycleDecided(venue="coinbase", cycle_at=NOON, symbols=("BTC-USD",), late=False)
REPORTS = (
    ExecutionReported(
        account="live-1", client_order_id=KEY, reported_at=NOON, events=(OrderSubmitted(client_order_id=KEY, at=NOON),)
    ),
    VenueViewReported(account="live-1", requested_at=NOON, asked_at=NOON, orders=(), trades=(), positions={}),
)
ORDER = {
    "account": ACCOUNT, "request_id": "req-0001", "requested_at": NOON.isoformat(), "symbol": "BTC-USD", "side": "BUY",
    "type": "MARKET", "quantity": "0.5",
}  # fmt: skip


def sqs(*events: BusEvent | str, queue: str) -> dict[str, Any]:
    """Messages with the attributes that a queue always gives."""
    found = plain_sqs(*events, queue=queue)
    for record in found["Records"]:
        record["attributes"] |= {"SenderId": "AIDEXAMPLE", "SentTimestamp": str(int(NOON.timestamp() * 1000))}
    return found


def kind_of(problem: dict[str, Any]) -> str:
    return str(problem["type"]).removeprefix("urn:signalbox:problem:")


def pointers(problem: dict[str, Any]) -> list[str]:
    return [one["pointer"] for one in problem["errors"]]


def state() -> AccountState:
    return replace(opened(account_named(ACCOUNT, market="coinbase"), NOON), at=NOON)


def order() -> Order:
    terms = OrderTerms(
        account=ACCOUNT, strategy="manual-req-0001", symbol="BTC-USD", decided_at=NOON, leg=Leg.ENTRY, side=Side.BUY,
        type=OrderType.MARKET, quantity=Decimal("0.5"), send_before=NOON + timedelta(minutes=5),
    )  # fmt: skip
    return initialise(OrderInitialized(client_order_id=terms.client_order_id, at=NOON, terms=terms))


HALTED = ChangeSet(
    events=(TradingHalted(account=ACCOUNT, level=HaltLevel.HALT, who="ops", why="looking", at=NOON, until=None),),
    risk=(RiskEvent(RiskEventKind.HALTED, "k", NOON, "HALT"),),
)


class FakeService:
    """What the handlers call; it remembers what it was asked."""

    def __init__(self, changes: ChangeSet = NO_CHANGES, error: Exception | None = None) -> None:
        self.changes, self.error = changes, error
        self.events: list[BusEvent] = []
        self.commands: list[tuple[AnyCommand, str]] = []
        self.instants: list[datetime] = []
        self.asked: list[str] = []
        self.denied: tuple[Refusal, ...] = ()
        self.refused: dict[str, str] = {}
        self.missed: tuple[MissedTurn, ...] = ()
        self.report_keys: AcceptedKeys | None = REPORT_KEYS
        self.person_keys: AcceptedKeys | None = None
        self.kill_switch_arn = "arn:aws:sqs:eu-central-1:123456789012:kill-switch"
        self.publishes = 0
        self.publish_error: Exception | None = None

    def handle(self, event: BusEvent, sent_at: datetime | None = None) -> tuple[AccountOutcome, ...]:
        self._fail()
        self.events.append(event)
        return (AccountOutcome(state(), self.changes),)

    def command(self, command: AnyCommand, who: str) -> AccountOutcome:
        self._fail()
        self.commands.append((command, who))
        return AccountOutcome(state(), self.changes, order() if command.kind in {"submit", "cancel", "replace"} else None)

    def kill(self, command: HaltTrading, who: str) -> AccountOutcome:
        return self.command(command, who)

    def query(self, account: str, at: datetime, who: str) -> AccountState:
        self._fail()
        self.asked.append(who)
        self.instants.append(at)
        return replace(state(), halt=Halt(HaltLevel.HALT, "ops", "looking", NOON))

    def on_minute(self, at: datetime) -> tuple[AccountOutcome, ...]:
        self.instants.append(at)
        return (AccountOutcome(state(), self.changes),)

    def take_missed(self) -> tuple[MissedTurn, ...]:
        return self.missed

    def take_denied(self) -> tuple[Refusal, ...]:
        return self.denied

    def publish(self) -> int:
        self.publishes += 1
        if self.publish_error is not None:
            raise self.publish_error
        return 2

    def _fail(self) -> None:
        if self.error is not None:
            raise self.error


def request(
    method: str, path: str, body: object = None, *, query: dict[str, str] | None = None, who: str | None = WHO
) -> dict[str, Any]:
    """A request as API Gateway's HTTP API (payload format 2.0) hands it to a function behind AWS_IAM."""
    iam = {
        "accessKey": "AKIDEXAMPLE", "accountId": "123456789012", "callerId": "AIDEXAMPLE", "cognitoIdentity": None,
        "principalOrgId": None, "userArn": who, "userId": "AIDEXAMPLE",
    }  # fmt: skip
    return {
        "version": "2.0",
        "routeKey": f"{method} {path}",
        "rawPath": path,
        "rawQueryString": "&".join(f"{k}={v}" for k, v in (query or {}).items()),
        "headers": {"content-type": "application/json", "host": "api.example"},
        "queryStringParameters": query,
        "requestContext": {
            "accountId": "123456789012", "apiId": "api", "domainName": "api.example", "domainPrefix": "api",
            "http": {"method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "203.0.113.7", "userAgent": "curl"},
            "requestId": "r", "routeKey": f"{method} {path}", "stage": "$default", "time": "01/Mar/2024:12:00:01 +0000",
            "timeEpoch": int(NOON.timestamp() * 1000) + 1000,
            **({"authorizer": {"iam": iam}} if who else {}),
        },
        "body": body if isinstance(body, str) or body is None else json.dumps(body),
        "isBase64Encoded": False,
    }  # fmt: skip


def answer(
    load: Callable[[str], ModuleType], service: FakeService | RecordingService, event: dict[str, Any]
) -> tuple[int, dict[str, Any]]:
    found = load("manage_orders").make_handler(service)(event, CONTEXT)
    is_problem = found["statusCode"] >= 400
    assert found["headers"]["Content-Type"] == ("application/problem+json" if is_problem else "application/json")
    return found["statusCode"], json.loads(found["body"])


class TestQueue:
    def test_events_of_the_bus_are_handled_and_what_they_changed_is_counted(
        self, load: Callable[[str], ModuleType], capsys: pytest.CaptureFixture[str]
    ) -> None:
        service = FakeService(HALTED)
        assert load("manage_orders").make_handler(service)(sqs(CYCLE, queue="trading.fifo"), CONTEXT) == {"batchItemFailures": []}
        assert (service.events, service.publishes) == ([CYCLE], 1)
        values = metric_values(logged(capsys))
        assert values["TradingHalts"] == 1
        assert "TradesOpened" not in values  # nothing is not counted: each hour of a metric is paid for

    def test_what_somebody_may_not_is_counted(
        self, load: Callable[[str], ModuleType], capsys: pytest.CaptureFixture[str]
    ) -> None:
        service = FakeService()
        service.denied = (Refusal(ACCOUNT, WHO, "halt", Role.OPERATOR, Role.VIEWER),)
        load("manage_orders").make_handler(service)(sqs(CYCLE, queue="trading.fifo"), CONTEXT)
        assert metric_values(logged(capsys))["AccessRefused"] == 1

    def test_a_failing_message_blocks_those_behind_it_and_committed_events_are_published(
        self, load: Callable[[str], ModuleType]
    ) -> None:
        service = FakeService(error=ConnectionError("the ledger is away"))
        found = load("manage_orders").make_handler(service)(sqs(CYCLE, CYCLE, CYCLE, queue="trading.fifo"), CONTEXT)
        assert [f["itemIdentifier"] for f in found["batchItemFailures"]] == ["m0", "m1", "m2"]
        assert service.publishes == 1

    def test_a_command_of_the_queue_is_the_one_of_the_api_and_its_sender_is_who_asks(
        self, load: Callable[[str], ModuleType]
    ) -> None:
        service = FakeService()
        message = sqs(json.dumps({**ORDER, "kind": "submit"}), queue="trading.fifo")
        assert load("manage_orders").make_handler(service)(message, CONTEXT) == {"batchItemFailures": []}
        answer(load, service, request("POST", "/orders", ORDER))
        (queued, by_queue), (posted, by_http) = service.commands
        assert queued == posted
        assert (by_queue, by_http) == ("AIDEXAMPLE", WHO)

    def test_a_command_from_the_future_would_carry_the_account_there_and_is_not_taken(
        self, load: Callable[[str], ModuleType], capsys: pytest.CaptureFixture[str]
    ) -> None:
        service = FakeService()
        late = {**ORDER, "kind": "submit", "requested_at": (NOON + timedelta(minutes=1)).isoformat()}
        message = sqs(json.dumps(late), queue="trading.fifo")
        assert load("manage_orders").make_handler(service)(message, CONTEXT) == {"batchItemFailures": []}
        assert service.commands == []
        assert metric_values(logged(capsys))["EventsRefused"] == 1

    @pytest.mark.parametrize(
        "body",
        [
            "{",
            "[]",
            "[" * 200_000,
            json.dumps({"kind": "steal"}),
            json.dumps({"source": "signalbox", "detail-type": "X", "detail": {}}),
            json.dumps({"source": "signalbox", "detail-type": "CycleDecided", "detail": []}),
            json.dumps({"source": "signalbox", "detail-type": ["CycleDecided"], "detail": {}}),
            json.dumps({**ORDER, "kind": "submit", "account": "a\u0000b"}),
            json.dumps(
                {"kind": "halt", "account": ACCOUNT, "request_id": "req-1", "requested_at": NOON.isoformat(), "why": "no\u0000"}
            ),
        ],
    )
    def test_a_message_that_is_nothing_known_is_refused_and_holds_nothing_back(
        self, load: Callable[[str], ModuleType], capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture, body: str
    ) -> None:
        service = FakeService()
        found = load("manage_orders").make_handler(service)(sqs(body, CYCLE, queue="trading.fifo"), CONTEXT)
        assert (found, service.events) == ({"batchItemFailures": []}, [CYCLE])
        assert [vars(r)["body"] for r in caplog.records if r.getMessage() == "message_refused"] == [body[:4000]]
        assert metric_values(logged(capsys))["EventsRefused"] == 1

    @pytest.mark.parametrize(
        "error", [AccountError("account 'x' does not exist"), OrderUnknownError("x has no order"), OrderTermsError("no")]
    )
    def test_what_no_account_takes_is_refused_and_not_tried_again(
        self, load: Callable[[str], ModuleType], capsys: pytest.CaptureFixture[str], error: Exception
    ) -> None:
        found = load("manage_orders").make_handler(FakeService(error=error))(sqs(CYCLE, queue="trading.fifo"), CONTEXT)
        assert found == {"batchItemFailures": []}
        assert metric_values(logged(capsys))["EventsRefused"] == 1

    def test_a_row_that_the_ledger_refuses_is_refused_for_good(
        self, load: Callable[[str], ModuleType], capsys: pytest.CaptureFixture[str]
    ) -> None:
        found = load("manage_orders").make_handler(FakeService(error=RowRefusedError("no column")))(
            sqs(CYCLE, queue="trading.fifo"), CONTEXT
        )
        assert found == {"batchItemFailures": []}
        assert metric_values(logged(capsys))["EventsRefused"] == 1

    def test_missed_turns_are_told_apart_by_whether_they_come_again(
        self, load: Callable[[str], ModuleType], capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
    ) -> None:
        service = FakeService()
        service.missed = (
            MissedTurn("a-1", UnpricedError("no price"), is_final=False),
            MissedTurn("a-2", AccountError("gone"), is_final=True),
        )
        load("manage_orders").make_handler(service)(sqs(CYCLE, queue="trading.fifo"), CONTEXT)
        values = metric_values(logged(capsys))
        assert (values["TurnsMissed"], values["EventsRefused"]) == (1, 1)
        reported = {r.getMessage(): vars(r)["account"] for r in caplog.records if r.getMessage().startswith("turn_")}
        assert reported == {"turn_missed": "a-1", "turn_refused": "a-2"}

    def test_a_halt_comes_by_the_kill_switchs_queue_and_nothing_else_does(
        self, load: Callable[[str], ModuleType], capsys: pytest.CaptureFixture[str]
    ) -> None:
        service = FakeService()
        output = {"account": ACCOUNT, "request_id": "req-0001", "requested_at": NOON.isoformat(), "why": "news"}
        bodies = [json.dumps({**output, "kind": kind}) for kind in ("resume", "halt")]
        others = [
            json.dumps({**ORDER, "kind": "submit"}),
            message_of(CYCLE),
        ]
        found = load("manage_orders").make_handler(service)(sqs(*bodies, *others, queue="kill-switch"), CONTEXT)
        assert found == {"batchItemFailures": []}
        assert ([command.kind for command, _ in service.commands], service.events) == (["halt"], [])
        assert metric_values(logged(capsys))["EventsRefused"] == 3

    def test_a_command_for_an_account_without_a_price_is_retried_before_those_behind_it(
        self, load: Callable[[str], ModuleType], capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
    ) -> None:
        service = FakeService(error=UnpricedError("holds BTC-USD, which has no price yet"))
        handler = load("manage_orders").make_handler(service)
        commands = [json.dumps({**ORDER, "kind": "submit", "request_id": f"req-{n:04}"}) for n in range(2)]
        found = handler(sqs(*commands, queue="trading.fifo"), CONTEXT)
        assert [f["itemIdentifier"] for f in found["batchItemFailures"]] == ["m0", "m1"]
        reported = [(vars(r)["message_id"], vars(r)["reason"]) for r in caplog.records if r.getMessage() == "message_postponed"]
        assert reported == [("m0", "holds BTC-USD, which has no price yet")]
        assert "EventsRefused" not in metric_values(logged(capsys))
        service.error = None  # the next bar came
        assert handler(sqs(*commands, queue="trading.fifo"), CONTEXT) == {"batchItemFailures": []}
        assert [command.request_id for command, _ in service.commands] == ["req-0000", "req-0001"]

    @pytest.mark.parametrize("report", REPORTS, ids=lambda report: report.type)
    def test_a_report_of_the_executor_is_believed_and_no_other(
        self,
        load: Callable[[str], ModuleType],
        capsys: pytest.CaptureFixture[str],
        caplog: pytest.LogCaptureFixture,
        report: BusEvent,
    ) -> None:
        service = FakeService()
        another = SigningKey.of("x" * 64)
        forged = [
            message_of(report, report.to_detail()),  # as whoever may put events on the bus would write it
            message_of(report, {**detail_of(report), "account": "live-2"}),
            message_of(report, sealed(report.type, report.to_detail(), another)),
            message_of(report, sealed(report.type, report.to_detail(), SigningKey(REPORT_KEY.key_id, another.secret))),
        ]
        handler = load("manage_orders").make_handler(service)
        assert handler(sqs(*forged, message_of(report), queue="trading.fifo"), CONTEXT) == {"batchItemFailures": []}
        assert service.events == [report]  # and what is behind a forgery is not held back
        assert metric_values(logged(capsys))["ReportsRefused"] == len(forged)
        assert len([r for r in caplog.records if r.getMessage() == "report_refused"]) == len(forged)

    def test_without_the_executors_keys_no_report_is_believed(
        self, load: Callable[[str], ModuleType], capsys: pytest.CaptureFixture[str]
    ) -> None:
        service = FakeService()
        service.report_keys = None
        handler = load("manage_orders").make_handler(service)
        assert handler(sqs(message_of(REPORTS[0]), queue="trading.fifo"), CONTEXT) == {"batchItemFailures": []}
        assert (service.events, metric_values(logged(capsys))["ReportsRefused"]) == ([], 1)

    def test_a_report_whose_key_cannot_be_read_now_comes_again(
        self, load: Callable[[str], ModuleType], capsys: pytest.CaptureFixture[str]
    ) -> None:
        class Away:
            def find(self, key_id: str) -> SigningKey | None:
                raise KeyUnavailableError(key_id)

        service = FakeService()
        service.report_keys = Away()
        found = load("manage_orders").make_handler(service)(sqs(message_of(REPORTS[0]), queue="trading.fifo"), CONTEXT)
        assert [f["itemIdentifier"] for f in found["batchItemFailures"]] == ["m0"]
        assert "ReportsRefused" not in metric_values(logged(capsys))

    def test_an_unpublished_outbox_does_not_fail_what_is_committed(self, load: Callable[[str], ModuleType]) -> None:
        service = FakeService()
        service.publish_error = ConnectionError("the bus is away")
        assert load("manage_orders").make_handler(service)(sqs(CYCLE, queue="trading.fifo"), CONTEXT) == {"batchItemFailures": []}

    def test_an_account_that_differs_from_its_configuration_is_told_once(
        self, load: Callable[[str], ModuleType], capsys: pytest.CaptureFixture[str]
    ) -> None:
        service = FakeService()
        service.refused = {ACCOUNT: "exists with another configuration"}
        handler = load("manage_orders").make_handler(service)
        handler(sqs(CYCLE, queue="trading.fifo"), CONTEXT)
        handler(sqs(CYCLE, queue="trading.fifo"), CONTEXT)
        assert "OrdersRefused" not in metric_values(logged(capsys))
        assert service.refused == {}


class TestApi:
    def test_an_order_is_submitted_in_the_name_of_the_iam_identity_and_comes_back(
        self, load: Callable[[str], ModuleType]
    ) -> None:
        service = FakeService()
        status, body = answer(load, service, request("POST", "/orders", ORDER))
        ((command, who),) = service.commands
        assert (status, command.kind, who) == (201, "submit", WHO)
        assert (body["account"], body["order"]["state"], body["order"]["quantity"]) == (ACCOUNT, "INITIALIZED", "0.5")
        assert service.publishes == 1

    @pytest.mark.parametrize(
        ("method", "path", "body", "query", "at"),
        [
            ("POST", f"/accounts/{ACCOUNT}/halt", {"account": "live-1", "request_id": "req-3", "why": "news"}, None, "#/account"),
            (
                "POST",
                f"/accounts/{ACCOUNT}/resume",
                {"account": "live-1", "request_id": "req-4", "why": "news"},
                None,
                "#/account",
            ),
            ("POST", f"/accounts/{ACCOUNT}/resume", {"kind": "halt", "request_id": "req-4", "why": "news"}, None, "#/kind"),
            ("PUT", f"/accounts/{ACCOUNT}", {"account": "live-1", "request_id": "req-5"}, None, "#/account"),
            ("POST", f"/accounts/{ACCOUNT}/withdraw", {"account": None, "request_id": "r-6", "amount": "1"}, None, "#/account"),
            ("POST", "/orders", {**ORDER, "kind": "halt"}, None, "#/kind"),
            ("PUT", f"/orders/{KEY}", {"client_order_id": "cd" * 16, "account": ACCOUNT}, None, "#/client_order_id"),
            ("DELETE", f"/orders/{KEY}", {"client_order_id": "cd" * 16}, {"account": ACCOUNT}, "#/client_order_id"),
            ("DELETE", f"/orders/{KEY}", {"account": "live-1"}, {"account": ACCOUNT, "request_id": "req-7"}, "#/account"),
        ],
    )
    def test_a_request_that_names_two_things_in_one_place_is_refused(
        self,
        load: Callable[[str], ModuleType],
        method: str,
        path: str,
        body: dict[str, Any],
        query: dict[str, Any] | None,
        at: str,
    ) -> None:
        service = FakeService()
        status, output = answer(load, service, request(method, path, body, query=query))
        assert (status, pointers(output), service.commands) == (422, [at], [])

    def test_a_request_may_name_the_same_twice(self, load: Callable[[str], ModuleType]) -> None:
        service = FakeService()
        output = {"account": ACCOUNT, "kind": "halt", "request_id": "req-3", "why": "news"}
        assert answer(load, service, request("POST", f"/accounts/{ACCOUNT}/halt", output))[0] == 200
        assert [command.account for command, _ in service.commands] == [ACCOUNT]

    def test_numbers_are_taken_as_they_were_written(self, load: Callable[[str], ModuleType]) -> None:
        service = FakeService()
        text = json.dumps(ORDER).replace('"0.5"', "0.10000000000000001")
        assert answer(load, service, request("POST", "/orders", text))[0] == 201
        ((command, _),) = service.commands
        assert isinstance(command, SubmitOrder)
        assert command.quantity == Decimal("0.10000000000000001")

    @pytest.mark.parametrize(
        ("method", "path", "body", "kind"),
        [
            ("PUT", f"/orders/{KEY}", {"account": ACCOUNT, "request_id": "req-2", "quantity": "2"}, "replace"),
            ("POST", f"/accounts/{ACCOUNT}/halt", {"request_id": "req-3", "why": "news", "level": "FLATTEN"}, "halt"),
            ("POST", f"/accounts/{ACCOUNT}/resume", {"request_id": "req-4", "why": "looked"}, "resume"),
            ("PUT", f"/accounts/{ACCOUNT}", {"request_id": "req-5"}, "open"),
        ],
    )
    def test_a_request_without_an_instant_has_the_gateways(
        self, load: Callable[[str], ModuleType], method: str, path: str, body: dict[str, Any], kind: str
    ) -> None:
        service = FakeService()
        assert answer(load, service, request(method, path, body))[0] == 200
        ((command, _),) = service.commands
        assert (command.kind, command.account) == (kind, ACCOUNT)
        assert command.requested_at == NOON + timedelta(seconds=1)

    def test_a_cancel_names_its_account_in_the_query(self, load: Callable[[str], ModuleType]) -> None:
        service = FakeService()
        event = request("DELETE", f"/orders/{KEY}", query={"account": ACCOUNT, "request_id": "req-2"})
        assert answer(load, service, event)[0] == 200
        ((command, _),) = service.commands
        assert isinstance(command, CancelOrder)
        assert (command.kind, command.client_order_id) == ("cancel", KEY)

    def test_an_account_is_shown_at_the_gateways_instant_with_what_stops_it(self, load: Callable[[str], ModuleType]) -> None:
        service = FakeService()
        status, body = answer(load, service, request("GET", f"/accounts/{ACCOUNT}"))
        assert (status, body["capital"], body["equity"], body["halt"]["who"]) == (200, "100000", "100000", "ops")
        assert service.instants == [NOON + timedelta(seconds=1)]

    @pytest.mark.parametrize(
        ("changes", "at"),
        [
            ({"quantity": "-1"}, "#/quantity"),
            ({"side": "LONG"}, "#/side"),
            ({"leverage": 5}, "#/leverage"),
            ({"symbol": "x"}, "#/symbol"),
        ],
    )
    def test_a_value_that_cannot_be_is_422_and_named(
        self, load: Callable[[str], ModuleType], changes: dict[str, Any], at: str
    ) -> None:
        service = FakeService()
        status, body = answer(load, service, request("POST", "/orders", {**ORDER, **changes}))
        assert (status, kind_of(body), pointers(body)) == (422, "invalid-request", [at])
        assert service.commands == []

    @pytest.mark.parametrize(
        "body",
        [{k: v for k, v in ORDER.items() if k != "requested_at"}, {**ORDER, "requested_at": "2024-03-01T11:00:00Z"}],
    )
    def test_a_body_of_another_time_is_409_with_what_is_wrong(self, load: Callable[[str], ModuleType], body: object) -> None:
        service = FakeService()
        status, found = answer(load, service, request("POST", "/orders", body))
        assert (status, service.commands) == (409, [])
        assert found["detail"].startswith("requested_at:")

    @pytest.mark.parametrize(
        "body",
        [
            "{",
            "[1]",
            "[" * 200_000,
            '{"a":' * 100_000,
            json.dumps({**ORDER, "x": "\u0000"}),
            json.dumps(ORDER)[:-1] + ', "account": "another"}',
            json.dumps({**ORDER, "x": "y" * 70_000}),
            '{"quantity": NaN}',
            '{"quantity": ' + "9" * 5000 + "}",
        ],
    )
    def test_a_body_that_cannot_be_read_is_400(self, load: Callable[[str], ModuleType], body: str) -> None:
        service = FakeService()
        status, found = answer(load, service, request("POST", "/orders", body))
        assert (status, kind_of(found), service.commands) == (400, "unreadable", [])

    @pytest.mark.parametrize("body", [b"\xff\xfe", b"[" * 200_000])
    def test_a_body_in_base64_is_read_as_strictly(self, load: Callable[[str], ModuleType], body: bytes) -> None:
        asked = request("POST", "/orders", b64encode(body).decode()) | {"isBase64Encoded": True}
        assert answer(load, FakeService(), asked)[0] == 400

    @pytest.mark.parametrize("name", ["ab" * 15 + "\x00\x00", "ab" * 15 + "\ud800b"])
    def test_a_path_with_what_no_ledger_takes_leads_nowhere(self, load: Callable[[str], ModuleType], name: str) -> None:
        service = FakeService()
        status, _ = answer(load, service, request("DELETE", f"/orders/{name}", {"account": ACCOUNT, "request_id": "req-0002"}))
        assert (status, service.commands) == (404, [])

    @pytest.mark.parametrize("why", ["no\nno", "no\tno", "ab\u202ecd", "ab\u2028cd"])
    def test_a_reason_is_one_line_of_text(self, load: Callable[[str], ModuleType], why: str) -> None:
        output = {"request_id": "req-0003", "why": why}
        status, found = answer(load, FakeService(), request("POST", f"/accounts/{ACCOUNT}/halt", output))
        assert (status, pointers(found)) == (422, ["#/why"])

    def test_what_the_ledger_refuses_is_422(self, load: Callable[[str], ModuleType]) -> None:
        status, found = answer(load, FakeService(error=RowRefusedError("no column")), request("POST", "/orders", ORDER))
        assert (status, kind_of(found)) == (422, "row-refused")

    @pytest.mark.parametrize(
        ("error", "status", "name"),
        [
            (AccountError("account 'x' does not exist"), 404, "account-not-found"),
            (OrderUnknownError("x has no order"), 404, "order-not-found"),
            (CommandError("may not trade live"), 409, "command-refused"),
            (UnpricedError("BTC-USD has no price yet"), 409, "account-unpriced"),
        ],
    )
    def test_what_is_refused_says_why(self, load: Callable[[str], ModuleType], error: Exception, status: int, name: str) -> None:
        found, body = answer(load, FakeService(error=error), request("POST", "/orders", ORDER))
        assert (found, body["status"], kind_of(body), body["detail"]) == (status, status, name, str(error))

    @pytest.mark.parametrize("route", ["grant", "revoke"])
    def test_a_wrong_value_of_an_access_command_is_named_by_its_pointer(
        self, load: Callable[[str], ModuleType], route: str
    ) -> None:
        facts = {"request_id": "req-0001", "principal": "arn:aws:iam::123456789012:user/ben", "role": "emperor"}
        status, found = answer(load, FakeService(), request("POST", f"/accounts/{ACCOUNT}/{route}", facts))
        assert (status, pointers(found)) == (422, ["#/role"])

    def test_a_row_that_nobody_can_read_is_not_an_account_that_is_not_there(self, load: Callable[[str], ModuleType]) -> None:
        service = FakeService(error=AccountUnreadableError("the configuration in its ledger row is invalid at capital"))
        status, found = answer(load, service, request("GET", f"/accounts/{ACCOUNT}"))
        assert (status, kind_of(found)) == (500, "account-unreadable")

    def test_a_problem_names_its_occurrence_as_the_gateways_log_does(self, load: Callable[[str], ModuleType]) -> None:
        _, found = answer(load, FakeService(), request("GET", "/secrets"))
        assert (found["instance"], found["status"], kind_of(found)) == ("urn:signalbox:request:r", 404, "no-route")

    @pytest.mark.parametrize(("method", "path"), [("POST", "/orders"), ("GET", f"/accounts/{ACCOUNT}")])
    def test_a_request_nobody_signed_is_refused_even_if_the_gateway_let_it_through(
        self, load: Callable[[str], ModuleType], method: str, path: str
    ) -> None:
        service = FakeService()
        status, body = answer(load, service, request(method, path, ORDER if method == "POST" else None, who=None))
        assert (status, kind_of(body), service.commands, service.instants) == (403, "unsigned", [], [])

    def test_an_unknown_route_is_404_as_json(self, load: Callable[[str], ModuleType]) -> None:
        assert answer(load, FakeService(), request("GET", "/secrets"))[0] == 404


class RecordingService(TradingService):
    """A real trading service on a ledger in memory, as the handler calls the application. Who may do what is test_access.py's."""

    refused: ClassVar[dict[str, str]] = {}
    person_keys: ClassVar[AcceptedKeys | None] = None

    def command(self, command: AnyCommand, who: str) -> AccountOutcome:
        return self.on_command(command, who)

    @override
    def query(self, account: str, at: datetime, who: str) -> AccountState:  # type: ignore[override]
        return super().query(account, at)

    @override
    def readiness_report(self, account: str, at: datetime, who: str) -> ReadinessReport:  # type: ignore[override]
        return super().readiness_report(account, at)

    def listed(self, at: datetime, who: str) -> tuple[TradingAccount, ...]:
        return self.accounts()

    def take_denied(self) -> tuple[Refusal, ...]:
        return ()

    def take_missed(self) -> tuple[MissedTurn, ...]:
        return ()

    def publish(self) -> int:
        return 0


_FIELDS = {
    "": ("request_id",),
    "/halt": ("request_id", "why"),
    "/resume": ("request_id", "why"),
    "/lots": ("request_id", "method"),
}
CONFIGURATION = {"kind": "ftmo-2step", "capital": "50000", "venue": "coinbase", "mode": "live", "phase": "challenge"}


class TestLiveAccounts:
    def test_a_live_account_is_opened_confirmed_by_name_and_says_what_is_still_missing(
        self, load: Callable[[str], ModuleType]
    ) -> None:
        service = RecordingService(MemoryTradingLedger(), "coinbase")
        opening = {"request_id": "req-open", "configuration": CONFIGURATION}
        status, body = answer(load, service, request("PUT", "/accounts/live-1", opening))
        assert (status, body["mode"], body["venue"], body["capital"]) == (200, "live", "coinbase", "50000")
        _, body = answer(load, service, request("GET", "/accounts/live-1/readiness"))
        assert {one["code"] for one in body["reasons"]} == {
            "MODE_NOT_CONFIRMED", "RULES_NOT_CONFIRMED", "MODEL_NOT_ACTIVE", "NOT_COMPARED", "SECRETS_MISSING", "DATA_STALE",
        }  # fmt: skip
        assert all(one["found"] and one["remedy"] for one in body["reasons"])
        live, *_, rules = body["may_confirm"]
        for i, what in enumerate((live, rules)):
            assert (
                answer(load, service, request("POST", "/accounts/live-1/confirm", {"request_id": f"say-{i}", "what": what}))[0]
                == 200
            )
        _, body = answer(load, service, request("GET", "/accounts/live-1/readiness"))
        assert (body["is_ready"], body["mode_set"]["who"], body["rules_confirmed"]["what"]) == (False, WHO, rules)
        assert {one["code"] for one in body["reasons"]} == {"MODEL_NOT_ACTIVE", "NOT_COMPARED", "SECRETS_MISSING", "DATA_STALE"}
        _, body = answer(load, service, request("GET", "/accounts"))
        assert [(one["account"], one["mode"]) for one in body["accounts"]] == [("live-1", "live")]

    def test_the_standing_order_of_the_lots_is_given_by_name(self, load: Callable[[str], ModuleType]) -> None:
        service = RecordingService(MemoryTradingLedger(), "coinbase")
        answer(load, service, request("PUT", "/accounts/paper-10k", {"request_id": "req-open"}))
        output = {"request_id": "req-lots", "method": "HIFO"}
        status, body = answer(load, service, request("POST", "/accounts/paper-10k/lots", output))
        assert (status, body["lot_method"]) == (200, "HIFO")
        status, body = answer(load, service, request("POST", "/accounts/paper-10k/lots", {**output, "method": "BEST"}))
        assert (status, pointers(body)[0]) == (422, "#/method")

    def test_an_account_that_exists_as_another_stays_as_it_is(self, load: Callable[[str], ModuleType]) -> None:
        service = RecordingService(MemoryTradingLedger(), "coinbase")
        opening = {"request_id": "req-open", "configuration": CONFIGURATION}
        assert answer(load, service, request("PUT", "/accounts/live-1", opening))[0] == 200
        assert answer(load, service, request("PUT", "/accounts/live-1", opening))[0] == 200
        other = {**opening, "configuration": {**CONFIGURATION, "capital": "60000"}}
        status, body = answer(load, service, request("PUT", "/accounts/live-1", other))
        assert (status, kind_of(body)) == (409, "account-differs")

    @pytest.mark.parametrize(
        ("change", "at"),
        [
            ({"capital": "-1"}, "#/configuration/capital"),
            ({"kind": "hedge-fund"}, "#/configuration/kind"),
            ({"policy": "yolo"}, "#/configuration/policy"),
            ({"confirmed": "live"}, "#/configuration/confirmed"),
            ({"venue": "paper"}, "#"),
            ({"phase": "endgame"}, "#"),
        ],
    )
    def test_a_configuration_that_cannot_be_is_422_and_nothing_is_opened(
        self, load: Callable[[str], ModuleType], change: dict[str, str], at: str
    ) -> None:
        service = RecordingService(MemoryTradingLedger(), "coinbase")
        body = {"request_id": "req-open", "configuration": CONFIGURATION | change}
        status, found = answer(load, service, request("PUT", "/accounts/live-1", body))
        assert (status, pointers(found)) == (422, [at])
        assert service.accounts() == ()

    @pytest.mark.parametrize(
        ("method", "path"),
        [("GET", ""), ("GET", "/readiness"), ("PUT", ""), ("POST", "/halt"), ("POST", "/resume"), ("POST", "/lots")],
    )
    @pytest.mark.parametrize("name", ["LIVE", "-live", "live_1", "a" * 41])
    def test_a_name_that_no_account_can_have_is_422_on_every_route(
        self, load: Callable[[str], ModuleType], method: str, path: str, name: str
    ) -> None:
        output = {"request_id": "req-name", "why": "looking", "method": "FIFO"}
        body = None if method == "GET" else {key: output[key] for key in _FIELDS[path]}
        service = RecordingService(MemoryTradingLedger(), "coinbase")
        status, found = answer(load, service, request(method, f"/accounts/{name}{path}", body))
        assert (status, kind_of(found), pointers(found)) == (422, "invalid-request", ["#/account"])

    @pytest.mark.parametrize("name", ["nonsense", "ftmo-9step-100k", "paper-0k"])
    def test_a_name_that_describes_no_account_without_a_configuration_is_422(
        self, load: Callable[[str], ModuleType], name: str
    ) -> None:
        service = RecordingService(MemoryTradingLedger(), "coinbase")
        status, found = answer(load, service, request("PUT", f"/accounts/{name}", {"request_id": "req-open"}))
        assert (status, pointers(found)[0], service.accounts()) == (422, "#/account", ())
        assert "ftmo-2step-100k" in found["errors"][0]["detail"]

    @pytest.mark.parametrize("path", ["", "/readiness"])
    def test_a_name_that_could_be_one_and_is_none_is_404(self, load: Callable[[str], ModuleType], path: str) -> None:
        status, found = answer(
            load, RecordingService(MemoryTradingLedger(), "coinbase"), request("GET", f"/accounts/paper-9k{path}")
        )
        assert (status, kind_of(found)) == (404, "account-not-found")

    def test_words_that_do_not_fit_the_account_are_409_and_named(self, load: Callable[[str], ModuleType]) -> None:
        service = RecordingService(MemoryTradingLedger(), "coinbase")
        answer(load, service, request("PUT", f"/accounts/{ACCOUNT}", {"request_id": "req-open"}))
        status, body = answer(
            load, service, request("POST", f"/accounts/{ACCOUNT}/confirm", {"request_id": "say-1", "what": "live"})
        )
        assert (status, "'paper', 'withdrawn', 'ftmo-2step" in body["detail"]) == (409, True)

    def test_one_request_confirms_one_thing_of_one_person(self, load: Callable[[str], ModuleType]) -> None:
        service = RecordingService(MemoryTradingLedger(), "coinbase")
        answer(load, service, request("PUT", "/accounts/live-1", {"request_id": "req-open", "configuration": CONFIGURATION}))
        output = {"request_id": "say-1", "what": "live"}
        assert [answer(load, service, request("POST", "/accounts/live-1/confirm", output))[0] for _ in range(2)] == [200, 200]
        other = request("POST", "/accounts/live-1/confirm", {**output, "what": "withdrawn"})
        assert answer(load, service, other)[0] == 409
        assert answer(load, service, request("POST", "/accounts/live-1/confirm", output, who=f"{WHO}-2"))[0] == 409

    @pytest.mark.parametrize("path", ["/accounts", "/accounts/live-1/readiness"])
    def test_nobody_unsigned_sees_them(self, load: Callable[[str], ModuleType], path: str) -> None:
        assert answer(load, RecordingService(MemoryTradingLedger(), "coinbase"), request("GET", path, who=None))[0] == 403


class TestMonitorRisk:
    def test_the_scheduled_instant_is_the_clock_and_every_run_is_counted(
        self, load: Callable[[str], ModuleType], capsys: pytest.CaptureFixture[str]
    ) -> None:
        service = FakeService(HALTED)
        found = load("monitor_risk").make_handler(service)(
            {"job": "monitor_risk", "scheduled_at": "2024-03-01T12:00:00Z"}, CONTEXT
        )
        assert (found, service.instants, service.publishes) == (
            {"accounts": 1, "halts": 1},
            [datetime(2024, 3, 1, 12, tzinfo=UTC)],
            1,
        )
        values = metric_values(logged(capsys))
        assert values["TradingHalts"] == 1

    def test_an_unpublished_outbox_does_not_fail_the_run(self, load: Callable[[str], ModuleType]) -> None:
        service = FakeService()
        service.publish_error = ConnectionError("the bus is away")
        handler = load("monitor_risk").make_handler(service)
        assert handler({"job": "monitor_risk", "scheduled_at": "2024-03-01T12:00:00Z"}, CONTEXT) == {"accounts": 1, "halts": 0}

    @pytest.mark.filterwarnings("ignore:No application metrics")
    def test_an_instant_of_the_future_fails_the_call_and_reaches_no_account(self, load: Callable[[str], ModuleType]) -> None:
        service = FakeService()
        ahead = (datetime.now(UTC) + timedelta(days=1)).isoformat()
        with pytest.raises(InstantAheadError, match="scheduled_at"):
            load("monitor_risk").make_handler(service)({"job": "monitor_risk", "scheduled_at": ahead}, CONTEXT)
        assert (service.instants, service.publishes) == ([], 0)

    @pytest.mark.filterwarnings("ignore:No application metrics")
    def test_an_unresolved_instant_is_refused(self, load: Callable[[str], ModuleType]) -> None:
        service = FakeService()
        with pytest.raises(ValidationError):
            load("monitor_risk").make_handler(service)({"job": "x", "scheduled_at": "<aws.scheduler.scheduled-time>"}, CONTEXT)
        assert service.instants == []


def test_no_account_listens_to_the_staleness_of_a_symbol() -> None:
    from signalbox.trading.service import UnexpectedEventError, instant_of  # noqa: PLC0415 - the subject of this test alone

    with pytest.raises(UnexpectedEventError, match="MarketDataStale"):
        instant_of(MarketDataStale(symbol="BTC-USD", since=NOON, reason="x", newest_close=None))
