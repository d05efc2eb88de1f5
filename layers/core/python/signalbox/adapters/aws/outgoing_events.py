"""Events on their way from ledger functions to the bus: items of a table, whose stream forward_events puts on the bus.

A ledger function has no way to the bus, but to DynamoDB: a gateway endpoint costs nothing (decision 0109). The partition key is
the type of the event, so that a role can be limited to the types it may emit, and so that events of a type keep their order. An
item is deleted when the bus has its event. What stays is sent again by relay_outbox, and its age counts as age of the outbox.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from signalbox.signals.ports import OutboxEvent, PartlyPublishedError

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


@dataclass(frozen=True, slots=True)
class OutgoingEvent:
    """An item of the table. put_at: when it was last written, and so given to the stream, in seconds since the epoch."""

    event_type: str
    event_id: str
    created_at: datetime
    put_at: float

    @property
    def key(self) -> dict[str, Any]:
        """The item's key, as DynamoDB writes it."""
        return _key(self.event_type, self.event_id)


class OutgoingEvents:
    """EventPublisher of ledger functions, and what relay_outbox and forward_events do with its table.

    clock: seconds since the epoch. trace: the X-Ray header of the invocation, or an empty text; the stream would lose it.
    """

    def __init__(
        self, client: DynamoDBClient, table: str, clock: Callable[[], float], trace: Callable[[], str] = lambda: ""
    ) -> None:
        self._client, self._table, self._clock, self._trace = client, table, clock, trace

    def publish(self, events: Sequence[OutboxEvent]) -> None:
        """Put events into the table, one after the other, because a batch has no order. Raises as EventPublisher says."""
        gone: list[OutboxEvent] = []
        refused: list[str] = []
        for event in events:
            try:
                self._put(event)
            except ClientError as error:
                refused.append(f"{event.event_id}: {str(error)[:300]}")
            except BotoCoreError as error:
                if not gone:
                    raise
                refused.append(f"{event.event_id}: {str(error)[:300]}")
                break  # the table is out of reach: each further event would wait for the timeout again
            else:
                gone.append(event)
        if refused:
            raise PartlyPublishedError(
                f"{self._table}: {len(events) - len(gone)} of {len(events)} events were not stored, first {refused[0]}", gone
            )

    def _put(self, event: OutboxEvent) -> None:
        item: dict[str, Any] = {
            **_key(event.event_type, event.event_id),
            "detail": {"S": event.detail},
            "created_at": {"S": event.created_at.isoformat()},
            "put_at": {"N": f"{self._clock():.3f}"},
        }
        if trace := self._trace():
            item["trace"] = {"S": trace}
        self._client.put_item(TableName=self._table, Item=item)

    def waiting(self) -> list[OutgoingEvent]:
        """Return the items in the table, oldest first; at most one page of a scan."""
        answer = self._client.scan(
            TableName=self._table, ProjectionExpression="event_type, event_id, created_at, put_at", ConsistentRead=True
        )
        found = [_outgoing(item) for item in answer["Items"]]
        return sorted(found, key=lambda one: (one.created_at, one.put_at))

    def send_again(self, events: Sequence[OutgoingEvent]) -> int:
        """Update each item that is still in the table, so that the stream delivers it once more; return how many were updated."""
        sent = 0
        for one in events:
            try:
                self._client.update_item(
                    TableName=self._table,
                    Key=one.key,
                    UpdateExpression="SET put_at = :now",
                    ConditionExpression="attribute_exists(event_id)",
                    ExpressionAttributeValues={":now": {"N": f"{self._clock():.3f}"}},
                )
            except self._client.exceptions.ConditionalCheckFailedException:
                continue  # the bus has it meanwhile
            sent += 1
        return sent

    def remove(self, events: Sequence[OutboxEvent]) -> None:
        """Delete the items of events that are on the bus."""
        for event in events:
            self._client.delete_item(TableName=self._table, Key=_key(event.event_type, event.event_id))


def _key(event_type: str, event_id: str) -> dict[str, Any]:
    return {"event_type": {"S": event_type}, "event_id": {"S": event_id}}


def _outgoing(item: Mapping[str, Any]) -> OutgoingEvent:
    return OutgoingEvent(
        item["event_type"]["S"],
        item["event_id"]["S"],
        datetime.fromisoformat(item["created_at"]["S"]),
        float(item["put_at"]["N"]),
    )


def event_in_record(record: Mapping[str, Any]) -> tuple[OutboxEvent, str] | None:
    """Return the event in a record of the table's stream, with its trace header; None if the record is of a deletion."""
    item = record["dynamodb"].get("NewImage")
    if item is None:
        return None
    event = OutboxEvent(
        0, item["event_id"]["S"], item["event_type"]["S"], item["detail"]["S"], datetime.fromisoformat(item["created_at"]["S"])
    )
    return event, item.get("trace", {}).get("S", "")
