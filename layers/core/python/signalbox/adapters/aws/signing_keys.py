"""Signing keys in Secrets Manager: the current one signs, it and the one before it are accepted.

A rotation is a new value of the secret. Secrets Manager moves the labels AWSCURRENT and AWSPREVIOUS, so both keys are there
until the next rotation, and whatever was sealed before is still accepted. A process keeps what it read for KEPT_SECONDS. An
id that it does not know may be of a key that is newer than that: it is looked for before it is refused. When a key that was read
cannot be read again it goes on being used: nobody's exit waits for Secrets Manager.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from botocore.exceptions import BotoCoreError, ClientError

from signalbox.signing import KeyUnavailableError, SigningKey

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

CURRENT: Final = "AWSCURRENT"
PREVIOUS: Final = "AWSPREVIOUS"
KEPT_SECONDS: Final = 300


class SecretKeys:
    """`signing.AcceptedKeys` over one secret, and the key to sign with."""

    def __init__(self, client: SecretsManagerClient, secret_arn: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._client, self._arn, self._clock = client, secret_arn, clock
        self._current: SigningKey | None = None
        self._accepted: dict[str, SigningKey] = {}
        self._read_at: dict[str, float] = {}

    def current(self) -> SigningKey:
        """Return the key to sign with. Raises KeyUnavailableError when none was ever read and none can be."""
        if self._current is None or self._is_old(CURRENT):
            try:
                self._read_current()
            except KeyUnavailableError:
                if self._current is None:
                    raise
        if self._current is None:
            raise KeyUnavailableError(f"{self._arn}: expected a signing key, was none")
        return self._current

    def find(self, key_id: str) -> SigningKey | None:
        found = self._accepted.get(key_id)
        if found is not None and not self._is_old(PREVIOUS):
            return found
        try:
            self._read_all()
        except KeyUnavailableError:
            if found is not None:
                return found
            raise  # not known is not refused: the newest key may be the one that could not be read
        return self._accepted.get(key_id)

    def _is_old(self, stage: str) -> bool:
        read_at = self._read_at.get(stage)
        return read_at is None or self._clock() - read_at >= KEPT_SECONDS

    def _read_current(self) -> SigningKey:
        text = self._value(CURRENT)
        if text is None:
            raise KeyUnavailableError(f"{self._arn}: expected a value labelled {CURRENT}, was none")
        self._current = SigningKey.of(text)
        self._read_at[CURRENT] = self._clock()
        return self._current

    def _read_all(self) -> None:
        before, current = self._value(PREVIOUS), self._read_current()  # in this order: a rotation in between loses no key
        keys = [current] if before is None else [current, SigningKey.of(before)]
        self._accepted = {key.key_id: key for key in keys}
        self._read_at[PREVIOUS] = self._clock()

    def _value(self, stage: str) -> str | None:
        """Return the value under a label; None where nothing has it, as nothing has AWSPREVIOUS before the first rotation."""
        try:
            return self._client.get_secret_value(SecretId=self._arn, VersionStage=stage)["SecretString"]
        except self._client.exceptions.ResourceNotFoundException:
            return None
        except (ClientError, BotoCoreError) as error:
            raise KeyUnavailableError(f"{self._arn}: {stage} cannot be read: {str(error)[:300]}") from error
