"""A stand-in for the Telegram Bot API: messages, photos, buttons, edits, a webhook, and a page for people at `/page/TOKEN`.

Answers and errors follow https://core.telegram.org/bots/api#making-requests. Refusals use the descriptions of the real API: bot
blocked, kicked, user deactivated, chat not found, group upgraded to a supergroup, flood control.
"""

from __future__ import annotations

import json
import re
import secrets
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs

from typing_extensions import override

from local.stand_ins.faults import Fault, Faults, MessengerFault
from local.stand_ins.server import SILENCE, Reply, Request, StandInServer
from local.stand_ins.telegram_outgoing import MAX_TEXT, OutgoingRefusedError, Rates, Sent, form_fields, read_message
from local.stand_ins.telegram_webhook import Webhook, WebhookCaller, WebhookRefusedError, keyboard_fault, pressed, typed
from signalbox.reports.page import render

BOT_TOKEN: Final = "123:local"  # noqa: S105 - the stand-in's own token, useless elsewhere
CHAT_ID: Final = "1"
PAGES: Final = "/page/"
PAGE: Final = Path(__file__).with_name("templates") / "messages.html.jinja"
SHOWN_MESSAGES: Final = 200
PAGE_HEADERS: Final = {  # no scripts, no framing, and no referrer that reveals its address
    "Content-Security-Policy": "default-src 'none'; img-src 'self'; style-src 'unsafe-inline'; frame-ancestors 'none';"
    " form-action 'self'",
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
    buttons: tuple[tuple[str, str], ...] = ()  # label and data
    is_from_bot: bool = True


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
        self._typed: list[Message] = []
        self._refused = 0
        self._lock = threading.Lock()
        self._page_token = secrets.token_urlsafe(24)
        self.caller = WebhookCaller()
        self.menus: dict[tuple[str, str], list[dict[str, str]]] = {}  # by scope and language, which is empty for all others
        self.acknowledged: list[str] = []
        self._queries = count(1)
        self._methods: dict[str, Callable[[Mapping[str, Any]], Reply]] = {
            "getMe": lambda _: _ok({"id": 123, "is_bot": True, "first_name": "Signalbox", "username": "signalbox_local_bot"}),
            "sendMessage": self._send,
            "sendPhoto": lambda fields: self._send(fields, with_photo=True),
            "editMessageText": self._edit,
            "answerCallbackQuery": self._acknowledge,
            "setWebhook": self._set_webhook,
            "deleteWebhook": lambda _: self._set_webhook({}),
            "getWebhookInfo": lambda _: self._webhook_info(),
            "setMyCommands": self._set_menu,
        }
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
        method = self._methods.get(match[2])
        return _error(404, "Not Found: method not found") if method is None else method(_fields(request))

    def say(self, user: int, chat: int, text: str) -> int | None:
        """Type a text as a person; return the status of the webhook's answer, None without a webhook."""
        now = datetime.now(UTC)
        with self._lock:
            message = Message(len(self._messages) + 1, str(chat), text, None, now, is_from_bot=False)
            self._typed.append(message)
        return self.caller.deliver(self.caller.update("message", typed(10_000 + len(self._typed), user, chat, text, now)))

    def press(self, user: int, message_id: int, label: str) -> int | None:
        """Press a button of a message as a person; return the status of the webhook's answer. Raises KeyError."""
        message = self.messages[message_id - 1]
        data = dict(message.buttons)[label]
        shown = {**_answered(message), "from": {"id": 123, "is_bot": True, "first_name": "Signalbox"}}
        return self.caller.deliver(self.caller.update("callback_query", pressed(f"q{next(self._queries)}", user, shown, data)))

    def _set_webhook(self, fields: Mapping[str, Any]) -> Reply:
        try:
            self.caller.webhook = Webhook.of(fields)
        except WebhookRefusedError as error:
            return _error(400, f"Bad Request: {error}")
        return Reply(200, json.dumps({"ok": True, "result": True, "description": "Webhook was set"}).encode())

    def _webhook_info(self) -> Reply:
        found, error = self.caller.webhook, self.caller.last_error
        info = {"url": "" if found is None else found.url, "has_custom_certificate": False, "pending_update_count": 0}
        return _ok(info | ({"last_error_message": error, "last_error_date": 1} if error else {}))

    def _set_menu(self, fields: Mapping[str, Any]) -> Reply:
        commands, scope = _json(fields.get("commands")), _json(fields.get("scope")) or {"type": "default"}
        if not isinstance(commands, list) or len(commands) > 100:
            return _error(400, "Bad Request: expected an Array of BotCommand")
        for one in commands:
            if re.fullmatch(r"[a-z0-9_]{1,32}", str(one.get("command"))) is None:
                return _error(400, "Bad Request: BOT_COMMAND_INVALID")
            if not 1 <= len(str(one.get("description", ""))) <= 256:
                return _error(400, "Bad Request: BOT_COMMAND_DESCRIPTION_INVALID")
        with self._lock:
            if scope.get("type") == "chat" and str(scope.get("chat_id")) not in self._chat_ids:
                return _error(400, "Bad Request: chat not found")
        language = str(fields.get("language_code") or "")
        if re.fullmatch(r"(?:[a-z]{2})?", language) is None:
            return _error(400, "Bad Request: BOT_COMMAND_LANGUAGE_INVALID")
        self.menus[json.dumps(scope, sort_keys=True), language] = commands
        return Reply(200, json.dumps({"ok": True, "result": True}).encode())

    def _acknowledge(self, fields: Mapping[str, Any]) -> Reply:
        query = str(fields.get("callback_query_id", ""))
        with self._lock:
            if query in self.acknowledged or not query:
                return _error(400, "Bad Request: query is too old and response timeout expired or query ID is invalid")
            self.acknowledged.append(query)
        return Reply(200, json.dumps({"ok": True, "result": True}).encode())

    def _edit(self, fields: Mapping[str, Any]) -> Reply:
        chat_id = str(fields.get("chat_id", ""))
        fault = next(iter(self.faults.take(chat_id)), None)
        number = int(fields.get("message_id") or 0)
        with self._lock:
            refusal = self._refusal(chat_id, fault, with_photo=False)
            if refusal is not None:
                return refusal
            if not 1 <= number <= len(self._messages) or self._messages[number - 1].chat_id != chat_id:
                return _error(400, "Bad Request: message to edit not found")
            try:
                sent, buttons = read_message(fields, with_photo=False, known=()), _keyboard(fields)
            except OutgoingRefusedError as error:
                return _error(400, f"Bad Request: {error}")
            before = self._messages[number - 1]
            after = replace(
                before, text=sent.text, sent=replace(before.sent, text=sent.text, entities=sent.entities), buttons=buttons
            )
            if after == before:
                return _error(
                    400,
                    "Bad Request: message is not modified: specified new message content and reply markup are exactly the same"
                    " as a current content and reply markup of the message",
                )
            self._messages[number - 1] = after
        return _faulty(fault) if fault is not None and fault.kind in _AFTER else _ok(_answered(after))

    def _shown(self, request: Request) -> Reply:
        """Show the page, or type or press for the person who has it open. A form by GET needs no Origin, which is refused."""
        given, _, action = request.path.removeprefix(PAGES).partition("/")
        if request.method != "GET" or not secrets.compare_digest(given.encode(), self._page_token.encode()):
            return _error(404, "Not Found")
        if not action:
            return Reply(200, self._page().encode(), "text/html; charset=utf-8", PAGE_HEADERS)
        if request.headers.get("sec-fetch-site", "same-origin") != "same-origin":  # a link that somebody sent, with the token
            return _error(404, "Not Found")
        if action == "photo":
            return self._photo(request.query.get("message", ""))
        user = int(CHAT_ID)
        if action == "say" and (text := request.query.get("text", "").strip()):
            self.say(user, user, text[:MAX_TEXT])
        elif action == "press":
            message, label = self._numbered(request.query.get("message", "")), request.query.get("button", "")
            if message is not None:
                with suppress(KeyError):  # the button is gone meanwhile
                    self.press(user, message.message_id, label)
        return Reply(303, b"", headers={**PAGE_HEADERS, "Location": f"{PAGES}{self._page_token}"})

    def _photo(self, number: str) -> Reply:
        """Return the photo of a message."""
        message = self._numbered(number)
        if message is None or message.sent.photo is None:
            return _error(404, "Not Found")
        return Reply(200, message.sent.photo, "image/png", PAGE_HEADERS)

    def _numbered(self, number: str) -> Message | None:
        """Return the message that an address names, None if there is none."""
        messages = self.messages
        is_number = number.isascii() and number.isdigit() and 0 < int(number[:9]) <= len(messages)
        return messages[int(number) - 1] if is_number else None

    def _send(self, fields: Mapping[str, Any], *, with_photo: bool = False) -> Reply:
        chat_id = str(fields.get("chat_id", ""))
        fault = next(iter(self.faults.take(chat_id)), None)
        with self._lock:
            refusal = self._refusal(chat_id, fault, with_photo=with_photo)
            message = None
            if refusal is None:
                known = [one.message_id for one in self._messages if one.chat_id == chat_id]
                try:
                    sent = read_message(fields, with_photo=with_photo, known=known)
                    message = Message(
                        message_id=len(self._messages) + 1,
                        chat_id=chat_id,
                        text=sent.text,
                        parse_mode=fields.get("parse_mode"),
                        received_at=datetime.now(UTC),
                        sent=sent,
                        buttons=_keyboard(fields),
                    )
                except OutgoingRefusedError as error:
                    refusal = _error(400, f"Bad Request: {error}")
            if message is None:
                self._refused += 1
                return refusal or _error(400, "Bad Request")
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
        with self._lock:
            both = sorted((*self._messages, *self._typed), key=lambda one: one.received_at)
        return render(PAGE, messages=both[-SHOWN_MESSAGES:], address=f"{PAGES}{self._page_token}")


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


def _json(value: Any) -> Any:
    """Return a field that is JSON: an object in a JSON body, its text in a form; None for what is neither."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except json.JSONDecodeError:
        return None


def _keyboard(fields: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Return the buttons of a request, label and data. Raises OutgoingRefusedError."""
    markup = _json(fields.get("reply_markup"))
    if markup is None:
        return ()
    if (wrong := keyboard_fault(markup)) is not None:
        raise OutgoingRefusedError(wrong)
    return tuple((one["text"], one["callback_data"]) for row in markup["inline_keyboard"] for one in row)


def _answered(message: Message) -> dict[str, Any]:
    """Return a message as the API does."""
    chat, sent = int(message.chat_id) if message.chat_id.lstrip("-").isdigit() else message.chat_id, message.sent
    found: dict[str, Any] = {
        "message_id": message.message_id,
        "date": int(message.received_at.timestamp()),
        "chat": {"id": chat, "type": "private" if isinstance(chat, str) or chat > 0 else "supergroup"},
    }
    if message.buttons:
        found["reply_markup"] = {"inline_keyboard": [[{"text": t, "callback_data": d} for t, d in message.buttons]]}
    if sent.photo is None:
        return {**found, "text": message.text, "entities": list(sent.entities)}
    size = {"file_id": f"photo-{message.message_id}", "file_unique_id": f"p{message.message_id}", "file_size": len(sent.photo)}
    sides = {"width": int.from_bytes(sent.photo[16:20], "big"), "height": int.from_bytes(sent.photo[20:24], "big")}
    return {**found, "photo": [{**size, **sides}], "caption": sent.text, "caption_entities": list(sent.entities)}


def _flooded(seconds: int) -> Reply:
    return _error(429, f"Too Many Requests: retry after {seconds}", parameters={"retry_after": seconds})


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
