"""Errors of orders. Each one is a bug of ours or bad data from a venue, so the caller raises an alarm.

OrderError
├── OrderTermsError          the terms of an order contradict each other
├── EventRefusedError        an event cannot be applied to this order; the order is unchanged
│   ├── WrongOrderError      the event belongs to another order
│   ├── IllegalTransitionError   the table has no row for the event in this state
│   ├── TradeConflictError   a conflicting duplicate of a trade id
│   └── RequestMismatchError     an answer to no pending cancel or update, or an impossible answer
├── ViewPartsError           parts of a venue's view are incomplete or do not belong together
└── QualityError             a figure of execution quality without its inputs
"""

from __future__ import annotations

from signalbox.errors import SignalboxError


class OrderError(SignalboxError):
    """The root of this package's errors."""


class ViewPartsError(OrderError):
    """The parts of a venue view are incomplete or do not belong together. The view is not compared."""


class OrderTermsError(OrderError):
    """The terms of an order contradict each other, such as a limit order without a limit price."""


class EventRefusedError(OrderError):
    """An event cannot be applied to this order. The order is unchanged."""

    def __init__(self, client_order_id: str, event_id: str, detail: str) -> None:
        super().__init__(f"{client_order_id}: {detail} ({event_id})")
        self.client_order_id = client_order_id
        self.event_id = event_id
        self.detail = detail


class WrongOrderError(EventRefusedError):
    """The event belongs to another order."""


class IllegalTransitionError(EventRefusedError):
    """The transition table has no row for this event in this state."""


class TradeConflictError(EventRefusedError):
    """A conflicting duplicate: the venue trade id was applied before with other data."""


class RequestMismatchError(EventRefusedError):
    """An answer belongs to no pending request, or an update sets a quantity below the filled one."""


class QualityError(OrderError):
    """A figure of execution quality was requested without its inputs."""
