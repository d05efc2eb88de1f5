"""Cursors of pages: where the next page begins, signed, and bound to the question that it goes on from.

A cursor is opaque to whoever receives it. One that was changed, or that belongs to another question, is refused: it would
otherwise skip rows without a sign of it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final

from signalbox.library.errors import CursorError
from signalbox.signing import is_signed, signature_of
from signalbox.wire import WireError, parse

KEY_BYTES: Final = 32
_REFUSED: Final = (
    "expected the cursor that the page before gave as `next`, for the same question; ask for the first page without one"
)


def cursor_of(position: tuple[Any, ...], question: Mapping[str, Any], key: bytes) -> str:
    """Return the cursor of what follows `position`, the sort key of a page's last row in JSON's types.

    question: what was asked, without cursor and limit. key: 32 bytes.
    """
    text = json.dumps([_digest(question), *position], separators=(",", ":"))
    return f"{base64.urlsafe_b64encode(text.encode()).decode()}.{signature_of(text, key)}"


def position_of(cursor: str, question: Mapping[str, Any], key: bytes) -> tuple[Any, ...]:
    """Return the position in a cursor. Raises CursorError unless this key signed it for this question."""
    encoded, _, signature = cursor.partition(".")
    try:
        text = base64.b64decode(encoded, altchars=b"-_", validate=True).decode()
        if not is_signed(text, signature, key):
            raise CursorError(_REFUSED)
        asked, *position = parse(text)
    except (binascii.Error, UnicodeError, WireError, TypeError, ValueError):
        raise CursorError(_REFUSED) from None
    if asked != _digest(question):
        raise CursorError(_REFUSED)
    return tuple(position)


def _digest(question: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(question, sort_keys=True).encode()).hexdigest()[:16]
