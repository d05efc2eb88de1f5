"""The two queues of the execution stack: commands in, reports out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

HIDDEN_SECONDS = 60  # while a command is handled: longer, and it comes again, which is harmless


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message and the handle that takes it out."""

    text: str
    handle: str


class Mailbox(Protocol):
    """Commands in, reports out; a command that is not removed comes again."""

    def receive(self, seconds: int) -> Sequence[Delivery]:
        """Wait for commands, in order, at most so long."""

    def remove(self, delivery: Delivery) -> None:
        """It is done, or kept here."""

    def put_back(self, delivery: Delivery, seconds: int) -> None:
        """It comes again, not before."""

    def report(self, text: str, *, account: str, sequence: int) -> None:
        """Send a report."""


class SqsMailbox:
    """Mailbox over SQS."""

    def __init__(self, client: SQSClient, *, commands_url: str, reports_url: str) -> None:
        self._client, self._commands, self._reports = client, commands_url, reports_url

    def receive(self, seconds: int) -> Sequence[Delivery]:
        answer = self._client.receive_message(
            QueueUrl=self._commands, MaxNumberOfMessages=1, WaitTimeSeconds=seconds, VisibilityTimeout=HIDDEN_SECONDS
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
