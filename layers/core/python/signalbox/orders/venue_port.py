"""The ports of execution: the venue, and the log of the orders sent to it. Adapters return facts; execution.py makes events.

ExecutionError
├── VenueRefusedError        the venue or our adapter refused: the instruction was certainly not carried out
│   └── VenueNoAmendError    the venue cannot change an order: cancel it and send another (orders/replacing.py)
├── VenueBusyError           not accepted now (rate limit, "try later"): nothing was done; try again
├── VenueSilentError         an instruction was sent and not answered: it may have been carried out
└── VenueUnknownOrderError   the venue does not know the order
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Never, Protocol

from signalbox.orders.errors import OrderError
from signalbox.orders.messages import ExecutionRequested, VenueViewRequested
from signalbox.orders.venue_view import VenueOrder, VenueTrade, VenueView

SETTLE: Final = timedelta(seconds=30)  # how long a venue may take to show a new order, or an order's end
NOT_SUPPORTED: Final = "NOT_SUPPORTED"  # this and the next five are our own codes of VenueRefusedError; a venue adds others
CLOCK_SKEW: Final = "CLOCK_SKEW"
CREDENTIALS: Final = "CREDENTIALS"
PRECISION: Final = "PRECISION"
INSUFFICIENT_FUNDS: Final = "INSUFFICIENT_FUNDS"
REFUSED: Final = "VENUE_REFUSED"


class ExecutionError(OrderError):
    """The root of the errors that a venue adapter raises."""


class VenueRefusedError(ExecutionError):
    """The instruction was certainly not carried out. `code` becomes the event's reason, and `detail` is the venue's text."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail


class VenueNoAmendError(VenueRefusedError):
    """The venue or its adapter cannot change a resting order."""

    def __init__(self, detail: str) -> None:
        super().__init__(NOT_SUPPORTED, detail)


class VenueBusyError(ExecutionError):
    """The instruction was certainly not carried out, and may be repeated after `retry_after` seconds."""

    def __init__(self, detail: str, retry_after: int) -> None:
        super().__init__(f"{detail}; try again in {retry_after} s")
        self.retry_after = retry_after


class VenueSilentError(ExecutionError):
    """The outcome is unknown. An order is never sent a second time because of this."""


class VenueUnknownOrderError(ExecutionError):
    """The venue answered that it has no such order."""


@dataclass(frozen=True, slots=True)
class OrderStatusReport:
    """One order as the venue shows it, with every trade of it that the venue shows."""

    order: VenueOrder
    trades: tuple[VenueTrade, ...] = ()
    reason: str = ""  # why it was rejected or ended, where the venue says so


class Venue(Protocol):
    """A venue that answers at once. Every method may raise any ExecutionError."""

    @property
    def forgets_unfilled(self) -> bool:
        """Whether the venue no longer knows an order that was cancelled without a fill."""

    def prepare(self, request: ExecutionRequested) -> None:
        """Check everything that can be checked before a send: credentials, clock, market, price and quantity steps."""

    def submit(self, request: ExecutionRequested) -> OrderStatusReport:
        """Send the order under its client order id."""

    def find(self, request: ExecutionRequested) -> OrderStatusReport:
        """Query the order by its client order id."""

    def cancel(self, request: ExecutionRequested) -> OrderStatusReport:
        """Cancel the order and return its state afterwards.

        Raises VenueUnknownOrderError if the venue knows no such order; the venue may not show it yet, so this does not prove a
        cancel.
        """

    def replace(self, request: ExecutionRequested) -> OrderStatusReport:
        """Change quantity or prices, and return the order afterwards. Raises VenueNoAmendError if it cannot change orders."""

    def view(self, request: VenueViewRequested) -> VenueView:
        """Return the view of the account. Orders of `request.orders` that the venue does not know are left out."""


class ClosedVenue:
    """A venue that may not be used, for lack of credentials or because it is not the account's. It refuses every call."""

    forgets_unfilled = False

    def __init__(self, code: str, detail: str) -> None:
        self._code, self._detail = code, detail

    def _refuse(self, request: ExecutionRequested | VenueViewRequested) -> Never:
        raise VenueRefusedError(self._code, f"{request.account}: {self._detail}")

    prepare = submit = find = cancel = replace = view = _refuse


class Relay(Protocol):
    """A way to a venue that answers later, through a mailbox. The agent at the far end ensures that nothing is sent twice."""

    def forward(self, request: ExecutionRequested | VenueViewRequested) -> None:
        """Put the request into the mailbox. Forwarding it again is harmless."""


@dataclass(frozen=True, slots=True)
class SendRecord:
    """A send that began, and what the venue accepted; None without an answer."""

    begun_at: datetime
    accepted: VenueOrder | None = None


class SendLog(Protocol):
    """Durable record of sends by account and client order id. It outlives every process."""

    def begin(self, account: str, client_order_id: str, at: datetime) -> bool:
        """Record that a send begins. Return False, and record nothing, if one began before."""

    def forget(self, account: str, client_order_id: str) -> None:
        """Delete the record of a send, because the venue certainly did not accept it."""

    def accept(self, account: str, client_order_id: str, order: VenueOrder) -> None:
        """Record the order that the venue accepted."""

    def read(self, account: str, client_order_id: str) -> SendRecord | None:
        """Return the record of a send, or None."""


@dataclass(frozen=True, slots=True)
class Replacement:
    """The id of a replacement order at the venue, and when we decided to send it. Only the send log proves that it was sent."""

    name: str
    intended_at: datetime


class ReplacementLog(Protocol):
    """Durable record of replacement orders, for venues that cannot change an order. As durable as the send log."""

    def intend(self, account: str, original: str, replacement: str, at: datetime) -> None:
        """Record the intention to replace an order by another. Repeating it changes nothing."""

    def replacements(self, account: str, original: str) -> tuple[Replacement, ...]:
        """Return the intended replacements of an order, oldest first."""

    def original_of(self, account: str, name: str) -> str | None:
        """Return the order that this one was meant to replace, None if it replaces none."""
