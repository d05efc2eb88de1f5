"""Which alert was sent to which chat, and new ids of chats, in DynamoDB. Powertools locks a delivery against parallel ones."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from aws_lambda_powertools.utilities.idempotency import (
    DynamoDBPersistenceLayer,
    IdempotencyConfig,
    idempotent_function,
)

from signalbox.chat.messenger import Delivery

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_sqs import SQSClient

DELIVERY: Final = "delivery"  # key of the delivery in a queue message
KEPT_SECONDS: Final = 7 * 24 * 3600  # longer than any queue keeps a message


class DynamoDeliveryLog:
    """DeliveryLog on a table with the string key `id` and the TTL attribute `expiration`."""

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._config = IdempotencyConfig(expires_after_seconds=KEPT_SECONDS, event_key_jmespath="[alert_id, chat_id]")
        self._store = DynamoDBPersistenceLayer(table_name=table, boto3_client=client)

    def register(self, context: LambdaContext) -> None:
        """Limit the lock of a delivery in progress to the time that this invocation has left."""
        self._config.register_lambda_context(context)

    def once(self, alert_id: str, chat_id: str, deliver: Callable[[], None]) -> bool:
        """Run `deliver` unless it succeeded before."""
        ran = False

        def run(*, delivery: dict[str, str]) -> dict[str, Any]:  # noqa: ARG001 - the key is taken from this argument
            nonlocal ran
            deliver()
            ran = True
            return {"delivered": True}

        guarded = idempotent_function(
            run, data_keyword_argument="delivery", persistence_store=self._store, config=self._config, key_prefix="deliver_alert"
        )
        guarded(delivery={"alert_id": alert_id, "chat_id": chat_id})
        return ran


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


class SqsDeliveryQueue:
    """DeliveryQueue on a FIFO queue."""

    def __init__(self, client: SQSClient, url: str) -> None:
        self._client, self._url = client, url

    def put(self, delivery: Delivery) -> None:
        self._client.send_message(
            QueueUrl=self._url,
            MessageBody=json.dumps({DELIVERY: delivery.model_dump()}),
            MessageGroupId=delivery.chat_id,
            MessageDeduplicationId=delivery.key,
        )


def delivery_in(body: dict[str, Any]) -> Delivery:
    """Return the delivery in a message of the deliveries queue. Raises pydantic.ValidationError."""
    return Delivery.model_validate(body[DELIVERY])
