"""`sendMessage` and `sendPhoto` of Telegram's Bot API. Its answers become the messenger's errors.

429 has `parameters.retry_after` in seconds. 400 with `parameters.migrate_to_chat_id` means that a group became a supergroup with
that id. Any other 400, 401, 403 (blocked, kicked, deactivated, not a member) and 404 are final. The API has no key by which it
would know a repeated message, so it matters what surely was not sent: a connection that never stood, an error in the API's own
words, and 503. After any other failure the message may have arrived. Each request has its own connection, because the end of an
idle one would look like such a failure. Source: core.telegram.org/bots/api, "Making requests", ResponseParameters, sendMessage,
sendPhoto, MessageEntity, ReplyParameters.
"""

from __future__ import annotations

import json
from typing import Any, Final

import urllib3
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError, ProxyError, SSLError

from signalbox.chat.messenger import (
    ChatMovedError,
    MessengerBusyError,
    MessengerRefusedError,
    MessengerUnavailableError,
    MessengerUnconfirmedError,
    OutgoingMessage,
)
from signalbox.chat.styled import StyledText, units
from signalbox.wire import WireError, parse_object, readable

DEFAULT_URL: Final = "https://api.telegram.org"
DEFAULT_RETRY_AFTER: Final = 5
MAX_DESCRIPTION: Final = 300
MAX_ANSWER_BYTES: Final = 65_536  # an answer contains the message that was sent
MAX_NUMBER: Final = 2**52  # a chat's id has at most 52 significant bits
_NEVER_SENT: Final = (NewConnectionError, ConnectTimeoutError, SSLError, ProxyError)
_FRESH: Final = {"Connection": "close"}


class TelegramMessenger:
    """Messenger over the Bot API. The token never appears in an error."""

    def __init__(self, token: str, *, url: str = DEFAULT_URL, timeout_seconds: float = 10.0) -> None:
        self._base = f"{url.rstrip('/')}/bot{token}"
        self._pool = urllib3.PoolManager(timeout=urllib3.Timeout(timeout_seconds), retries=False, headers=_FRESH)

    def send(self, chat_id: str, message: OutgoingMessage) -> int | None:
        """Send a text, or a photo with the text as its caption."""
        body: dict[str, Any] = {"chat_id": chat_id, "disable_notification": message.silent}
        if message.reply_to is not None:  # the message may have been deleted meanwhile
            body["reply_parameters"] = {"message_id": message.reply_to, "allow_sending_without_reply": True}
        if message.photo is None:
            body |= {"text": message.text.text, "entities": entities(message.text), "link_preview_options": {"is_disabled": True}}
            return self._post("sendMessage", json=body)
        fields = {name: value if isinstance(value, str) else json.dumps(value) for name, value in body.items()}
        fields |= {"caption": message.text.text, "caption_entities": json.dumps(entities(message.text))}
        return self._post("sendPhoto", fields={**fields, "photo": ("chart.png", message.photo, "image/png")})

    def _post(self, method: str, **body: Any) -> int | None:
        try:
            answer = self._pool.request("POST", f"{self._base}/{method}", preload_content=False, **body)
            data = _read(answer)
        except _NEVER_SENT as error:
            raise MessengerUnavailableError(f"no connection to Telegram: {type(error).__name__}") from None
        except HTTPError as error:
            raise MessengerUnconfirmedError(f"no answer from Telegram: {type(error).__name__}") from None
        finally:
            self._pool.clear()  # a server may close without having said so, and the pool would notice only later
        reply = _parse(data)
        if answer.status == 200:
            return _number(reply.get("result"), "message_id", at_least=1)
        description = readable(str(reply.get("description", "no description")))[:MAX_DESCRIPTION]
        if answer.status == 429:
            raise MessengerBusyError(_number(reply.get("parameters"), "retry_after", at_least=1) or DEFAULT_RETRY_AFTER)
        if (moved := _number(reply.get("parameters"), "migrate_to_chat_id")) is not None:
            raise ChatMovedError(str(moved))
        if 400 <= answer.status < 500:
            raise MessengerRefusedError(f"HTTP {answer.status}: {description}")
        if reply.get("ok") is False or answer.status == 503:
            raise MessengerUnavailableError(f"HTTP {answer.status}: {description}")
        raise MessengerUnconfirmedError(f"HTTP {answer.status}, and the body is not an answer of the Bot API")


def entities(text: StyledText) -> list[dict[str, Any]]:
    """Return the styles of a text as entities, whose offsets and lengths are in UTF-16 code units."""
    return [
        {"type": one.style.value, "offset": units(text.text[: one.start]), "length": units(text.text[one.start : one.end])}
        for one in text.spans
    ]


def _read(answer: urllib3.BaseHTTPResponse) -> bytes:
    """Return an answer, empty if it is too long, because the status says enough. Raises HTTPError."""
    try:
        found = answer.read(MAX_ANSWER_BYTES + 1, decode_content=True)
        return found if len(found) <= MAX_ANSWER_BYTES else b""
    finally:
        answer.close()


def _parse(data: bytes) -> dict[str, Any]:
    try:
        return parse_object(data)
    except WireError:
        return {}  # the status says enough


def _number(found: object, name: str, *, at_least: int | None = None) -> int | None:
    """Return one number of an object, None if it is missing or no plausible number."""
    number = found.get(name) if isinstance(found, dict) else None
    if not isinstance(number, int) or isinstance(number, bool) or abs(number) >= MAX_NUMBER:
        return None
    return number if at_least is None or number >= at_least else None
