"""Receives a command, records it, acknowledges it, executes it at the terminal, reports, and only then removes it from the queue.

If the agent stops in between, the command is delivered again. The journal and the terminal's history make that harmless: an order
whose send began is looked up and never sent again. Every command gets a signed answer. An instruction about an order is on disk
before it is acknowledged, so nobody who can read the queue can make it vanish afterwards. A command that is older than
COMMAND_AGE by the checked clock, or older than one already handled, is refused, and reported as not done so that the ledger can
decide again. A request for a view is repeated anyway and is not recorded.
Some commands cannot be executed now: the terminal is closed, logged out or disconnected, the market is closed, or there is no
price. Such a command is kept in the journal and removed from the queue, because it would block the commands behind it and be
dropped after a few deliveries. The agent tries it again with growing pauses: a submit until its `send_before`, then it is
reported as expired; a cancel or replace for CHANGES_KEPT, then it is reported as not done; of the views only the newest. Commands
about one order keep their sequence.
A result may not be final: there was no answer, or a market order is not complete in the history yet. It is reported at once and
looked up again for FOLLOWED. After that the ledger's comparison with the venue must find it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, TypeAlias

from signalbox.adapters.venues.mt5_mailbox import (
    COMMAND_AGE,
    Envelope,
    EnvelopeError,
    Keys,
    MailboxDirection,
    open_envelope,
    seal,
)
from signalbox.events import BusEvent
from signalbox.exact import ZERO, exactly
from signalbox.orders.agent_answers import AgentAnswer, CommandRefusal, CommandRefused, CommandTaken
from signalbox.orders.events import (
    OrderCanceled,
    OrderCancelRejected,
    OrderEvent,
    OrderExpired,
    OrderFilled,
    OrderRejected,
    OrderUnconfirmed,
    OrderUpdateRejected,
)
from signalbox.orders.execution import execute, query
from signalbox.orders.messages import (
    ExecutionReported,
    ExecutionRequested,
    OrderInstruction,
    VenueViewReported,
    VenueViewRequested,
)
from signalbox.orders.parts import in_parts
from signalbox.orders.terms import OrderType
from signalbox.orders.venue_port import ExecutionError, Venue, VenueBusyError
from signalbox_mt5.journal import Journal, Kept
from signalbox_mt5.mailbox import CommandMailbox, MailboxMessage

LONG_POLL_SECONDS: Final = 20
RETRY_SECONDS: Final = 5  # after an error that names no time
# short enough to leave a position within a minute after the venue accepts orders again
LONGEST_PAUSE: Final = timedelta(seconds=15)
CHANGES_KEPT: Final = timedelta(minutes=10)
FOLLOWED: Final = timedelta(minutes=1)
NEVER_SENT: Final = "NEVER_SENT"
GIVEN_UP: Final = "GIVEN_UP"
DETAIL_LENGTH: Final = 500
logger = logging.getLogger("signalbox.mt5_agent")
_ENDS: Final = (OrderRejected, OrderCanceled, OrderExpired)
Request: TypeAlias = ExecutionRequested | VenueViewRequested


@dataclass(frozen=True, slots=True)
class CommandAttempt:
    """A kept command: the number of tries, when the next is due, the terminal's last message, and the last report."""

    count: int
    due: datetime
    words: str
    report_id: str = ""  # id of the last report that was not final


