"""The messages of a run as a phone shows them: bubbles with their photo, styles, and the message they reply to."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from local.stand_ins.telegram import Message

SHOWN: Final = 12  # the newest
SHOWN_PHOTOS: Final = 4  # of these; each is some 60 kB of the page
_TAGS: Final = {"bold": "b", "italic": "i", "code": "code"}


@dataclass(frozen=True, slots=True)
class Bubble:
    """One message. pieces: text and the tag around it. photo: a PNG in base64, empty without one. quoted: what it replies to."""

    pieces: tuple[tuple[str, str], ...]
    photo: str = ""
    quoted: str = ""
    silent: bool = False


def bubbles(messages: Sequence[Message]) -> tuple[Bubble, ...]:
    """Return the newest messages, oldest first; of their photos the newest."""
    by_id = {one.message_id: one for one in messages}
    newest = messages[-SHOWN:]
    with_photo = [one.message_id for one in newest if one.sent.photo is not None][-SHOWN_PHOTOS:]
    found = []
    for one in newest:
        sent = one.sent
        photo = ""
        if sent.photo is not None and one.message_id in with_photo:
            photo = base64.b64encode(sent.photo).decode()
        replied = by_id.get(sent.reply_to or 0)
        quoted = "" if replied is None else replied.text.partition("\n")[0]
        found.append(Bubble(_pieces(one), photo, quoted, sent.silent))
    return tuple(found)


def _pieces(message: Message) -> tuple[tuple[str, str], ...]:
    """Return the text in pieces of one style each; entities are placed in UTF-16 code units and do not overlap."""
    data = message.text.encode("utf-16-le")
    pieces, at = [], 0
    for entity in sorted(message.sent.entities, key=lambda one: int(one["offset"])):
        start, end = 2 * entity["offset"], 2 * (entity["offset"] + entity["length"])
        pieces.append((data[at:start].decode("utf-16-le"), ""))
        pieces.append((data[start:end].decode("utf-16-le"), _TAGS.get(entity["type"], "")))
        at = end
    pieces.append((data[at:].decode("utf-16-le"), ""))
    return tuple(piece for piece in pieces if piece[0])
