"""Replaces an order at a venue that cannot change orders: cancels it and sends another, as one operation with its own states.

For the ledger it stays one order under one id. At the venue it is a chain: the first order under that id, and each replacement
under an id made from the request. The send log holds the state, so that the next function continues after a crash:

  nothing recorded          check what can be checked, record the intention, send the cancel
  intended, old order open  send the cancel (again)
  old order ended           count its fills, send the rest under the new id, once
  new order begun           ask the venue for it; send nothing

The new order is sent only after the venue has confirmed the cancel. A failure after that is reported as the end of the order,
so that whoever needs protection sends a new one. Unanswered steps are unconfirmed, and a view resolves them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from signalbox.exact import ZERO, exactly
from signalbox.orders.events import (
    OrderCanceled,
    OrderEvent,
    OrderUnconfirmed,
    OrderUpdated,
    OrderUpdateRejected,
)
from signalbox.orders.identity import replacement_id
from signalbox.orders.messages import ExecutionRequested
from signalbox.orders.venue_facts import ORDER_DONE, SEND_TOO_LATE, end_of, fills_of, request_id_of, words
from signalbox.orders.venue_port import (
    SETTLE,
    OrderStatusReport,
    ReplacementLog,
    SendLog,
    Venue,
    VenueBusyError,
    VenueRefusedError,
    VenueSilentError,
    VenueUnknownOrderError,
)
from signalbox.orders.venue_view import VenueOrder, VenueStatus, VenueTrade, VenueView

REPLACE_WITHIN: Final = timedelta(minutes=5)  # of the request; after that the wanted change is outdated
AGAIN: Final = 1  # seconds until an interrupted operation continues
REPLACE_FAILED: Final = "REPLACE_FAILED"  # reason when the replacement could not be sent
Clock = Callable[[], datetime]


def chain_of(account: str, name: str, log: SendLog, chains: ReplacementLog | None) -> tuple[str, ...]:
    """Return the ids under which an order was sent, oldest first; the first is the order's own id."""
    later = () if chains is None else chains.replacements(account, name)
    return (name, *(one.name for one in later if log.read(account, one.name) is not None))


def addressed(request: ExecutionRequested, name: str, log: SendLog) -> ExecutionRequested:
    """Return the request for one link of the order's chain, with that link's id and accepted terms."""
    if name == request.client_order_id:
        return request
    written = log.read(request.account, name)
    terms = request.terms
    if written is not None and (took := written.accepted) is not None:
        prices = {"limit_price": took.limit_price, "stop_price": took.stop_price}
        terms = terms.model_copy(update={"quantity": took.quantity, **prices})
    return request.model_copy(update={"client_order_id": name, "venue_order_id": None, "terms": terms})


def whole(
    request: ExecutionRequested, venue: Venue, log: SendLog, names: Sequence[str], newest: OrderStatusReport
) -> OrderStatusReport:
    """Return the whole order: its newest link plus what the earlier links filled. Raises ExecutionError."""
    before = []
    for name in names[:-1]:
        written = log.read(request.account, name)
        if written is not None and written.accepted is not None:
            filled = written.accepted.filled
            before.append(venue.find(addressed(request, name, log)) if filled else OrderStatusReport(written.accepted))
    return joined(request.client_order_id, [*before, newest])


@exactly
def joined(name: str, links: Sequence[OrderStatusReport]) -> OrderStatusReport:
    """Return the links of a chain, oldest first, as one order under the ledger's id and the first link's venue id."""
    newest = links[-1]
    before = sum((link.order.filled for link in links[:-1]), ZERO)
    order = replace(
        newest.order,
        client_order_id=name,
        venue_order_id=links[0].order.venue_order_id,
        quantity=before + newest.order.quantity,
        filled=before + newest.order.filled,
    )
    trades = tuple(replace(trade, client_order_id=name) for link in links for trade in link.trades)
    return OrderStatusReport(order, trades, newest.reason)


@dataclass(frozen=True, slots=True)
class _Operation:
    """One replace operation in progress. `names`: the links that were sent before it."""

    request: ExecutionRequested
    venue: Venue
    log: SendLog
    chains: ReplacementLog
    clock: Clock
    names: tuple[str, ...]
    new: str

    @property
    def is_late(self) -> bool:
        return self.clock() >= self.request.at + REPLACE_WITHIN

    @property
    def tail(self) -> ExecutionRequested:
        """The request for the newest link."""
        return addressed(self.request, self.names[-1], self.log)

    def successor(self, quantity: Decimal) -> ExecutionRequested:
        """Return the submit request of the replacement. A value that the request leaves out stays as it is."""
        asked, terms = self.request, self.tail.terms
        changed = {
            "quantity": quantity,
            "limit_price": asked.limit_price or terms.limit_price,
            "stop_price": asked.stop_price or terms.stop_price,
        }
        return asked.model_copy(
            update={"client_order_id": self.new, "venue_order_id": None, "terms": terms.model_copy(update=changed)}
        )


