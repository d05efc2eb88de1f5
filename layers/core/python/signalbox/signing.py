"""The seal of an event that moves money: who said it, that nobody changed it since, and until when it may be acted on.

Whoever may put events on the bus, or a message into a queue, can write anything there. So the ledger seals what it asks of
venues, and the executor seals what it says they did; each side acts on nothing else. A seal lies in the event's detail, beside
its facts: the id of a key, the place in the account's sequence, an end, and HMAC-SHA256 with that key over all of it. Which
bytes are signed is told by `_text`; what is parsed is the same object, and the text in between may be written anew, as
the bus does. Pure: keys and instants are arguments. Decision: docs/decisions/0070-requests-and-reports-are-sealed.md.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any, Final, Literal, Protocol

from pydantic import AwareDatetime, Field, ValidationError

from signalbox.contracts import EVENT_SOURCE
from signalbox.errors import SignalboxError
from signalbox.events import SEAL, BusEvent, UnreadableEventError, parse_event
from signalbox.frozen import FrozenModel, quoted_ascii
from signalbox.wire import parse_object

VERSION: Final = 1
MINIMUM_KEY_BYTES: Final = 32  # as many as the digest has: less would be weaker than the signature


class SealError(SignalboxError, ValueError):
    """An event that is not acted on: UnsealedError | UnknownKeyError | ForgedError | OverdueError. It never quotes a key."""


class UnsealedError(SealError):
    """It has no seal, or one that nobody can read."""


class UnknownKeyError(SealError):
    """It names a key that is neither the current one nor the one before."""


class ForgedError(SealError):
    """Its signature is not of that key: it was made by somebody else, or changed on its way."""


class OverdueError(SealError):
    """Its time is over: a message of the past, or one that waited too long."""


class KeyUnavailableError(SignalboxError):
    """No key can be read now, so nothing is known of a seal and none can be made. What needs one comes again."""


def key_bytes(text: str) -> bytes:
    """Return the key in a secret's text. Raises KeyUnavailableError, which does not quote it, when it is too short to be one."""
    secret = text.strip().encode()
    if len(secret) < MINIMUM_KEY_BYTES:
        raise KeyUnavailableError(f"expected a signing key of at least {MINIMUM_KEY_BYTES} bytes, was {len(secret)}")
    return secret


def signature_of(text: str, secret: bytes) -> str:
    """Return HMAC-SHA256 of a text, in hexadecimal: under the seals of the bus and the envelopes of mailboxes alike."""
    return hmac.digest(secret, text.encode(), hashlib.sha256).hex()


def is_signed(text: str, signature: str, secret: bytes) -> bool:
    """Whether a signature is of this text and key, in a time that does not tell how much of it is right."""
    return hmac.compare_digest(signature_of(text, secret), signature)


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key and its id, which says nothing of the key."""

    key_id: str
    secret: bytes = field(repr=False)

    @classmethod
    def of(cls, text: str) -> SigningKey:
        """Return the key of a secret's text. Raises KeyUnavailableError when that is too short to be one."""
        secret = key_bytes(text)
        return cls(hashlib.sha256(b"signalbox key id\n" + secret).hexdigest()[:16], secret)


class AcceptedKeys(Protocol):
    """The keys that a verifier takes: the current one and the one before it."""

    def find(self, key_id: str) -> SigningKey | None:
        """Return the key of that id; None once it is certain that there is none. Raises KeyUnavailableError."""


class Seal(FrozenModel):
    """What lies beside the facts of a sealed event. `sequence`, `expires_at`: of requests; a report is a fact and stays one."""

    version: Literal[1] = VERSION
    key: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
    sequence: Annotated[int, Field(ge=1)] | None = None
    expires_at: AwareDatetime | None = None
    signature: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


@dataclass(frozen=True, slots=True)
class Sealed:
    """An event whose seal was verified."""

    event: BusEvent
    seal: Seal


def sealed(
    kind: str, detail: Mapping[str, Any], key: SigningKey, *, sequence: int | None = None, expires_at: datetime | None = None
) -> str:
    """Return the detail of an event with its seal, as JSON text."""
    end = None if expires_at is None else expires_at.isoformat()
    seal = {"version": VERSION, "key": key.key_id, "sequence": sequence, "expires_at": end}
    return signed(kind, _text({**detail, SEAL: seal}), key)


def unsigned_seal(key: SigningKey, sequence: int, expires_at: datetime) -> str:
    """Return the seal of a request without its signature, as it stands in the text that is signed."""
    named = quoted_ascii(key.key_id)
    return f'{{"expires_at":"{expires_at.isoformat()}","key":{named},"sequence":{sequence},"version":{VERSION}}}'


def signed(kind: str, text: str, key: SigningKey) -> str:
    """Return the text of an event, its unsigned seal in it, with the signature. text: JSON as `sealed` writes it."""
    signature = signature_of(_signed(kind, text), key.secret)
    # within a text a quotation mark is escaped, and no event has such a key further in: this is the seal and nothing else
    return text.replace(f'"{SEAL}":{{', f'"{SEAL}":{{"signature":"{signature}",', 1)


def open_message(text: str, keys: AcceptedKeys) -> Sealed:
    """Return the sealed event of a message that a rule of the bus makes.

    Raises WireError, UnreadableEventError or SealError: final. Raises KeyUnavailableError: the same message may come again.
    """
    return open_envelope(parse_object(text, numbers=str), keys)


def open_envelope(envelope: Mapping[str, Any], keys: AcceptedKeys) -> Sealed:
    """Return the sealed event of a message that was parsed, its fractions as text. Raises as `open_message` does."""
    source, kind, detail = (envelope.get(name) for name in ("source", "detail-type", "detail"))
    if source != EVENT_SOURCE:
        raise UnreadableEventError(f"expected an event of {EVENT_SOURCE}, was {str(source)[:60]!r}")
    if not isinstance(kind, str) or not isinstance(detail, dict):
        raise UnreadableEventError(f"expected the object of a known event, was {type(detail).__name__}")
    try:
        seal = Seal.model_validate(detail.get(SEAL))
    except ValidationError as error:
        raise UnsealedError(f"expected a {kind[:60]} with a seal, was one with {error.error_count()} faults in it") from None
    key = keys.find(seal.key)
    if key is None:
        raise UnknownKeyError(f"expected a {kind[:60]} of the current key or the one before, was of key {seal.key}")
    unsigned = {name: value for name, value in detail[SEAL].items() if name != "signature"}
    if not is_signed(_signed(kind, _text({**detail, SEAL: unsigned})), seal.signature, key.secret):
        raise ForgedError(f"expected a {kind[:60]} as it was sealed, was another or of another signer")
    return Sealed(parse_event(kind, detail), seal)


def require_in_time(seal: Seal, now: datetime) -> None:
    """Raise OverdueError unless the seal has an end and `now` is before it."""
    if seal.expires_at is None or now >= seal.expires_at:
        raise OverdueError(f"expected a seal that ends after {now.isoformat()}, was {seal.expires_at}")


def _text(detail: Mapping[str, Any]) -> str:
    """Return the JSON that is signed: sorted keys, ASCII, no spaces, the signature left out.

    In what is sealed numbers are integers and amounts are text, so no two writers of JSON differ over them.
    """
    return json.dumps(detail, sort_keys=True, separators=(",", ":"))


def _signed(kind: str, text: str) -> str:
    return f"{quoted_ascii(kind)}\n{text}"
