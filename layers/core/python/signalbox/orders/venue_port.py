"""What an execution asks of a venue, and what it keeps of its own sends. Adapters give facts; execution.py makes events of them.

ExecutionError
├── VenueRefusedError        the venue, or we on the way to it, said no: the order is not there and will not be
│   └── VenueNoAmendError    the venue changes no order: it is cancelled, and another one sent (orders/replacing.py)
├── VenueBusyError           not taken now (a rate limit, a venue that says "later"): nothing was done, ask again
├── VenueSilentError         an instruction went out and no answer came back: it may have been carried out
└── VenueUnknownOrderError   the venue does not know the order it was asked about
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Protocol

from signalbox.orders.errors import OrderError
from signalbox.orders.messages import ExecutionRequested, VenueViewRequested
from signalbox.orders.venue_view import VenueOrder, VenueTrade, VenueView

SETTLE: Final = timedelta(seconds=30)  # how long a venue may take to show what it was sent, or that it is gone
NOT_SUPPORTED: Final = "NOT_SUPPORTED"  # codes of VenueRefusedError, beside a venue's own
CLOCK_SKEW: Final = "CLOCK_SKEW"
CREDENTIALS: Final = "CREDENTIALS"
PRECISION: Final = "PRECISION"
INSUFFICIENT_FUNDS: Final = "INSUFFICIENT_FUNDS"
REFUSED: Final = "VENUE_REFUSED"


class ExecutionError(OrderError):
    """The root of what a venue's adapter raises."""


class VenueRefusedError(ExecutionError):
    """Certainly not carried out. `code` travels as the event's reason, `detail`, the venue's own words, beside it."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail


class VenueNoAmendError(VenueRefusedError):
    """The venue, or its adapter, has no way to change an order that rests."""

    def __init__(self, detail: str) -> None:
        super().__init__(NOT_SUPPORTED, detail)


class VenueBusyError(ExecutionError):
    """Certainly not carried out; the same may be asked again after `retry_after` seconds."""

    def __init__(self, detail: str, retry_after: int) -> None:
        super().__init__(f"{detail}; again in {retry_after} s")
        self.retry_after = retry_after


class VenueSilentError(ExecutionError):
    """Unknown. It is never sent a second time because of this."""


class VenueUnknownOrderError(ExecutionError):
    """The venue was reached and has no such order."""


@dataclass(frozen=True, slots=True)
class OrderStatusReport:
    """One order as the venue has it, with every trade of it that the venue shows."""

    order: VenueOrder
    trades: tuple[VenueTrade, ...] = ()
    reason: str = ""  # why it was rejected or ended, where the venue says so


class Venue(Protocol):
    """A venue that answers at once. Every method may raise any ExecutionError."""

    @property
    def forgets_unfilled(self) -> bool:
        """Whether the venue no longer knows an order that was cancelled without a fill."""

    def prepare(self, request: ExecutionRequested) -> None:
        """Do all that is possible before a send: credentials, clock, market, steps of price and quantity."""

    def submit(self, request: ExecutionRequested) -> OrderStatusReport:
        """Send the order under its client order id."""

    def find(self, request: ExecutionRequested) -> OrderStatusReport:
        """Ask for the order by its client order id."""

    def cancel(self, request: ExecutionRequested) -> OrderStatusReport:
        """Take the order out of the book; return it as it is then.

        VenueUnknownOrderError: the venue knows no such order. It may not show it yet, so that is no cancel.
        """

    def replace(self, request: ExecutionRequested) -> OrderStatusReport:
        """Change quantity or prices; return the order as it is then. Raises VenueNoAmendError where the venue changes none."""

    def view(self, request: VenueViewRequested) -> VenueView:
        """Answer for the account. An order of `request.orders` that is not there is left out."""


class ClosedVenue:
    """A venue that may not be used: without credentials, or not the account's. Says so to everything."""

    forgets_unfilled = False

    def __init__(self, code: str, detail: str) -> None:
        self._code, self._detail = code, detail

    def prepare(self, request: ExecutionRequested) -> None:
        raise self._refusal(request)

    def submit(self, request: ExecutionRequested) -> OrderStatusReport:
        raise self._refusal(request)

    def find(self, request: ExecutionRequested) -> OrderStatusReport:
        raise self._refusal(request)

    def cancel(self, request: ExecutionRequested) -> OrderStatusReport:
        raise self._refusal(request)

    def replace(self, request: ExecutionRequested) -> OrderStatusReport:
        raise self._refusal(request)

    def view(self, request: VenueViewRequested) -> VenueView:
        raise self._refusal(request)

    def _refusal(self, request: ExecutionRequested | VenueViewRequested) -> VenueRefusedError:
        return VenueRefusedError(self._code, f"{request.account}: {self._detail}")


class Relay(Protocol):
    """A way to a venue that answers later, through a mailbox. What is at its far end keeps that nothing is sent twice."""

    def forward(self, request: ExecutionRequested | VenueViewRequested) -> None:
        """Put the request into the mailbox; handing it on again is harmless."""


@dataclass(frozen=True, slots=True)
class SendRecord:
    """A send of this order that began, and what the venue answered."""

    begun_at: datetime
    accepted: VenueOrder | None = None


class SendLog(Protocol):
    """Durable memory of sends, by account and client order id; it outlives every process."""

    def begin(self, account: str, client_order_id: str, at: datetime) -> bool:
        """Write that a send begins; False, and nothing is written, when one began before."""

    def forget(self, account: str, client_order_id: str) -> None:
        """Take that back: the venue certainly did not take it."""

    def accept(self, account: str, client_order_id: str, order: VenueOrder) -> None:
        """Write what the venue took."""

    def read(self, account: str, client_order_id: str) -> SendRecord | None:
        """Return what is written."""


@dataclass(frozen=True, slots=True)
class Replacement:
    """The id of what replaces an order at the venue, and when that was intended. It was sent once the send log has it."""

    name: str
    intended_at: datetime


class ReplacementLog(Protocol):
    """Durable memory of what replaced what, of venues that change no order; beside the send log, and as lasting."""

    def intend(self, account: str, original: str, replacement: str, at: datetime) -> None:
        """Write that an order is to be replaced by another; the same again changes nothing."""

    def replacements(self, account: str, original: str) -> tuple[Replacement, ...]:
        """Return what was to replace an order, in turn."""

    def original_of(self, account: str, name: str) -> str | None:
        """Return the order that this one was to replace, None for one that replaces none."""