def replace_by_another(
    request: ExecutionRequested, venue: Venue, log: SendLog, chains: ReplacementLog, clock: Clock
) -> list[OrderEvent]:
    """Replace an order by cancel and send. Raises VenueBusyError: deliver it again, and it continues where it stopped."""
    account, name = request.account, request.client_order_id
    new = replacement_id(name, request_id_of(request))
    names = chain_of(account, name, log, chains)
    sent = new in names
    before = names[: names.index(new)] if sent else names
    way = _Operation(request, venue, log, chains, clock, before, new)
    try:
        if sent:
            return _sent_before(way)
        old = _ended(way) or _take_out(way)
        return old if isinstance(old, list) else _send_rest(way, whole(request, venue, log, names, old))
    except (VenueSilentError, VenueUnknownOrderError) as error:
        return [_unconfirmed(request, clock(), str(error))]
    except VenueRefusedError as error:
        return [_rejected(request, clock(), error.code, error.detail)]


def _ended(way: _Operation) -> OrderStatusReport | None:
    """Return the newest link if this operation already cancelled it, else None."""
    account, tail = way.request.account, way.names[-1]
    intended = {one.name for one in way.chains.replacements(account, way.request.client_order_id)}
    written = way.log.read(account, tail)
    if way.new not in intended or written is None or written.accepted is None:
        return None
    if written.accepted.status is not VenueStatus.CANCELED:
        return None
    return way.venue.find(way.tail) if written.accepted.filled else OrderStatusReport(written.accepted)


def _take_out(way: _Operation) -> OrderStatusReport | list[OrderEvent]:
    """Cancel the newest link. Return its final report, or the events of a replace that cannot continue."""
    request, account, tail = way.request, way.request.account, way.names[-1]
    if way.is_late:
        return [_rejected(request, way.clock(), SEND_TOO_LATE)]
    way.venue.prepare(way.successor(request.quantity or way.tail.terms.quantity))
    way.chains.intend(account, request.client_order_id, way.new, way.clock())
    old = way.venue.cancel(way.tail)
    if old.order.status is VenueStatus.OPEN:
        return [_unconfirmed(request, way.clock(), f"{tail} is still open after its cancel")]
    way.log.accept(account, tail, old.order)
    return old


def _send_rest(way: _Operation, done: OrderStatusReport) -> list[OrderEvent]:
    """Send the unfilled rest of the order, now that its newest link has ended."""
    request, at = way.request, way.clock()
    events: list[OrderEvent] = list(fills_of(request, done))
    rest = _rest(request, done)
    if done.order.status is not VenueStatus.CANCELED or rest < 0:
        return [*events, _rejected(request, at, ORDER_DONE, done.order.detail), *end_of(request, done, at)]
    if not rest:
        return [*events, _updated(request, at, done.order.venue_order_id)]
    return [*events, *(_failed(request, at, SEND_TOO_LATE) if way.is_late else _send_successor(way, done, rest))]


def _send_successor(way: _Operation, done: OrderStatusReport, rest: Decimal) -> list[OrderEvent]:
    request, account = way.request, way.request.account
    sending = way.successor(rest)
    try:
        way.venue.prepare(sending)  # a function that continues after a crash has not loaded the market yet
    except VenueRefusedError as error:
        return _failed(request, way.clock(), error.code, error.detail)
    except VenueSilentError as error:
        raise VenueBusyError(str(error), AGAIN) from error  # nothing was sent and the old order is cancelled, so continue soon
    if not way.log.begin(account, way.new, way.clock()):  # another worker began first
        return _sent_before(way)
    try:
        sent = way.venue.submit(sending)
    except VenueRefusedError as error:
        way.log.forget(account, way.new)
        return _failed(request, way.clock(), error.code, error.detail)
    except VenueBusyError:
        way.log.forget(account, way.new)
        raise
    except VenueSilentError:
        return _sent_before(way)
    way.log.accept(account, way.new, sent.order)
    return _arrived(request, joined(request.client_order_id, [done, sent]), sent.order.venue_order_id, way.clock())


