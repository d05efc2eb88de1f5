"""Composes forward_events: the table of outgoing events and the bus."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING

import boto3

from signalbox.adapters.aws.bus import EventBridgeBus
from signalbox.adapters.aws.clients import QUICK
from signalbox.adapters.aws.outgoing_events import OutgoingEvents
from signalbox.application.forward_events import ForwardEvents
from signalbox.bootstrap.settings import ForwardEventsSettings

if TYPE_CHECKING:
    from mypy_boto3_events import EventBridgeClient


def compose(settings: ForwardEventsSettings | None = None) -> ForwardEvents:
    """Return the application, composed from the environment."""
    found = settings or ForwardEventsSettings.read()
    events = boto3.client("events", config=QUICK)
    table = OutgoingEvents(boto3.client("dynamodb", config=QUICK), found.outgoing_events_table, time.time)
    return ForwardEvents(partial(_bus, events, found.event_bus_name), table.remove)


def _bus(client: EventBridgeClient, name: str, trace: str) -> EventBridgeBus:
    return EventBridgeBus(client, name, trace=trace)
