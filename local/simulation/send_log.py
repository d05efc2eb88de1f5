"""The edge's durable memory of its sends, in memory: `orders.venue_port.SendLog`."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime

from signalbox.orders.venue_port import SendRecord
from signalbox.orders.venue_view import VenueOrder


@dataclass
class MemorySendLog:
    """Sends by account and client order id."""

    records: dict[tuple[str, str], SendRecord] = field(default_factory=dict)

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
