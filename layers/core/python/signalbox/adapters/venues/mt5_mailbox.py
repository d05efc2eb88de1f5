"""The way to MetaTrader 5: signed commands in a queue that an agent beside the terminal polls, signed reports in another.

Each account has two queues and a key of its own, and nothing connects to the trader's machine. An envelope carries one bus
event, or the agent's answer to one command, as text. Its signature is HMAC-SHA256, with the account's key, over version,
direction, account, sequence, time and that text; so what was signed is what is parsed. Sequences of one account and direction
only go up. An envelope with a sequence below the newest one is a replay and refused; the newest one again is a redelivery,
which whoever handles it must make harmless.

A queue can lose what it holds to whoever may read it. So the agent answers every command, with its signature: it has it on its
disk, or it refuses it and why. What is not answered in time stops the account (decision 0076).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from pydantic import AwareDatetime, Field, ValidationError

from signalbox.errors import SignalboxError
from signalbox.events import BusEvent, parse_event
from signalbox.frozen import FrozenModel
from signalbox.orders.agent_answers import AgentAnswer, CommandRefused, CommandSequence, CommandTaken
from signalbox.orders.messages import AccountName, ExecutionRequested, VenueViewRequested
from signalbox.signing import KeyUnavailableError, is_signed, key_bytes, signature_of
from signalbox.wire import WireError, parse_object

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

VENUE: Final = "mt5"
VERSION: Final = 1
COMMAND_AGE: Final = timedelta(minutes=5)  # an older command is refused; what still has to be done is decided anew


class MailboxDirection(StrEnum):
    """Who speaks; a report can never pass for a command."""

    COMMAND = "command"
    REPORT = "report"


class EnvelopeError(SignalboxError):
    """A message that is not what it claims to be. It is not acted on."""


class ReplayError(EnvelopeError):
    """A message of the past."""


_ANSWERS: Final[dict[str, type[AgentAnswer]]] = {kind.__name__: kind for kind in (CommandTaken, CommandRefused)}


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of one account: what is sealed is signed with the first, what comes may be signed with any of them.

    Two while a key is being replaced, else one.
    """

    signing: bytes
    others: tuple[bytes, ...] = ()

    @classmethod
    def of(cls, *texts: str) -> Keys:
        """Return the keys in these texts, the one that signs first; empty ones are none. Raises EnvelopeError."""
        first, *others = [require_key(text) for text in texts if text.strip()] or [require_key("")]
        return cls(first, tuple(others))


class Envelope(FrozenModel):
    """One message as it lies in a queue."""

    version: Literal[1]
    direction: MailboxDirection
    account: AccountName
    sequence: CommandSequence
    sent_at: AwareDatetime
    body: str  # JSON: type and detail of one bus event or answer
    signature: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]

    def event(self) -> BusEvent:
        """Return the event inside. Raises EnvelopeError."""
        found = self.said()
        if isinstance(found, CommandTaken | CommandRefused):
            raise EnvelopeError(f"{self.account} {self.sequence}: expected one event of the bus, was {type(found).__name__}")
        return found

    def said(self) -> BusEvent | AgentAnswer:
        """Return what is inside. Raises EnvelopeError."""
        try:
            found = parse_object(self.body)
            kind = found.get("type")
            if isinstance(kind, str) and kind in _ANSWERS:
                return _ANSWERS[kind].model_validate(found.get("detail"))
            return parse_event(kind, found.get("detail"))
        except ValueError as error:
            raise EnvelopeError(f"{self.account} {self.sequence}: expected one event of the bus or answer: {error}") from error


def seal(
    content: BusEvent | AgentAnswer, *, key: bytes, direction: MailboxDirection, account: str, sequence: int, sent_at: datetime
) -> str:
    """Return an event, or an answer, as a signed envelope."""
    inside: dict[str, Any]
    if isinstance(content, BusEvent):
        inside = {"type": content.type.value, "detail": content.to_detail()}
    else:
        inside = {"type": type(content).__name__, "detail": content.model_dump(mode="json")}
    body = json.dumps(inside, sort_keys=True, separators=(",", ":"))
    unsigned = Envelope(
        version=VERSION,
        direction=direction,
        account=account,
        sequence=sequence,
        sent_at=sent_at,
        body=body,
        signature="0" * 64,
    )
    return unsigned.model_copy(update={"signature": signature_of(_signed(unsigned), key)}).model_dump_json()


def open_envelope(message: str, *, key: bytes | Keys, direction: MailboxDirection, account: str | None = None) -> Envelope:
    """Return a message that was signed with the key, or one of the keys. Raises EnvelopeError, which never quotes the message."""
    keys = key if isinstance(key, Keys) else Keys(key)
    try:
        found = Envelope.model_validate(parse_object(message))
    except ValidationError as error:
        raise EnvelopeError(f"expected an envelope of version {VERSION}: {error.error_count()} fields are wrong") from None
    except WireError as error:
        raise EnvelopeError(f"expected an envelope of version {VERSION}: {error}") from None
    text = _signed(found)
    genuine = [is_signed(text, found.signature, one) for one in (keys.signing, *keys.others)]
    if not any(genuine):
        raise EnvelopeError(f"{found.account} {found.sequence}: the signature is not of our key")
    if found.direction is not direction or account not in {None, found.account}:
        raise EnvelopeError(f"expected a {direction} of {account or 'any account'}, was a {found.direction} of {found.account}")
    return found


def require_key(text: str) -> bytes:
    """Return a signing key. Raises EnvelopeError when it is too short to be one."""
    try:
        return key_bytes(text)
    except KeyUnavailableError as error:
        raise EnvelopeError(str(error)) from None


class Mt5Venue:
    """Relay over the FIFO queue of one account's commands; in one message group, so that they stay in order."""

    def __init__(
        self,
        client: SQSClient,
        queue_url: str,
        *,
        key: bytes,
        next_sequence: Callable[[], int],
        expect: Callable[[int, str], None],
        clock: Callable[[], datetime],
    ) -> None:
        """expect: is told the sequence and the event id of each command that was sent, so that its answer is looked for."""
        self._client, self._queue_url, self._key = client, queue_url, key
        self._next_sequence, self._expect, self._clock = next_sequence, expect, clock

    def forward(self, request: ExecutionRequested | VenueViewRequested) -> None:
        sequence = self._next_sequence()
        text = seal(
            request,
            key=self._key,
            direction=MailboxDirection.COMMAND,
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
        self._expect(sequence, request.event_id)  # after the send: killed in between, the request comes again as another command


def _signed(of: Envelope) -> str:
    digest = hashlib.sha256(of.body.encode()).hexdigest()
    parts = ["signalbox-mt5", str(of.version), of.direction.value, of.account, str(of.sequence), of.sent_at.isoformat(), digest]
    return "\n".join(parts)
