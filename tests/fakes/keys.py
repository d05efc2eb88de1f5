"""Keys of the tests, and messages as a rule of the bus makes them, sealed as the deployed functions seal them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Self

from signalbox.contracts import EVENT_SOURCE, SIGNED_REPORTS, SIGNED_REQUESTS, SealKey, StackOutput
from signalbox.events import BusEvent
from signalbox.orders.sealing import REQUEST_LIFE
from signalbox.signing import SigningKey
from signalbox.signing import sealed as sealed_text

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

    from local.cloud.local_cloud import LocalCloud

REQUEST_TEXT: Final = "request-" * 8
REPORT_TEXT: Final = "reports-" * 8
REQUEST_KEY: Final = SigningKey.of(REQUEST_TEXT)
REPORT_KEY: Final = SigningKey.of(REPORT_TEXT)
PEOPLE_KEY: Final = SigningKey.of("peoples-" * 8)


class FixedKeys:
    """`signing.AcceptedKeys`: these and no other."""

    def __init__(self, *keys: SigningKey) -> None:
        self._keys = {key.key_id: key for key in keys}

    def find(self, key_id: str) -> SigningKey | None:
        return self._keys.get(key_id)


def made_keys(client: DynamoDBClient, table: str, texts: Mapping[SealKey, str]) -> None:
    """Create the table of signing keys, with these in it."""
    client.create_table(
        TableName=table,
        KeySchema=[{"AttributeName": "name", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "name", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    for name, text in texts.items():
        client.put_item(TableName=table, Item={"name": {"S": name}, "current": {"S": text}})


def change_key(client: DynamoDBClient, table: str, name: SealKey, text: str) -> None:
    """Replace a key at once; `signalbox secrets rotate` waits for an overlap."""
    client.update_item(
        TableName=table,
        Key={"name": {"S": name}},
        UpdateExpression="SET previous = #current, #current = :new",
        ExpressionAttributeNames={"#current": "current"},
        ExpressionAttributeValues={":new": {"S": text}},
    )


REPORT_KEYS: Final = FixedKeys(REPORT_KEY)
REQUEST_KEYS: Final = FixedKeys(REQUEST_KEY)


def sealed(kind: str, detail: dict[str, Any], key: SigningKey, **more: Any) -> dict[str, Any]:
    """The detail with its seal, as JSON values."""
    found: dict[str, Any] = json.loads(sealed_text(kind, detail, key, **more))
    return found


@dataclass(frozen=True)
class Sealers:
    """The keys of a cloud, in the hands of a test that speaks for the ledger or the executor."""

    request: SigningKey = REQUEST_KEY
    report: SigningKey = REPORT_KEY
    people: SigningKey = PEOPLE_KEY

    @classmethod
    def of(cls, cloud: LocalCloud) -> Self:
        """The keys that a deployment generated."""
        tables, table = cloud.emulator.client("dynamodb"), cloud.outputs[StackOutput.SIGNING_KEYS_TABLE]
        items = (tables.get_item(TableName=table, Key={"name": {"S": name}})["Item"] for name in SealKey)
        return cls(*(SigningKey.of(item["current"]["S"]) for item in items))

    def detail_of(self, event: BusEvent, sequence: int = 1) -> dict[str, Any]:
        """The detail as it travels: sealed where events of its type are."""
        kind, facts = event.type.value, event.to_detail()
        if event.type in SIGNED_REQUESTS:
            return sealed(kind, facts, self.request, sequence=sequence, expires_at=datetime.now(UTC) + REQUEST_LIFE)
        return sealed(kind, facts, self.report) if event.type in SIGNED_REPORTS else facts


detail_of = Sealers().detail_of


def message_of(event: BusEvent, detail: dict[str, Any] | None = None, **changes: Any) -> str:
    """A queue's message."""
    whole = {"source": EVENT_SOURCE, "detail-type": event.type.value, "detail": detail or detail_of(event)}
    return json.dumps(whole | changes)