class Agent:
    """The agent of one account."""

    def __init__(
        self,
        venue: Venue,
        journal: Journal,
        mailbox: CommandMailbox,
        *,
        account: str,
        key: bytes | Keys,
        clock: Callable[[], datetime],
        pause: Callable[[timedelta], None] | None = None,
    ) -> None:
        """Keep the collaborators.

        pause: waits while the terminal's history catches up with a send. Without it, the agent only looks again later.
        """
        self._pause = pause
        self._venue, self._journal, self._mailbox = venue, journal, mailbox
        self._account, self._clock = account, clock
        self._keys = key if isinstance(key, Keys) else Keys(key)
        self._tries: dict[int, CommandAttempt] = {}  # by sequence of the kept command; after a restart all are due

    def step(self) -> int:
        """Try the kept commands that are due, wait for new ones and handle them. Return the number of messages received."""
        self._again()
        deliveries = self._mailbox.receive(self._patience())
        for delivery in deliveries:
            self._take(delivery)
        return len(deliveries)

    def _take(self, delivery: MailboxMessage) -> None:
        try:
            command = open_envelope(delivery.text, key=self._keys, direction=MailboxDirection.COMMAND, account=self._account)
            request = self._request(command)
        except EnvelopeError as error:
            logger.error("a message in the command queue was refused: %s", error)  # noqa: TRY400 - the text is enough; the message goes to the dead letters
            self._mailbox.put_back(delivery, RETRY_SECONDS)
            return
        refusal = self._refusal(command, request)
        if refusal is not None:
            self._refuse(command, request, refusal)
        else:
            has_to_be_done = self._has_to_be_done(command)
            if isinstance(request, VenueViewRequested):
                self._journal.handle(command.sequence)
            else:
                self._journal.take(command.sequence, delivery.text, self._clock())
            self._answer(CommandTaken(command=command.sequence, at=self._clock()))
            if has_to_be_done:
                self._handle(command, request, delivery.text)
        self._mailbox.remove(delivery)

    def _has_to_be_done(self, command: Envelope) -> bool:
        """Whether a command must be executed: it is new, or the newest one again and not kept here (harmless to repeat)."""
        if command.sequence > self._journal.command_sequence:
            return True
        return command.sequence not in self._journal.kept and self._age(command) <= COMMAND_AGE

    def _age(self, command: Envelope) -> timedelta:
        return self._clock() - command.sent_at

    def _refusal(self, command: Envelope, request: Request) -> CommandRefusal | None:
        """Return why a command must not be executed; None if it may be.

        A submit that this agent already began is never too old: it only looks up the result and sends nothing. A wrong clock must
        not keep a position open: a command that is dated ahead may not open risk, but everything else is executed.
        """
        if command.sequence < self._journal.command_sequence:
            return CommandRefusal.COMMAND_REPLAYED
        if command.sequence == self._journal.command_sequence:  # delivered again: it was done already or is kept here
            return None
        age = self._age(command)
        if age > COMMAND_AGE and not self._was_begun(request):
            return CommandRefusal.COMMAND_TOO_OLD
        if age < -COMMAND_AGE and _opens(request):
            return CommandRefusal.COMMAND_AHEAD
        return None

    def _was_begun(self, request: Request) -> bool:
        if isinstance(request, ExecutionRequested) and request.instruction is OrderInstruction.SUBMIT:
            return self._journal.read(self._account, request.client_order_id) is not None
        return False

    def _refuse(self, command: Envelope, request: Request, reason: CommandRefusal) -> None:
        """Refuse a command with a signed answer, and report that it was not done."""
        now = self._clock()
        detail = (
            f"signed {command.sent_at.isoformat()}, now {now.isoformat()}, newest command taken {self._journal.command_sequence}"
        )
        logger.warning("command %s refused: %s, %s", command.sequence, reason, detail)
        # a replayed one is not reported: newer ones were taken and reported
        is_owed = reason is not CommandRefusal.COMMAND_REPLAYED
        if is_owed and isinstance(request, ExecutionRequested):
            self._send(request.event_id, self._not_done(request, now, reason, detail))
        self._answer(CommandRefused(command=command.sequence, at=now, reason=reason, detail=detail))
        self._journal.handle(command.sequence)  # last, so that a crash before this line only repeats the refusal

    def _handle(self, command: Envelope, request: Request, text: str) -> None:
        if isinstance(request, VenueViewRequested):
            self._forget_views(command.sequence)
        elif self._is_overtaken(command.sequence, request):
            self._journal.drop(command.sequence)
            return
        elif self._before(command.sequence, request):
            self._journal.keep(command.sequence, text, self._clock())
            return
        try:
            report_id = self._carry_out(request, None)
        except ExecutionError as error:
            self._journal.keep(command.sequence, text, self._clock())
            self._postpone(command.sequence, error)
        else:
            if report_id:
                self._journal.keep(command.sequence, text, self._clock())
                self._follow(command.sequence, report_id)
            else:
                self._journal.drop(command.sequence)

    def _again(self) -> None:
        """Execute the kept commands that are due. A command waits while an older one for the same order is still waiting."""
        waiting: set[str] = set()
        for kept in sorted(self._journal.kept.values(), key=lambda one: one.sequence):
            request, tried = self._kept(kept.text), self._tries.get(kept.sequence)
            order = request.client_order_id if isinstance(request, ExecutionRequested) else ""
            is_follow_up = tried is not None and bool(tried.report_id)
            is_due = tried is None or self._clock() >= tried.due
            if not is_due or (order in waiting and not is_follow_up) or not self._try(kept, request, tried):
                waiting |= set() if is_follow_up else {order}
                continue
            self._journal.drop(kept.sequence)
            self._tries.pop(kept.sequence, None)

    def _try(self, kept: Kept, request: Request, tried: CommandAttempt | None) -> bool:
        """Try a kept command once. Return whether it is finished."""
        words = "the agent was not running" if tried is None else tried.words
        if (tried is None or not tried.report_id) and self._give_up(request, kept.since, words):
            return True
        try:
            report_id = self._carry_out(request, tried)
        except ExecutionError as error:
            self._postpone(kept.sequence, error)
            return False
        if report_id and self._clock() < kept.since + FOLLOWED:
            self._follow(kept.sequence, report_id)
            return False
        return True

    def _carry_out(self, request: Request, tried: CommandAttempt | None) -> str:
        """Execute and report a command. Return the report's id if the result is not final, else an empty string."""
        if isinstance(request, VenueViewRequested):
            now = self._clock()
            if request.not_before is not None and now < request.not_before:
                raise VenueBusyError("the view is not due yet", max(1, round((request.not_before - now).total_seconds())))
            self._send(request.event_id, query(request, self._venue, self._journal))
            return ""
        report = execute(request, self._venue, self._journal, self._clock, pause=self._pause)
        words = tried.words if tried is not None else ""
        report = report.model_copy(update={"events": tuple(_with_words(event, words) for event in report.events)})
        if tried is None or tried.report_id != report.event_id:
            self._send(request.event_id, report)
        return "" if _is_last_word(request, report) else report.event_id

    def _give_up(self, request: Request, since: datetime, words: str) -> bool:
        """Return whether a command has waited too long and is given up. A change that was not made is reported as not done.

        A submit has its own deadline. A view is not reported, because newer ones were requested since.
        """
        now = self._clock()
        if now < since + CHANGES_KEPT:
            return False
        if isinstance(request, VenueViewRequested):
            return True
        if request.instruction is OrderInstruction.SUBMIT:
            return False
        self._send(request.event_id, self._not_done(request, now, GIVEN_UP, words))
        return True

    def _not_done(self, request: ExecutionRequested, at: datetime, reason: str, detail: str) -> ExecutionReported:
        """Return the report that an instruction was not executed and will not be."""
        name, detail_text = request.client_order_id, detail[:DETAIL_LENGTH]
        event: OrderEvent
        if request.instruction is OrderInstruction.SUBMIT:
            event = OrderExpired(client_order_id=name, at=at, reason=reason, detail=detail_text)
        else:
            kind = OrderCancelRejected if request.instruction is OrderInstruction.CANCEL else OrderUpdateRejected
            event = kind(client_order_id=name, at=at, request_id=request.request_id or "", reason=reason, detail=detail_text)
        return ExecutionReported(account=self._account, client_order_id=name, reported_at=at, events=(event,))

    def _answer(self, answer: AgentAnswer) -> None:
        sequence = self._put(answer)
        logger.info("sent %s for command %s as report %s", type(answer).__name__, answer.command, sequence)

    def _send(self, event_id: str, report: ExecutionReported | VenueViewReported) -> None:
        for part in in_parts(report):
            self._put(part)
            logger.info("reported %s on request %s", part.event_id, event_id)

    def _put(self, content: BusEvent | AgentAnswer) -> int:
        """Put a report or an answer into the mailbox under the next sequence number. Return that number."""
        now = self._clock()
        sequence = self._journal.next_report(now)
        text = seal(
            content,
            key=self._keys.signing,
            direction=MailboxDirection.REPORT,
            account=self._account,
            sequence=sequence,
            sent_at=now,
        )
        self._mailbox.report(text, account=self._account, sequence=sequence)
        return sequence

    def _postpone(self, sequence: int, error: ExecutionError) -> None:
        pause = timedelta(seconds=error.retry_after if isinstance(error, VenueBusyError) else RETRY_SECONDS)
        before = self._tries.get(sequence)
        self._tries[sequence] = self._next(before, pause, str(error), "" if before is None else before.report_id)
        logger.warning("command %s is postponed until %s: %s", sequence, self._tries[sequence].due, error)

    def _follow(self, sequence: int, report_id: str) -> None:
        self._tries[sequence] = self._next(self._tries.get(sequence), timedelta(seconds=1), "", report_id)

    def _next(self, before: CommandAttempt | None, pause: timedelta, words: str, report_id: str) -> CommandAttempt:
        count = 0 if before is None else before.count + 1
        return CommandAttempt(count, self._clock() + min(pause * 2 ** min(count, 6), max(pause, LONGEST_PAUSE)), words, report_id)

    def _patience(self) -> int:
        """Return the number of seconds in which no kept command becomes due."""
        due = [self._tries[sequence].due for sequence in self._journal.kept if sequence in self._tries]
        if not due:
            return 1 if self._journal.kept else LONG_POLL_SECONDS
        return min(LONG_POLL_SECONDS, max(1, round((min(due) - self._clock()).total_seconds())))

    def _forget_views(self, sequence: int) -> None:
        for kept in list(self._journal.kept.values()):
            if kept.sequence != sequence and isinstance(self._kept(kept.text), VenueViewRequested):
                self._journal.drop(kept.sequence)
                self._tries.pop(kept.sequence, None)

    def _is_overtaken(self, sequence: int, request: ExecutionRequested) -> bool:
        """Whether a cancel is for a submit that still waits here unsent. Then both are dropped and the cancel is reported."""
        if (
            request.instruction is not OrderInstruction.CANCEL
            or self._journal.read(self._account, request.client_order_id) is not None
        ):
            return False
        waiting = self._before(sequence, request)
        if not any(self._is_submit(kept) for kept in waiting):
            return False
        now = self._clock()
        event = OrderCanceled(client_order_id=request.client_order_id, at=now, reason=NEVER_SENT)
        self._send(
            request.event_id,
            ExecutionReported(account=self._account, client_order_id=request.client_order_id, reported_at=now, events=(event,)),
        )
        for kept in waiting:
            self._journal.drop(kept.sequence)
            self._tries.pop(kept.sequence, None)
        logger.info(
            "command %s cancelled waiting commands that were never sent: %s", sequence, [kept.sequence for kept in waiting]
        )
        return True

    def _is_submit(self, kept: Kept) -> bool:
        request = self._kept(kept.text)
        return isinstance(request, ExecutionRequested) and request.instruction is OrderInstruction.SUBMIT

    def _before(self, sequence: int, request: ExecutionRequested) -> list[Kept]:
        """Return the older waiting commands that must be executed before a command with this sequence number."""
        older = (kept for kept in self._journal.kept.values() if kept.sequence < sequence)
        return [kept for kept in older if self._comes_before(kept, request)]

    def _comes_before(self, kept: Kept, request: ExecutionRequested) -> bool:
        """Whether a kept command for the same order must be executed first. One that is only followed was executed already."""
        earlier, tried = self._kept(kept.text), self._tries.get(kept.sequence)
        is_of_it = isinstance(earlier, ExecutionRequested) and earlier.client_order_id == request.client_order_id
        return is_of_it and not (tried is not None and tried.report_id)

    def _kept(self, text: str) -> Request:
        """Return a command of the journal. Its signature was checked when it arrived; the key may have changed since."""
        return self._request(Envelope.model_validate_json(text))

    def _request(self, command: Envelope) -> Request:
        request = command.event()
        if isinstance(request, ExecutionRequested | VenueViewRequested) and request.account == self._account:
            return request
        raise EnvelopeError(f"command {command.sequence}: expected an order or view request for this account, got {request.type}")


def _opens(request: Request) -> bool:
    """Whether a command may open risk. Views, cancels and orders that only reduce a position do not."""
    return (
        isinstance(request, ExecutionRequested)
        and request.instruction is not OrderInstruction.CANCEL
        and not request.terms.reduce_only
    )


@exactly
def _is_last_word(request: ExecutionRequested, report: ExecutionReported) -> bool:
    """Whether the report is final: the request's immediate effects are complete."""
    if any(isinstance(event, OrderUnconfirmed) for event in report.events):
        return False
    if request.instruction is not OrderInstruction.SUBMIT or request.terms.type is not OrderType.MARKET:
        return True
    filled = sum((event.quantity for event in report.events if isinstance(event, OrderFilled)), ZERO)
    return filled >= request.terms.quantity or any(isinstance(event, _ENDS) for event in report.events)


def _with_words(event: OrderEvent, words: str) -> OrderEvent:
    """Return an expiry with the terminal's last message as its detail, if it has none."""
    if isinstance(event, OrderExpired) and words and not event.detail:
        return event.model_copy(update={"detail": words[:DETAIL_LENGTH]})
    return event
