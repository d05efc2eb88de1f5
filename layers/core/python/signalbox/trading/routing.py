"""Chooses the queue and message group of an event about one account, so that no account waits for another one's trouble.

A FIFO queue holds back a whole message group while one of its messages is retried. So groups are as small as message order
allows. Each account has its own group. Views of its venue are apart from its orders, because a view takes long and is repeated
anyway. Entries are apart from exits. All messages about one order, its cancel too, share one group.
The messages for an agent's mailbox are numbered in sequence, so all of an account's share one group.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from signalbox.events import BusEvent
from signalbox.orders.messages import ExecutionReported, ExecutionRequested, VenueViewReported, VenueViewRequested
from signalbox.orders.terms import Leg
from signalbox.trading.errors import TradingError
from signalbox.trading.events import AccountReviewDue, TurnMissed

MAILBOX_VENUES: Final = frozenset({"mt5"})


class Destination(StrEnum):
    """A queue with one or more message groups per account."""

    EXECUTION = "execution"
    TRADING = "trading"


class NotRoutedError(TradingError):
    """The event concerns no single account: a rule of the event bus is wrong."""


@dataclass(frozen=True, slots=True)
class Route:
    """The queue and message group of an event."""

    queue: Destination
    group: str


def route_of(event: BusEvent) -> Route:
    """Return the queue and message group of an event about an account. Raises NotRoutedError."""
    match event:
        case ExecutionRequested():
            opens = event.terms.leg is Leg.ENTRY and event.venue not in MAILBOX_VENUES
            return Route(Destination.EXECUTION, f"{event.account}:entry" if opens else event.account)
        case VenueViewRequested():
            return Route(Destination.EXECUTION, event.account if event.venue in MAILBOX_VENUES else f"{event.account}:view")
        case ExecutionReported() | AccountReviewDue():
            return Route(Destination.TRADING, event.account)
        case VenueViewReported():
            return Route(Destination.TRADING, f"{event.account}:view")
        case TurnMissed():
            return Route(Destination.TRADING, f"{event.account}:market")
        case _:
            raise NotRoutedError(f"expected an event about one account, got {event.type}; check the rules of the event bus")
