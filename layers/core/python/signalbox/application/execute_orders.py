"""A request of the ledger at its venue: sealed and in time, carried out once, answered again as before, or given to an agent."""

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

MAX_WAIT = 30  # seconds that a view may wait to be due: a clock that is off by more delays it no longer


class Sends(SendLog, ReplacementLog, Protocol):
    """Durable memory of what was sent and what replaced it."""


class RequestAnswers(Protocol):
    """Durable memory of what was announced for each request of an order that is done."""

    def find(self, account: str, event_id: str) -> tuple[str, ...] | None:
        """Return the answer to a request, None where none is kept."""

    def keep(self, account: str, event_id: str, answer: Sequence[str], at: datetime) -> None:
        """Keep the answer to a request; the first one stays."""


class AccountVenues(Protocol):
    """The venues of live accounts, with their credentials."""

    def venue(self, request: ExecutionRequested | VenueViewRequested) -> Venue:
        """Return the venue of a request's account; a ClosedVenue that says why where it may not be used."""


class AgentMailboxes(Protocol):
    """The mailboxes of accounts whose orders an agent carries out."""

    def has(self, account: str) -> bool:
        """Whether an account has a mailbox in this stage."""

    def relay(self, account: str) -> Relay | ClosedVenue:
        """Return the way to an account's agent; a ClosedVenue that says why where there is none."""

    def reporter(self, queue_arn: str) -> str | None:
        """Return the account whose agent reports through a queue, None for every other queue."""

    def is_checks(self, queue_arn: str) -> bool:
        """Whether a queue brings commands to look for an answer to."""

    def take_report(self, account: str, text: str) -> ExecutionReported | VenueViewReported | AgentAnswer:
        """Return what the agent of this account reported, and note what it answered. Raises SignalboxError: not its word."""

    def check(self, text: str) -> ExpectedAnswer | None:
        """Look for an answer; without one stop the account, and return what was not answered. Raises WireError, ValueError."""


def _sleep(wait: timedelta) -> None:
    time.sleep(wait.total_seconds())


class ViewNotDueError(VenueBusyError):
    """A view that is asked for a moment later, and then waits for that moment in its queue."""


def _require_due(request: VenueViewRequested, now: datetime) -> None:
    """Give a view back to its queue until it is due; in a group of its own it holds nobody up. Raises ViewNotDueError."""
    left = timedelta(0) if request.not_before is None else request.not_before - now
    if left > timedelta(0):
        seconds = min(ceil(left.total_seconds()), MAX_WAIT)
        raise ViewNotDueError(f"{request.account}: the view is due at {request.not_before}", seconds)


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
    retry_in: Callable[[str, str, int], None]  # makes a message visible again: receipt handle, queue, seconds
    clock: Callable[[], datetime]
    pause: Callable[[timedelta], None] = _sleep

    def accept(self, message: str) -> Sealed:
        """Return what the ledger sealed, if its time is not over.

        Raises SealError, UnreadableEventError or WireError: final. Raises KeyUnavailableError: deliver it again.
        """
        found = open_message(message, self.request_keys)
        require_in_time(found.seal, self.clock())
        return found

    def carry_out(self, request: ExecutionRequested | VenueViewRequested) -> tuple[BusEvent, ...]:
        """Do it and announce what happened; an order's request that is done is answered as before, and not done again.

        Raises VenueBusyError and, for a view, any ExecutionError: deliver it again.
        """
        if isinstance(request, VenueViewRequested):
            return self._done(request)
        if (answer := self.answers.find(request.account, request.event_id)) is not None:
            again = tuple(parse_event(**parse_object(text)) for text in answer)
            self.bus.announce(again)
            return again
        announced = self._done(request)
        texts = [json.dumps({"detail_type": event.type.value, "detail": event.to_detail()}) for event in announced]
        self.answers.keep(request.account, request.event_id, texts, self.clock())
        return announced

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
        """Hand a request on to the account's agent; return what is known now. Raises VenueRefusedError: a view without a key."""
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
        """Announce what the agent of an account reported, note what it answered. Raises EnvelopeError: it is not its word."""
        content = self.mailboxes.take_report(account, envelope)
        if isinstance(content, ExecutionReported | VenueViewReported):
            self.bus.announce((content,))
        return content

    def check(self, text: str) -> ExpectedAnswer | None:
        """Stop an account whose agent did not answer a command; return that command. Raises WireError, ValidationError."""
        return self.mailboxes.check(text)
