import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs

import boto3
import pytest
from botocore.exceptions import ClientError, NoRegionError
from botocore.session import get_session
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from moto import mock_aws

from signalbox.adapters.aws.bus import MAX_BYTES, BusError, EventBridgeBus, _batches
from signalbox.adapters.aws.cursors import DynamoCursorStore, DynamoStandingStore
from signalbox.adapters.aws.database_token import token_password
from signalbox.adapters.aws.deliveries import DynamoDeliveryLog, SnsMailer
from signalbox.alerts.delivery import LEASE, Begun, DeliveryLog
from signalbox.events import MarketDataStale, parse_event
from signalbox.limits import MAX_EVENT_BYTES
from signalbox.market.fallback import Standing
from signalbox.signals.ports import OutboxEvent, PartlyPublishedError
from signalbox.signals.publishing import publish_pending
from tests.builders import BTC, NOON, minutes
from tests.examples import examples
from tests.fakes.memory_alerts import MemoryDeliveryLog
from tests.fakes.memory_ledger import MemoryDatabase, MemoryLedger, MemoryOutbox

pytestmark = pytest.mark.usefixtures("aws")
STALE = MarketDataStale(symbol=BTC, since=NOON, reason="STALE_DATA", newest_close=None)


def outbox_event(sequence: int) -> OutboxEvent:
    return OutboxEvent(sequence, STALE.event_id, STALE.type, json.dumps(STALE.to_detail()), NOON)


@pytest.fixture
def cloud() -> Iterator[Any]:
    with mock_aws():
        yield


def subscribe(bus_name: str) -> tuple[object, str]:
    """A bus with everything on it going to a queue."""
    events, queues = boto3.client("events"), boto3.client("sqs")
    events.create_event_bus(Name=bus_name)
    url = queues.create_queue(QueueName="all")["QueueUrl"]
    arn = queues.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    events.put_rule(Name="all", EventBusName=bus_name, EventPattern='{"source": ["signalbox"]}')
    events.put_targets(Rule="all", EventBusName=bus_name, Targets=[{"Id": "q", "Arn": arn}])
    return queues, url


def received(queues: Any, url: str) -> list[dict[str, Any]]:
    found: list[Any] = []
    while messages := queues.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
        found.extend(json.loads(m["Body"]) for m in messages)
    return found


def test_announced_events_arrive_with_type_source_and_detail(cloud: Any) -> None:
    queues, url = subscribe("signalbox-test")
    EventBridgeBus(boto3.client("events"), "signalbox-test").announce([STALE])
    (envelope,) = received(queues, url)
    assert (envelope["source"], envelope["detail-type"]) == ("signalbox", "MarketDataStale")
    assert parse_event(envelope["detail-type"], envelope["detail"]) == STALE


def test_more_events_than_one_request_takes_all_arrive(cloud: Any) -> None:
    queues, url = subscribe("signalbox-test")
    EventBridgeBus(boto3.client("events"), "signalbox-test").publish([outbox_event(i) for i in range(23)])
    assert len(received(queues, url)) == 23


def test_a_refused_entry_is_an_error_with_the_reason() -> None:
    class Client:
        def put_events(self, *, Entries: Any) -> Any:  # noqa: N803 - boto3's name
            return {"FailedEntryCount": 1, "Entries": [{"ErrorCode": "ThrottlingException", "ErrorMessage": "slow down"}]}

    with pytest.raises(BusError, match="ThrottlingException: slow down"):
        EventBridgeBus(Client(), "b").announce([STALE])  # type: ignore[arg-type]


class Choosy:
    """A bus that refuses entries of one type, and a request with one of another."""

    def __init__(self) -> None:
        self.accepted: list[str] = []

    def put_events(self, *, Entries: Any) -> Any:  # noqa: N803 - boto3's name
        kinds = [entry["DetailType"] for entry in Entries]
        if "TooLarge" in kinds:
            raise ClientError({"Error": {"Code": "ValidationException", "Message": "too large"}}, "PutEvents")
        self.accepted += [kind for kind in kinds if kind != "Wrong"]
        answers = [
            {"ErrorCode": "MalformedDetail", "ErrorMessage": "no"} if kind == "Wrong" else {"EventId": "1"} for kind in kinds
        ]
        return {"FailedEntryCount": kinds.count("Wrong"), "Entries": answers}


def test_an_event_that_the_bus_refuses_keeps_no_other_back_and_stays_in_the_outbox() -> None:
    database = MemoryDatabase()
    with MemoryLedger(database).transaction() as tx:
        for i in range(250):
            tx.add_event(STALE.model_copy(update={"symbol": f"S{i:03}-USD"}), NOON)
    for i, kind in ((0, "Wrong"), (120, "TooLarge")):
        key = database.events[i].event_id
        detail = "x" * MAX_EVENT_BYTES if kind == "TooLarge" else "{}"
        database.tables.outbox[key] = replace(database.events[i], event_type=kind, detail=detail)
    choosy = Choosy()
    with pytest.raises(PartlyPublishedError, match="2 events were not published: b: 1 of 100 events were not accepted"):
        publish_pending(outbox=MemoryOutbox(database), publisher=EventBridgeBus(choosy, "b"))  # type: ignore[arg-type]
    assert len(choosy.accepted) == 248
    assert [e.event_type for e in database.events if e.event_id not in database.published] == ["Wrong", "TooLarge"]


@given(st.lists(st.integers(min_value=1, max_value=MAX_BYTES - 100), max_size=60))
def test_batches_keep_the_order_and_the_limits(sizes: list[int]) -> None:
    items = [(f"T{i}", "x" * size) for i, size in enumerate(sizes)]
    batches = list(_batches(items))
    assert [item for batch in batches for item in batch] == items
    assert all(len(batch) <= 10 for batch in batches)
    assert all(len(batch) == 1 or sum(len(d) for _, d in batch) <= MAX_BYTES for batch in batches)


