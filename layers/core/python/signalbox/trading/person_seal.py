"""Names the person in a chat to the orders API and the library API: a header that the bot signs for one request.

The gateway verifies that the bot's function sent a request, not who typed it. So the bot names the person in a header and seals
it with a key that only it, manage_orders and library_api read: over the person, the method, the path, the request id and the body
of this one request, and an end a minute later. The person then needs their own role in the ledger, and is the one who is
recorded. Without the header a request counts as the caller's own. Pure: keys and instants are arguments. Decision:
docs/decisions/0115-the-bot-names-a-person-under-a-seal.md.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from signalbox.signing import (
    AcceptedKeys,
    ForgedError,
    OverdueError,
    SigningKey,
    UnknownKeyError,
    UnsealedError,
    is_signed,
    signature_of,
)

HEADER: Final = "x-signalbox-person"
VALID: Final = timedelta(seconds=60)
AHEAD: Final = timedelta(seconds=30)  # by which the clock of the bot may be before ours
_SEAL: Final = re.compile(
    r"v1 person=(?P<person>telegram:\d{1,20}) until=(?P<until>\d{1,12})"
    r" key=(?P<key>[0-9a-f]{16}) signature=(?P<signature>[0-9a-f]{64})",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class SealedRequest:
    """The parts of a request that its seal covers. The bot and the APIs compute them alike.

    path: with its query. request_id: of a header; empty for an API that has it in the body.
    """

    method: str
    path: str
    body: bytes
    request_id: str = ""


def seal_person(principal: str, request: SealedRequest, key: SigningKey, now: datetime) -> str:
    """Return the text of the header. principal: `telegram:` and a number."""
    until = int((now + VALID).timestamp())
    claim = f"v1 person={principal} until={until} key={key.key_id}"
    return f"{claim} signature={signature_of(_signed(claim, request), key.secret)}"


def open_person(text: str, request: SealedRequest, keys: AcceptedKeys, now: datetime) -> str:
    """Return the person named in a header. Raises SealError; after KeyUnavailableError the same request may be repeated."""
    match = _SEAL.fullmatch(text)
    if match is None:
        raise UnsealedError("the header is not a seal of the bot for a person")
    key = keys.find(match["key"])
    if key is None:
        raise UnknownKeyError(f"expected a seal of the current or the previous key, got one of key {match['key']}")
    if not is_signed(_signed(text.rpartition(" signature=")[0], request), match["signature"], key.secret):
        raise ForgedError("the signature of the seal does not match: somebody else made it, or the request was changed")
    until = int(match["until"])
    if not now.timestamp() < until <= (now + VALID + AHEAD).timestamp():
        raise OverdueError(
            f"expected a seal that expires within {(VALID + AHEAD).seconds} s after {now.isoformat()}, got one until {until}"
        )
    return match["person"]


def _signed(claim: str, request: SealedRequest) -> str:
    return f"{claim}\n{request.method} {request.path}\n{request.request_id}\n{hashlib.sha256(request.body).hexdigest()}"
