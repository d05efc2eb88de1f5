"""Texts in Secrets Manager, each kept for a while. While Secrets Manager is away what was read goes on: no exit waits for it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from botocore.exceptions import BotoCoreError, ClientError

from signalbox.errors import SignalboxError

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

KEPT_SECONDS: Final = 300  # a rotated secret is used within this time
RETRY_SECONDS: Final = 30  # after a failure, while there is a text or a key to go on with

logger: Final = logging.getLogger(__name__)


class SecretUnavailableError(SignalboxError):
    """A secret was never read here and cannot be read now. The request is retried."""


@dataclass
class _Kept:
    text: str
    until: float


class SecretTexts:
    """Reads secrets by name or ARN. A secret that is gone is gone at once; one that cannot be asked for is as it was."""

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
        """Return the text of a secret, asked for now, because the one that is kept did not fit. Raises as `get`."""
        try:
            text = self._client.get_secret_value(SecretId=secret_id).get("SecretString", "")
        except self._client.exceptions.ResourceNotFoundException as error:
            self._kept.pop(secret_id, None)
            raise SecretUnavailableError(f"{secret_id}: the secret has no value") from error
        except (ClientError, BotoCoreError) as error:
            kept = self._kept.get(secret_id)
            if kept is None:
                raise SecretUnavailableError(f"{secret_id}: cannot be read: {str(error)[:300]}") from error
            kept.until = self._clock() + RETRY_SECONDS
            logger.warning("secret_not_read: %s: %s", secret_id, str(error)[:300])
            return kept.text
        self._kept[secret_id] = _Kept(text, self._clock() + KEPT_SECONDS)
        return text
