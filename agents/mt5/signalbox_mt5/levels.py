"""The ledger's resting stop and target of a trade, as the levels `sl` and `tp` of the positions that its entry opened.

A level belongs to its position: it ends with it, never opens one, and closes its whole volume. A STOP or LIMIT order that only
reduces is therefore not an order at the terminal. Submitting it sets the level (or finds it set by the entry's own request),
cancelling removes it, replacing moves it, and a deal of that position with reason SL or TP is its fill. The journal records which
order a level stands for; if that was lost, entry and price identify it again.
Source: TRADE_ACTION_SLTP in https://www.mql5.com/en/docs/constants/tradingconstants/enum_trade_request_actions.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from signalbox.exact import ZERO, exactly
from signalbox.orders.messages import ExecutionRequested, RestingExit
from signalbox.orders.terms import OrderTerms, OrderType
from signalbox.orders.venue_port import OrderStatusReport, VenueBusyError, VenueRefusedError
from signalbox.orders.venue_view import VenueOrder, VenueStatus, VenueTrade
from signalbox_mt5.book import TerminalBook
from signalbox_mt5.contracts import Contract
from signalbox_mt5.journal import Journal, JournalKind, PositionProtection
from signalbox_mt5.retcodes import Outcome, Retcode
from signalbox_mt5.sending import ask
from signalbox_mt5.terminal import Action, DealReason, Terminal, exact

REDUCE_ONLY: Final = "REDUCE_ONLY"
POSITION_SHARED: Final = "POSITION_SHARED"
LEVEL_REMOVED: Final = "LEVEL_REMOVED"  # removed by a person, or together with its position
_REASONS: Final = {JournalKind.STOP: DealReason.SL, JournalKind.TARGET: DealReason.TP}


def kind_of(terms: OrderTerms) -> JournalKind | None:
    """Return which level (stop or target) represents an order; None if the order exists at the terminal itself."""
    if not terms.reduce_only or terms.type is OrderType.MARKET:
        return None
    return JournalKind.STOP if terms.type is OrderType.STOP else JournalKind.TARGET


@dataclass(frozen=True, slots=True)
class Wanted:
    """The ledger's terms of an order that a level represents."""

    client_order_id: str
    entry: str
    kind: JournalKind
    price: Decimal
    quantity: Decimal

    @classmethod
    def of(cls, resting: RestingExit) -> Wanted | None:
        """Return the level of a resting exit in the ledger; None if the exit has no price."""
        kind = JournalKind.STOP if resting.stop_price is not None else JournalKind.TARGET
        price = resting.stop_price or resting.limit_price
        return None if price is None else cls(resting.client_order_id, resting.entry, kind, price, resting.quantity)

    @classmethod
    def by(cls, request: ExecutionRequested) -> Wanted:
        """Return the level that a request asks for, including its changes.

        If it names no entry, that of its own decision is used.
        """
        terms = request.terms
        kind = JournalKind.STOP if terms.type is OrderType.STOP else JournalKind.TARGET
        price = (
            (request.stop_price or terms.stop_price) if kind is JournalKind.STOP else (request.limit_price or terms.limit_price)
        )
        if price is None:  # unreachable, because the terms check it
            raise ValueError(f"expected a price with {terms.type}")
        return cls(request.client_order_id, request.entry or terms.entry_id, kind, price, request.quantity or terms.quantity)


