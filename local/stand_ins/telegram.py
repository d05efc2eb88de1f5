"""A stand-in for the Telegram Bot API: `getMe`, `sendMessage`, and a page for people at `/page/TOKEN`.

Answers and errors follow https://core.telegram.org/bots/api#making-requests. Refusals use the descriptions of the real API: bot
blocked, kicked, user deactivated, chat not found, group upgraded to a supergroup, flood control.
"""

from __future__ import annotations

import json
import re
import secrets
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs

from typing_extensions import override

from local.stand_ins.faults import Fault, Faults, MessengerFault
from local.stand_ins.server import SILENCE, Reply, Request, StandInServer
from local.stand_ins.telegram_outgoing import OutgoingRefusedError, Rates, Sent, form_fields, read_message
from signalbox.reports.page import render

BOT_TOKEN: Final = "123:local"  # noqa: S105 - the stand-in's own token, useless elsewhere
CHAT_ID: Final = "1"
PAGES: Final = "/page/"
PAGE: Final = Path(__file__).with_name("templates") / "messages.html.jinja"
SHOWN_MESSAGES: Final = 200
PAGE_HEADERS: Final = {  # no scripts, no framing, and no referrer that reveals its address
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; form-action 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}
UPGRADED: Final = "Bad Request: group chat was upgraded to a supergroup chat"
_AFTER: Final = frozenset({MessengerFault.TIMEOUT_AFTER, MessengerFault.BAD_GATEWAY_AFTER})  # the message is accepted
_FORBIDDEN: Final = {
    MessengerFault.FORBIDDEN: "Forbidden: bot was blocked by the user",
    MessengerFault.KICKED: "Forbidden: bot was kicked from the group chat",
    MessengerFault.DEACTIVATED: "Forbidden: user is deactivated",
}

NOTHING_MORE: Final = Sent("")  # of a message that is a text alone


@dataclass(frozen=True, slots=True)
class Message:
    """One accepted message. sent: its entities, photo, sound, and the message it replies to."""

    message_id: int
    chat_id: str
    text: str
    parse_mode: str | None
    received_at: datetime
    sent: Sent = NOTHING_MORE


class TelegramStandIn(StandInServer):
    """Accepts and keeps the messages of one bot. The scope of `faults` is the chat id."""

    def __init__(
        self,
        port: int = 0,
        *,
        token: str = BOT_TOKEN,
        chat_ids: frozenset[str] = frozenset({CHAT_ID}),
        rates: Rates | None = None,
    ) -> None:
        """rates: None lets every message pass, because a replay sends the messages of hours in minutes."""
        self.faults: Faults[MessengerFault] = Faults()
        self._rates = rates
        self._token, self._chat_ids = token, set(chat_ids)
        self._moved: dict[str, str] = {}
        self._messages: list[Message] = []
        self._refused = 0
        self._lock = threading.Lock()
        self._page_token = secrets.token_urlsafe(24)
        super().__init__(port, pages=PAGES)

    def add_chats(self, *chat_ids: str) -> None:
        """Allow the bot to write to these chats too."""
        with self._lock:
            self._chat_ids.update(chat_ids)

    def upgrade(self, chat_id: str, new_id: str) -> None:
        """Turn a group into a supergroup, which has another id. Sends to the old id are answered with the new one."""
        with self._lock:
            self._chat_ids.add(new_id)
            self._moved[chat_id] = new_id

    @property
    def messages(self) -> tuple[Message, ...]:
        """All accepted messages, oldest first."""
        with self._lock:
            return tuple(self._messages)

    @property
    def page_url(self) -> str:
        """The address of the page with the messages. Its token is new at every start, so the address cannot be guessed."""
        return f"{self.url}{PAGES}{self._page_token}"

    @property
    def refused(self) -> int:
        """The number of sends that got an error or no answer."""
        with self._lock:
            return self._refused

    @override
    def answer(self, request: Request) -> Reply:
        if request.path.startswith(PAGES):
            return self._shown(request)
        match = re.fullmatch(r"/bot([^/]+)/(\w+)", request.path)
        if match is None:
            return _error(404, "Not Found")
        if match[1] != self._token:
            return _error(401, "Unauthorized")
        if match[2] == "getMe":
            return _ok({"id": 123, "is_bot": True, "first_name": "Signalbox", "username": "signalbox_local_bot"})
        if match[2] in {"sendMessage", "sendPhoto"}:
            return self._send(_fields(request), with_photo=match[2] == "sendPhoto")
        return _error(404, "Not Found: method not found")

    def _shown(self, request: Request) -> Reply:
        given = request.path.removeprefix(PAGES).encode()
        if request.method != "GET" or not secrets.compare_digest(given, self._page_token.encode()):
            return _error(404, "Not Found")
        return Reply(200, self._page().encode(), "text/html; charset=utf-8", PAGE_HEADERS)

    def _send(self, fields: Mapping[str, Any], *, with_photo: bool = False) -> Reply:
        chat_id = str(fields.get("chat_id", ""))
        fault = next(iter(self.faults.take(chat_id)), None)
        with self._lock:
            refusal = self._refusal(chat_id, fault, with_photo=with_photo)
            sent = None
            if refusal is None:
                known = [one.message_id for one in self._messages if one.chat_id == chat_id]
                try:
                    sent = read_message(fields, with_photo=with_photo, known=known)
                except OutgoingRefusedError as error:
                    refusal = _error(400, f"Bad Request: {error}")
            if sent is None:
                self._refused += 1
                return refusal or _error(400, "Bad Request")
            text = sent.text
            message = Message(len(self._messages) + 1, chat_id, text, fields.get("parse_mode"), datetime.now(UTC), sent)
            self._messages.append(message)
        return _faulty(fault) if fault is not None and fault.kind in _AFTER else _ok(_answered(message))

    def _refusal(self, chat_id: str, fault: Fault[MessengerFault] | None, *, with_photo: bool) -> Reply | None:
        """Return why nothing is sent to the chat, None if something is, also where its answer is lost."""
        if fault is not None and fault.kind not in _AFTER and (with_photo or fault.kind is not MessengerFault.PHOTO_REFUSED):
            return _faulty(fault)
        if (new_id := self._moved.get(chat_id)) is not None:
            return _error(400, UPGRADED, parameters={"migrate_to_chat_id": int(new_id)})
        if chat_id not in self._chat_ids:
            return _error(400, "Bad Request: chat not found")
        wait = None if self._rates is None else self._rates.wait(chat_id, datetime.now(UTC))
        return None if wait is None else _flooded(wait)

    def _page(self) -> str:
        return render(PAGE, messages=self.messages[: -SHOWN_MESSAGES - 1 : -1])


