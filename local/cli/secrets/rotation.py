"""Replaces one of the two keys that sign the functions' messages to each other, while they keep running (decision 0070).

One write moves the key to `previous` and puts a new one into `current`. The new key signs; the one before it stays accepted until
the next replacement. So a second replacement comes no sooner than every message under the first key has ended. A key that
somebody else knows is replaced twice: once, and again when no signer uses it any more. The new key is never shown.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from local.cli.secrets.command import SecretsError
from signalbox.adapters.aws.signing_keys import KEY_BYTES
from signalbox.contracts import SealKey, StackOutput

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

KEYS: Final[Mapping[str, SealKey]] = {
    "request-key": SealKey.REQUESTS,
    "report-key": SealKey.REPORTS,
    "people-key": SealKey.PEOPLE,
}
OVERLAP: Final = timedelta(hours=2)  # a request's seal ends after one; a report in a queue is read long before
SETTLED: Final = timedelta(minutes=10)  # twice the time for which a signer keeps a key


def rotate_key(client: DynamoDBClient, outputs: Mapping[str, str], name: str, now: datetime, *, leaked: bool) -> str:
    """Replace a signing key. Return what was done and what comes next.

    leaked: somebody else knows the key, so the one before the new one need not last for OVERLAP. Raises SecretsError if the last
    replacement is too young, or if somebody else replaced the key at the same time.
    """
    table = outputs[StackOutput.SIGNING_KEYS_TABLE]
    try:
        last = _last_change(client, table, name)
        wait = SETTLED if leaked else OVERLAP
        if last is not None and now - last.at < wait:
            raise SecretsError(
                f"{name} was replaced at {last.at:%H:%M} UTC, and messages signed with the previous key may still be in"
                f" transit and would be refused. Repeat this at {last.at + wait:%H:%M} UTC" + _advice(leaked=leaked)
            )
        replaced = _replace(client, table, name, last, now)
    except (ClientError, BotoCoreError) as error:
        raise SecretsError(f"{name}: cannot be replaced: {error}") from error
    if not replaced:
        raise SecretsError(
            f"{name}: somebody else replaced it at the same time; this command changed nothing, and their key is in use"
        )
    done = (
        f"{name} is replaced: signers use the new key within five minutes, and the previous key stays accepted until the next"
        " rotation"
    )
    if leaked:
        return f"{done}. To have the key that somebody else knows refused too, repeat this at {now + SETTLED:%H:%M} UTC"
    return done


@dataclass(frozen=True, slots=True)
class LastChange:
    """When a key was last replaced: the instant, and its text as stored in the item."""

    at: datetime
    text: str


def _last_change(client: DynamoDBClient, table: str, name: str) -> LastChange | None:
    """Return when the key was replaced the last time, or None if it is the first one."""
    item = _item(client, table, name)
    if "current" not in item:
        raise SecretsError(f"{name}: there is no such key in {table}; deploy the stage")
    if "previous" not in item:
        return None
    text = item.get("changed_at", {}).get("S", "")
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:  # an overlap that nobody knows is not taken for one that is over
        raise SecretsError(
            f"{name}: it was replaced without this command at an unknown time: expected a time in UTC in the attribute"
            f" changed_at of its item, got {text or 'none'}. Set it to the time of that change, and repeat this"
        )
    return LastChange(found.astimezone(UTC), text)


def _replace(client: DynamoDBClient, table: str, name: str, last: LastChange | None, now: datetime) -> bool:
    """Put a new key in front of the current one, unless the item was changed since it was read. Return whether it is there."""
    key = secrets.token_urlsafe(KEY_BYTES)
    values = {":new": {"S": key}, ":now": {"S": now.astimezone(UTC).isoformat()}}
    unchanged = "attribute_exists(#current) AND attribute_not_exists(previous)"
    if last is not None:
        unchanged = "changed_at = :before"
        values[":before"] = {"S": last.text}
    try:
        client.update_item(
            TableName=table,
            Key={"name": {"S": KEYS[name]}},
            UpdateExpression="SET previous = #current, #current = :new, changed_at = :now",
            ConditionExpression=unchanged,
            ExpressionAttributeNames={"#current": "current"},
            ExpressionAttributeValues=values,
        )
    except client.exceptions.ConditionalCheckFailedException:
        # the answer to the first try may have been lost, and the second one finds what the first one did
        return bool(_item(client, table, name).get("current", {}).get("S") == key)
    return True


def _item(client: DynamoDBClient, table: str, name: str) -> Mapping[str, Any]:
    return client.get_item(TableName=table, Key={"name": {"S": KEYS[name]}}, ConsistentRead=True).get("Item", {})


def _advice(*, leaked: bool) -> str:
    return (
        ""
        if leaked
        else f", or with --leaked, {SETTLED.seconds // 60} minutes after that replacement, if somebody else knows the key"
    )