class PositionLevels:
    """Sets, moves and removes levels, and reports the state of the orders that they represent."""

    def __init__(self, terminal: Terminal, journal: Journal) -> None:
        self._terminal, self._journal = terminal, journal

    def put(self, wanted: Wanted, book: TerminalBook, contract: Contract) -> None:
        """Set the level on every position of the entry. Raises VenueRefusedError without a position, and the errors of `ask`."""
        open_ = book.positions_of_entry(wanted.entry, contract.name)
        if not open_ and not self._adopt_traded(wanted, book, contract):
            raise VenueRefusedError(REDUCE_ONLY, f"{contract.ours}: entry {wanted.entry} has no open position")
        for position in open_:
            if book.is_shared(position, wanted.entry) and contract.base(position.volume) > wanted.quantity:
                raise VenueRefusedError(
                    POSITION_SHARED,
                    f"{contract.ours}: other trades hold a part of the position, and this stop would close that part too",
                )
        for position in open_:
            self._set(position, wanted.kind, wanted.price, wanted.client_order_id)
        if open_:
            self._write(wanted, contract, open_)

    def known(self, wanted: Wanted, book: TerminalBook, contract: Contract) -> PositionProtection | None:
        """Return the protection of an order from the journal, or else from entry and price; None if there is no trace of it."""
        written = self._journal.protections.get(wanted.client_order_id)
        if written is not None:
            return written
        open_ = book.positions_of_entry(wanted.entry, contract.name)
        if open_:
            if all(self._level(position, wanted.kind) == wanted.price for position in open_):
                self._write(wanted, contract, open_)
        else:
            self._adopt_traded(wanted, book, contract)
        return self._journal.protections.get(wanted.client_order_id)

    def take_away(self, protection: PositionProtection, book: TerminalBook) -> None:
        """Remove the level if an order is still attached to it. Raises the errors of `ask`."""
        if not protection.is_released:
            for position in self._open(protection, book):
                self._set(position, protection.kind, ZERO, protection.client_order_id)
            self._journal.release(protection.client_order_id)

    @exactly
    def status_report(self, protection: PositionProtection, book: TerminalBook, contract: Contract) -> OrderStatusReport:
        """Return the state of an order. Raises VenueSilentError until the terminal shows how its position was closed."""
        book.require_settled(protection.positions)
        trades = self._trades(protection, book, contract)
        filled = sum((trade.quantity for trade in trades), ZERO)
        levels = [self._level(position, protection.kind) for position in self._open(protection, book)]
        price, status, reason = protection.price, VenueStatus.OPEN, ""
        if filled >= protection.quantity:
            status = VenueStatus.FILLED
        elif protection.is_released or not any(levels):
            status, reason = VenueStatus.CANCELED, "" if protection.is_released else LEVEL_REMOVED
        else:  # a person may have moved the level, so the terminal's price is reported
            price = next((level for level in levels if level != price), price) or price
        order = VenueOrder(
            client_order_id=protection.client_order_id,
            venue_order_id="-".join([*map(str, protection.positions), protection.kind]),
            symbol=contract.ours,
            status=status,
            quantity=protection.quantity,
            filled=filled,
            limit_price=price if protection.kind is JournalKind.TARGET else None,
            stop_price=price if protection.kind is JournalKind.STOP else None,
        )
        return OrderStatusReport(order, trades, reason)

    def owner(self, deal: Any) -> str | None:
        """Return and record the order that a deal by stop or target belongs to; None if no order is attached to the level."""
        claimed = self._journal.claims.get(deal.ticket)
        if claimed is not None:
            return claimed
        of = [
            p for p in self._journal.protections.values() if deal.position_id in p.positions and _REASONS[p.kind] == deal.reason
        ]
        active = [p for p in of if not p.is_released]
        if not of:
            return None
        name = (active or of)[-1].client_order_id  # if just released, the level traded before it was removed
        self._journal.claim(deal.ticket, name)
        return name

    def is_level_deal(self, deal: Any) -> bool:
        """Return whether a stop or target level made this deal."""
        return deal.reason in {DealReason.SL, DealReason.TP}

    def _adopt_traded(self, wanted: Wanted, book: TerminalBook, contract: Contract) -> bool:
        """Whether the entry's level traded before its order arrived or before the journal was lost. It is that order's then."""
        entry = wanted.entry
        identifiers = book.identifiers_of_entry(entry)
        book.require_settled(identifiers)
        deals = [
            deal
            for identifier in identifiers
            for deal in book.deals_of_position(identifier)
            if deal.reason == _REASONS[wanted.kind] and deal.ticket not in self._journal.claims
        ]
        if not deals:
            return False
        self._journal.protect(
            PositionProtection(
                wanted.client_order_id, entry, contract.ours, wanted.kind, wanted.price, wanted.quantity, identifiers
            )
        )
        for deal in deals:
            self._journal.claim(deal.ticket, wanted.client_order_id)
        return True

    def _write(self, wanted: Wanted, contract: Contract, positions: Iterable[Any]) -> None:
        identifiers = tuple(position.identifier for position in positions)
        before = self._journal.protections.get(wanted.client_order_id)
        if before is not None:
            identifiers = tuple(dict.fromkeys((*before.positions, *identifiers)))
        self._journal.protect(
            PositionProtection(
                wanted.client_order_id, wanted.entry, contract.ours, wanted.kind, wanted.price, wanted.quantity, identifiers
            )
        )

    def _set(self, position: Any, kind: JournalKind, price: Decimal, name: str) -> None:
        """Set one level of one position and keep the other. Does nothing if it is set already; a closed position needs none."""
        if self._level(position, kind) == price:
            return
        levels = {"sl": position.sl, "tp": position.tp} | {kind.value: float(price)}
        reply = ask(
            self._terminal,
            {"action": Action.SLTP, "symbol": position.symbol, "position": position.ticket, "magic": position.magic} | levels,
        )
        if reply.outcome is Outcome.UNKNOWN:
            if self._is_set(position, kind, price):
                return
            raise VenueBusyError(f"{name}: {reply.words}", 1)  # setting a level again is harmless
        if reply.code is Retcode.POSITION_CLOSED and not price:
            return
        reply.require_taken(name)

    def _is_set(self, position: Any, kind: JournalKind, price: Decimal) -> bool:
        found = self._terminal.positions_get() or ()
        return any(p.ticket == position.ticket and self._level(p, kind) == price for p in found)

    def _open(self, protection: PositionProtection, book: TerminalBook) -> list[Any]:
        return [position for position in book.positions() if position.identifier in protection.positions]

    def _trades(self, protection: PositionProtection, book: TerminalBook, contract: Contract) -> tuple[VenueTrade, ...]:
        return tuple(
            book.trade(deal, protection.client_order_id, contract)
            for identifier in protection.positions
            for deal in book.deals_of_position(identifier)
            if self.is_level_deal(deal) and self.owner(deal) == protection.client_order_id
        )

    def _level(self, position: Any, kind: JournalKind) -> Decimal:
        return exact(getattr(position, kind.value))
