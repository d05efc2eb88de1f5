"""route_events, composed: the two queues that have a message group an account."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import boto3

from signalbox.adapters.aws.clients import QUICK
from signalbox.bootstrap.settings import RouteEventsSettings
from signalbox.trading.routing import Destination, Route

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient


@dataclass(frozen=True)
class RouteEvents:
    """Sends a message on as it is; the queue drops one that was sent on before within five minutes, by its content."""

    queue: SQSClient
    urls: Mapping[Destination, str]

    def send(self, body: str, route: Route) -> None:
        """Put a message into the queue and the group of its route."""
        self.queue.send_message(QueueUrl=self.urls[route.queue], MessageBody=body, MessageGroupId=route.group)


def compose(settings: RouteEventsSettings | None = None) -> RouteEvents:
    """Return the function's application from its environment."""
    found = settings or RouteEventsSettings.read()
    urls = {Destination.EXECUTION: found.execution_queue_url, Destination.TRADING: found.trading_queue_url}
    return RouteEvents(boto3.client("sqs", config=QUICK), urls)
