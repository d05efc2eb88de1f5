"""Signing keys in Secrets Manager: the current key signs; seals of the current and the previous key are accepted.

A rotation writes a new value. Secrets Manager moves the labels AWSCURRENT and AWSPREVIOUS, so both keys exist until the next
rotation, and older seals stay valid. A process caches keys for KEPT_SECONDS. An unknown key id may belong to a newer key, so the
keys are read again before it is refused. If a key cannot be read again, the cached one stays in use, so that no exit waits for
Secrets Manager. The labels are read separately, so an unusable value under one does not affect the other: then the previous key
signs, which is accepted too.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, Final

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from signalbox.adapters.aws.clients import IMPATIENT
from signalbox.adapters.aws.secret_texts import KEPT_SECONDS, RETRY_SECONDS
from signalbox.signing import KeyUnavailableError, SigningKey

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

CURRENT: Final = "AWSCURRENT"
PREVIOUS: Final = "AWSPREVIOUS"

logger: Final = logging.getLogger(__name__)


def key_client() -> SecretsManagerClient:
    """Return a client that gives up within seconds: a function has 30 of them, and usually a cached key to continue with."""
    return boto3.client("secretsmanager", config=IMPATIENT)


class _Answer(Enum):
    """The result of reading a label."""

    KNOWN = auto()  # a key was read, or nothing has the label
    NO_KEY = auto()  # the value is not a key
    UNREACHABLE = auto()


@dataclass
class _Label:
    """What is known of a label. key: the newest key that was read; a failed read does not change it."""

    name: str
    key: SigningKey | None = None
    answer: _Answer | None = None
    asked_at: float = 0.0
    problem: str = ""


class SecretKeys:
    """`signing.AcceptedKeys` from one secret, and the key to sign with."""

    def __init__(self, client: SecretsManagerClient, secret_arn: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._client, self._arn, self._clock = client, secret_arn, clock
        self._current, self._previous = _Label(CURRENT), _Label(PREVIOUS)

    def current(self) -> SigningKey:
        """Return the key to sign with. Raises KeyUnavailableError if no key can be read and none was read before."""
        self._refresh(self._current)
        if self._current.key is not None and self._current.answer is not _Answer.NO_KEY:
            return self._current.key
        self._refresh(self._previous)
        key = self._previous.key or self._current.key
        if key is None:
            raise KeyUnavailableError(self._problems())
        return key

    def find(self, key_id: str) -> SigningKey | None:
        """Return the key with that id, or None if it certainly does not exist. Raises KeyUnavailableError."""
        labels = (self._previous, self._current)  # in this order, a rotation between the two reads loses no key
        asked = [label.name for label in labels if self._refresh(label)]
        if self._held(key_id) is None:
            for label in labels:
                if label.name not in asked:
                    self._refresh(label, kept_seconds=0)
        found = self._held(key_id)
        if found is None and (not self._has_key() or any(label.answer is _Answer.UNREACHABLE for label in labels)):
            # an unknown key is not refused while a label cannot be read, because that may be the newest key
            raise KeyUnavailableError(self._problems())
        return found

    def _held(self, key_id: str) -> SigningKey | None:
        for key in (self._current.key, self._previous.key):
            if key is not None and key.key_id == key_id:
                return key
        return None

    def _has_key(self) -> bool:
        return self._current.key is not None or self._previous.key is not None

    def _problems(self) -> str:
        return f"{self._arn}: " + "; ".join(label.problem for label in (self._current, self._previous) if label.problem)

    def _refresh(self, label: _Label, kept_seconds: float = KEPT_SECONDS) -> bool:
        """Read a label if its cached state is too old, and return whether it was read. Without any key it is always read."""
        if label.answer is not None:
            is_good = label.answer is _Answer.KNOWN
            young = kept_seconds if is_good else RETRY_SECONDS
            if self._clock() - label.asked_at < young and (is_good or self._has_key()):
                return False
        label.answer, label.problem = self._read(label)
        label.asked_at = self._clock()
        if label.problem:
            logger.error("signing_key_unusable: %s: %s", self._arn, label.problem)
        return True

    def _read(self, label: _Label) -> tuple[_Answer, str]:
        try:
            text = self._client.get_secret_value(SecretId=self._arn, VersionStage=label.name).get("SecretString", "")
            label.key = SigningKey.of(text)
        except self._client.exceptions.ResourceNotFoundException:
            if label is self._current:
                return _Answer.NO_KEY, f"no value is labelled {CURRENT}"
            label.key = None  # as it is before the first rotation
        except (ClientError, BotoCoreError) as error:
            return _Answer.UNREACHABLE, f"{label.name} cannot be read: {str(error)[:300]}"
        except KeyUnavailableError as error:
            return _Answer.NO_KEY, f"{label.name}: {error}"
        return _Answer.KNOWN, ""
