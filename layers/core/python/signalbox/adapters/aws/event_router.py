"""Forwards bus messages to the two queues in which each account has its own message group."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from signalbox.trading.routing import Destination, Route

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient


@dataclass(frozen=True)
class RouteEvents:
    """Forwards messages unchanged. The queue drops a message with the same content as one of the last five minutes."""

    queue: SQSClient
    urls: Mapping[Destination, str]

    def send(self, body: str, route: Route) -> None:
        """Put a message into the queue and message group of its route."""
        self.queue.send_message(QueueUrl=self.urls[route.queue], MessageBody=body, MessageGroupId=route.group)
