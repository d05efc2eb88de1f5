"""The bot's side of Telegram's Bot API, on the types and the client of python-telegram-bot.

Its client is asynchronous and a function's invocation is not, so one event loop runs one call at a time. Errors become the
messenger's: 429 waits, 400 with `migrate_to_chat_id` names a new chat, a network error or 5xx may be tried again, everything else
is final. A message that would not change is no error. The token never appears in an error. Texts are sent without a parse mode:
nothing in them is markup. Importing this module takes seconds, so the webhook does without.
"""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Coroutine, Sequence
from datetime import timedelta
from functools import cached_property
from typing import Any, Final, TypeVar

from telegram import Bot as TelegramApi
from telegram import InlineKeyboardButton, InlineKeyboardMarkup, LinkPreviewOptions, Update
from telegram.error import BadRequest, ChatMigrated, Forbidden, InvalidToken, NetworkError, RetryAfter, TelegramError, TimedOut
from telegram.request import HTTPXRequest
from typing_extensions import override

from signalbox.application.telegram_bot import ChatClient, IncomingUpdate
from signalbox.chat.bot.conversation import Button
from signalbox.chat.messenger import (
    ChatMovedError,
    MessengerBusyError,
    MessengerError,
    MessengerRefusedError,
    MessengerUnavailableError,
)
from signalbox.chat.updates import MAX_UPDATE, update_from
from signalbox.wire import parse_object, readable

T = TypeVar("T")
DEFAULT_URL: Final = "https://api.telegram.org"
MAX_CAPTION: Final = 1024  # characters
_SECONDS: Final = 8.0  # of one request
_UNCHANGED: Final = "message is not modified"
_STALE_QUERY: Final = "query is too old"


class TelegramClient(ChatClient):
    """ChatClient of one bot."""

    def __init__(self, token: str, *, url: str = DEFAULT_URL) -> None:
        self._loop = asyncio.new_event_loop()
        self._request = request = HTTPXRequest(
            connection_pool_size=4, connect_timeout=3.0, read_timeout=_SECONDS, write_timeout=_SECONDS, pool_timeout=1.0
        )
        self.api = TelegramApi(token, base_url=f"{url.rstrip('/')}/bot", request=request, get_updates_request=request)

    @cached_property
    def username(self) -> str:
        """The bot's name, which a command in a group may carry. Raises MessengerError."""
        return str(self.call(self.api.get_me()).username)

    def close(self) -> None:
        """Close the connections and the loop."""
        self._loop.run_until_complete(self._request.shutdown())
        self._loop.close()

    @override
    def read(self, body: str) -> IncomingUpdate | None:
        if update_from(body) is None:
            return None
        update = Update.de_json(parse_object(body, max_bytes=MAX_UPDATE), self.api)
        pressed = update.callback_query
        message = update.message if pressed is None else pressed.message
        sender = update.effective_user
        if message is None or sender is None:
            return None
        text = (update.message.text if update.message is not None else pressed.data if pressed is not None else None) or ""
        sent = update.message
        return IncomingUpdate(
            update_id=update.update_id,
            user=sender.id,
            name=readable(sender.full_name)[:64],
            chat=message.chat.id,
            is_private=message.chat.type == "private" and message.chat.id == sender.id,
            text=text,
            message_id=message.message_id,
            press=None if pressed is None else pressed.id,
            thread=sent.message_thread_id if sent is not None and sent.is_topic_message else None,
            is_forwarded=sent is not None and sent.forward_origin is not None,
            language=sender.language_code or "",
        )

    @override
    def send(self, to: IncomingUpdate, text: str, buttons: Sequence[Button]) -> None:
        self.call(
            self.api.send_message(
                to.chat,
                text,
                reply_markup=_keyboard(buttons),
                message_thread_id=to.thread,
                link_preview_options=LinkPreviewOptions(is_disabled=True),
            )
        )

    @override
    def send_picture(self, to: IncomingUpdate, picture: bytes, caption: str) -> None:
        self.call(self.api.send_photo(to.chat, picture, caption=caption[:MAX_CAPTION], message_thread_id=to.thread))

    @override
    def replace(self, to: IncomingUpdate, text: str, buttons: Sequence[Button]) -> None:
        try:
            self.call(self.api.edit_message_text(text, to.chat, to.message_id, reply_markup=_keyboard(buttons)))
        except MessengerRefusedError as error:
            if _UNCHANGED not in str(error).lower():
                raise

    @override
    def acknowledge(self, to: IncomingUpdate) -> None:
        try:
            self.call(self.api.answer_callback_query(str(to.press)))
        except MessengerRefusedError as error:  # pressed long ago: its mark is gone already
            if _STALE_QUERY not in str(error).lower():
                raise

    def call(self, request: Coroutine[Any, Any, T]) -> T:
        """Run one request. Raises MessengerError."""
        try:
            return self._loop.run_until_complete(request)
        except TelegramError as error:
            raise _translated(error) from None


def _keyboard(buttons: Sequence[Button]) -> InlineKeyboardMarkup | None:
    made = [InlineKeyboardButton(one.label, callback_data=one.data) for one in buttons]
    rows = [made[i : i + 3] for i in range(0, len(made), 3)]
    return InlineKeyboardMarkup(rows) if rows else None


def _translated(error: TelegramError) -> MessengerError:
    text = readable(error.message)[:300]
    match error:
        case RetryAfter():
            with warnings.catch_warnings():  # the library announces that it will be a timedelta
                warnings.simplefilter("ignore")
                wait = error.retry_after
            return MessengerBusyError(max(1, int(wait.total_seconds() if isinstance(wait, timedelta) else wait)))
        case ChatMigrated():
            return ChatMovedError(str(error.new_chat_id))
        case BadRequest() | Forbidden() | InvalidToken():
            return MessengerRefusedError(text)
        case TimedOut() | NetworkError():
            return MessengerUnavailableError(text)
        case _:
            return MessengerRefusedError(text)
