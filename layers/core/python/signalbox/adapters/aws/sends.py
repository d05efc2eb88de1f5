"""Records in DynamoDB of the orders that were sent, and counters that only increase: conditional writes, consistent reads.

At venues that cannot change an order, the orders that replaced it are recorded too. All records are in the table of the delivery
records (string key `id`, TTL attribute `expiration`), under their own prefixes.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from signalbox.application.execute_orders import KeptAnswer
from signalbox.orders.messages import ViewedOrder
from signalbox.orders.venue_port import Replacement, SendRecord
from signalbox.orders.venue_view import VenueOrder

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

ANSWER_KEPT: Final = timedelta(days=1)  # much longer than a request's seal is valid; later the request is refused as overdue
MAX_ANSWER: Final = 300_000  # characters; an item may have 400 kB
KEPT: Final = timedelta(days=400)  # an order may rest for a long time, and without its record it could be sent again


class DynamoSendLog:
    """SendLog and ReplacementLog on a table with the string key `id`."""

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._client = client
        self._table = table

    def begin(self, account: str, client_order_id: str, at: datetime) -> bool:
        try:
            self._client.put_item(
                TableName=self._table,
                Item={
                    **_key(account, client_order_id),
                    "begun_at": {"S": at.isoformat()},
                    "expiration": {"N": str(round((at + KEPT).timestamp()))},
                },
                ConditionExpression="attribute_not_exists(id)",
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            return False
        return True

    def forget(self, account: str, client_order_id: str) -> None:
        self._client.delete_item(TableName=self._table, Key=_key(account, client_order_id))

    def accept(self, account: str, client_order_id: str, order: VenueOrder) -> None:
        self._client.update_item(
            TableName=self._table,
            Key=_key(account, client_order_id),
            UpdateExpression="SET accepted = :order",
            ConditionExpression="attribute_exists(id)",
            ExpressionAttributeValues={":order": {"S": ViewedOrder.of(order).model_dump_json()}},
        )

    def read(self, account: str, client_order_id: str) -> SendRecord | None:
        answer = self._client.get_item(TableName=self._table, Key=_key(account, client_order_id), ConsistentRead=True)
        item = answer.get("Item")
        if item is None:
            return None
        accepted = item.get("accepted")
        order = None if accepted is None else ViewedOrder.model_validate_json(accepted["S"]).as_order()
        return SendRecord(datetime.fromisoformat(item["begun_at"]["S"]), order)

    # ReplacementLog

    def intend(self, account: str, original: str, replacement: str, at: datetime) -> None:
        expiration = {"N": str(round((at + KEPT).timestamp()))}
        self._client.put_item(
            TableName=self._table,
            Item={"id": _link("replaces", account, replacement), "original": {"S": original}, "expiration": expiration},
        )
        try:
            self._client.update_item(
                TableName=self._table,
                Key={"id": _link("replaced", account, original)},
                UpdateExpression="SET #l = list_append(if_not_exists(#l, :none), :link), #e = :until ADD #n :name",
                ConditionExpression="NOT contains(#n, :one)",
                ExpressionAttributeNames={"#l": "links", "#e": "expiration", "#n": "names"},
                ExpressionAttributeValues={
                    ":none": {"L": []},
                    ":link": {"L": [{"M": {"name": {"S": replacement}, "at": {"S": at.isoformat()}}}]},
                    ":until": expiration,
                    ":name": {"SS": [replacement]},
                    ":one": {"S": replacement},
                },
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            return

    def replacements(self, account: str, original: str) -> tuple[Replacement, ...]:
        key = {"id": _link("replaced", account, original)}
        item = self._client.get_item(TableName=self._table, Key=key, ConsistentRead=True).get("Item", {})
        links = [link["M"] for link in item.get("links", {"L": []})["L"]]
        return tuple(Replacement(link["name"]["S"], datetime.fromisoformat(link["at"]["S"])) for link in links)

    def original_of(self, account: str, name: str) -> str | None:
        key = {"id": _link("replaces", account, name)}
        item = self._client.get_item(TableName=self._table, Key=key, ConsistentRead=True).get("Item")
        return None if item is None else item["original"]["S"]


class DynamoAnswers:
    """The events announced for each completed request, by the request's key, so that a redelivery gets the same answer."""

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._client, self._table = client, table

    def find(self, account: str, event_id: str) -> KeptAnswer | None:
        """Return the answer to a completed request; None if the request is not completed."""
        key = _link("answered", account, event_id)
        item = self._client.get_item(TableName=self._table, Key={"id": key}, ConsistentRead=True).get("Item")
        if item is None:
            return None
        at = datetime.fromtimestamp(int(item["expiration"]["N"]), UTC) - ANSWER_KEPT
        return KeptAnswer(tuple(text["S"] for text in item["events"]["L"]), at)

    def keep(self, account: str, event_id: str, answer: Sequence[str], at: datetime) -> None:
        """Keep the answer to a completed request. An answer that is too large is kept empty and cannot be repeated."""
        kept = answer if sum(map(len, answer)) <= MAX_ANSWER else ()
        self._client.put_item(
            TableName=self._table,
            Item={
                "id": _link("answered", account, event_id),
                "events": {"L": [{"S": text} for text in kept]},
                "expiration": {"N": str(round((at + ANSWER_KEPT).timestamp()))},
            },
        )


def _link(what: str, account: str, name: str) -> Any:
    return {"S": f"{what}#{account}#{name}"}


def next_number(client: DynamoDBClient, table: str, name: str) -> int:
    """Return 1, 2, 3, … and never the same number twice, whoever calls."""
    answer = client.update_item(
        TableName=table,
        Key={"id": {"S": f"counter#{name}"}},
        UpdateExpression="ADD taken :one",
        ExpressionAttributeValues={":one": {"N": "1"}},
        ReturnValues="UPDATED_NEW",
    )
    return int(answer["Attributes"]["taken"]["N"])


def newest_number(client: DynamoDBClient, table: str, name: str, number: int) -> bool:
    """Store `number` as the newest and return True, also if it is stored already; return False if a larger one is stored."""
    try:
        client.update_item(
            TableName=table,
            Key={"id": {"S": f"newest#{name}"}},
            UpdateExpression="SET seen = :number",
            ConditionExpression="attribute_not_exists(seen) OR seen <= :number",
            ExpressionAttributeValues={":number": {"N": str(number)}},
        )
    except client.exceptions.ConditionalCheckFailedException:
        return False
    return True


def note_answer(client: DynamoDBClient, table: str, account: str, command: int, until: datetime) -> None:
    """Record that an agent answered the command with this sequence number."""
    expiration = {"N": str(round(until.timestamp()))}
    client.put_item(TableName=table, Item={"id": _link("mt5-answered", account, str(command)), "expiration": expiration})


def answer_seen(client: DynamoDBClient, table: str, account: str, command: int) -> bool:
    """Return whether an agent answered the command with this sequence number."""
    key = {"id": _link("mt5-answered", account, str(command))}
    return "Item" in client.get_item(TableName=table, Key=key, ConsistentRead=True)


def _key(account: str, client_order_id: str) -> dict[str, Any]:
    return {"id": {"S": f"sent#{account}#{client_order_id}"}}
