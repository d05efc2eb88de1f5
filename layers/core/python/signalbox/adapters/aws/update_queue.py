"""The queue of updates: one message group per chat, so that one slow answer delays no other chat."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient


class SqsUpdateQueue:
    """UpdateQueue on a FIFO queue."""

    def __init__(self, client: SQSClient, url: str) -> None:
        self._client, self._url = client, url

    def put(self, update_id: int, chat: int, body: str) -> None:
        self._client.send_message(
            QueueUrl=self._url, MessageBody=body, MessageGroupId=f"chat{chat}", MessageDeduplicationId=f"update-{update_id}"
        )
