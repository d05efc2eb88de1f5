"""The cloud side of the MetaTrader 5 mailboxes: each account's key and queues, and the check that its agent answers.

Every forwarded command is checked after ACKNOWLEDGE_SECONDS, by a message that waits that long in a queue of its own. The agent's
signed answer is recorded by account and sequence number. A command without an answer halts the account through the kill switch's
queue. Positions can still be closed: a halt stops new risk only.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from pydantic import ValidationError

from signalbox.adapters.aws.secret_texts import SecretTexts
from signalbox.adapters.aws.sends import answer_seen, newest_number, next_number, note_answer
from signalbox.adapters.venues.mt5_mailbox import (
    Envelope,
    EnvelopeError,
    Keys,
    MailboxDirection,
    Mt5Venue,
    ReplayError,
    open_envelope,
)
from signalbox.contracts import ACKNOWLEDGE_SECONDS, MailboxQueue, mailbox_key_name, mailbox_queue_name, reporting_account
from signalbox.errors import SignalboxError
from signalbox.frozen import FrozenModel
from signalbox.orders.agent_answers import AgentAnswer, CommandRefusal, CommandRefused, CommandTaken, ExpectedAnswer
from signalbox.orders.messages import ExecutionReported, VenueViewReported
from signalbox.orders.venue_port import CREDENTIALS, ClosedVenue
from signalbox.trading.commands import HaltTrading
from signalbox.wire import parse_object

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_sqs import SQSClient

KEPT: Final = timedelta(days=2)  # how long an answer is kept: longer than a check can wait


class MailboxKeyError(SignalboxError):
    """The secret of a mailbox holds no usable key. The message never quotes the secret."""


class _KeySecret(FrozenModel):
    """The secret's JSON (docs/live-trading.md). next: the key that will replace the current one, or empty."""

    current: str
    next: str = ""


@dataclass(frozen=True)
class Mailboxes:
    """All mailboxes of a stage. accounts: the accounts that have one."""

    queue: SQSClient
    table: DynamoDBClient
    secrets: SecretTexts
    clock: Callable[[], datetime]
    stage: str
    accounts: Collection[str]
    table_name: str
    checks_url: str
    kill_switch_url: str

    def reporter(self, queue_arn: str) -> str | None:
        """Return the account whose agent reports through a queue, or None if it is another queue."""
        return reporting_account(self.stage, queue_arn.rsplit(":", 1)[-1])

    def is_checks(self, queue_arn: str) -> bool:
        """Whether a queue holds reminders to check that a command was answered."""
        return queue_arn.rsplit(":", 1)[-1] == self.checks_url.rsplit("/", 1)[-1]

    def has(self, account: str) -> bool:
        """Whether an account has a mailbox in this stage."""
        return account in self.accounts

    def relay(self, account: str) -> Mt5Venue | ClosedVenue:
        """Return the relay to an account's agent; a ClosedVenue with the reason if the account's key is unusable."""
        try:
            key = self._keys(account).signing
        except MailboxKeyError as error:
            return ClosedVenue(CREDENTIALS, str(error))
        name = mailbox_queue_name(self.stage, account, MailboxQueue.COMMANDS)
        return Mt5Venue(
            self.queue,
            f"{self.checks_url.rsplit('/', 1)[0]}/{name}",  # the queue is in the same AWS account and region
            key=key,
            next_sequence=lambda: next_number(self.table, self.table_name, f"mt5-command-{account}"),
            expect=lambda command, event_id: self._expect(account, command, event_id),
            clock=self.clock,
        )

    def take_report(self, account: str, text: str) -> ExecutionReported | VenueViewReported | AgentAnswer:
        """Return an agent's report on this account, and record which command it answers.

        Raises EnvelopeError if the report is not from the account's agent.
        """
        opened = self._open_report(account, text)
        content = opened.content()
        if isinstance(content, CommandTaken | CommandRefused):
            self._require_newest(account, opened.sequence)
            self._note(account, content)
            return content
        if not isinstance(content, ExecutionReported | VenueViewReported) or content.account != account:
            raise EnvelopeError(f"report {opened.sequence} of {account}: expected a report on this account, got {content.type}")
        self._require_newest(account, opened.sequence)
        return content

    def _require_newest(self, account: str, sequence: int) -> None:
        if not newest_number(self.table, self.table_name, f"mt5-report-{account}", sequence):
            raise ReplayError(f"report {sequence} of {account}: a newer report was already handled")

    def _open_report(self, account: str, text: str) -> Envelope:
        """Return a report that the account's agent signed; its queue accepts no other. Raises EnvelopeError."""
        if not self.has(account):
            raise EnvelopeError(f"{account} has no mailbox in this stage; deploy the stage with the account in mt5_accounts")
        try:
            try:
                return open_envelope(text, key=self._keys(account), direction=MailboxDirection.REPORT, account=account)
            except EnvelopeError:  # a key may have been replaced just now; what the new keys do not open either is refused
                return open_envelope(
                    text, key=self._keys(account, fresh=True), direction=MailboxDirection.REPORT, account=account
                )
        except MailboxKeyError as error:
            raise EnvelopeError(str(error)) from error

    def _note(self, account: str, answer: AgentAnswer) -> None:
        """Record that a command was answered. A replayed command is not: the refusal says nothing about the original one."""
        if isinstance(answer, CommandRefused) and answer.reason is CommandRefusal.COMMAND_REPLAYED:
            return
        note_answer(self.table, self.table_name, account, answer.command, self.clock() + KEPT)

    def check(self, text: str) -> ExpectedAnswer | None:
        """Check that the agent answered a command. If it did not, halt the account and return the command.

        Raises WireError, ValueError.
        """
        expected = ExpectedAnswer.model_validate(parse_object(text))
        if answer_seen(self.table, self.table_name, expected.account, expected.command):
            return None
        seconds = ACKNOWLEDGE_SECONDS
        halt = HaltTrading(
            account=expected.account,
            # made from the command alone, so that a check delivered twice asks for the same halt; it includes the time, because
            # sequence numbers begin at 1 again if their table is lost
            request_id=f"unanswered-{expected.command}-{int(expected.handed_on_at.timestamp())}",
            requested_at=expected.handed_on_at + timedelta(seconds=seconds),
            why=f"the agent did not acknowledge command {expected.command} within {seconds} s: {expected.event_id}"[:200],
        )
        self.queue.send_message(QueueUrl=self.kill_switch_url, MessageBody=halt.model_dump_json())
        return expected

    def _expect(self, account: str, command: int, event_id: str) -> None:
        expected = ExpectedAnswer(account=account, command=command, event_id=event_id, handed_on_at=self.clock())
        self.queue.send_message(QueueUrl=self.checks_url, MessageBody=expected.model_dump_json())

    def _keys(self, account: str, *, fresh: bool = False) -> Keys:
        name = mailbox_key_name(self.stage, account)
        text = self.secrets.read(name) if fresh else self.secrets.get(name)
        try:
            secret = _KeySecret.model_validate(parse_object(text))
            return Keys.of(secret.current, secret.next)
        except (ValidationError, ValueError, EnvelopeError):
            raise MailboxKeyError(
                f"secret {name}: expected {json.dumps({'current': 'a key'})}; `signalbox mt5 key` makes one"
            ) from None
