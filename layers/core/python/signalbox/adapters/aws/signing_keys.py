"""Signing keys in Secrets Manager: the current one signs, it and the one before it are accepted.

A rotation is a new value of the secret. Secrets Manager moves the labels AWSCURRENT and AWSPREVIOUS, so both keys are there
until the next rotation, and whatever was sealed before is still accepted. A process keeps what it read for KEPT_SECONDS. An
id that it does not know may be of a key that is newer than that: it is looked for before it is refused. When a key that was read
cannot be read again it goes on being used: nobody's exit waits for Secrets Manager. The two labels are read one by one, so a
value that is no key under one of them leaves the other: signed is then with the key before, which is accepted.
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
    """Return a client that gives up in seconds: a function has 30 of them, and most often a key that goes on."""
    return boto3.client("secretsmanager", config=IMPATIENT)


class _Answer(Enum):
    """What asking for a label gave."""

    KNOWN = auto()  # a key, or that nothing has the label
    NO_KEY = auto()  # a value that is none
    UNREACHABLE = auto()


@dataclass
class _Label:
    """What is known of a label. key: the newest that was read from it, which a worse answer leaves as it is."""

    name: str
    key: SigningKey | None = None
    answer: _Answer | None = None
    asked_at: float = 0.0
    problem: str = ""


class SecretKeys:
    """`signing.AcceptedKeys` over one secret, and the key to sign with."""

    def __init__(self, client: SecretsManagerClient, secret_arn: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._client, self._arn, self._clock = client, secret_arn, clock
        self._current, self._previous = _Label(CURRENT), _Label(PREVIOUS)

    def current(self) -> SigningKey:
        """Return the key to sign with. Raises KeyUnavailableError when none was ever read and none can be."""
        self._refresh(self._current)
        if self._current.key is not None and self._current.answer is not _Answer.NO_KEY:
            return self._current.key
        self._refresh(self._previous)
        key = self._previous.key or self._current.key
        if key is None:
            raise KeyUnavailableError(self._problems())
        return key

    def find(self, key_id: str) -> SigningKey | None:
        """Return the key of that id, as `AcceptedKeys` has it."""
        labels = (self._previous, self._current)  # in this order: a rotation in between loses no key
        asked = [label.name for label in labels if self._refresh(label)]
        if self._held(key_id) is None:
            for label in labels:
                if label.name not in asked:
                    self._refresh(label, kept_seconds=0)
        found = self._held(key_id)
        if found is None and (not self._has_key() or any(label.answer is _Answer.UNREACHABLE for label in labels)):
            # not known is not refused: the newest key may be the one that could not be read
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
        """Read a label unless what is known of it is young enough; False then. Without any key it is asked for every time."""
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
                return _Answer.NO_KEY, f"no value labelled {CURRENT}"
            label.key = None  # as before the first rotation
        except (ClientError, BotoCoreError) as error:
            return _Answer.UNREACHABLE, f"{label.name} cannot be read: {str(error)[:300]}"
        except KeyUnavailableError as error:
            return _Answer.NO_KEY, f"{label.name}: {error}"
        return _Answer.KNOWN, ""
