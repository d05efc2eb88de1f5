"""The two queues of an account's mailbox: one for commands, one for reports."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

HIDDEN_SECONDS = 60  # while a command is handled; after longer it is delivered again, which is harmless


@dataclass(frozen=True, slots=True)
class MailboxMessage:
    """One message, and the handle that removes it."""

    text: str
    handle: str


class CommandMailbox(Protocol):
    """Receives commands and sends reports. A command that is not removed is delivered again."""

    def receive(self, seconds: int) -> Sequence[MailboxMessage]:
        """Wait at most this long for commands; return them in order."""

    def remove(self, delivery: MailboxMessage) -> None:
        """Remove a command that is done or kept in the journal."""

    def put_back(self, delivery: MailboxMessage, seconds: int) -> None:
        """Let the queue deliver a command again, after at least this many seconds."""

    def report(self, text: str, *, account: str, sequence: int) -> None:
        """Send a report."""


def time_of(answer: Any) -> datetime | None:
    """Return the queue's time from an answer; None if the answer has none."""
    text = answer["ResponseMetadata"]["HTTPHeaders"].get("date")
    try:
        return None if text is None else parsedate_to_datetime(text)
    except ValueError:
        return None


class SqsMailbox:
    """Mailbox over SQS. hear: called with the queues' time after each receive."""

    def __init__(
        self, client: SQSClient, *, commands_url: str, reports_url: str, hear: Callable[[datetime], None] | None = None
    ) -> None:
        self._client, self._commands, self._reports, self._hear = client, commands_url, reports_url, hear

    def receive(self, seconds: int) -> Sequence[MailboxMessage]:
        answer = self._client.receive_message(
            QueueUrl=self._commands, MaxNumberOfMessages=1, WaitTimeSeconds=seconds, VisibilityTimeout=HIDDEN_SECONDS
        )
        self._heard(answer)
        return [MailboxMessage(m["Body"], m["ReceiptHandle"]) for m in answer.get("Messages", [])]

    def ask_time(self) -> None:
        """Read the queues' time without receiving a command. Raises botocore's errors."""
        self._heard(self._client.get_queue_attributes(QueueUrl=self._commands, AttributeNames=["QueueArn"]))

    def _heard(self, answer: Any) -> None:
        if self._hear is not None and (at := time_of(answer)) is not None:
            self._hear(at)

    def remove(self, delivery: MailboxMessage) -> None:
        self._client.delete_message(QueueUrl=self._commands, ReceiptHandle=delivery.handle)

    def put_back(self, delivery: MailboxMessage, seconds: int) -> None:
        self._client.change_message_visibility(QueueUrl=self._commands, ReceiptHandle=delivery.handle, VisibilityTimeout=seconds)

    def report(self, text: str, *, account: str, sequence: int) -> None:
        self._client.send_message(
            QueueUrl=self._reports,
            MessageBody=text,
            MessageGroupId=account,
            MessageDeduplicationId=f"{account}-{sequence}",
        )
