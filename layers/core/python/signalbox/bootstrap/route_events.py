"""Composes route_events: the two queues in which each account has its own message group."""

from __future__ import annotations

import boto3

from signalbox.adapters.aws.clients import QUICK
from signalbox.adapters.aws.event_router import RouteEvents
from signalbox.bootstrap.settings import RouteEventsSettings
from signalbox.trading.routing import Destination


def compose(settings: RouteEventsSettings | None = None) -> RouteEvents:
    """Return the application, composed from the environment."""
    found = settings or RouteEventsSettings.read()
    urls = {Destination.EXECUTION: found.execution_queue_url, Destination.TRADING: found.trading_queue_url}
    return RouteEvents(boto3.client("sqs", config=QUICK), urls)
