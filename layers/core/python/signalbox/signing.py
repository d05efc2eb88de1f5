"""The seal of an event that moves money. It proves who sent the event, that nobody changed it, and until when it is valid.

Whoever may put events on the bus, or messages into a queue, can write anything there. So the ledger seals its requests to venues,
the executor seals its reports of what they did, and each side acts on sealed events only. A seal is part of the event's detail,
beside the facts: a key id, the sequence number within the account, an expiry, and HMAC-SHA256 with that key over all of it.
`_text` defines which bytes are signed: it serialises the parsed object, so the bus may rewrite the JSON on the way without
breaking the signature. Pure: keys and instants are arguments. Decision: docs/decisions/0070-requests-and-reports-are-sealed.md.
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
MINIMUM_KEY_BYTES: Final = 32  # the digest's length: a shorter key would be weaker than the signature


class SealError(SignalboxError, ValueError):
    """A sealed event is refused; the subclass says why. Messages never quote a key."""


class UnsealedError(SealError):
    """The event has no seal, or a malformed one."""


class UnknownKeyError(SealError):
    """The seal names a key that is neither the current nor the previous one."""


class ForgedError(SealError):
    """The signature does not match: another sender made it, or the event was changed on its way."""


class OverdueError(SealError):
    """The seal has expired: the message is old or waited too long."""


class KeyUnavailableError(SignalboxError):
    """No signing key can be read at the moment, so no seal can be made or verified. The work is retried later."""


def key_bytes(text: str) -> bytes:
    """Return the key in a secret's text. Raises KeyUnavailableError if it is too short; the error does not quote the text."""
    secret = text.strip().encode()
    if len(secret) < MINIMUM_KEY_BYTES:
        raise KeyUnavailableError(f"expected a signing key of at least {MINIMUM_KEY_BYTES} bytes, got {len(secret)}")
    return secret


def signature_of(text: str, secret: bytes) -> str:
    """Return the HMAC-SHA256 of a text in hexadecimal. The seals of the bus and the envelopes of mailboxes both use it."""
    return hmac.digest(secret, text.encode(), hashlib.sha256).hex()


def is_signed(text: str, signature: str, secret: bytes) -> bool:
    """Return whether a signature belongs to this text and key. Takes constant time, so timing does not reveal a partial match."""
    return hmac.compare_digest(signature_of(text, secret), signature)


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A signing key and its id. The id reveals nothing about the key."""

    key_id: str
    secret: bytes = field(repr=False)

    @classmethod
    def of(cls, text: str) -> SigningKey:
        """Return the key in a secret's text. Raises KeyUnavailableError if it is too short."""
        secret = key_bytes(text)
        return cls(hashlib.sha256(b"signalbox key id\n" + secret).hexdigest()[:16], secret)


class AcceptedKeys(Protocol):
    """The keys that a verifier accepts: the current one and the previous one."""

    def find(self, key_id: str) -> SigningKey | None:
        """Return the key with that id, or None if it certainly does not exist. Raises KeyUnavailableError."""


class Seal(FrozenModel):
    """The seal inside an event's detail. Only requests have `sequence` and `expires_at`: a report is a fact and never expires."""

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
    """Return the detail of an event, including its seal, as JSON text."""
    end = None if expires_at is None else expires_at.isoformat()
    seal = {"version": VERSION, "key": key.key_id, "sequence": sequence, "expires_at": end}
    return signed(kind, _text({**detail, SEAL: seal}), key)


def unsigned_seal(key: SigningKey, sequence: int, expires_at: datetime) -> str:
    """Return the seal of a request without its signature, exactly as in the text that is signed."""
    named = quoted_ascii(key.key_id)
    return f'{{"expires_at":"{expires_at.isoformat()}","key":{named},"sequence":{sequence},"version":{VERSION}}}'


def signed(kind: str, text: str, key: SigningKey) -> str:
    """Return an event's text with the signature added to its seal. text: JSON with the unsigned seal, as `sealed` writes it."""
    signature = signature_of(_signed(kind, text), key.secret)
    # quotation marks inside a text are escaped and no event has this key at a deeper level, so this matches only the seal
    return text.replace(f'"{SEAL}":{{', f'"{SEAL}":{{"signature":"{signature}",', 1)


def open_message(text: str, keys: AcceptedKeys) -> Sealed:
    """Return the sealed event of a message from a rule of the bus.

    After WireError, UnreadableEventError and SealError do not retry. After KeyUnavailableError the same message may be retried.
    """
    return open_envelope(parse_object(text, numbers=str), keys)


def open_envelope(envelope: Mapping[str, Any], keys: AcceptedKeys) -> Sealed:
    """Return the sealed event of a parsed message whose fractions are kept as text. Raises as `open_message` does."""
    source, kind, detail = (envelope.get(name) for name in ("source", "detail-type", "detail"))
    if source != EVENT_SOURCE:
        raise UnreadableEventError(f"expected an event with source {EVENT_SOURCE}, got {str(source)[:60]!r}")
    if not isinstance(kind, str) or not isinstance(detail, dict):
        raise UnreadableEventError(f"expected an object as the detail of a known event type, got {type(detail).__name__}")
    try:
        seal = Seal.model_validate(detail.get(SEAL))
    except ValidationError as error:
        raise UnsealedError(
            f"{kind[:60]}: expected a valid seal, got none, or one with {error.error_count()} wrong fields"
        ) from None
    key = keys.find(seal.key)
    if key is None:
        raise UnknownKeyError(f"{kind[:60]}: expected a seal of the current or the previous key, got one of key {seal.key}")
    unsigned = {name: value for name, value in detail[SEAL].items() if name != "signature"}
    if not is_signed(_signed(kind, _text({**detail, SEAL: unsigned})), seal.signature, key.secret):
        raise ForgedError(f"{kind[:60]}: the signature does not match; the event was changed or sealed by somebody else")
    return Sealed(parse_event(kind, detail), seal)


def require_in_time(seal: Seal, now: datetime) -> None:
    """Raise OverdueError unless the seal has an expiry and `now` is before it."""
    if seal.expires_at is None or now >= seal.expires_at:
        raise OverdueError(f"expected a seal that expires after {now.isoformat()}, got {seal.expires_at}")


def _text(detail: Mapping[str, Any]) -> str:
    """Return the JSON that is signed: sorted keys, ASCII, no spaces, without the signature.

    Sealed events hold only integers and text amounts, so all JSON writers give the same text for them.
    """
    return json.dumps(detail, sort_keys=True, separators=(",", ":"))


def _signed(kind: str, text: str) -> str:
    return f"{quoted_ascii(kind)}\n{text}"
