"""The trading ledger of one simulated account: implements `trading.ports` in memory, without replaying events.

A load returns what PostgreSQL would: open orders, those that count for open trades, and the orders that were asked for.
Everything else must be in the account state, or it is lost. That is part of the simulation.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType

from signalbox.events import BusEvent
from signalbox.market.candles import Bars, Candle, Symbol
from signalbox.orders.identity import ClientOrderId
from signalbox.orders.messages import VenueViewReported
from signalbox.orders.order import Order
from signalbox.portfolio.entries import Entry, booking_order
from signalbox.trading.account import TradingAccount
from signalbox.trading.changes import UNEXPLAINED, ChangeSet, RiskEvent, RiskEventKind
from signalbox.trading.ports import IncompleteView
from signalbox.trading.readiness import LIVE_GATES, Confirmation, ModelQualification
from signalbox.trading.state import AccountState, counts


@dataclass
class SimulatedLedger:
    """The ledger of one account. It is its own transaction, because nothing runs concurrently."""

    state: AccountState
    orders: dict[ClientOrderId, Order] = field(default_factory=dict)
    facts: list[Entry] = field(default_factory=list)
    bars_seen: list[Candle] = field(default_factory=list)
    outbox: dict[str, BusEvent] = field(default_factory=dict)
    fresh: list[BusEvent] = field(default_factory=list)  # events added since they were last read
    differing: list[RiskEvent] = field(default_factory=list)
    recordings: dict[tuple[RiskEventKind, str], RiskEvent] = field(default_factory=dict)
    decided: dict[tuple[Symbol, datetime], Sequence[tuple[str, str]]] = field(default_factory=dict)

    def accounts(self) -> Sequence[TradingAccount]:
        return (self.state.account,)

    def configured(self) -> tuple[Sequence[TradingAccount], Mapping[str, str]]:
        """Do nothing, because the configuration is not read from a row."""
        return self.accounts(), {}

    def open_account(self, account: TradingAccount, at: datetime, who: str) -> bool:
        """Do nothing, because a simulated account is open from the start."""
        return (account, at, who) is None

    @contextmanager
    def transaction(self, account: str) -> Iterator[SimulatedLedger]:
        """Return this object. Nothing runs concurrently, so nothing is locked."""
        if account != self.state.account.account:
            raise ValueError(f"expected {self.state.account.account}, got {account}")
        yield self

    def load(self, at: datetime, orders: Collection[str] = ()) -> AccountState:
        trades = tuple(self.state.trades.values())
        kept = {k: o for k, o in self.orders.items() if k in orders or counts(o, trades)}
        locks = tuple(lock for lock in self.state.locks if at < lock.until)
        return self.state.after(orders=MappingProxyType(kept), locks=locks)

    def save(self, before: AccountState, after: AccountState, changes: ChangeSet) -> None:
        for key, order in after.orders.items():
            if before.orders.get(key) is not order:
                self.orders[key] = order
        self.state = after
        self.facts += changes.entries
        self.differing += [line for line in changes.risk if line.kind in UNEXPLAINED]
        for line in changes.risk:
            self.recordings.setdefault((line.kind, line.key), line)
        for event in changes.events:
            if event.event_id not in self.outbox:
                self.outbox[event.event_id] = event
                self.fresh.append(event)

    def order(self, client_order_id: str) -> Order | None:
        return self.orders.get(ClientOrderId(client_order_id))

    def entries(self) -> Sequence[Entry]:
        return tuple(sorted(self.facts, key=booking_order))

    def recorded(self, kind: RiskEventKind, key: str) -> RiskEvent | None:
        return self.recordings.get((kind, key))

    def candles(self, since: datetime | None, until: datetime) -> Mapping[Symbol, Sequence[Candle]]:
        found: dict[Symbol, list[Candle]] = {}
        for bar in self.bars_seen:
            if (since is None or bar.close_time > since) and bar.close_time <= until:
                found.setdefault(bar.symbol, []).append(bar)
        return found

    def bars(self, symbol: Symbol, until: datetime, count: int) -> Bars:
        """Fail, because signals are decided before a schedule begins."""
        raise ValueError(f"a schedule must not decide a signal, but asked for {count} bars of {symbol} until {until}")

    def confirmations(self) -> Sequence[Confirmation]:
        return (Confirmation("simulation", self.state.at or datetime.min, "live", "c"),)  # noqa: DTZ901 - there is always a step before

    def model_qualification(self, at: datetime, decided_by: tuple[str, str] | None) -> ModelQualification | None:
        return ModelQualification(decided_by[0] if decided_by else f"m{at:%Y}", "active", dict.fromkeys(LIVE_GATES, True))

    def deciders(self, symbol: Symbol, decided_at: datetime) -> Sequence[tuple[str, str]]:
        return self.decided.get((symbol, decided_at), ())

    def keep_view_part(self, part: VenueViewReported) -> Sequence[VenueViewReported]:
        return (part,)

    def incomplete_views(self) -> Sequence[IncompleteView]:
        return ()

    def drop_view_parts(self, until: datetime) -> None:
        """Do nothing, because no view in a schedule has parts."""

    def differences(self, since: datetime) -> Sequence[str]:
        return tuple(f"{line.code} {line.detail}" for line in self.differing if line.at >= since)
