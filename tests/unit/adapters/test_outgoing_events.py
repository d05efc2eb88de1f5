"""Events go from the outbox through a table to the bus: in order, at least once, and what stays behind is seen and sent again."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from hypothesis import given
from hypothesis import strategies as st
from moto import mock_aws

from signalbox.adapters.aws.bus import EventBridgeBus
from signalbox.adapters.aws.outgoing_events import OutgoingEvents, event_in_record
from signalbox.application.forward_events import ForwardEvents
from signalbox.bootstrap.relay_outbox import LATE_SECONDS, relay_of
from signalbox.contracts import EventType
from signalbox.signals.ports import OutboxEvent, PartlyPublishedError
from tests.builders import NOON
from tests.fakes.memory_ledger import MemoryDatabase, MemoryOutbox

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

pytestmark = pytest.mark.usefixtures("aws")
KINDS = tuple(EventType)


def outbox_event(number: int, kind: str = EventType.TRADE_OPENED) -> OutboxEvent:
    return OutboxEvent(number, f"id-{number}", kind, json.dumps({"n": number}), NOON + timedelta(seconds=number))


class Table:
    """The table with its stream, and a clock."""

    def __init__(self) -> None:
        self.seconds = 1_000.0
        self.client: DynamoDBClient = boto3.client("dynamodb")
        self.client.create_table(
            TableName="outgoing",
            KeySchema=[
                {"AttributeName": "event_type", "KeyType": "HASH"},
                {"AttributeName": "event_id", "KeyType": "RANGE"},
            ],
            AttributeDefinitions=[
                {"AttributeName": "event_type", "AttributeType": "S"},
                {"AttributeName": "event_id", "AttributeType": "S"},
            ],
            BillingMode="PAY_PER_REQUEST",
            StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"},
        )
        self.events = OutgoingEvents(self.client, "outgoing", lambda: self.seconds)
        self._read = 0

    def records(self) -> list[dict[str, Any]]:
        """What the stream has got since the last look."""
        streams: Any = boto3.client("dynamodbstreams")
        (stream,) = streams.list_streams(TableName="outgoing")["Streams"]
        found: list[dict[str, Any]] = []
        for shard in streams.describe_stream(StreamArn=stream["StreamArn"])["StreamDescription"]["Shards"]:
            start = streams.get_shard_iterator(
                StreamArn=stream["StreamArn"], ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
            )
            found += streams.get_records(ShardIterator=start["ShardIterator"])["Records"]
        new, self._read = found[self._read :], len(found)
        return new

    def arrived(self) -> list[OutboxEvent]:
        return [one[0] for record in self.records() if (one := event_in_record(record)) is not None]


@pytest.fixture
def table() -> Iterator[Table]:
    with mock_aws():
        yield Table()


class Bus:
    """Remembers what it takes. refuses: event ids. away: nothing reaches it."""

    def __init__(self, *refuses: str, away: bool = False) -> None:
        self.taken: list[str] = []
        self.traces: list[str] = []
        self.refuses, self.away = set(refuses), away

    def for_trace(self, trace: str) -> Bus:
        self.traces.append(trace)
        return self

    def publish(self, events: Sequence[OutboxEvent]) -> None:
        if self.away:
            raise EndpointConnectionError(endpoint_url="https://events")
        accepted = [event for event in events if event.event_id not in self.refuses]
        self.taken += [event.event_id for event in accepted]
        if len(accepted) < len(events):
            raise PartlyPublishedError("refused", accepted)


def forward(table: Table, bus: Bus) -> list[str]:
    """Let the function take what the stream has; return the refusals."""
    found = [one for record in table.records() if (one := event_in_record(record)) is not None]
    return ForwardEvents(bus.for_trace, table.events.remove).forward(found).refusals


@given(st.lists(st.sampled_from(KINDS), max_size=12))
def test_what_is_published_arrives_whole_and_in_order(kinds: list[EventType]) -> None:
    with mock_aws():
        table = Table()
        events = [outbox_event(number, kind) for number, kind in enumerate(kinds)]
        table.events.publish(events)
        arrived = table.arrived()
        for kind in set(kinds):  # of one type: AWS promises no more, for a type is a partition
            expected = [(e.event_id, e.detail, e.created_at) for e in events if e.event_type == kind]
            assert [(e.event_id, e.detail, e.created_at) for e in arrived if e.event_type == kind] == expected
        bus = Bus()
        ForwardEvents(bus.for_trace, table.events.remove).forward([(one, "") for one in arrived])
        assert (len(bus.taken), table.events.waiting()) == (len(events), [])


def test_a_deletion_is_no_event_and_what_is_gone_is_gone_once(table: Table) -> None:
    table.events.publish([outbox_event(1), outbox_event(2)])
    bus = Bus()
    assert forward(table, bus) == []
    assert forward(table, bus) == []  # the stream has two deletions now
    assert bus.taken == ["id-1", "id-2"]


def test_an_event_that_comes_again_goes_again(table: Table) -> None:
    """Its commit was lost after it had been published: consumers know it by its id."""
    bus = Bus()
    for _ in range(2):
        table.events.publish([outbox_event(1)])
        forward(table, bus)
        table.seconds += 1
    assert bus.taken == ["id-1", "id-1"]
    assert table.events.waiting() == []


def test_what_the_bus_refuses_blocks_nothing_and_is_sent_again_when_it_is_late(table: Table) -> None:
    outbox, bus = MemoryOutbox(MemoryDatabase()), Bus("id-1")
    relay = relay_of(outbox, table.events, lambda: table.seconds)  # type: ignore[arg-type]
    assert relay.read_waiting().oldest is None
    table.events.publish([outbox_event(1), outbox_event(2)])
    assert relay.read_waiting().oldest == outbox_event(1).created_at  # on its way counts as waiting
    assert forward(table, bus) == ["refused"]
    assert bus.taken == ["id-2"]
    assert relay.read_waiting().oldest == outbox_event(1).created_at
    table.seconds += LATE_SECONDS - 1
    assert (relay.publish(), table.records()[0]["eventName"]) == (0, "REMOVE")  # the deletion of the other, and no more
    table.seconds += 1
    assert relay.publish() == 1
    bus.refuses.clear()
    assert forward(table, bus) == []
    assert (bus.taken, relay.read_waiting().oldest) == (["id-2", "id-1"], None)
    assert relay.publish() == 0


def test_a_bus_out_of_reach_leaves_all_to_the_stream(table: Table) -> None:
    table.events.publish([outbox_event(1)])
    with pytest.raises(EndpointConnectionError):
        forward(table, Bus(away=True))
    assert [one.event_id for one in table.events.waiting()] == ["id-1"]


def test_what_went_meanwhile_is_not_sent_again(table: Table) -> None:
    table.events.publish([outbox_event(1)])
    seen = table.events.waiting()
    forward(table, Bus())
    assert table.events.send_again(seen) == 0
    assert table.events.waiting() == []  # and no item of it is made


def test_each_trace_goes_on_with_its_own_events(table: Table) -> None:
    traces = iter(["Root=1", "Root=1", "Root=2"])
    OutgoingEvents(table.client, "outgoing", lambda: table.seconds, lambda: next(traces)).publish(
        [outbox_event(1), outbox_event(2), outbox_event(3)]
    )
    bus = Bus()
    forward(table, bus)
    assert (bus.traces, bus.taken) == (["Root=1", "Root=2"], ["id-1", "id-2", "id-3"])


def test_an_entry_carries_its_trace_and_none_where_there_is_none() -> None:
    class Client:
        def __init__(self) -> None:
            self.entries: list[dict[str, str]] = []

        def put_events(self, *, Entries: Any) -> Any:  # noqa: N803 - boto3's name
            self.entries += Entries
            return {"FailedEntryCount": 0, "Entries": [{"EventId": "1"} for _ in Entries]}

    for trace in ("Root=1", ""):
        client = Client()
        EventBridgeBus(client, "b", trace=trace).publish([outbox_event(1)])  # type: ignore[arg-type]
        assert client.entries[0].get("TraceHeader", "") == trace


class Failing:
    """A client that fails with these errors in turn; None: it works."""

    def __init__(self, *errors: Exception | None) -> None:
        self.errors, self.put = list(errors), 0

    def put_item(self, **_item: Any) -> None:
        self.put += 1
        if (error := self.errors.pop(0)) is not None:
            raise error


REFUSED = ClientError({"Error": {"Code": "ValidationException", "Message": "no"}}, "PutItem")
AWAY = EndpointConnectionError(endpoint_url="https://dynamodb")


@pytest.mark.parametrize(
    ("errors", "gone", "tried"),
    [
        ((None, REFUSED, None), ["id-0", "id-2"], 3),  # one that is refused keeps no other back
        ((None, AWAY), ["id-0"], 2),  # nobody waits for the timeout of each
    ],
)
def test_what_was_put_is_told_apart_from_what_was_not(errors: tuple[Any, ...], gone: list[str], tried: int) -> None:
    client = Failing(*errors)
    with pytest.raises(PartlyPublishedError, match="of 3 events were not stored") as caught:
        OutgoingEvents(client, "outgoing", lambda: 0.0).publish([outbox_event(n) for n in range(3)])  # type: ignore[arg-type]
    assert ([one.event_id for one in caught.value.published], client.put) == (gone, tried)


def test_a_table_out_of_reach_leaves_the_whole_batch_in_the_outbox() -> None:
    with pytest.raises(EndpointConnectionError):
        OutgoingEvents(Failing(AWAY), "outgoing", lambda: 0.0).publish([outbox_event(1)])  # type: ignore[arg-type]
