"""route_events, composed: the two queues that have a message group an account."""

from __future__ import annotations

import boto3

from signalbox.adapters.aws.clients import QUICK
from signalbox.adapters.aws.event_router import RouteEvents
from signalbox.bootstrap.settings import RouteEventsSettings
from signalbox.trading.routing import Destination


def compose(settings: RouteEventsSettings | None = None) -> RouteEvents:
    """Return the function's application from its environment."""
    found = settings or RouteEventsSettings.read()
    urls = {Destination.EXECUTION: found.execution_queue_url, Destination.TRADING: found.trading_queue_url}
    return RouteEvents(boto3.client("sqs", config=QUICK), urls)
