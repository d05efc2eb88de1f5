"""The function over a real (emulated) cloud and the exchange's stand-in: queue message in, bus events out."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from types import ModuleType
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from moto import mock_aws
from typing_extensions import override

from local.market.simulator import SimulatedSource
from local.stand_ins.faults import Fault, TradingFault
from local.stand_ins.trading import API_KEY, API_SECRET, PASSPHRASE, TradingStandIn
from signalbox.adapters.aws.bus import BusError
from signalbox.adapters.aws.mailboxes import Mailboxes
from signalbox.adapters.aws.sends import DynamoSendLog, newest_number, next_number
from signalbox.adapters.aws.trading_queue import Door, handle_message
from signalbox.adapters.venues.mt5_mailbox import EnvelopeError, MailboxDirection, open_envelope, require_key, seal
from signalbox.application.execute_orders import ExecuteOrders
from signalbox.bootstrap.execute_orders import compose
from signalbox.bootstrap.settings import ExecuteOrdersSettings, SettingsError
from signalbox.bootstrap.venue_accounts import SecretVenues
from signalbox.contracts import SIGNED_REPORTS, Env, MailboxQueue, SealKey, mailbox_key_name, mailbox_queue_name
from signalbox.events import BusEvent, MarketDataStale
from signalbox.orders.agent_answers import CommandRefusal, CommandRefused, CommandTaken
from signalbox.orders.events import OrderRejected, OrderSubmitted
from signalbox.orders.messages import (
    ExecutionReported,
    ExecutionRequested,
    OrderInstruction,
    VenueViewReported,
    VenueViewRequested,
)
from signalbox.orders.terms import OrderTerms, OrderType
from signalbox.orders.venue_port import Replacement, VenueBusyError, VenueRefusedError
from signalbox.orders.venue_view import VenueOrder, VenueStatus
from signalbox.risk.snapshot import HaltLevel
from signalbox.signing import SigningKey, open_message
from signalbox.trading.commands import HaltTrading
from tests.builders import BTC
from tests.fakes.keys import (
    REPORT_KEY,
    REPORT_KEYS,
    REPORT_TEXT,
    REQUEST_KEY,
    REQUEST_TEXT,
    change_key,
    detail_of,
    made_keys,
    message_of,
)
from tests.fakes.keys import sealed as sealed_event
from tests.fakes.lambda_context import FakeLambdaContext
from tests.unit.orders.samples import submission, terms

if TYPE_CHECKING:
    from mypy_boto3_sqs.literals import QueueAttributeNameType

pytestmark = [pytest.mark.usefixtures("aws")]
LIVE, FTMO, OTHER, NOBODY = "live-1", "ftmo-1", "ftmo-2", "nobody-1"
KEYS = {FTMO: "k" * 32, OTHER: "o" * 32}
KEY = KEYS[FTMO]
REPORTS = mailbox_queue_name("test", FTMO, MailboxQueue.REPORTS)
LATER = datetime.now(UTC) + timedelta(hours=12)
NOW = datetime.now(UTC) - timedelta(minutes=30)  # when this was imported may be long ago


def now_terms(account: str, **changes: Any) -> OrderTerms:
    return terms(**{"account": account, "quantity": "0.1", "decided_at": NOW, "send_before": NOW + timedelta(hours=12)} | changes)


def asked(account: str = LIVE, venue: str = "coinbase", **changes: Any) -> ExecutionRequested:
    return submission(now_terms(account, **changes), NOW, venue)


def viewed(account: str = LIVE, venue: str = "coinbase") -> VenueViewRequested:
    return VenueViewRequested(account=account, venue=venue, at=NOW, since=NOW, orders=(), symbols=(BTC,))


class Cloud:
    """Bus to queue, table, secret, mailbox."""

    def __init__(self, venue_url: str) -> None:
        boto3.client("events").create_event_bus(Name="signalbox-test")
        self.sqs = boto3.client("sqs")
        fifo: dict[QueueAttributeNameType, str] = {"FifoQueue": "true"}
        names = {account: mailbox_queue_name("test", account, MailboxQueue.COMMANDS) for account in KEYS}
        self.commands = {
            account: self.sqs.create_queue(QueueName=name, Attributes=fifo)["QueueUrl"] for account, name in names.items()
        }
        self.checks = self.sqs.create_queue(QueueName="checks")["QueueUrl"]
        self.kill_switch = self.sqs.create_queue(QueueName="kill-switch")["QueueUrl"]
        self.bus = self.sqs.create_queue(QueueName="all")["QueueUrl"]
        arn = self.sqs.get_queue_attributes(QueueUrl=self.bus, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        events = boto3.client("events")
        events.put_rule(Name="all", EventBusName="signalbox-test", EventPattern='{"source": ["signalbox"]}')
        events.put_targets(Rule="all", EventBusName="signalbox-test", Targets=[{"Id": "q", "Arn": arn}])
        self.table = boto3.client("dynamodb")
        self.table.create_table(
            TableName="sends",
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        coinbase = {"venue": "coinbase", "api_key": API_KEY, "api_secret": API_SECRET, "passphrase": PASSPHRASE}
        self.secret = {"accounts": {LIVE: coinbase}}
        self.secrets = boto3.client("secretsmanager")
        self.secrets.create_secret(Name="exchange", SecretString=json.dumps(self.secret))
        made_keys(self.table, "signing-keys", {SealKey.REQUESTS: REQUEST_TEXT, SealKey.REPORTS: REPORT_TEXT})
        for account, key in KEYS.items():
            self.secrets.create_secret(Name=mailbox_key_name("test", account), SecretString=json.dumps({"current": key}))
        self.venue_url = venue_url

    def put_key(self, **keys: str) -> None:
        self.secrets.put_secret_value(SecretId=mailbox_key_name("test", FTMO), SecretString=json.dumps(keys))

    def app(self) -> ExecuteOrders:
        found = {
            Env.STAGE: "test",
            Env.EVENT_BUS_NAME: "signalbox-test",
            Env.EXCHANGE_SECRET_ARN: "exchange",
            Env.SIGNING_KEYS_TABLE: "signing-keys",
            Env.VENUE_URL: self.venue_url,
            Env.IDEMPOTENCY_TABLE: "sends",
            Env.MT5_ACCOUNTS: ",".join(KEYS),
            Env.MT5_CHECKS_QUEUE_URL: self.checks,
            Env.KILL_SWITCH_QUEUE_URL: self.kill_switch,
        }
        app = compose(ExecuteOrdersSettings.read({str(k): v for k, v in found.items()}))
        app.pause = lambda _wait: None
        return app

    def received(self, url: str) -> list[str]:
        found: list[str] = []
        while messages := self.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
            for message in messages:
                found.append(message["Body"])
                self.sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return found

    def announced(self) -> list[str]:
        return [json.loads(text)["detail-type"] for text in self.received(self.bus)]


class LiveExchange(TradingStandIn):
    """The exchange on the world's clock, as the function is: it refuses what was signed half a minute ago."""

    @property
    @override
    def now(self) -> datetime:
        return datetime.now(UTC)


