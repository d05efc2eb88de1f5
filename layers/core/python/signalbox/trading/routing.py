"""Which queue an event about one account goes to, and in which message group, so that nobody waits for another's trouble.

A FIFO queue holds back a whole message group behind one message that is tried again. So a group is as small as the order of its
messages allows: one an account; the venue's views apart from its orders, since a view takes long and is asked for again anyway;
and what opens a position apart from what leaves one. All that is about one order, its cancel too, stays in one group.
An agent's mailbox numbers its messages one after the other: whatever goes there is of one group.
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
    """A queue with a message group an account."""

    EXECUTION = "execution"
    TRADING = "trading"


class NotRoutedError(TradingError):
    """An event that is about no account: a rule of the bus is wrong."""


@dataclass(frozen=True, slots=True)
class Route:
    """Where an event goes."""

    queue: Destination
    group: str


def route_of(event: BusEvent) -> Route:
    """Return where an event about an account goes. Raises NotRoutedError."""
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
            raise NotRoutedError(f"expected an event about one account, was {event.type}")
