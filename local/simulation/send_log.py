"""The execution function's durable records, in memory: `orders.venue_port.SendLog` and `ReplacementLog` in one class."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime

from signalbox.orders.venue_port import Replacement, SendRecord
from signalbox.orders.venue_view import VenueOrder


@dataclass
class MemorySendLog:
    """Sends by account and client order id, and the orders meant to replace them."""

    records: dict[tuple[str, str], SendRecord] = field(default_factory=dict)
    chains: dict[tuple[str, str], list[Replacement]] = field(default_factory=dict)

    def begin(self, account: str, client_order_id: str, at: datetime) -> bool:
        if (account, client_order_id) in self.records:
            return False
        self.records[account, client_order_id] = SendRecord(at)
        return True

    def forget(self, account: str, client_order_id: str) -> None:
        self.records.pop((account, client_order_id), None)

    def accept(self, account: str, client_order_id: str, order: VenueOrder) -> None:
        self.records[account, client_order_id] = replace(self.records[account, client_order_id], accepted=order)

    def read(self, account: str, client_order_id: str) -> SendRecord | None:
        return self.records.get((account, client_order_id))

    def intend(self, account: str, original: str, replacement: str, at: datetime) -> None:
        known = self.chains.setdefault((account, original), [])
        if all(one.name != replacement for one in known):
            known.append(Replacement(replacement, at))

    def replacements(self, account: str, original: str) -> tuple[Replacement, ...]:
        return tuple(self.chains.get((account, original), ()))

    def original_of(self, account: str, name: str) -> str | None:
        return next((of for (who, of), links in self.chains.items() if who == account and name in {x.name for x in links}), None)