def _answered(message: Message) -> dict[str, Any]:
    """Return a message as the API does."""
    chat_id, sent = message.chat_id, message.sent
    found: dict[str, Any] = {
        "message_id": message.message_id,
        "date": int(message.received_at.timestamp()),
        "chat": {"id": int(chat_id) if chat_id.lstrip("-").isdigit() else chat_id, "type": "private"},
    }
    if sent.photo is None:
        return {**found, "text": sent.text, "entities": list(sent.entities)}
    size = {"file_id": f"photo-{message.message_id}", "file_unique_id": f"p{message.message_id}", "file_size": len(sent.photo)}
    sides = {"width": int.from_bytes(sent.photo[16:20], "big"), "height": int.from_bytes(sent.photo[20:24], "big")}
    return {**found, "photo": [{**size, **sides}], "caption": sent.text, "caption_entities": list(sent.entities)}


def _flooded(seconds: int) -> Reply:
    return _error(429, f"Too Many Requests: retry after {seconds}", parameters={"retry_after": seconds})


def _fields(request: Request) -> dict[str, Any]:
    if request.content_type == "multipart/form-data":
        return form_fields(request.body, request.headers.get("content-type", ""))
    if request.content_type == "application/json":
        try:
            fields = json.loads(request.body or b"{}")
        except json.JSONDecodeError:
            return {}
        return fields if isinstance(fields, dict) else {}
    form = parse_qs(request.body.decode(errors="replace"))
    return {**request.query, **{name: values[-1] for name, values in form.items()}}


def _faulty(fault: Fault[MessengerFault]) -> Reply:
    if fault.kind is MessengerFault.RATE_LIMITED:
        return _flooded(fault.retry_after)
    if fault.kind in _FORBIDDEN:
        return _error(403, _FORBIDDEN[fault.kind])
    if fault.kind is MessengerFault.PHOTO_REFUSED:
        return _error(400, "Bad Request: IMAGE_PROCESS_FAILED")
    if fault.kind is MessengerFault.BAD_GATEWAY_AFTER:
        return Reply(502, b"<html><h1>502 Bad Gateway</h1></html>", "text/html")
    if fault.kind is MessengerFault.SERVER_ERROR:
        return _error(500, "Internal Server Error")
    return SILENCE


def _ok(result: Mapping[str, Any]) -> Reply:
    return Reply(200, json.dumps({"ok": True, "result": result}).encode())


def _error(status: int, description: str, **more: Any) -> Reply:
    return Reply(status, json.dumps({"ok": False, "error_code": status, "description": description, **more}).encode())
