"""The inbound side of the stand-in: it calls a webhook with typed messages and pressed buttons, in the format of the Bot API.

`setWebhook` refuses what Telegram refuses: an address without https or on another port than four, a secret of other characters.
Addresses of this machine are the exception; `via` is where the emulator answers for the names of its HTTP APIs. Telegram repeats
a call that is not answered with 2xx; here the caller of `deliver` decides.
Source: core.telegram.org/bots/api, setWebhook, Update.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from typing import Any, Final
from urllib.parse import urlsplit

import httpx

SECRET_HEADER: Final = "X-Telegram-Bot-Api-Secret-Token"  # noqa: S105 - the name of a header
PORTS: Final = frozenset({443, 80, 88, 8443})
KINDS: Final = frozenset({"message", "edited_message", "channel_post", "edited_channel_post", "callback_query", "inline_query"})
_SECRET: Final = re.compile(r"[A-Za-z0-9_-]{1,256}")
_OURS: Final = re.compile(r"(?:[a-z0-9]+\.execute-api\.)?(?:localhost|127\.0\.0\.1)(?:\.localstack\.cloud)?")


class WebhookRefusedError(ValueError):
    """The arguments of setWebhook are refused. The text is Telegram's description."""


@dataclass(frozen=True, slots=True)
class Webhook:
    """The address and settings to which updates are sent."""

    url: str
    secret: str | None = None
    allowed: frozenset[str] = KINDS - {"edited_message"}

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> Webhook | None:
        """Return the webhook in a request; None for an empty address, which removes the webhook. Raises WebhookRefusedError."""
        url = str(fields.get("url", ""))
        if not url:
            return None
        parts = urlsplit(url)
        ours = _OURS.fullmatch(parts.hostname or "") is not None
        if not ours and parts.scheme != "https":
            raise WebhookRefusedError("bad webhook: An HTTPS URL must be provided for webhook")
        if not ours and (parts.port or 443) not in PORTS:
            raise WebhookRefusedError("bad webhook: Webhook can be set up only on ports 80, 88, 443 or 8443")
        secret = fields.get("secret_token")
        if secret is not None and _SECRET.fullmatch(str(secret)) is None:
            raise WebhookRefusedError("secret token contains unallowed characters")
        wanted = fields.get("allowed_updates") or ()
        listed = json.loads(wanted) if isinstance(wanted, str) else wanted
        return cls(url, None if secret is None else str(secret), frozenset(map(str, listed)) or cls(url).allowed)


class WebhookCaller:
    """Numbers the updates and calls the webhook. via: the address to call instead of the webhook's own."""

    def __init__(self) -> None:
        self.webhook: Webhook | None = None
        self.via: str | None = None
        self.last_error = ""
        self._numbers = count(1)
        self._lock = threading.Lock()

    def update(self, kind: str, content: Mapping[str, Any]) -> dict[str, Any]:
        """Return a new update."""
        with self._lock:
            return {"update_id": next(self._numbers), kind: dict(content)}

    def deliver(self, update: Mapping[str, Any]) -> int | None:
        """Call the webhook once and return the status of its answer; None if it has none for this kind of update."""
        webhook = self.webhook
        if webhook is None or not webhook.allowed & update.keys():
            return None
        parts = urlsplit(webhook.url)
        headers = {"Content-Type": "application/json", "Host": parts.netloc}
        if webhook.secret is not None:
            headers[SECRET_HEADER] = webhook.secret
        target = webhook.url if self.via is None else f"{self.via}{parts.path}"
        try:
            answer = httpx.post(target, content=json.dumps(update).encode(), headers=headers, timeout=20.0, trust_env=False)
        except httpx.HTTPError as error:
            self.last_error = type(error).__name__
            return 599
        self.last_error = "" if answer.is_success else f"Wrong response from the webhook: {answer.status_code}"
        return answer.status_code


def person_of(user: int, name: str = "Ada") -> dict[str, Any]:
    """Return a User."""
    return {"id": user, "is_bot": False, "first_name": name, "language_code": "en"}


def chat_of(chat: int, name: str = "Ada") -> dict[str, Any]:
    """Return a Chat: a person's own, or a supergroup, whose ids are negative."""
    return (
        {"id": chat, "type": "private", "first_name": name} if chat > 0 else {"id": chat, "type": "supergroup", "title": "team"}
    )


def typed(message_id: int, user: int, chat: int, text: str, at: datetime) -> dict[str, Any]:
    """Return a Message that somebody typed; a command is marked by an entity, as Telegram's clients do."""
    found = {
        "message_id": message_id,
        "from": person_of(user),
        "chat": chat_of(chat),
        "date": int(at.timestamp()),
        "text": text,
    }
    command = re.match(r"/\w+", text)
    return found if command is None else {**found, "entities": [{"type": "bot_command", "offset": 0, "length": command.end()}]}


def pressed(query: str, user: int, message: Mapping[str, Any], data: str) -> dict[str, Any]:
    """Return a CallbackQuery."""
    return {"id": query, "from": person_of(user), "message": dict(message), "chat_instance": "1", "data": data}


def keyboard_fault(markup: Any) -> str | None:
    """Return the fault of an inline keyboard, None for a valid one."""
    rows = markup.get("inline_keyboard") if isinstance(markup, Mapping) else None
    if not isinstance(rows, Sequence) or not all(isinstance(row, Sequence) for row in rows):
        return "can't parse reply keyboard markup JSON object"
    buttons = [button for row in rows for button in row]
    if len(buttons) > 100:
        return "reply markup is too long"
    for button in buttons:
        if not isinstance(button, Mapping) or not button.get("text"):
            return "can't parse inline keyboard button: Text must be non-empty"
        if not 1 <= len(str(button.get("callback_data", "")).encode()) <= 64:
            return "BUTTON_DATA_INVALID"
    return None