@pytest.fixture
def exchange() -> Iterator[TradingStandIn]:
    stand_in = LiveExchange(SimulatedSource(7), (BTC,), datetime.now(UTC), requests_per_second=1000, burst=1000)
    stand_in.set_price(BTC, Decimal(50000))
    yield stand_in
    stand_in.close()


@pytest.fixture
def cloud(exchange: TradingStandIn) -> Iterator[Cloud]:
    with mock_aws():
        yield Cloud(exchange.url)


def kinds(reports: tuple[BusEvent, ...]) -> list[str]:
    return [event.kind for report in reports if isinstance(report, ExecutionReported) for event in report.events]


class TestApplication:
    def test_an_order_is_sent_and_its_fill_announced(self, cloud: Cloud, exchange: TradingStandIn) -> None:
        reports = cloud.app().carry_out(asked()).events
        assert kinds(reports) == ["OrderSubmitted", "OrderAccepted", "OrderFilled"]
        assert cloud.announced() == ["ExecutionReported"]
        assert len(exchange.orders) == 1

    def test_a_kill_between_send_and_report_is_followed_by_a_question(
        self, cloud: Cloud, exchange: TradingStandIn, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        killed = cloud.app()

        def dies(_events: object) -> None:
            raise SystemExit

        monkeypatch.setattr(killed.bus, "announce", dies)
        with pytest.raises(SystemExit):
            killed.carry_out(asked())
        assert cloud.announced() == []
        reports = cloud.app().carry_out(asked()).events
        assert kinds(reports) == ["OrderSubmitted", "OrderAccepted", "OrderFilled"]
        assert exchange.signed_requests.count("POST /orders") == 1

    def test_a_bus_that_fails_leaves_the_request_to_be_asked_again(
        self, cloud: Cloud, exchange: TradingStandIn, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        app = cloud.app()

        def refuses(_events: object) -> None:
            raise BusError("told to")

        monkeypatch.setattr(app.bus, "announce", refuses)
        with pytest.raises(BusError):
            app.carry_out(asked())
        assert kinds(cloud.app().carry_out(asked()).events)[-1] == "OrderFilled"
        assert len(exchange.orders) == 1

    @pytest.mark.parametrize(("request_", "reason"), [(asked(NOBODY), "CREDENTIALS"), (asked(LIVE, "kraken"), "NOT_SUPPORTED")])
    def test_an_account_without_credentials_for_its_venue_sends_nothing(
        self, cloud: Cloud, exchange: TradingStandIn, request_: ExecutionRequested, reason: str
    ) -> None:
        (report,) = cloud.app().carry_out(request_).events
        assert isinstance(report, ExecutionReported)
        assert [getattr(e, "reason", None) for e in report.events] == [reason]
        assert exchange.signed_requests == []

    def test_credentials_that_vanish_after_a_send_do_not_make_it_rejected(self, cloud: Cloud) -> None:
        request = asked(NOBODY)
        DynamoSendLog(cloud.table, "sends").begin(NOBODY, request.client_order_id, NOW)
        assert kinds(cloud.app().carry_out(request).events) == ["OrderSubmitted", "OrderUnconfirmed"]

    def test_a_view_is_announced(self, cloud: Cloud) -> None:
        (report,) = cloud.app().carry_out(viewed()).events
        assert isinstance(report, VenueViewReported)
        assert cloud.announced() == ["VenueViewReported"]

    def test_a_secret_of_another_shape_is_named_without_its_content(self, cloud: Cloud) -> None:
        cloud.secrets.put_secret_value(SecretId="exchange", SecretString='{"accounts": ["TOPSECRET"]}')
        with pytest.raises(SettingsError, match=r"wrong at accounts.*live-trading\.md") as caught:
            cloud.app().carry_out(asked())
        assert "TOPSECRET" not in str(caught.value)

    @pytest.mark.parametrize("slip", [{"venue": "coinbase", "api_key": "TOPSECRET"}, {"venue": "kraken"}, "TOPSECRET", None, {}])
    def test_a_slip_in_one_accounts_credentials_closes_its_venue_and_no_other(self, cloud: Cloud, slip: object) -> None:
        broken = {"accounts": {**cloud.secret["accounts"], NOBODY: slip}}
        cloud.secrets.put_secret_value(SecretId="exchange", SecretString=json.dumps(cloud.secret | broken))
        (refused,) = cloud.app().carry_out(asked(NOBODY)).events
        assert isinstance(refused, ExecutionReported)
        assert [getattr(e, "reason", None) for e in refused.events] == ["CREDENTIALS"]
        assert "TOPSECRET" not in refused.model_dump_json()
        assert kinds(cloud.app().carry_out(asked()).events)[-1] == "OrderFilled"

    def test_a_rotated_key_is_used_by_the_same_function(self, cloud: Cloud, exchange: TradingStandIn) -> None:
        wrong = {**cloud.secret["accounts"][LIVE], "passphrase": "old"}
        cloud.secrets.put_secret_value(SecretId="exchange", SecretString=json.dumps(cloud.secret | {"accounts": {LIVE: wrong}}))
        app = cloud.app()
        assert kinds(app.carry_out(asked()).events) == ["OrderSubmitted", "OrderRejected"]
        cloud.secrets.put_secret_value(SecretId="exchange", SecretString=json.dumps(cloud.secret))
        assert isinstance(app.venues, SecretVenues)
        app.venues.secrets.read("exchange")  # as it is asked for again in time
        assert kinds(app.carry_out(asked(strategy="second")).events)[-1] == "OrderFilled"


class TestMailbox:
    def test_an_order_for_metatrader_lies_signed_in_the_mailbox(self, cloud: Cloud) -> None:
        request = asked(FTMO, "mt5")
        reports = cloud.app().carry_out(request).events
        assert kinds(reports) == ["OrderSubmitted"]
        cloud.app().carry_out(viewed(FTMO, "mt5"))
        first, second = (
            open_envelope(text, key=KEY.encode(), direction=MailboxDirection.COMMAND, account=FTMO)
            for text in cloud.received(cloud.commands[FTMO])
        )
        assert (first.event(), first.sequence, second.sequence) == (request, 1, 2)
        assert isinstance(second.event(), VenueViewRequested)

    def test_what_the_agent_reports_is_announced_and_a_replay_is_not(self, cloud: Cloud) -> None:
        app = cloud.app()
        app.pass_on(FTMO, reported(5))
        app.pass_on(FTMO, reported(5))  # redelivered: the facts have natural keys
        app.pass_on(FTMO, reported(9))
        with pytest.raises(EnvelopeError, match="newer"):
            app.pass_on(FTMO, reported(5))
        assert cloud.announced() == ["ExecutionReported"] * 3

    @pytest.mark.parametrize(
        ("event", "key", "direction", "account"),
        [
            ("report", "x" * 32, MailboxDirection.REPORT, FTMO),
            ("report", KEY, MailboxDirection.COMMAND, FTMO),
            ("report", KEY, MailboxDirection.REPORT, LIVE),
            ("stale", KEY, MailboxDirection.REPORT, FTMO),
        ],
    )
    def test_what_no_agent_signed_is_not_announced(
        self, cloud: Cloud, event: str, key: str, direction: MailboxDirection, account: str
    ) -> None:
        what = report() if event == "report" else MarketDataStale(symbol=BTC, since=NOW, reason="STALE_DATA", newest_close=None)
        text = seal(what, key=key.encode(), direction=direction, account=account, sequence=1, sent_at=NOW)
        with pytest.raises(EnvelopeError):
            cloud.app().pass_on(FTMO, text)
        assert cloud.announced() == []

    @pytest.mark.parametrize(
        ("queue", "signed_for", "about"),
        [
            (OTHER, OTHER, FTMO),  # its own queue, key and envelope, with a report of the other's order inside
            (OTHER, FTMO, FTMO),  # its own queue and key, in the other's name
            (FTMO, FTMO, FTMO),  # into the other's queue, whose credential it stole too
            (FTMO, OTHER, FTMO),
        ],
    )
    def test_the_agent_of_one_account_reports_nothing_of_another(
        self, cloud: Cloud, queue: str, signed_for: str, about: str
    ) -> None:
        key = KEYS[OTHER].encode()
        forged = seal(report(about), key=key, direction=MailboxDirection.REPORT, account=signed_for, sequence=1, sent_at=NOW)
        with pytest.raises(EnvelopeError):
            cloud.app().pass_on(queue, forged)
        assert cloud.announced() == []

    def test_two_agents_have_a_queue_a_key_and_numbers_each(self, cloud: Cloud) -> None:
        for place, account in enumerate((FTMO, OTHER, OTHER)):
            cloud.app().carry_out(asked(account, "mt5", strategy=f"s{place}"))
        for account, sequences in ((FTMO, [1]), (OTHER, [1, 2])):
            found = [
                open_envelope(text, key=KEYS[account].encode(), direction=MailboxDirection.COMMAND, account=account)
                for text in cloud.received(cloud.commands[account])
            ]
            assert [one.sequence for one in found] == sequences

    def test_a_report_of_an_account_that_has_no_agent_is_not_announced(self, cloud: Cloud) -> None:
        text = seal(report(LIVE), key=KEY.encode(), direction=MailboxDirection.REPORT, account=LIVE, sequence=1, sent_at=NOW)
        with pytest.raises(EnvelopeError, match="mailbox"):
            cloud.app().pass_on(LIVE, text)

    def test_a_metatrader_account_without_a_mailbox_sends_nothing_and_names_the_remedy(self, cloud: Cloud) -> None:
        entry = {"accounts": cloud.secret["accounts"] | {NOBODY: {"venue": "mt5"}}}
        cloud.secrets.put_secret_value(SecretId="exchange", SecretString=json.dumps(entry))
        (refused,) = cloud.app().carry_out(asked(NOBODY, "mt5")).events
        assert isinstance(refused, ExecutionReported)
        (event,) = refused.events
        assert isinstance(event, OrderRejected)
        assert event.reason == "CREDENTIALS"
        assert "mt5_accounts" in event.detail

    @pytest.mark.parametrize("keys", [{"current": "short"}, {"next": "n" * 32}, {"current": "", "next": ""}])
    def test_without_a_key_an_order_is_refused_and_a_view_fails(self, cloud: Cloud, keys: dict[str, str]) -> None:
        cloud.put_key(**keys)
        (refused,) = cloud.app().carry_out(asked(FTMO, "mt5")).events
        assert isinstance(refused, ExecutionReported)
        assert [getattr(event, "reason", None) for event in refused.events] == ["CREDENTIALS"]
        with pytest.raises(VenueRefusedError, match="signalbox mt5 key"):
            cloud.app().carry_out(viewed(FTMO, "mt5"))
        assert cloud.received(cloud.commands[FTMO]) == []

    def test_during_key_rotation_both_keys_open_reports_and_the_current_one_signs(self, cloud: Cloud) -> None:
        cloud.put_key(current=KEY, next="n" * 32)
        app = cloud.app()
        app.pass_on(FTMO, reported(1))
        app.pass_on(FTMO, reported(2, key="n" * 32))
        app.carry_out(asked(FTMO, "mt5"))
        (command,) = cloud.received(cloud.commands[FTMO])
        assert open_envelope(command, key=KEY.encode(), direction=MailboxDirection.COMMAND, account=FTMO).sequence == 1
        cloud.put_key(current="n" * 32)
        fresh = cloud.app()
        fresh.pass_on(FTMO, reported(3, key="n" * 32))
        with pytest.raises(EnvelopeError, match="no key of the account made its signature"):
            fresh.pass_on(FTMO, reported(4))


class TestAcknowledgement:
    """A command that the agent's signature does not answer in time stops its account."""

    def expected_check(self, cloud: Cloud, account: str = FTMO, **changes: Any) -> str:
        cloud.app().carry_out(asked(account, "mt5", **changes))
        (check,) = cloud.received(cloud.checks)
        return check

    def test_a_command_that_somebody_swallows_halts_its_account_by_the_kill_switch(self, cloud: Cloud) -> None:
        check = self.expected_check(cloud)
        assert len(cloud.received(cloud.commands[FTMO])) == 1  # taken out with the agent's credential, and nobody answers
        missing = cloud.app().check(check)
        assert missing is not None
        assert (missing.account, missing.command) == (FTMO, 1)
        (halt,) = cloud.received(cloud.kill_switch)
        taken = CommandRecorder()
        sent = str(round(NOW.timestamp() * 1000) + 3_600_000)
        handle_message(taken, halt, sender="AROA:execute", sent_ms=sent, keys=None, door=Door.KILL_SWITCH)
        (command,) = taken.commands
        assert isinstance(command, HaltTrading)
        assert (command.account, command.level) == (FTMO, HaltLevel.HALT)
        assert "did not acknowledge command 1" in command.why

    def test_a_check_that_is_delivered_twice_asks_for_the_same_halt(self, cloud: Cloud) -> None:
        check = self.expected_check(cloud)
        app = cloud.app()
        app.check(check)
        assert isinstance(app.mailboxes, Mailboxes)
        app.mailboxes = replace(app.mailboxes, clock=lambda: NOW + timedelta(minutes=9))
        app.check(check)
        first, second = cloud.received(cloud.kill_switch)
        assert first == second

    @pytest.mark.parametrize(
        "answer",
        [CommandTaken(command=1, at=NOW), CommandRefused(command=1, at=NOW, reason=CommandRefusal.COMMAND_TOO_OLD, detail="x")],
    )
    def test_a_command_that_was_answered_halts_nothing(self, cloud: Cloud, answer: CommandTaken | CommandRefused) -> None:
        check = self.expected_check(cloud)
        cloud.app().pass_on(FTMO, sealed(answer, 1))
        assert cloud.app().check(check) is None
        assert (cloud.received(cloud.kill_switch), cloud.announced()) == ([], ["ExecutionReported"])

    @pytest.mark.parametrize(
        ("account", "answer"),
        [
            (FTMO, CommandTaken(command=2, at=NOW)),  # of a later command: this one is gone all the same
            (FTMO, CommandRefused(command=1, at=NOW, reason=CommandRefusal.COMMAND_REPLAYED)),  # was never carried out
            (OTHER, CommandTaken(command=1, at=NOW)),  # by another account's agent
        ],
    )
    def test_no_other_answer_counts(self, cloud: Cloud, account: str, answer: CommandTaken | CommandRefused) -> None:
        check = self.expected_check(cloud)
        cloud.app().pass_on(account, sealed(answer, 1, account=account))
        assert cloud.app().check(check) is not None

    def test_whoever_holds_the_queue_without_the_key_answers_nothing(self, cloud: Cloud) -> None:
        check = self.expected_check(cloud)
        forged = seal(
            CommandTaken(command=1, at=NOW),
            key=b"x" * 32,
            direction=MailboxDirection.REPORT,
            account=FTMO,
            sequence=1,
            sent_at=NOW,
        )
        with pytest.raises(EnvelopeError):
            cloud.app().pass_on(FTMO, forged)
        assert cloud.app().check(check) is not None

    def test_views_and_cancels_are_looked_for_too(self, cloud: Cloud) -> None:
        app = cloud.app()
        submit = asked(FTMO, "mt5")
        app.carry_out(submit.model_copy(update={"instruction": OrderInstruction.CANCEL, "request_id": "r1"}))
        app.carry_out(viewed(FTMO, "mt5"))
        found = [json.loads(text) for text in cloud.received(cloud.checks)]
        assert sorted((one["command"], one["event_id"].split(":")[0]) for one in found) == [
            (1, "ExecutionRequested"),
            (2, "VenueViewRequested"),
        ]


class TestEnvelope:
    @pytest.mark.parametrize("name", ["version", "account", "sequence", "sent_at", "body", "signature"])
    def test_an_envelope_that_was_touched_anywhere_is_refused(self, name: str) -> None:
        text = seal(report(), key=KEY.encode(), direction=MailboxDirection.REPORT, account=FTMO, sequence=3, sent_at=NOW)
        changed = {
            "version": 2,
            "account": "ftmo-2",
            "sequence": 4,
            "sent_at": (NOW + timedelta(seconds=1)).isoformat(),
            "body": json.loads(text)["body"].replace("OrderSubmitted", "OrderSubmitteX"),
            "signature": "0" * 64,
        }
        with pytest.raises(EnvelopeError):
            open_envelope(
                json.dumps(json.loads(text) | {name: changed[name]}), key=KEY.encode(), direction=MailboxDirection.REPORT
            )

    def test_a_short_key_is_no_key(self) -> None:
        with pytest.raises(EnvelopeError, match="at least 32"):
            require_key("short\n")


class CommandRecorder:
    """A trading service that remembers what it was asked."""

    def __init__(self) -> None:
        self.commands: list[Any] = []

    def handle(self, event: BusEvent, sent_at: datetime | None = None) -> tuple[()]:
        raise AssertionError

    def command(self, command: Any, _who: str) -> Any:
        raise AssertionError

    def kill(self, command: Any, _who: str) -> Any:
        self.commands.append(command)


def sealed(output: Any, sequence: int, *, account: str = FTMO) -> str:
    key = KEYS[account].encode()
    return seal(output, key=key, direction=MailboxDirection.REPORT, account=account, sequence=sequence, sent_at=NOW)


def reported(sequence: int, *, key: str = KEY) -> str:
    return seal(report(), key=key.encode(), direction=MailboxDirection.REPORT, account=FTMO, sequence=sequence, sent_at=NOW)


def report(account: str = FTMO) -> ExecutionReported:
    of = now_terms(account)
    return ExecutionReported(
        account=account,
        client_order_id=of.client_order_id,
        reported_at=NOW,
        events=(OrderSubmitted(client_order_id=of.client_order_id, at=NOW),),
    )


def test_the_log_of_sends_is_written_once_and_kept(cloud: Cloud) -> None:
    log = DynamoSendLog(cloud.table, "sends")
    assert log.read(LIVE, "a") is None
    assert log.begin(LIVE, "a", NOW)
    assert not log.begin(LIVE, "a", NOW + timedelta(seconds=1))
    order = VenueOrder("a" * 32, "v1", BTC, VenueStatus.OPEN, Decimal("0.10"), Decimal(0), Decimal("1.50"))
    log.accept(LIVE, "a", order)
    written = log.read(LIVE, "a")
    assert written is not None
    assert (written.begun_at, written.accepted) == (NOW, order)
    assert log.read("other", "a") is None
    log.forget(LIVE, "a")
    assert log.begin(LIVE, "a", NOW)


def test_what_replaced_what_is_written_once_and_in_turn(cloud: Cloud) -> None:
    log = DynamoSendLog(cloud.table, "sends")
    assert (log.replacements(LIVE, "a"), log.original_of(LIVE, "b")) == ((), None)
    for at, name in enumerate(("b", "c", "b")):
        log.intend(LIVE, "a", name, NOW + timedelta(seconds=at))
    assert log.replacements(LIVE, "a") == (Replacement("b", NOW), Replacement("c", NOW + timedelta(seconds=1)))
    assert [log.original_of(LIVE, name) for name in ("a", "b", "c")] == [None, "a", "a"]
    assert log.replacements("other", "a") == ()


def test_a_view_that_is_not_due_is_given_back_for_as_long_as_that_takes(cloud: Cloud, exchange: TradingStandIn) -> None:
    soon = viewed().model_copy(update={"not_before": datetime.now(UTC) + timedelta(seconds=20)})
    with pytest.raises(VenueBusyError) as caught:
        cloud.app().carry_out(soon)
    assert 1 <= caught.value.retry_after <= 20
    assert exchange.signed_requests == []
    due = viewed().model_copy(update={"not_before": NOW - timedelta(seconds=1)})
    assert isinstance(cloud.app().carry_out(due).events[0], VenueViewReported)


def test_counters_only_go_up(cloud: Cloud) -> None:
    assert [next_number(cloud.table, "sends", "x") for _ in range(3)] == [1, 2, 3]
    assert [newest_number(cloud.table, "sends", "y", n) for n in (2, 2, 5, 4)] == [True, True, True, False]


class TestHandler:
    def run(self, load: Callable[[str], ModuleType], app: Any, *bodies: str, queue: str = "requests.fifo") -> list[str]:
        records = [
            {
                "messageId": f"m{i}",
                "receiptHandle": f"r{i}",
                "body": body,
                "attributes": {"ApproximateReceiveCount": "3", "MessageGroupId": group},
                "messageAttributes": {},
                "eventSource": "aws:sqs",
                "eventSourceARN": f"arn:aws:sqs:eu-central-1:123456789012:{queue}",
                "awsRegion": "eu-central-1",
            }
            for i, (body, group) in enumerate(zip(bodies, ("a", "a", "b", "b"), strict=False))
        ]
        answer = load("execute_orders").make_handler(app)({"Records": records}, FakeLambdaContext())
        return [item["itemIdentifier"] for item in answer["batchItemFailures"]]

    def body(self, event: BusEvent) -> str:
        return message_of(event)

    def test_a_report_is_one_in_its_accounts_queue_alone(
        self, load: Callable[[str], ModuleType], cloud: Cloud, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert self.run(load, cloud.app(), reported(1), queue=REPORTS) == []
        assert cloud.announced() == ["ExecutionReported"]
        elsewhere = mailbox_queue_name("test", OTHER, MailboxQueue.REPORTS)
        assert self.run(load, cloud.app(), reported(2), queue=elsewhere) == []
        assert self.run(load, cloud.app(), reported(3)) == []  # among the requests
        assert cloud.announced() == []
        output = capsys.readouterr().out.replace(" ", "")
        assert '"EnvelopesRefused":[1.0]' in output
        assert '"EventsRefused":[1.0]' in output

    def test_whoever_may_put_reports_puts_no_request(
        self, load: Callable[[str], ModuleType], cloud: Cloud, exchange: TradingStandIn, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert self.run(load, cloud.app(), self.body(asked()), queue=REPORTS) == []
        assert (exchange.signed_requests, cloud.announced()) == ([], [])
        assert '"EnvelopesRefused":[1.0]' in capsys.readouterr().out.replace(" ", "")

    @pytest.mark.parametrize(
        "body", ["[" * 200_000, "{", '{"signature": "' + "0" * 64 + '"}', json.dumps({"a": {"signature": 1}})]
    )
    def test_what_no_agent_wrote_holds_up_no_report_behind_it(
        self, load: Callable[[str], ModuleType], cloud: Cloud, capsys: pytest.CaptureFixture[str], body: str
    ) -> None:
        assert self.run(load, cloud.app(), body, reported(1), queue=REPORTS) == []
        assert cloud.announced() == ["ExecutionReported"]
        assert '"EnvelopesRefused":[1.0]' in capsys.readouterr().out.replace(" ", "")

    @pytest.mark.filterwarnings("ignore:No application metrics")
    def test_a_command_without_an_answer_alarms_and_one_with_an_answer_does_not(
        self, load: Callable[[str], ModuleType], cloud: Cloud, capsys: pytest.CaptureFixture[str]
    ) -> None:
        app = cloud.app()
        for strategy in ("first", "second"):
            app.carry_out(asked(FTMO, "mt5", strategy=strategy))
        checks = sorted(cloud.received(cloud.checks), key=lambda text: int(json.loads(text)["command"]))
        assert self.run(load, app, sealed(CommandTaken(command=1, at=NOW), 1), queue=REPORTS) == []
        capsys.readouterr()
        assert self.run(load, app, checks[0], queue="checks") == []
        assert "CommandsUnacknowledged" not in capsys.readouterr().out
        assert self.run(load, app, checks[1], queue="checks") == []
        assert '"CommandsUnacknowledged":[1.0]' in capsys.readouterr().out.replace(" ", "")
        assert len(cloud.received(cloud.kill_switch)) == 1

    def test_a_command_that_the_agent_refuses_alarms(
        self, load: Callable[[str], ModuleType], cloud: Cloud, capsys: pytest.CaptureFixture[str]
    ) -> None:
        refused = CommandRefused(command=1, at=NOW, reason=CommandRefusal.COMMAND_TOO_OLD, detail="of a month ago")
        assert self.run(load, cloud.app(), sealed(refused, 1), queue=REPORTS) == []
        assert '"CommandsRefused":[1.0]' in capsys.readouterr().out.replace(" ", "")

    def test_a_failure_holds_its_group_and_no_other(
        self, load: Callable[[str], ModuleType], cloud: Cloud, exchange: TradingStandIn, capsys: pytest.CaptureFixture[str]
    ) -> None:
        exchange.trading_faults.add(Fault(TradingFault.RATE_LIMITED, "POST /orders", times=1, retry_after=9))
        waits: list[int] = []
        app = cloud.app()
        app.retry_in = lambda _handle, _arn, seconds: waits.append(seconds)
        failed = self.run(
            load,
            app,
            self.body(asked()),
            self.body(asked(strategy="second")),
            self.body(asked(strategy="third")),
        )
        assert failed == ["m0", "m1"]
        assert waits == [9]
        assert len(exchange.orders) == 1
        assert '"ExecutionsPostponed"' in capsys.readouterr().out

    @pytest.mark.filterwarnings("ignore:No application metrics")
    @pytest.mark.parametrize(
        "body",
        [
            "{",
            "[" * 200_000,
            json.dumps({"source": "signalbox", "detail-type": "ExecutionRequested", "detail": []}),
            json.dumps({"source": "signalbox", "detail-type": {"a": 1}, "detail": {}}),
            message_of(asked(), source="somebody"),
            message_of(asked(), source=None),
        ],
    )
    def test_what_is_no_request_is_refused_for_good_alarms_and_holds_nothing_back(
        self,
        load: Callable[[str], ModuleType],
        cloud: Cloud,
        exchange: TradingStandIn,
        capsys: pytest.CaptureFixture[str],
        body: str,
    ) -> None:
        assert self.run(load, cloud.app(), body, self.body(asked())) == []
        assert '"EventsRefused":[1.0]' in capsys.readouterr().out.replace(" ", "")
        assert len(exchange.orders) == 1

    @pytest.mark.parametrize("request_", [asked(), viewed()], ids=lambda request: request.type)
    def test_what_the_ledger_did_not_seal_is_not_sent_alarms_and_holds_nothing_back(
        self,
        load: Callable[[str], ModuleType],
        cloud: Cloud,
        exchange: TradingStandIn,
        capsys: pytest.CaptureFixture[str],
        caplog: pytest.LogCaptureFixture,
        request_: BusEvent,
    ) -> None:
        def resealed(key: SigningKey, **changes: Any) -> dict[str, Any]:
            facts = {"sequence": 1, "expires_at": LATER} | changes
            return sealed_event(request_.type.value, request_.to_detail(), key, **facts)

        another = SigningKey.of("x" * 64)
        genuine = detail_of(request_)
        forged = [
            request_.to_detail(),  # as whoever may put events on the bus would write it
            {**genuine, "account": FTMO},
            {**genuine, "venue": "mt5"},
            {**genuine, "seal": {**genuine["seal"], "sequence": 2}},
            {**genuine, "seal": {**genuine["seal"], "expires_at": (LATER + timedelta(days=400)).isoformat()}},
            resealed(another),
            resealed(SigningKey(REQUEST_KEY.key_id, another.secret)),
            resealed(REPORT_KEY),  # the executor's own word asks for nothing
            resealed(REQUEST_KEY, expires_at=datetime.now(UTC) - timedelta(seconds=1)),
            resealed(REQUEST_KEY, expires_at=None),
        ]
        for detail in forged:
            assert self.run(load, cloud.app(), message_of(request_, detail), message_of(asked(strategy="behind"))) == []
            assert '"RequestsRefused":[1.0]' in capsys.readouterr().out.replace(" ", "")
        assert len([r for r in caplog.records if r.getMessage() == "request_refused"]) == len(forged)
        assert [order.status for order in exchange.orders] == [exchange.orders[0].status]  # the one behind, and that once

    def test_an_order_of_an_account_that_has_no_credentials_is_told_and_alarms(
        self, load: Callable[[str], ModuleType], cloud: Cloud, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert self.run(load, cloud.app(), self.body(asked(NOBODY))) == []
        assert '"VenueRefusals":[1.0]' in capsys.readouterr().out.replace(" ", "")

    def test_an_order_that_came_after_its_time_is_told_and_alarms(
        self, load: Callable[[str], ModuleType], cloud: Cloud, exchange: TradingStandIn, capsys: pytest.CaptureFixture[str]
    ) -> None:
        late = asked(send_before=datetime.now(UTC) - timedelta(seconds=1))
        assert self.run(load, cloud.app(), self.body(late)) == []
        assert '"RequestsExpired":[1.0]' in capsys.readouterr().out.replace(" ", "")
        assert (cloud.announced(), exchange.orders) == (["ExecutionReported"], ())

    def test_keys_that_cannot_be_read_now_refuse_nobody(
        self, load: Callable[[str], ModuleType], cloud: Cloud, exchange: TradingStandIn, capsys: pytest.CaptureFixture[str]
    ) -> None:
        app = cloud.app()
        app.retry_in = lambda _handle, _arn, _seconds: None
        item = {"name": {"S": SealKey.REQUESTS.value}}
        cloud.table.delete_item(TableName="signing-keys", Key=item)
        assert self.run(load, app, self.body(asked())) == ["m0"]
        assert "RequestsRefused" not in capsys.readouterr().out
        cloud.table.put_item(TableName="signing-keys", Item={**item, "current": {"S": REQUEST_TEXT}})
        assert self.run(load, app, self.body(asked())) == []
        assert len(exchange.orders) == 1

    def test_what_was_sealed_before_a_rotation_is_sent_and_what_is_sealed_after_it_too(
        self, load: Callable[[str], ModuleType], cloud: Cloud, exchange: TradingStandIn
    ) -> None:
        app = cloud.app()
        new = SigningKey.of("n" * 64)
        first, second = asked(strategy="first"), asked(strategy="second")
        assert self.run(load, app, self.body(asked(strategy="before"))) == []  # the keys are known
        change_key(cloud.table, "signing-keys", SealKey.REQUESTS, "n" * 64)
        after = sealed_event(second.type.value, second.to_detail(), new, sequence=9, expires_at=LATER)
        assert self.run(load, app, message_of(second, after), self.body(first)) == []
        assert len(exchange.orders) == 3

    @pytest.mark.parametrize("change", [{"instruction": OrderInstruction.CANCEL}, {"limit_price": Decimal("101")}])
    def test_a_request_that_is_done_is_answered_again_and_not_done_again(
        self, load: Callable[[str], ModuleType], cloud: Cloud, exchange: TradingStandIn, change: dict[str, Any]
    ) -> None:
        resting = asked(price="100", type=OrderType.LIMIT)
        assert self.run(load, cloud.app(), self.body(resting)) == []
        (order,) = exchange.orders
        about = {"venue_order_id": str(order.id), "instruction": OrderInstruction.REPLACE, "request_id": "req-1"}
        body = self.body(resting.model_copy(update=about | change))
        assert self.run(load, cloud.app(), body) == []
        sent = len(exchange.signed_requests)
        delivered = cloud.received(cloud.bus)[-1]
        assert self.run(load, cloud.app(), body) == []  # by a process that has never seen it
        assert len(exchange.signed_requests) == sent
        (again,) = cloud.received(cloud.bus)
        assert json.loads(again)["detail"] == json.loads(delivered)["detail"]

    @pytest.mark.parametrize(("after", "replayed"), [(timedelta(minutes=14), False), (timedelta(minutes=16), True)])
    def test_a_request_that_arrives_long_after_it_was_done_alarms_and_is_not_done_again(
        self,
        load: Callable[[str], ModuleType],
        cloud: Cloud,
        exchange: TradingStandIn,
        capsys: pytest.CaptureFixture[str],
        after: timedelta,
        replayed: bool,
    ) -> None:
        body = self.body(asked())
        assert self.run(load, cloud.app(), body) == []
        sent = len(exchange.orders)
        later = dataclasses.replace(cloud.app(), clock=lambda: datetime.now(UTC) + after)
        assert self.run(load, later, body) == []
        assert len(exchange.orders) == sent
        assert ('"RequestsRefused"' in capsys.readouterr().out) is replayed

    def test_an_order_that_was_refused_is_not_sent_when_its_request_comes_again(
        self, load: Callable[[str], ModuleType], cloud: Cloud, exchange: TradingStandIn
    ) -> None:
        closed = cloud.secret | {"accounts": {}}
        cloud.secrets.put_secret_value(SecretId="exchange", SecretString=json.dumps(closed))
        body = self.body(asked())
        assert self.run(load, cloud.app(), body) == []  # the ledger hears that it was rejected, and the order is over
        cloud.secrets.put_secret_value(SecretId="exchange", SecretString=json.dumps(cloud.secret))
        assert self.run(load, cloud.app(), body) == []
        assert exchange.orders == ()

    def test_what_is_announced_is_sealed_with_the_executors_key(self, load: Callable[[str], ModuleType], cloud: Cloud) -> None:
        envelope = seal(report(), key=KEY.encode(), direction=MailboxDirection.REPORT, account=FTMO, sequence=1, sent_at=NOW)
        assert self.run(load, cloud.app(), self.body(asked()), self.body(viewed())) == []
        assert self.run(load, cloud.app(), envelope, queue=REPORTS) == []
        delivered = cloud.received(cloud.bus)
        assert len(delivered) == 3
        for text in delivered:
            assert open_message(text, REPORT_KEYS).event.type in SIGNED_REPORTS

    def test_an_event_of_another_kind_is_refused_for_good(
        self, load: Callable[[str], ModuleType], cloud: Cloud, caplog: pytest.LogCaptureFixture
    ) -> None:
        sealed = sealed_event(report().type.value, report().to_detail(), REQUEST_KEY, sequence=1, expires_at=LATER)
        assert self.run(load, cloud.app(), message_of(report(), sealed)) == []
        (delivered,) = [r for r in caplog.records if r.getMessage() == "message_refused"]
        assert "expected ExecutionRequested or VenueViewRequested" in vars(delivered)["reason"]

    def test_a_forged_report_is_refused_for_good_and_counted(
        self, load: Callable[[str], ModuleType], cloud: Cloud, capsys: pytest.CaptureFixture[str]
    ) -> None:
        forged = seal(report(), key=b"x" * 32, direction=MailboxDirection.REPORT, account=FTMO, sequence=1, sent_at=NOW)
        genuine = seal(report(), key=KEY.encode(), direction=MailboxDirection.REPORT, account=FTMO, sequence=1, sent_at=NOW)
        assert self.run(load, cloud.app(), forged, genuine, queue=REPORTS) == []  # of one group: what is behind it goes on
        assert cloud.announced() == ["ExecutionReported"]
        assert '"EnvelopesRefused"' in capsys.readouterr().out

    def test_a_key_that_was_changed_just_now_opens_what_was_sealed_with_it(
        self, load: Callable[[str], ModuleType], cloud: Cloud
    ) -> None:
        app = cloud.app()
        app.carry_out(asked(FTMO, "mt5"))  # the secret is known
        cloud.put_key(current="n" * 32)
        cloud.announced()
        assert self.run(load, app, reported(1, key="n" * 32), queue=REPORTS) == []
        assert cloud.announced() == ["ExecutionReported"]

    def test_a_view_without_credentials_is_dropped_and_counted_and_blocks_nothing(
        self, load: Callable[[str], ModuleType], cloud: Cloud, exchange: TradingStandIn, capsys: pytest.CaptureFixture[str]
    ) -> None:
        waits: list[int] = []
        app = cloud.app()
        app.retry_in = lambda _handle, _arn, seconds: waits.append(seconds)
        assert self.run(load, app, self.body(viewed(NOBODY)), self.body(asked())) == []
        assert (waits, len(exchange.orders)) == ([], 1)
        assert '"ViewsFailed":[1.0]' in capsys.readouterr().out.replace(" ", "")

    def test_a_view_that_the_venue_does_not_answer_is_dropped_too(
        self, load: Callable[[str], ModuleType], cloud: Cloud, exchange: TradingStandIn
    ) -> None:
        exchange.trading_faults.add(Fault(TradingFault.RATE_LIMITED, times=None, retry_after=60))
        assert self.run(load, cloud.app(), self.body(viewed())) == []

    def test_whatever_else_fails_comes_again_within_seconds(
        self, load: Callable[[str], ModuleType], cloud: Cloud, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        waits: list[int] = []
        app = cloud.app()
        app.retry_in = lambda _handle, _arn, seconds: waits.append(seconds)

        def refuses(_events: object) -> None:
            raise BusError("told to")

        monkeypatch.setattr(app.bus, "announce", refuses)
        assert self.run(load, app, self.body(asked())) == ["m0"]
        assert waits == [4]  # the third delivery

    def test_an_accepted_order_is_counted_as_sent(
        self, load: Callable[[str], ModuleType], cloud: Cloud, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert self.run(load, cloud.app(), self.body(asked(price="100"))) == []
        assert '"OrdersSent":[1.0]' in capsys.readouterr().out.replace(" ", "")


def test_it_composes_from_the_environment_without_any_io(load: Callable[[str], ModuleType]) -> None:
    assert callable(load("execute_orders").handler)
