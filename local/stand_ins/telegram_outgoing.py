"""Telegram's checks of the messages that a bot sends: lengths, entities, photos, replies, and rate limits.

Limits: core.telegram.org/bots/api (sendMessage, sendPhoto, MessageEntity, ReplyParameters) and core.telegram.org/bots/faq, "My
bot is hitting limits". Lengths are counted in UTF-16 code units, in which entities are placed too.
"""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from email.parser import BytesParser
from email.policy import HTTP
from typing import Any, Final

MAX_TEXT: Final = 4096
MAX_CAPTION: Final = 1024
MAX_ENTITIES: Final = 100
MAX_PHOTO_BYTES: Final = 10_000_000
MAX_PHOTO_SIDES: Final = 10_000  # width and height together
MAX_PHOTO_RATIO: Final = 20
_PNG: Final = b"\x89PNG\r\n\x1a\n"
_KNOWN: Final = frozenset(
    {"bold", "italic", "underline", "strikethrough", "spoiler", "blockquote", "code", "pre", "text_link", "url", "hashtag"}
)
_ALONE: Final = frozenset({"code", "pre"})  # may neither contain others nor lie in them


class OutgoingRefusedError(Exception):
    """A message is refused with status 400. The text is the description in Telegram's answer."""


@dataclass(frozen=True, slots=True)
class Sent:
    """The checked content of a bot's message."""

    text: str
    entities: tuple[Mapping[str, Any], ...] = ()
    photo: bytes | None = None
    silent: bool = False
    reply_to: int | None = None


def read_message(fields: Mapping[str, Any], *, with_photo: bool, known: Sequence[int]) -> Sent:
    """Return the message in the fields of a request. known: the ids of the chat's messages. Raises OutgoingRefusedError."""
    name = "caption" if with_photo else "text"
    text = str(fields.get(name, ""))
    if not with_photo and not text.strip():
        raise OutgoingRefusedError("message text is empty")
    if _units(text) > (MAX_CAPTION if with_photo else MAX_TEXT):
        raise OutgoingRefusedError("message caption is too long" if with_photo else "message is too long")
    entities = _entities(_object(fields.get("caption_entities" if with_photo else "entities", [])), text)
    return Sent(
        text=text,
        entities=entities,
        photo=_photo(fields.get("photo")) if with_photo else None,
        silent=str(fields.get("disable_notification", "")).lower() in {"true", "1"},
        reply_to=_reply(_object(fields.get("reply_parameters", {})), known),
    )


def form_fields(body: bytes, content_type: str) -> dict[str, Any]:
    """Return the fields of a multipart form: texts, and bytes for a file."""
    message = BytesParser(policy=HTTP).parsebytes(b"Content-Type: " + content_type.encode() + b"\r\n\r\n" + body)
    found: dict[str, Any] = {}
    for part in message.iter_parts():
        name = part.get_param("name", header="content-disposition")
        data = part.get_payload(decode=True)
        if isinstance(name, str) and isinstance(data, bytes):
            found[name] = data if part.get_filename() else data.decode(errors="replace")
    return found


def _object(raw: Any) -> Any:
    if not isinstance(raw, str):
        return raw
    try:
        return json.loads(raw)
    except json.JSONDecodeError:
        raise OutgoingRefusedError("can't parse JSON object") from None


def _entities(raw: Any, text: str) -> tuple[Mapping[str, Any], ...]:
    if not isinstance(raw, list) or not all(isinstance(one, dict) for one in raw):
        raise OutgoingRefusedError("can't parse entities: expected an Array of MessageEntity")
    if len(raw) > MAX_ENTITIES:
        raise OutgoingRefusedError(f"can't parse entities: expected at most {MAX_ENTITIES}")
    starts = _boundaries(text)
    for one in raw:
        offset, length = one.get("offset"), one.get("length")
        if one.get("type") not in _KNOWN:
            raise OutgoingRefusedError(f"can't parse entities: unsupported type {str(one.get('type'))[:40]}")
        if type(offset) is not int or type(length) is not int or length <= 0 or not {offset, offset + length} <= starts:
            raise OutgoingRefusedError("ENTITY_BOUNDS_INVALID")
    for place, one in enumerate(raw):
        for other in raw[place + 1 :]:
            if _overlap(one, other) and _ALONE & {one["type"], other["type"]}:
                raise OutgoingRefusedError("can't parse entities: code and pre can't be nested")
    return tuple(raw)


def _overlap(one: Mapping[str, int], other: Mapping[str, int]) -> bool:
    return one["offset"] < other["offset"] + other["length"] and other["offset"] < one["offset"] + one["length"]


def _boundaries(text: str) -> set[int]:
    """Return the offsets between characters: inside a surrogate pair there is none."""
    found, place = {0}, 0
    for character in text:
        place += _units(character)
        found.add(place)
    return found


def _units(text: str) -> int:
    return len(text.encode("utf-16-le", errors="surrogatepass")) // 2


def _photo(data: Any) -> bytes:
    """Return a photo. A file that an earlier message holds, or an address, is not known here."""
    if not isinstance(data, bytes) or not data:
        raise OutgoingRefusedError("there is no photo in the request")
    if len(data) > MAX_PHOTO_BYTES:
        raise OutgoingRefusedError("file is too big")
    if not data.startswith(_PNG) or len(data) < 24:
        raise OutgoingRefusedError("IMAGE_PROCESS_FAILED")
    width, height = int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")
    if not width or not height or width + height > MAX_PHOTO_SIDES or max(width, height) > MAX_PHOTO_RATIO * min(width, height):
        raise OutgoingRefusedError("PHOTO_INVALID_DIMENSIONS")
    return data


def _reply(raw: Any, known: Sequence[int]) -> int | None:
    if not isinstance(raw, dict):
        raise OutgoingRefusedError("can't parse reply parameters JSON object")
    if not raw:
        return None
    wanted = raw.get("message_id")
    if isinstance(wanted, int) and wanted in known:
        return wanted
    if raw.get("allow_sending_without_reply"):
        return None
    raise OutgoingRefusedError("message to be replied not found")


@dataclass
class Rates:
    """The rate limits of a bot: messages per second in total, and per second and minute to one chat."""

    in_all: int = 30
    chat_a_second: int = 1
    chat_a_minute: int = 20
    _sent: deque[tuple[datetime, str]] = field(default_factory=deque)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def wait(self, chat_id: str, now: datetime) -> int | None:
        """Return the seconds to wait before another message to a chat. None means that it may be sent now; it is then counted."""
        with self._lock:
            while self._sent and self._sent[0][0] <= now - timedelta(minutes=1):
                self._sent.popleft()
            second = [chat for at, chat in self._sent if at > now - timedelta(seconds=1)]
            own = [at for at, chat in self._sent if chat == chat_id]
            if len(own) >= self.chat_a_minute:
                return max(int((own[-self.chat_a_minute] + timedelta(minutes=1) - now).total_seconds()) + 1, 1)
            if len(second) >= self.in_all or second.count(chat_id) >= self.chat_a_second:
                return 1
            self._sent.append((now, chat_id))
            return None
