"""Builds the ledger's view of the account from the terminal: orders, levels, trades, positions, rules and money."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from signalbox.orders.messages import VenueViewRequested
from signalbox.orders.venue_port import VenueBusyError
from signalbox.orders.venue_view import VenueOrder, VenueTrade, VenueTransfer, VenueView
from signalbox_mt5.book import TerminalBook, is_ours, magic_of
from signalbox_mt5.broker_clock import BrokerClock
from signalbox_mt5.contracts import Contract
from signalbox_mt5.journal import Journal
from signalbox_mt5.levels import PositionLevels, Wanted
from signalbox_mt5.terminal import DealKind, exact

LEVEL_ORDER_WAIT: Final = timedelta(seconds=60)  # how long a level's deal waits for the order that the ledger sends for the level
QUERY_RETRY: Final = 5  # seconds


@dataclass(frozen=True, slots=True)
class AccountViewQuery:
    """One query of the account.

    contracts: by the broker's symbol names. doubtful: client order ids of which a part is unknown; they are not reported as
    closed.
    """

    book: TerminalBook
    levels: PositionLevels
    journal: Journal
    broker: BrokerClock
    contracts: Mapping[str, Contract]
    request: VenueViewRequested
    asked_at: datetime
    doubtful: Collection[str]

    def view(self, account: Any) -> VenueView:
        """Return the view. Raises VenueSilentError or VenueBusyError if some of it is not known yet."""
        return VenueView(
            self.asked_at,
            (*self._orders(), *self._levels()),
            self._trades(),
            self.book.held(self.contracts, others=False),
            instruments=tuple(one.instrument() for one in self.contracts.values() if one.tick and one.smallest),
            transfers=self._transfers(),
            equity=exact(account.equity),
            others=self.book.held(self.contracts, others=True),
        )

    def _names(self) -> dict[int, str]:
        return {magic_of(name): name for name in (*self.journal.orders(self.request.account), *self.request.orders)}

    def _orders(self) -> list[VenueOrder]:
        """Return all resting orders, whoever sent them, and the state of the orders that the request names."""
        names, wanted = self._names(), {magic_of(name) for name in self.request.orders}
        groups: dict[str | int, list[Any]] = defaultdict(list)
        for order in self.book.orders():
            groups[names.get(order.magic, order.ticket)].append(order)
        shown = {order.ticket for order in self.book.orders()}
        for order in self.book.past_orders(min(self.request.since, self.asked_at)):
            if order.magic in wanted and order.ticket not in shown:
                groups[names[order.magic]].append(order)
        found = []
        for key, orders in groups.items():
            name = key if isinstance(key, str) else None
            made = self.book.order(name, orders, self._contract(orders[0].symbol), self.journal.asked.get(name or ""))
            if name in self.doubtful and made.filled < made.quantity:
                raise VenueBusyError(f"{name}: the terminal has not shown the state of every part of this order yet", QUERY_RETRY)
            found.append(made)
        return found

    def _levels(self) -> list[VenueOrder]:
        """Return the orders that are levels (stop or target): those in the request, and all with an open position."""
        by_symbol = {contract.ours: contract for contract in self.contracts.values()}
        for resting in self.request.exits:
            wanted = Wanted.of(resting)
            if wanted is not None and resting.symbol in by_symbol:
                # finds the level by entry and price if the journal was lost
                self.levels.known(wanted, self.book, by_symbol[resting.symbol])
        there = {position.identifier for position in self.book.positions()}
        found = []
        for protection in list(self.journal.protections.values()):
            stands = not protection.is_released and not there.isdisjoint(protection.positions)
            if protection.symbol in by_symbol and (stands or protection.client_order_id in self.request.orders):
                found.append(self.levels.status_report(protection, self.book, by_symbol[protection.symbol]).order)
        return found

    def _trades(self) -> tuple[VenueTrade, ...]:
        names, found = self._names(), []
        for deal in filter(self.book.is_trade, self.book.deals(min(self.request.since, self.asked_at))):
            trade = self.book.trade(deal, self._name_of(deal, names), self._contract(deal.symbol))
            if trade.executed_at < self.request.since:
                continue
            is_early = trade.client_order_id is None and self.levels.is_level_deal(deal) and is_ours(deal.magic)
            if is_early and self.asked_at < trade.executed_at + LEVEL_ORDER_WAIT:
                raise VenueBusyError(f"deal {deal.ticket}: the order for its stop or target has not arrived yet", QUERY_RETRY)
            found.append(trade)
        return tuple(found)

    def _name_of(self, deal: Any, names: Mapping[int, str]) -> str | None:
        if self.levels.is_level_deal(deal):
            return self.levels.owner(deal)
        return names.get(deal.magic) if self.book.is_order_deal(deal) else None

    def _transfers(self) -> tuple[VenueTransfer, ...]:
        found = [
            VenueTransfer(key=str(deal.ticket), at=self.broker.utc(deal.time_msc), amount=exact(deal.profit))
            for deal in self.book.deals(min(self.request.since, self.asked_at))
            if deal.type == DealKind.BALANCE
        ]
        return tuple(transfer for transfer in found if transfer.at >= self.request.since)

    def _contract(self, name: str) -> Contract:
        return self.contracts.get(name) or Contract.unknown(name)