@exactly
def _rest(request: ExecutionRequested, done: OrderStatusReport) -> Decimal:
    """Return the quantity left to order, out of the requested quantity or the one in force."""
    return (request.quantity or done.order.quantity) - done.order.filled


def _sent_before(way: _Operation) -> list[OrderEvent]:
    """Query a replacement that may have been sent, and return the events. It is not sent again, whatever the answer."""
    request = way.request
    try:
        sent = way.venue.find(addressed(request, way.new, way.log))
        found = whole(request, way.venue, way.log, (*way.names, way.new), sent)
    except (VenueSilentError, VenueUnknownOrderError, VenueRefusedError, VenueBusyError) as error:
        return [_unconfirmed(request, way.clock(), str(error))]
    way.log.accept(request.account, way.new, sent.order)
    return _arrived(request, found, sent.order.venue_order_id, way.clock())


def _arrived(request: ExecutionRequested, found: OrderStatusReport, venue_order_id: str, at: datetime) -> list[OrderEvent]:
    return [_updated(request, at, venue_order_id), *fills_of(request, found), *end_of(request, found, at)]


def _updated(request: ExecutionRequested, at: datetime, venue_order_id: str) -> OrderUpdated:
    name, request_id = request.client_order_id, request_id_of(request)
    return OrderUpdated(client_order_id=name, at=at, request_id=request_id, venue_order_id=venue_order_id)


def _rejected(request: ExecutionRequested, at: datetime, reason: str, detail: str = "") -> OrderUpdateRejected:
    name, request_id = request.client_order_id, request_id_of(request)
    return OrderUpdateRejected(client_order_id=name, at=at, request_id=request_id, reason=reason, detail=words(detail))


def _failed(request: ExecutionRequested, at: datetime, reason: str, detail: str = "") -> list[OrderEvent]:
    """Return the events of a cancelled order without a replacement: its protection is gone, and the account must know."""
    detail_text = words(f"{reason} {detail}".strip())
    ended = OrderCanceled(client_order_id=request.client_order_id, at=at, reason=REPLACE_FAILED, detail=detail_text)
    return [_rejected(request, at, reason, detail), ended]


def _unconfirmed(request: ExecutionRequested, at: datetime, detail: str) -> OrderUnconfirmed:
    name, attempt = request.client_order_id, request_id_of(request)
    return OrderUnconfirmed(client_order_id=name, at=at, attempt=attempt, detail=words(detail))


def folded(view: VenueView, account: str, orders: Sequence[str], log: SendLog, chains: ReplacementLog) -> VenueView:
    """Return a view in which each chain of links is one order, under the ledger's id.

    An order is left out while its newest link may still appear: during a replace, and until the settling time after the send.
    """
    shown = {order.client_order_id: order for order in view.orders if order.client_order_id is not None}
    names = {*shown, *(trade.client_order_id for trade in view.trades if trade.client_order_id is not None)}
    origin = {name: chains.original_of(account, name) or name for name in names - set(orders)}
    origin |= {name: name for name in orders}
    found = [order for order in view.orders if order.client_order_id is None]
    for original in dict.fromkeys(origin.values()):
        order = _folded_order(original, shown, account, log, chains, view.asked_at)
        if order is not None:
            found.append(order)
    return replace(view, orders=tuple(found), trades=tuple(_renamed(trade, origin) for trade in view.trades))


def _folded_order(  # noqa: PLR0917 - as above
    original: str, shown: dict[str, VenueOrder], account: str, log: SendLog, chains: ReplacementLog, asked_at: datetime
) -> VenueOrder | None:
    later = chains.replacements(account, original)
    if not later:
        return shown.get(original)
    names = chain_of(account, original, log, chains)
    links = [shown[name] for name in names if name in shown]
    tail, newest = names[-1], later[-1]
    begun = log.read(account, tail)
    is_under_way = newest.name not in names and asked_at < newest.intended_at + SETTLE
    may_come = tail not in shown and begun is not None and asked_at < begun.begun_at + SETTLE
    if not links or is_under_way or may_come:
        return None
    return joined(original, [OrderStatusReport(link) for link in links]).order


def _renamed(trade: VenueTrade, origin: dict[str, str]) -> VenueTrade:
    name = trade.client_order_id
    known_as = None if name is None else origin.get(name, name)
    return trade if known_as == name else replace(trade, client_order_id=known_as)