def create_table(client: Any, name: str, *, key: str) -> None:
    client.create_table(
        TableName=name,
        KeySchema=[{"AttributeName": key, "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )


def test_a_standing_is_kept_unless_a_newer_cycle_wrote_one(cloud: Any) -> None:
    client = boto3.client("dynamodb")
    create_table(client, "cursors", key="symbol")
    standings, cursors = DynamoStandingStore(client, "cursors"), DynamoCursorStore(client, "cursors")
    assert standings.read(BTC) is None
    cursors.advance("coinbase", BTC, NOON)
    away, back = Standing("kraken", 2, NOON), Standing(None, 0, NOON + minutes(5))
    for standing in (away, replace(away, answered=1), back, away):
        standings.write(BTC, standing)
    assert standings.read(BTC) == back
    assert cursors.newest("coinbase", BTC) == NOON
    assert cursors.newest("kraken", BTC) is None


@pytest.fixture
def cursors(cloud: Any) -> DynamoCursorStore:
    client = boto3.client("dynamodb")
    create_table(client, "cursors", key="symbol")
    return DynamoCursorStore(client, "cursors")


def test_a_symbol_never_seen_has_no_cursor(cursors: DynamoCursorStore) -> None:
    assert cursors.newest("coinbase", BTC) is None


@settings(max_examples=examples(15), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(0, 500), min_size=1, max_size=6))
def test_a_cursor_only_moves_forward(cursors: DynamoCursorStore, offsets: list[int]) -> None:
    symbol = f"S{hash(tuple(offsets))}-USD"
    for offset in offsets:
        cursors.advance("coinbase", symbol, NOON + minutes(offset))  # type: ignore[arg-type]
    assert cursors.newest("coinbase", symbol) == NOON + minutes(max(offsets))  # type: ignore[arg-type]


@pytest.fixture(params=["memory", "dynamodb"])
def deliveries(cloud: Any, request: pytest.FixtureRequest) -> DeliveryLog:
    if request.param == "memory":
        return MemoryDeliveryLog()
    client = boto3.client("dynamodb")
    create_table(client, "idempotency", key="id")
    return DynamoDeliveryLog(client, "idempotency")


def test_a_message_is_begun_once_and_sent_for_good(deliveries: DeliveryLog) -> None:
    assert [deliveries.begin("alert", chat, NOON) for chat in ("1", "1", "2")] == [Begun.NEW, Begun.BUSY, Begun.NEW]
    deliveries.sent("alert", "1", NOON)
    assert deliveries.begin("alert", "1", NOON + LEASE) is Begun.SENT


def test_a_message_that_surely_was_not_sent_begins_again(deliveries: DeliveryLog) -> None:
    deliveries.begin("alert", "1", NOON)
    deliveries.not_sent("alert", "1")
    assert deliveries.begin("alert", "1", NOON) is Begun.NEW


@pytest.mark.parametrize("is_told", [True, False])
def test_a_message_of_unknown_end_never_begins_again(deliveries: DeliveryLog, is_told: bool) -> None:
    deliveries.begin("alert", "1", NOON)
    if is_told:
        deliveries.unconfirmed("alert", "1", NOON)
    assert deliveries.begin("alert", "1", NOON + LEASE) is Begun.UNCONFIRMED
    assert deliveries.begin("alert", "1", NOON + LEASE + minutes(60)) is Begun.UNCONFIRMED


def test_a_thread_remembers_the_message_of_each_chat(deliveries: DeliveryLog) -> None:
    assert deliveries.message_of("signal:x", "1") is None
    deliveries.remember("signal:x", "1", 17, NOON)
    assert (deliveries.message_of("signal:x", "1"), deliveries.message_of("signal:x", "2")) == (17, None)


def test_names_longer_than_a_key_stay_apart(deliveries: DeliveryLog) -> None:
    assert [deliveries.begin("x" * 3000 + end, "1", NOON) for end in "aab"] == [Begun.NEW, Begun.BUSY, Begun.NEW]


@pytest.mark.parametrize("subject", ["⛔ ftmo: gestoppt", "x" * 300, "🟢", "a\nb"])
def test_a_subject_is_what_sns_takes(cloud: Any, subject: str) -> None:
    topic = boto3.client("sns").create_topic(Name="alarms")["TopicArn"]
    SnsMailer(boto3.client("sns"), topic).mail(subject, "text")


def test_the_database_token_is_what_botocore_makes_from_a_client_of_rds() -> None:
    session = get_session()
    own = token_password(session, host="db.example", port=5432, user="signalbox_app")
    client: Any = session.create_client("rds")
    while True:  # until both were signed in the same second
        ours, theirs = own(), client.generate_db_auth_token(DBHostname="db.example", Port=5432, DBUsername="signalbox_app")
        if signed_at(ours) == signed_at(theirs):
            break
    assert ours.startswith("db.example:5432/?Action=connect&DBUser=signalbox_app")
    assert parse_qs(ours) == parse_qs(theirs)


def signed_at(token: str) -> list[str]:
    return parse_qs(token)["X-Amz-Date"]


def test_a_token_needs_a_region(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    monkeypatch.delenv("AWS_REGION", raising=False)
    with pytest.raises(NoRegionError):
        token_password(get_session(), host="db.example", port=5432, user="signalbox_app")()


def test_a_socket_folder_is_signed_for_as_this_machine() -> None:
    token = token_password(get_session(), host="/run/postgresql", port=5432, user="signalbox_app")()
    assert token.startswith("localhost:5432/?Action=connect")
