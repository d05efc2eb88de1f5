"""`sendMessage` of Telegram's Bot API. Its answers become the messenger's errors.

429 has `parameters.retry_after` in seconds. 400 with `parameters.migrate_to_chat_id` means that a group became a supergroup with
that id. Any other 400, and 401, 403 (blocked, kicked, deactivated, not a member) and 404 are final. After a timeout the message
may have been delivered: it counts as unavailable and is sent again, so an alert may rarely arrive twice but is never lost.
Source: core.telegram.org/bots/api, "Making requests", ResponseParameters, sendMessage.
"""

from __future__ import annotations

from typing import Any, Final

import urllib3

from signalbox.chat.messenger import (
    ChatMovedError,
    MessengerBusyError,
    MessengerRefusedError,
    MessengerUnavailableError,
)
from signalbox.wire import WireError, parse_object, readable

DEFAULT_URL: Final = "https://api.telegram.org"
DEFAULT_RETRY_AFTER: Final = 5
MAX_TEXT: Final = 4096  # characters of a message
MAX_DESCRIPTION: Final = 300
MAX_ANSWER_BYTES: Final = 65_536  # an answer contains the message that was sent
MAX_NUMBER: Final = 2**52  # a chat's id has at most 52 significant bits


class TelegramMessenger:
    """Messenger over the Bot API. The token never appears in an error."""

    def __init__(self, token: str, *, url: str = DEFAULT_URL, timeout_seconds: float = 10.0) -> None:
        self._endpoint = f"{url.rstrip('/')}/bot{token}/sendMessage"
        self._pool = urllib3.PoolManager(timeout=urllib3.Timeout(timeout_seconds), retries=False)

    def send(self, chat_id: str, text: str) -> None:
        """Send plain text to a chat."""
        body = {"chat_id": chat_id, "text": text[:MAX_TEXT], "disable_web_page_preview": True}
        try:
            answer = self._pool.request("POST", self._endpoint, json=body, preload_content=False)
            data = _read(answer)
        except urllib3.exceptions.HTTPError as error:
            raise MessengerUnavailableError(f"no answer: {type(error).__name__}") from None
        if answer.status == 200:
            return
        reply = _parse(data)
        description = readable(str(reply.get("description", "no description")))[:MAX_DESCRIPTION]
        if answer.status == 429:
            raise MessengerBusyError(_parameter(reply, "retry_after", at_least=1) or DEFAULT_RETRY_AFTER)
        if (moved := _parameter(reply, "migrate_to_chat_id")) is not None:
            raise ChatMovedError(str(moved))
        if 400 <= answer.status < 500:
            raise MessengerRefusedError(f"HTTP {answer.status}: {description}")
        raise MessengerUnavailableError(f"HTTP {answer.status}: {description}")


def _read(answer: urllib3.BaseHTTPResponse) -> bytes:
    """Return an answer, empty if it is too long, because the status says enough. Raises HTTPError."""
    try:
        found = answer.read(MAX_ANSWER_BYTES + 1, decode_content=True)
        return found if len(found) <= MAX_ANSWER_BYTES else b""
    finally:
        answer.close()  # a completely read answer has returned its connection to the pool


def _parse(data: bytes) -> dict[str, Any]:
    try:
        return parse_object(data)
    except WireError:
        return {}  # the status says enough


def _parameter(reply: dict[str, Any], name: str, *, at_least: int | None = None) -> int | None:
    """Return one number of ResponseParameters, None if it is missing or no plausible number."""
    parameters = reply.get("parameters")
    found = parameters.get(name) if isinstance(parameters, dict) else None
    if not isinstance(found, int) or isinstance(found, bool) or abs(found) >= MAX_NUMBER:
        return None
    return found if at_least is None or found >= at_least else None
