"""The chats in the Telegram secret and the bot that writes to them. A changed secret is used within minutes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from signalbox.adapters.aws.secret_texts import SecretTexts
from signalbox.adapters.telegram.bot_api import DEFAULT_URL, TelegramMessenger
from signalbox.alerts.settings import SettingsBook, read_settings
from signalbox.bootstrap.settings import SettingsError


class TelegramSecret(BaseModel):
    """The secret's JSON; the operator fills it in (README, step 3). alerts: settings by chat id (docs/alerts.md).

    two_people: the accounts on which the bot asks a second person (docs/telegram.md).
    """

    model_config = ConfigDict(frozen=True, extra="ignore", coerce_numbers_to_str=True)
    bot_token: str
    chat_ids: tuple[str, ...]
    alerts: Any = None  # read_settings reports what is wrong: a mistake in it must not stop the alerts
    two_people: Any = None  # two_people_of takes what is wrong for "everywhere"


@dataclass
class TelegramChats:
    """The chats and the bot in the current version of the secret."""

    secrets: SecretTexts
    secret_arn: str
    url: str
    _messengers: dict[str, TelegramMessenger] = field(default_factory=dict)

    def chat_ids(self) -> tuple[str, ...]:
        """Return the ids of the configured chats. Raises SettingsError."""
        return self._secret().chat_ids

    def book(self) -> SettingsBook:
        """Return the settings of the chats. Raises SettingsError."""
        return read_settings(self._secret().alerts)

    def messenger(self) -> TelegramMessenger:
        """Return the messenger of the configured bot. Raises SettingsError."""
        token = self._secret().bot_token
        if token not in self._messengers:
            self._messengers = {token: TelegramMessenger(token, url=self.url or DEFAULT_URL)}
        return self._messengers[token]

    def _secret(self) -> TelegramSecret:
        return telegram_secret(self.secrets, self.secret_arn)


def telegram_secret(secrets: SecretTexts, secret_arn: str) -> TelegramSecret:
    """Return the Telegram secret. Raises SettingsError."""
    text = secrets.get(secret_arn)
    try:
        return TelegramSecret.model_validate_json(text)
    except ValidationError:
        # not chained: the validation message would quote the secret
        raise SettingsError(f'{secret_arn}: expected JSON {{"bot_token": "...", "chat_ids": ["..."]}}') from None
