"""Sets one field of a stage's secret and keeps the others.

`put-secret-value` replaces the whole text: setting a token by hand would lose the chats, and leave the value in the shell's
history. Here the value comes from a prompt or from standard input, is merged into the stored secret, and is never printed or
logged. A concurrent change is detected: the version that was replaced must be the version that was read.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError
from pydantic import ValidationError
from typing_extensions import override

from local.errors import WorkbenchError
from signalbox.alerts.settings import ChatSettingsError, read_settings, require_usable
from signalbox.bootstrap.telegram_chats import TelegramSecret
from signalbox.bootstrap.venue_accounts import BrokenAccount, ExecutionSecret
from signalbox.chat.bot.confirmation import is_two_people
from signalbox.contracts import StackOutput
from signalbox.wire import WireError, parse_object

OUTPUTS: Final[Mapping[str, StackOutput]] = {
    "telegram": StackOutput.TELEGRAM_SECRET_ARN,
    "exchange": StackOutput.EXCHANGE_SECRET_ARN,
}
FIELDS: Final[Mapping[str, str]] = {
    "telegram": "telegram.bot_token, telegram.chat_ids (comma-separated), telegram.alerts (JSON, docs/alerts.md),"
    " telegram.two_people (accounts, comma-separated, or * or none)",
    "exchange": "exchange.accounts.ACCOUNT.FIELD, for example exchange.accounts.swing-2.api_key",
}
_ACCOUNT_FIELDS: Final = ("venue", "api_key", "api_secret", "passphrase", "sandbox")
_ACCOUNT_DEPTH: Final = 3


class SecretsError(WorkbenchError):
    """A secret cannot be read or written, or has no such field."""


@dataclass(frozen=True, slots=True)
class SecretField:
    """A field of a secret, such as `telegram.bot_token`."""

    name: str  # of the secret
    path: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> SecretField:
        """Return the field of that name. Raises SecretsError, which lists the known names."""
        name, *path = text.split(".")
        known = "; ".join(FIELDS.values())
        is_telegram = name == "telegram" and path in (["bot_token"], ["chat_ids"], ["alerts"], ["two_people"])
        is_account = (
            name == "exchange"
            and len(path) == _ACCOUNT_DEPTH
            and path[0] == "accounts"
            and bool(path[1])
            and path[2] in _ACCOUNT_FIELDS
        )
        if not is_telegram and not is_account:
            raise SecretsError(
                f"unknown field {text}: expected one of {known}; an account has the fields {', '.join(_ACCOUNT_FIELDS)}"
            )
        return cls(name, tuple(path))

    def value_of(self, text: str) -> object:
        """Return the value to store for a typed text. Raises SecretsError, which never contains the text."""
        stripped = text.strip()
        if not stripped:
            raise SecretsError(f"{self}: the value is empty")
        match self.path[-1]:
            case "chat_ids":
                return [part.strip() for part in stripped.split(",") if part.strip()]
            case "two_people":
                accounts = [] if stripped == "none" else [part.strip() for part in stripped.split(",") if part.strip()]
                if not is_two_people(accounts):
                    raise SecretsError(f"{self}: expected names of accounts, *, or none")
                return accounts
            case "alerts":
                return _alert_settings(stripped)
            case "sandbox":
                if stripped not in {"true", "false"}:
                    raise SecretsError(f"{self}: expected true or false")
                return stripped == "true"
            case _:
                return stripped

    @override
    def __str__(self) -> str:
        """Return the name as it is typed."""
        return ".".join((self.name, *self.path))


def _alert_settings(text: str) -> object:
    """Return the settings of the chats. Raises SecretsError, which says what is wrong with them: they are no secret."""
    try:
        found = parse_object(text)
        require_usable(found)
    except (WireError, ChatSettingsError) as error:
        raise SecretsError(f"telegram.alerts: {error}") from None
    return found


def merged(before: Mapping[str, Any], field: SecretField, value: object) -> dict[str, Any]:
    """Return the secret with one field set and the others unchanged. Raises SecretsError if the secret has another shape."""
    after = copy.deepcopy(dict(before))
    place: dict[str, Any] = after
    for part in field.path[:-1]:
        inner = place.setdefault(part, {})
        if not isinstance(inner, dict):
            raise SecretsError(f"{field}: {part} in the secret is not an object; nothing was changed")
        place = inner
    place[field.path[-1]] = value
    return after


def missing_in(name: str, content: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the faults that the secret's function would still find in it: places and reasons, never values."""
    try:
        if name == "telegram":
            found = TelegramSecret.model_validate(content)
            shape = ("two_people: expected a list of accounts; until then every account needs two people",)
            is_usable = found.two_people is None or is_two_people(found.two_people)
            return (*read_settings(found.alerts).problems, *(() if is_usable else shape))
        read = ExecutionSecret.model_validate(content)
    except ValidationError as error:
        places = error.errors(include_input=False, include_url=False, include_context=False)
        return tuple(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in places)
    return tuple(f"accounts.{account}: {one.wrong}" for account, one in read.accounts.items() if isinstance(one, BrokenAccount))


class StageSecrets:
    """The secrets of one deployed stage, found by the outputs of its stacks."""

    def __init__(self, client: Any, outputs: Mapping[str, str]) -> None:
        self._client, self._outputs = client, outputs

    def read(self, secret: str) -> tuple[dict[str, Any], str]:
        """Return a secret's content and its version id. Raises SecretsError."""
        try:
            answer = self._client.get_secret_value(SecretId=self._arn(secret))
        except (ClientError, BotoCoreError) as error:
            raise SecretsError(f"{secret}: cannot be read: {error}") from error
        try:
            content = parse_object(answer.get("SecretString", ""))
        except ValueError:
            raise SecretsError(f"the secret {secret} is not a JSON object; nothing was changed") from None
        return content, str(answer["VersionId"])

    def set(self, field: SecretField, value: object) -> tuple[str, ...]:
        """Set a field, and return what the secret still lacks. Raises SecretsError."""
        before, version = self.read(field.name)
        after = merged(before, field, value)
        arn = self._arn(field.name)
        try:
            self._client.put_secret_value(SecretId=arn, SecretString=json.dumps(after))
            stages = self._client.describe_secret(SecretId=arn)["VersionIdsToStages"]
        except (ClientError, BotoCoreError) as error:
            raise SecretsError(f"{field}: cannot be written: {error}") from error
        if "AWSPREVIOUS" not in stages.get(version, ()):
            raise SecretsError(
                f"{field}: somebody else changed {field.name} at the same time; check the secret and set the field again"
            )
        return missing_in(field.name, after)

    def _arn(self, secret: str) -> str:
        return self._outputs[OUTPUTS[secret]]
