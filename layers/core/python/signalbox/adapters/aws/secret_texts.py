"""Cached texts from Secrets Manager. During its outages the cached texts stay in use, so that no exit waits for it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from signalbox.adapters.aws.clients import IMPATIENT
from signalbox.errors import SignalboxError

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

KEPT_SECONDS: Final = 300  # a rotated secret is picked up within this time
RETRY_SECONDS: Final = 30  # pause after a failure, as long as a cached text or key can be used

logger: Final = logging.getLogger(__name__)


def secrets_client() -> SecretsManagerClient:
    """Return a client that gives up within seconds. A function may run for 30 seconds, and usually has the text cached."""
    return boto3.client("secretsmanager", config=IMPATIENT)


class SecretUnavailableError(SignalboxError):
    """A secret cannot be read now, and no earlier text of it is cached. The work that needs it is retried later."""


@dataclass
class _Kept:
    text: str
    until: float


class SecretTexts:
    """Reads secrets by name or ARN. A deleted secret is unavailable at once; in an outage the cached text is used."""

    def __init__(self, client: SecretsManagerClient, clock: Callable[[], float] = time.monotonic) -> None:
        self._client, self._clock = client, clock
        self._kept: dict[str, _Kept] = {}

    def get(self, secret_id: str) -> str:
        """Return the text of a secret. Raises SecretUnavailableError."""
        kept = self._kept.get(secret_id)
        if kept is not None and self._clock() < kept.until:
            return kept.text
        return self.read(secret_id)

    def read(self, secret_id: str) -> str:
        """Return the text of a secret, read again now because the cached one did not fit. Raises SecretUnavailableError."""
        try:
            text = self._client.get_secret_value(SecretId=secret_id).get("SecretString", "")
        except self._client.exceptions.ResourceNotFoundException as error:
            self._kept.pop(secret_id, None)
            raise SecretUnavailableError(f"{secret_id}: no such secret, or it has no value") from error
        except (ClientError, BotoCoreError) as error:
            kept = self._kept.get(secret_id)
            if kept is None:
                raise SecretUnavailableError(f"{secret_id}: cannot be read: {str(error)[:300]}") from error
            kept.until = self._clock() + RETRY_SECONDS
            logger.warning("secret_not_read: %s: %s", secret_id, str(error)[:300])
            return kept.text
        self._kept[secret_id] = _Kept(text, self._clock() + KEPT_SECONDS)
        return text
