"""The way to MetaTrader 5: signed commands in a queue that an agent beside the terminal polls, signed reports in another.

Nothing connects to the trader's machine. An envelope carries one bus event as text. Its signature is HMAC-SHA256, with a key
that both sides have, over version, direction, account, sequence, time and that text; so what was signed is what is parsed.
Sequences of one account and direction only go up. An envelope with a sequence below the newest one is a replay and refused;
the newest one again is a redelivery, which whoever handles it must make harmless.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Final, Literal

from pydantic import AwareDatetime, Field, ValidationError

from signalbox.errors import SignalboxError
from signalbox.events import BusEvent, parse_event
from signalbox.frozen import Frozen
from signalbox.orders.messages import AccountName, ExecutionRequested, VenueViewRequested
from signalbox.wire import WireError, parse_object

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

VENUE: Final = "mt5"
VERSION: Final = 1
MINIMUM_KEY_BYTES: Final = 32


class Direction(StrEnum):
    """Who speaks; a report can never pass for a command."""

    COMMAND = "command"
    REPORT = "report"


class EnvelopeError(SignalboxError):
    """A message that is not what it claims to be. It is not acted on."""


class ReplayError(EnvelopeError):
    """A message of the past."""


class Envelope(Frozen):
    """One message as it lies in a queue."""

    version: Literal[1]
    direction: Direction
    account: AccountName
    sequence: Annotated[int, Field(ge=1)]
    sent_at: AwareDatetime
    body: str  # JSON: type and detail of one bus event
    signature: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]

    def event(self) -> BusEvent:
        """Return the event inside. Raises EnvelopeError."""
        try:
            said = parse_object(self.body)
            return parse_event(said.get("type"), said.get("detail"))
        except ValueError as error:
            raise EnvelopeError(f"{self.account} {self.sequence}: expected one event of the bus: {error}") from error


def is_envelope(text: str) -> bool:
    """Whether a queue's message looks like one, so that it must be opened before anything else."""
    try:
        return "signature" in parse_object(text)
    except WireError:
        return False


def seal(event: BusEvent, *, key: bytes, direction: Direction, account: str, sequence: int, sent_at: datetime) -> str:
    """Return the event as a signed envelope."""
    body = json.dumps({"type": event.type.value, "detail": event.to_detail()}, sort_keys=True, separators=(",", ":"))
    unsigned = Envelope(
        version=VERSION,
        direction=direction,
        account=account,
        sequence=sequence,
        sent_at=sent_at,
        body=body,
        signature="0" * 64,
    )
    return unsigned.model_copy(update={"signature": _signature(key, unsigned)}).model_dump_json()


def open_envelope(text: str, *, key: bytes, direction: Direction, account: str | None = None) -> Envelope:
    """Return a message that was signed with the key. Raises EnvelopeError, which never quotes the message."""
    try:
        found = Envelope.model_validate(parse_object(text))
    except ValidationError as error:
        raise EnvelopeError(f"expected an envelope of version {VERSION}: {error.error_count()} fields are wrong") from None
    except WireError as error:
        raise EnvelopeError(f"expected an envelope of version {VERSION}: {error}") from None
    expected = _signature(key, found)
    if not hmac.compare_digest(expected, found.signature):
        raise EnvelopeError(f"{found.account} {found.sequence}: the signature is not of our key")
    if found.direction is not direction or account not in {None, found.account}:
        raise EnvelopeError(f"expected a {direction} of {account or 'any account'}, was a {found.direction} of {found.account}")
    return found


def require_key(text: str) -> bytes:
    """Return a signing key. Raises EnvelopeError when it is too short to be one."""
    key = text.strip().encode()
    if len(key) < MINIMUM_KEY_BYTES:
        raise EnvelopeError(f"expected a signing key of at least {MINIMUM_KEY_BYTES} characters, was {len(key)}")
    return key


class Mt5Venue:
    """Relay over an SQS FIFO queue; one message group an account, so that commands stay in order."""

    def __init__(
        self,
        client: SQSClient,
        queue_url: str,
        *,
        key: bytes,
        next_sequence: Callable[[str], int],
        clock: Callable[[], datetime],
    ) -> None:
        self._client, self._queue_url, self._key = client, queue_url, key
        self._next_sequence, self._clock = next_sequence, clock

    def hand_on(self, request: ExecutionRequested | VenueViewRequested) -> None:
        sequence = self._next_sequence(request.account)
        text = seal(
            request,
            key=self._key,
            direction=Direction.COMMAND,
            account=request.account,
            sequence=sequence,
            sent_at=self._clock(),
        )
        self._client.send_message(
            QueueUrl=self._queue_url,
            MessageBody=text,
            MessageGroupId=request.account,
            MessageDeduplicationId=f"{request.account}-{sequence}",
        )


def _signature(key: bytes, of: Envelope) -> str:
    digest = hashlib.sha256(of.body.encode()).hexdigest()
    parts = ["signalbox-mt5", str(of.version), of.direction.value, of.account, str(of.sequence), of.sent_at.isoformat(), digest]
    return hmac.new(key, "\n".join(parts).encode(), hashlib.sha256).hexdigest()
