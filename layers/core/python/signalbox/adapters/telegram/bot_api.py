"""`sendMessage` of Telegram's Bot API. Its answers are mapped to the messenger's three errors, and to nothing else.

429 carries `parameters.retry_after` in seconds; 400, 401, 403 and 404 do not get better by repeating. A timeout may have
delivered the message: it is reported as unavailable and tried again, so an alert can in rare cases come twice, never not.
"""

from __future__ import annotations

import json
from typing import Any, Final

import urllib3

from signalbox.chat.messenger import MessengerBusyError, MessengerRefusedError, MessengerUnavailableError

DEFAULT_URL: Final = "https://api.telegram.org"
DEFAULT_RETRY_AFTER: Final = 5
MAX_TEXT: Final = 4096


class TelegramMessenger:
    """Messenger over the Bot API. The token never appears in an error."""

    def __init__(self, token: str, *, url: str = DEFAULT_URL, timeout_seconds: float = 10.0) -> None:
        self._endpoint = f"{url.rstrip('/')}/bot{token}/sendMessage"
        self._pool = urllib3.PoolManager(timeout=urllib3.Timeout(timeout_seconds), retries=False)

    def send(self, chat_id: str, text: str) -> None:
        """Send plain text to a chat."""
        body = {"chat_id": chat_id, "text": text[:MAX_TEXT], "disable_web_page_preview": True}
        try:
            answer = self._pool.request("POST", self._endpoint, json=body)
        except urllib3.exceptions.HTTPError as error:
            raise MessengerUnavailableError(f"no answer: {type(error).__name__}") from None
        if answer.status == 200:
            return
        reply = _parse(answer.data)
        description = str(reply.get("description", "no description"))
        if answer.status == 429:
            parameters = reply.get("parameters")
            wait = parameters.get("retry_after") if isinstance(parameters, dict) else None
            raise MessengerBusyError(wait if isinstance(wait, int) and wait > 0 else DEFAULT_RETRY_AFTER)
        if 400 <= answer.status < 500:
            raise MessengerRefusedError(f"HTTP {answer.status}: {description}")
        raise MessengerUnavailableError(f"HTTP {answer.status}: {description}")


def _parse(data: bytes) -> dict[str, Any]:
    try:
        reply = json.loads(data)
    except ValueError:
        return {}
    return reply if isinstance(reply, dict) else {}
