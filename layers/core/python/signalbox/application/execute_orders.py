"""Carries out the ledger's requests at venues: verifies seal and expiry, acts once, repeats the answer, or asks an agent."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil
from typing import Protocol

from signalbox.events import BusEvent, parse_event
from signalbox.market.collection import Announcer
from signalbox.orders.agent_answers import AgentAnswer, ExpectedAnswer
from signalbox.orders.execution import execute, forward, query
from signalbox.orders.messages import ExecutionReported, ExecutionRequested, VenueViewReported, VenueViewRequested
from signalbox.orders.parts import in_parts
from signalbox.orders.venue_port import ClosedVenue, Relay, ReplacementLog, SendLog, Venue, VenueBusyError
from signalbox.signing import AcceptedKeys, Sealed, open_message, require_in_time
from signalbox.wire import parse_object

MAX_WAIT = 30  # longest delay of a view in seconds, so that a wrong clock cannot delay it further
REDELIVERED_WITHIN = timedelta(minutes=15)  # queues and the relay repeat a message within minutes; later somebody replays it


@dataclass(frozen=True)
class KeptAnswer:
    """The events that were announced for a completed request, as JSON of type and detail, and when."""

    events: tuple[str, ...]
    at: datetime


@dataclass(frozen=True)
class CarriedOut:
    """What was announced for a request. replayed: how long after its completion it arrived again, if that is a replay."""

    events: tuple[BusEvent, ...]
    replayed: timedelta | None = None


class Sends(SendLog, ReplacementLog, Protocol):
    """Durable memory of the orders that were sent and of their replacements."""


class RequestAnswers(Protocol):
    """Durable memory of the events that were announced for each completed order request."""

    def find(self, account: str, event_id: str) -> KeptAnswer | None:
        """Return the answer to a request, or None if none was kept."""

    def keep(self, account: str, event_id: str, answer: Sequence[str], at: datetime) -> None:
        """Keep the answer to a request, unless one was kept before."""


class AccountVenues(Protocol):
    """The venues of live accounts, with their credentials."""

    def venue(self, request: ExecutionRequested | VenueViewRequested) -> Venue:
        """Return the venue of a request's account; a ClosedVenue with the reason if it may not be used."""


class AgentMailboxes(Protocol):
    """The mailboxes of accounts whose orders an agent carries out."""

    def has(self, account: str) -> bool:
        """Whether an account has a mailbox in this stage."""

    def relay(self, account: str) -> Relay | ClosedVenue:
        """Return the relay to an account's agent; a ClosedVenue with the reason if there is none."""

    def reporter(self, queue_arn: str) -> str | None:
        """Return the account whose agent reports through a queue, or None if it is another queue."""

    def is_checks(self, queue_arn: str) -> bool:
        """Whether a queue holds reminders to check that a command was answered."""

    def take_report(self, account: str, text: str) -> ExecutionReported | VenueViewReported | AgentAnswer:
        """Return an agent's report on this account, and record which command it answers.

        Raises SignalboxError if the report is not from the account's agent.
        """

    def check(self, text: str) -> ExpectedAnswer | None:
        """Check that the agent answered a command. If it did not, halt the account and return the command.

        Raises WireError, ValueError.
        """


def _sleep(wait: timedelta) -> None:
    time.sleep(wait.total_seconds())


class ViewNotDueError(VenueBusyError):
    """A request for a venue view is not due yet. It stays in its queue until then."""


def _require_due(request: VenueViewRequested, now: datetime) -> None:
    """Raise ViewNotDueError until a view is due. It has a message group of its own, so its wait delays no other message."""
    left = timedelta(0) if request.not_before is None else request.not_before - now
    if left > timedelta(0):
        seconds = min(ceil(left.total_seconds()), MAX_WAIT)
        raise ViewNotDueError(f"{request.account}: the view is not due before {request.not_before}", seconds)


@dataclass
class ExecuteOrders:
    """Carries out one request at a time, and passes on what an agent reports."""

    bus: Announcer
    request_keys: AcceptedKeys
    venues: AccountVenues
    sends: Sends
    answers: RequestAnswers
    mailboxes: AgentMailboxes
    agent_venue: str  # the venue whose orders agents carry out
    retry_in: Callable[[str, str, int], None]  # makes a message visible again; arguments: receipt handle, queue, seconds
    clock: Callable[[], datetime]
    pause: Callable[[timedelta], None] = _sleep

    def accept(self, message: str) -> Sealed:
        """Return the sealed event of a message that has not expired.

        SealError, UnreadableEventError and WireError mean that the message must not be retried. After
        KeyUnavailableError it is delivered again.
        """
        found = open_message(message, self.request_keys)
        require_in_time(found.seal, self.clock())
        return found

    def carry_out(self, request: ExecutionRequested | VenueViewRequested) -> CarriedOut:
        """Carry out a request and announce the result. A completed order request is answered as before, without acting again.

        After VenueBusyError, and for a view after any ExecutionError, the message is delivered again.
        """
        if isinstance(request, VenueViewRequested):
            return CarriedOut(self._done(request))
        if (answer := self.answers.find(request.account, request.event_id)) is not None:
            again = tuple(parse_event(**parse_object(text)) for text in answer.events)
            self.bus.announce(again)
            late = self.clock() - answer.at
            return CarriedOut(again, late if late > REDELIVERED_WITHIN else None)
        announced = self._done(request)
        texts = [json.dumps({"detail_type": event.type.value, "detail": event.to_detail()}) for event in announced]
        self.answers.keep(request.account, request.event_id, texts, self.clock())
        return CarriedOut(announced)

    def _done(self, request: ExecutionRequested | VenueViewRequested) -> tuple[BusEvent, ...]:
        if isinstance(request, VenueViewRequested):
            _require_due(request, self.clock())
        report = self._through_mailbox(request) if self._has_mailbox(request) else self._at_venue(request)
        announced = () if report is None else in_parts(report)
        self.bus.announce(announced)
        return announced

    def _has_mailbox(self, request: ExecutionRequested | VenueViewRequested) -> bool:
        return request.venue == self.agent_venue and self.mailboxes.has(request.account)

    def _through_mailbox(self, request: ExecutionRequested | VenueViewRequested) -> ExecutionReported | None:
        """Forward a request to the agent; return what is known now. Raises VenueRefusedError for a view without a key."""
        relay = self.mailboxes.relay(request.account)
        if isinstance(relay, ClosedVenue):
            if isinstance(request, VenueViewRequested):
                relay.view(request)  # raises
                return None
            return execute(request, relay, self.sends, self.clock)
        if isinstance(request, ExecutionRequested):
            return forward(request, relay, self.clock)
        relay.forward(request)
        return None

    def _at_venue(self, request: ExecutionRequested | VenueViewRequested) -> ExecutionReported | VenueViewReported:
        venue, sends = self.venues.venue(request), self.sends
        if isinstance(request, ExecutionRequested):
            return execute(request, venue, sends, self.clock, chains=sends, pause=self.pause)
        return query(request, venue, sends, chains=sends)

    def pass_on(self, account: str, envelope: str) -> ExecutionReported | VenueViewReported | AgentAnswer:
        """Announce an agent's report, and record which command it answers. Raises EnvelopeError if it is not from the agent."""
        content = self.mailboxes.take_report(account, envelope)
        if isinstance(content, ExecutionReported | VenueViewReported):
            self.bus.announce((content,))
        return content

    def check(self, text: str) -> ExpectedAnswer | None:
        """Halt an account whose agent did not answer a command, and return that command. Raises WireError, ValidationError."""
        return self.mailboxes.check(text)
