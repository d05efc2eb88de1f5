"""In DynamoDB: which messages were begun, sent or never confirmed, the first message of each thread, and the new ids of chats."""

from __future__ import annotations

import hashlib
import json
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from signalbox.alerts.delivery import LEASE, Begun, Delivery

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_sqs import SQSClient

DELIVERY: Final = "delivery"  # key of the delivery in a queue message
KEPT: Final = timedelta(days=14)  # longer than any queue keeps a message
SUBJECT_CHARACTERS: Final = 99  # of an e-mail from SNS: ASCII, less than 100
_BEGUN, _SENT, _UNCONFIRMED = "BEGUN", "SENT", "UNCONFIRMED"


class DynamoDeliveryLog:
    """DeliveryLog on a table with the string key `id` and the TTL attribute `expiration`. Every change is conditional."""

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._client, self._table = client, table

    def begin(self, alert_id: str, chat_id: str, at: datetime) -> Begun:
        try:
            self._client.put_item(
                TableName=self._table,
                Item={**_message(alert_id, chat_id), **_state(_BEGUN, at), "until": _epoch(at + LEASE)},
                ConditionExpression="attribute_not_exists(id)",
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            return self._standing(alert_id, chat_id, at)
        return Begun.NEW

    def sent(self, alert_id: str, chat_id: str, at: datetime) -> None:
        self._client.put_item(TableName=self._table, Item={**_message(alert_id, chat_id), **_state(_SENT, at)})

    def not_sent(self, alert_id: str, chat_id: str) -> None:
        self._client.delete_item(
            TableName=self._table,
            Key=_message(alert_id, chat_id),
            ConditionExpression="#s = :begun",
            ExpressionAttributeNames={"#s": "state"},
            ExpressionAttributeValues={":begun": {"S": _BEGUN}},
        )

    def unconfirmed(self, alert_id: str, chat_id: str, at: datetime) -> None:
        self._client.put_item(TableName=self._table, Item={**_message(alert_id, chat_id), **_state(_UNCONFIRMED, at)})

    def remember(self, thread: str, chat_id: str, message_id: int, at: datetime) -> None:
        item = {**_thread(thread, chat_id), "message_id": {"N": str(message_id)}, "expiration": _epoch(at + KEPT)}
        self._client.put_item(TableName=self._table, Item=item)

    def message_of(self, thread: str, chat_id: str) -> int | None:
        item = self._client.get_item(TableName=self._table, Key=_thread(thread, chat_id), ConsistentRead=True).get("Item")
        return None if item is None else int(item["message_id"]["N"])

    def _standing(self, alert_id: str, chat_id: str, at: datetime) -> Begun:
        key = _message(alert_id, chat_id)
        item = self._client.get_item(TableName=self._table, Key=key, ConsistentRead=True).get("Item")
        if item is None:  # it was given back since
            return Begun.BUSY
        state = item["state"]["S"]
        if state != _BEGUN:
            return Begun(state)
        return Begun.BUSY if int(item["until"]["N"]) > at.timestamp() else Begun.UNCONFIRMED


class DynamoChatMoves:
    """ChatMoves in the same table, under their own prefix and without expiry."""

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._client, self._table = client, table

    def newest(self, chat_id: str) -> str:
        answer = self._client.get_item(TableName=self._table, Key=_moved(chat_id), ConsistentRead=True)
        item = answer.get("Item")
        return chat_id if item is None else item["new_id"]["S"]

    def remember(self, chat_id: str, new_id: str) -> None:
        self._client.put_item(TableName=self._table, Item={**_moved(chat_id), "new_id": {"S": new_id}})


def _moved(chat_id: str) -> dict[str, Any]:
    return {"id": {"S": f"chat-moved#{chat_id}"}}


def _message(alert_id: str, chat_id: str) -> dict[str, Any]:
    return _key("message", chat_id, alert_id)


def _thread(thread: str, chat_id: str) -> dict[str, Any]:
    return _key("thread", chat_id, thread)


def _key(what: str, chat_id: str, name: str) -> dict[str, Any]:
    """Return a key; a name is hashed, because an event's id may be longer than a key."""
    return {"id": {"S": f"{what}#{chat_id}#{hashlib.sha256(name.encode()).hexdigest()}"}}


def _state(state: str, at: datetime) -> dict[str, Any]:
    return {"state": {"S": state}, "expiration": _epoch(at + KEPT)}


def _epoch(at: datetime) -> dict[str, str]:
    return {"N": str(int(at.timestamp()))}


class SqsDeliveryQueue:
    """DeliveryQueue on a FIFO queue."""

    def __init__(self, client: SQSClient, url: str) -> None:
        self._client, self._url = client, url

    def put(self, delivery: Delivery) -> None:
        self._client.send_message(
            QueueUrl=self._url,
            MessageBody=json.dumps({DELIVERY: delivery.model_dump(mode="json")}),
            MessageGroupId=delivery.group,
            MessageDeduplicationId=delivery.key,
        )


class SnsMailer:
    """Mailer on the topic that alarms go to."""

    def __init__(self, client: Any, topic_arn: str) -> None:
        self._client, self._topic = client, topic_arn

    def mail(self, subject: str, text: str) -> None:
        printable = "".join(character for character in subject if " " <= character <= "~").strip()
        self._client.publish(TopicArn=self._topic, Subject=printable[:SUBJECT_CHARACTERS] or "Signalbox", Message=text)


def delivery_in(body: dict[str, Any]) -> Delivery:
    """Return the delivery in a message of the deliveries queue. Raises pydantic.ValidationError."""
    return Delivery.model_validate(body[DELIVERY])
