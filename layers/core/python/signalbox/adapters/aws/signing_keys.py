"""Signing keys in a DynamoDB table: the current key signs; seals of the current and the previous key are accepted.

Ledger functions reach no Secrets Manager, but DynamoDB (decision 0109). An item has both keys, and a rotation moves `current` to
`previous` in one write, so older seals stay valid until the next rotation. A process caches keys for KEPT_SECONDS. An unknown
key id may belong to a newer key, so the keys are read again before it is refused. If they cannot be read again, the cached ones
stay in use, so that no exit waits for DynamoDB. A text that is no key does not affect the other: then the previous key signs,
which is accepted too.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable, Mapping
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, Final

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from signalbox.adapters.aws.clients import IMPATIENT
from signalbox.adapters.aws.secret_texts import KEPT_SECONDS, RETRY_SECONDS
from signalbox.contracts import SealKey
from signalbox.signing import KeyUnavailableError, SigningKey

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

KEY_BYTES: Final = 48  # of a generated key; 64 characters

logger: Final = logging.getLogger(__name__)


def key_client() -> DynamoDBClient:
    """Return a client that gives up within seconds. A function may run for 30 seconds, and usually has the key cached."""
    return boto3.client("dynamodb", config=IMPATIENT)


def make_key(client: DynamoDBClient, table: str, name: SealKey) -> bool:
    """Generate a key if there is none of that name, and return whether there was none."""
    try:
        client.put_item(
            TableName=table,
            Item={"name": {"S": name}, "current": {"S": secrets.token_urlsafe(KEY_BYTES)}},
            ConditionExpression="attribute_not_exists(#name)",
            ExpressionAttributeNames={"#name": "name"},
        )
    except client.exceptions.ConditionalCheckFailedException:
        return False
    return True


class _Answer(Enum):
    """The result of reading the keys."""

    KNOWN = auto()  # all that is there are keys
    NO_KEY = auto()  # something is not a key, or there is none
    UNREACHABLE = auto()


class StoredKeys:
    """`signing.AcceptedKeys` of one name, and the key to sign with. What cannot be read does not replace what was read before."""

    def __init__(self, client: DynamoDBClient, table: str, name: SealKey, clock: Callable[[], float] = time.monotonic) -> None:
        self._client, self._table, self._name, self._clock = client, table, name, clock
        self._current: SigningKey | None = None
        self._previous: SigningKey | None = None
        self._signs_previous = False  # the current text is no key
        self._answer: _Answer | None = None
        self._problem = ""
        self._asked_at = 0.0

    def current(self) -> SigningKey:
        """Return the key to sign with. Raises KeyUnavailableError if no key can be read and none was read before."""
        self._refresh()
        keys = (self._previous, self._current) if self._signs_previous else (self._current, self._previous)
        key = keys[0] or keys[1]
        if key is None:
            raise KeyUnavailableError(self._problem)
        return key

    def find(self, key_id: str) -> SigningKey | None:
        """Return the key with that id, or None if it certainly does not exist. Raises KeyUnavailableError."""
        asked = self._refresh()
        if not asked and self._held(key_id) is None:
            self._refresh(kept_seconds=0)
        found = self._held(key_id)
        if found is None and (not self._has_key() or self._answer is _Answer.UNREACHABLE):
            # an unknown key is not refused while the keys cannot be read, because it may be the newest
            raise KeyUnavailableError(self._problem)
        return found

    def _held(self, key_id: str) -> SigningKey | None:
        return next((key for key in (self._current, self._previous) if key is not None and key.key_id == key_id), None)

    def _has_key(self) -> bool:
        return self._current is not None or self._previous is not None

    def _refresh(self, kept_seconds: float = KEPT_SECONDS) -> bool:
        """Read the keys if they are too old, and return whether they were read. Without any key they are always read."""
        if self._answer is not None:
            is_good = self._answer is _Answer.KNOWN
            young = kept_seconds if is_good else RETRY_SECONDS
            if self._clock() - self._asked_at < young and (is_good or self._has_key()):
                return False
        self._answer, self._problem = self._read()
        self._asked_at = self._clock()
        if self._problem:
            logger.error("signing_key_unusable: %s", self._problem)
        return True

    def _read(self) -> tuple[_Answer, str]:
        try:
            answer = self._client.get_item(TableName=self._table, Key={"name": {"S": self._name}}, ConsistentRead=True)
        except (ClientError, BotoCoreError) as error:
            return _Answer.UNREACHABLE, f"{self._table}, {self._name}: cannot be read: {str(error)[:300]}"
        item: Mapping[str, Any] = answer.get("Item", {})
        problems = []
        self._signs_previous = False
        try:
            self._current = SigningKey.of(item.get("current", {}).get("S", ""))
        except KeyUnavailableError as error:
            self._signs_previous = True
            problems.append(f"current: {error}")
        if "previous" not in item:
            self._previous = None if not problems else self._previous  # as it is before the first rotation
        else:
            try:
                self._previous = SigningKey.of(item["previous"].get("S", ""))
            except KeyUnavailableError as error:
                problems.append(f"previous: {error}")
        if problems:
            return _Answer.NO_KEY, f"{self._table}, {self._name}: {'; '.join(problems)}"
        return _Answer.KNOWN, ""
