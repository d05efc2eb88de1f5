"""manage_orders, composed: the trading ledger, its outbox, the bus, and the paper accounts that the stage configures."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Final

import boto3

from signalbox.adapters.aws.bus import EventBridgeBus
from signalbox.adapters.postgres.outbox import PostgresOutbox
from signalbox.adapters.postgres.trading import PostgresTradingLedger
from signalbox.bootstrap.ledger import connect_ledger, retried
from signalbox.bootstrap.settings import TradingSettings
from signalbox.events import BusEvent
from signalbox.signals.ports import EventPublisher, Outbox
from signalbox.signals.publishing import publish_pending
from signalbox.trading.account import TradingAccount
from signalbox.trading.commands import AnyCommand
from signalbox.trading.errors import AccountError
from signalbox.trading.room import Handled, Standing, TradingRoom, instant_of
from signalbox.trading.state import Desk

OPENED_BY: Final = "deployment"  # as `who` of the accounts that the stage configures


@dataclass
class ManageOrders:
    """One message or request at a time; whatever it commits is published afterwards, by `publish`.

    A lost connection is tried again here: every step is idempotent by natural keys.
    """

    room: TradingRoom
    outbox: Outbox
    bus: EventPublisher
    accounts: tuple[str, ...] = ()
    pause: Callable[[float], None] = time.sleep
    refused: dict[str, str] = field(default_factory=dict)  # configured accounts whose row in the ledger says something else
    _opened: bool = False

    def handle(self, event: BusEvent) -> tuple[Handled, ...]:
        """Bring an event to the accounts it concerns."""
        self._open_accounts(instant_of(event))
        return retried(lambda: self.room.on_event(event), self.pause)

    def command(self, command: AnyCommand, who: str) -> Handled:
        """Carry out a command."""
        self._open_accounts(command.requested_at)
        return retried(lambda: self.room.on_command(command, who), self.pause)

    def look(self, account: str, at: datetime) -> Desk:
        """Return an account as it is."""
        return retried(lambda: self.room.look(account, at), self.pause)

    def standing(self, account: str, at: datetime) -> Standing:
        """Return whether an account may trade live."""
        return retried(lambda: self.room.standing(account, at), self.pause)

    def listed(self) -> tuple[TradingAccount, ...]:
        """Return every account, by name."""
        return retried(self.room.accounts, self.pause)

    def watch(self, at: datetime) -> tuple[Handled, ...]:
        """Watch every account at a scheduled instant."""
        self._open_accounts(at)
        return retried(lambda: self.room.on_minute(at), self.pause)

    def _open_accounts(self, at: datetime) -> None:
        """Open the configured accounts, once a process. One that differs from its row stays as it is in the ledger."""
        if self._opened:
            return
        for name in self.accounts:
            try:
                retried(partial(self.room.open, name, at, OPENED_BY), self.pause)
            except AccountError as error:
                self.refused[name] = str(error)
        self._opened = True

    def publish(self) -> int:
        """Publish what is committed; what this misses is the relay's."""
        return publish_pending(outbox=self.outbox, publisher=self.bus)


def compose(settings: TradingSettings | None = None, *, application: str = "manage_orders") -> ManageOrders:
    """Return the function's application from its environment."""
    found = settings or TradingSettings.read()
    connection = connect_ledger(found, application=application)
    return ManageOrders(
        room=TradingRoom(PostgresTradingLedger(connection), market=found.venue),
        outbox=PostgresOutbox(connection),
        bus=EventBridgeBus(boto3.client("events"), found.event_bus_name),
        accounts=found.accounts,
    )
