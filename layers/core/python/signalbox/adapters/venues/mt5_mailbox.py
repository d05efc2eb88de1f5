"""The link to MetaTrader 5: an agent beside the terminal polls one queue for signed commands and sends signed reports to another.

Each account has two queues and a key of its own, and nothing connects to the trader's machine. An envelope carries one bus
event, or the agent's answer to one command, as text. Its signature is an HMAC-SHA256 with the account's key over version,
direction, account, sequence, time and that text, so what was signed is what is parsed. The sequences of one account and direction
only increase. An envelope with an older sequence than the newest is a replay and is refused. The newest sequence again is a
redelivery, which the receiver must make harmless.

Anyone who may read a queue can remove its messages. So the agent answers every command with a signature: it has the command on
disk, or it refuses the command for a reason. A command without an answer in time halts the account (decision 0076).
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
COMMAND_AGE: Final = timedelta(minutes=5)  # an older command is refused; the ledger decides again what is still needed


class MailboxDirection(StrEnum):
    """The direction of a message, so that a report cannot pass for a command."""

    COMMAND = "command"
    REPORT = "report"


class EnvelopeError(SignalboxError):
    """A message of a mailbox is malformed, or its signature does not match. It is not acted on."""


class ReplayError(EnvelopeError):
    """A message is older than one that was handled before."""


_ANSWERS: Final[dict[str, type[AgentAnswer]]] = {kind.__name__: kind for kind in (CommandTaken, CommandRefused)}


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of one account. The first one signs; received messages may be signed with any of them.

    There are two during a key rotation, otherwise one.
    """

    signing: bytes
    others: tuple[bytes, ...] = ()

    @classmethod
    def of(cls, *texts: str) -> Keys:
        """Return the keys in these texts, the signing key first; empty texts are skipped. Raises EnvelopeError."""
        first, *others = [require_key(text) for text in texts if text.strip()] or [require_key("")]
        return cls(first, tuple(others))


class Envelope(FrozenModel):
    """One message as it is in a queue."""

    version: Literal[1]
    direction: MailboxDirection
    account: AccountName
    sequence: CommandSequence
    sent_at: AwareDatetime
    body: str  # JSON: type and detail of one bus event or answer
    signature: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]

    def event(self) -> BusEvent:
        """Return the event inside. Raises EnvelopeError."""
        found = self.content()
        if isinstance(found, CommandTaken | CommandRefused):
            raise EnvelopeError(f"message {self.sequence} of {self.account}: expected a bus event, got {type(found).__name__}")
        return found

    def content(self) -> BusEvent | AgentAnswer:
        """Return the event or answer inside. Raises EnvelopeError."""
        try:
            found = parse_object(self.body)
            kind = found.get("type")
            if isinstance(kind, str) and kind in _ANSWERS:
                return _ANSWERS[kind].model_validate(found.get("detail"))
            return parse_event(kind, found.get("detail"))
        except ValueError as error:
            raise EnvelopeError(
                f"message {self.sequence} of {self.account} is neither a bus event nor an answer: {error}"
            ) from error


def seal(
    content: BusEvent | AgentAnswer, *, key: bytes, direction: MailboxDirection, account: str, sequence: int, sent_at: datetime
) -> str:
    """Return an event or an answer as a signed envelope."""
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
    """Return a message that one of these keys signed. Raises EnvelopeError, which never quotes the message."""
    keys = key if isinstance(key, Keys) else Keys(key)
    try:
        found = Envelope.model_validate(parse_object(message))
    except ValidationError as error:
        raise EnvelopeError(f"not an envelope of version {VERSION}: {error.error_count()} fields are wrong") from None
    except WireError as error:
        raise EnvelopeError(f"not an envelope of version {VERSION}: {error}") from None
    text = _signed(found)
    genuine = [is_signed(text, found.signature, one) for one in (keys.signing, *keys.others)]
    if not any(genuine):
        raise EnvelopeError(f"message {found.sequence} of {found.account}: no key of the account made its signature")
    if found.direction is not direction or account not in {None, found.account}:
        wanted = f"a {direction} of account {account or '(any)'}"
        raise EnvelopeError(f"expected {wanted}, got a {found.direction} of account {found.account}")
    return found


def require_key(text: str) -> bytes:
    """Return a signing key. Raises EnvelopeError if it is too short."""
    try:
        return key_bytes(text)
    except KeyUnavailableError as error:
        raise EnvelopeError(str(error)) from None


class Mt5Venue:
    """Relay over the FIFO queue of one account's commands. One message group keeps them in order."""

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
        """Connect the relay. expect: called with the sequence and event id of each sent command, to await its answer."""
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
        # after the send: after a crash in between, the request is sent again as a new command
        self._expect(sequence, request.event_id)


def _signed(of: Envelope) -> str:
    digest = hashlib.sha256(of.body.encode()).hexdigest()
    parts = ["signalbox-mt5", str(of.version), of.direction.value, of.account, str(of.sequence), of.sent_at.isoformat(), digest]
    return "\n".join(parts)
