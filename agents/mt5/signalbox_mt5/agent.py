"""Take a command, carry it out at the terminal, report, and only then take it out of the mailbox.

Whatever is cut off in between is delivered again, and the journal and the terminal's history make that harmless: an order
whose send began is asked for and never sent again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final, Protocol

from signalbox.adapters.venues.mt5_mailbox import Direction, EnvelopeError, ReplayError, open_envelope, seal
from signalbox.orders.execution import execute, look
from signalbox.orders.messages import ExecutionReported, ExecutionRequested, VenueViewReported, VenueViewRequested
from signalbox.orders.parts import in_parts
from signalbox.orders.venue_port import ExecutionError, Venue, VenueBusyError
from signalbox_mt5.journal import Journal

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

LONG_POLL_SECONDS: Final = 20
RETRY_SECONDS: Final = 5
logger = logging.getLogger("signalbox.mt5_agent")


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message and the handle that takes it out."""

    text: str
    handle: str


class Mailbox(Protocol):
    """Commands in, reports out; a command that is not removed comes again."""

    def receive(self) -> Sequence[Delivery]:
        """Wait for commands, in order."""

    def remove(self, delivery: Delivery) -> None:
        """It is done."""

    def put_back(self, delivery: Delivery, seconds: int) -> None:
        """It comes again, not before."""

    def report(self, text: str, *, account: str, sequence: int) -> None:
        """Send a report."""


class SqsMailbox:
    """Mailbox over the two queues of the execution stack."""

    def __init__(self, client: SQSClient, *, commands_url: str, reports_url: str) -> None:
        self._client, self._commands, self._reports = client, commands_url, reports_url

    def receive(self) -> Sequence[Delivery]:
        answer = self._client.receive_message(
            QueueUrl=self._commands, MaxNumberOfMessages=1, WaitTimeSeconds=LONG_POLL_SECONDS, VisibilityTimeout=60
        )
        return [Delivery(m["Body"], m["ReceiptHandle"]) for m in answer.get("Messages", [])]

    def remove(self, delivery: Delivery) -> None:
        self._client.delete_message(QueueUrl=self._commands, ReceiptHandle=delivery.handle)

    def put_back(self, delivery: Delivery, seconds: int) -> None:
        self._client.change_message_visibility(QueueUrl=self._commands, ReceiptHandle=delivery.handle, VisibilityTimeout=seconds)

    def report(self, text: str, *, account: str, sequence: int) -> None:
        self._client.send_message(
            QueueUrl=self._reports,
            MessageBody=text,
            MessageGroupId=account,
            MessageDeduplicationId=f"{account}-{sequence}",
        )


class Agent:
    """One account's agent."""

    def __init__(
        self,
        venue: Venue,
        journal: Journal,
        mailbox: Mailbox,
        *,
        account: str,
        key: bytes,
        clock: Callable[[], datetime],
    ) -> None:
        self._venue, self._journal, self._mailbox = venue, journal, mailbox
        self._account, self._key, self._clock = account, key, clock

    def step(self) -> int:
        """Wait for commands and handle what came; return how many messages there were."""
        deliveries = self._mailbox.receive()
        for delivery in deliveries:
            self._handle(delivery)
        return len(deliveries)

    def _handle(self, delivery: Delivery) -> None:
        try:
            self._carry_out(delivery.text)
        except ReplayError as error:
            logger.warning("replay refused: %s", error)  # its newer ones were handled: nothing is owed
        except EnvelopeError as error:
            logger.error("command refused: %s", error)  # noqa: TRY400 - the text says it; it ends with the dead letters
            self._mailbox.put_back(delivery, RETRY_SECONDS)
            return
        except ExecutionError as error:
            logger.warning("command postponed: %s", error)
            self._mailbox.put_back(delivery, error.retry_after if isinstance(error, VenueBusyError) else RETRY_SECONDS)
            return
        self._mailbox.remove(delivery)

    def _carry_out(self, text: str) -> None:
        command = open_envelope(text, key=self._key, direction=Direction.COMMAND, account=self._account)
        if command.sequence < self._journal.command_sequence:
            raise ReplayError(f"{command.sequence}, after {self._journal.command_sequence}")
        request = command.event()
        report: ExecutionReported | VenueViewReported
        if isinstance(request, ExecutionRequested) and request.account == self._account:
            self._journal.handle(command.sequence)
            report = execute(request, self._venue, self._journal, self._clock)
        elif isinstance(request, VenueViewRequested) and request.account == self._account:
            self._journal.handle(command.sequence)
            report = look(request, self._venue, self._journal)
        else:
            raise EnvelopeError(f"{command.sequence}: expected a request to this account, was {request.type}")
        for part in in_parts(report):
            now = self._clock()
            sequence = self._journal.next_report(now)
            sealed = seal(part, key=self._key, direction=Direction.REPORT, account=self._account, sequence=sequence, sent_at=now)
            self._mailbox.report(sealed, account=self._account, sequence=sequence)
            logger.info("%s → %s", request.event_id, part.event_id)
