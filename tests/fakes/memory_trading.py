"""Trading accounts in memory, keeping the promises of `trading.ports` for tests without a database.

Several `MemoryTradingLedger`s over one `MemoryTradingDatabase` are what several workers over one PostgreSQL are.
"""

from __future__ import annotations

import json
import threading
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import TypeVar

from signalbox.events import BusEvent
from signalbox.ledger_errors import LedgerError, LedgerRefusedError
from signalbox.market.candles import ONE_MINUTE, Bars, Candle, Symbol
from signalbox.orders.events import OrderEvent, OrderReleased
from signalbox.orders.identity import ClientOrderId
from signalbox.orders.lifecycle import replay
from signalbox.orders.messages import VenueViewReported
from signalbox.orders.order import Order
from signalbox.portfolio.entries import Entry, booking_order
from signalbox.portfolio.lots import Disposal
from signalbox.risk.snapshot import Mark
from signalbox.trading.account import TradingAccount
from signalbox.trading.changes import UNEXPLAINED, ChangeSet, RiskEvent, RiskEventKind
from signalbox.trading.errors import AccountDiffersError, no_account
from signalbox.trading.ports import IncompleteView
from signalbox.trading.readiness import Confirmation, ModelQualification, qualification_of
from signalbox.trading.state import AccountState, Trade, counts, opened, opening_transfer

Fact = TypeVar("Fact")


@dataclass
class AccountRows:
    """What is kept of one account. Facts by natural key, in order of arrival."""

    state: AccountState
    order_events: dict[str, OrderEvent] = field(default_factory=dict)
    entries: dict[str, Entry] = field(default_factory=dict)
    disposals: dict[tuple[str, str], Disposal] = field(default_factory=dict)
    trades: dict[str, Trade] = field(default_factory=dict)
    equity: dict[datetime, object] = field(default_factory=dict)
    days: dict[object, object] = field(default_factory=dict)
    risk: dict[tuple[str, str], RiskEvent] = field(default_factory=dict)
    confirmations: dict[str, Confirmation] = field(default_factory=dict)
    view_parts: dict[tuple[datetime, str, int], VenueViewReported] = field(default_factory=dict)

    def copy(self) -> AccountRows:
        """Return rows that may be changed without changing these."""
        tables = ("order_events", "entries", "disposals", "trades", "equity", "days", "risk", "confirmations", "view_parts")
        return AccountRows(self.state, **{name: dict(getattr(self, name)) for name in tables})


class MemoryTradingDatabase:
    """What several ledgers share: accounts, candles by venue and symbol, and the outbox by event id."""

    def __init__(self) -> None:
        self.accounts: dict[str, AccountRows] = {}
        self.candles: dict[tuple[str, Symbol], dict[datetime, Candle]] = defaultdict(dict)
        self.signals: set[tuple[Symbol, datetime, str]] = set()  # (symbol, decided_at, deployment)
        self.decided: dict[tuple[datetime, str], str] = {}  # the stage of what decided signals, by (decided_at, deployment)
        self.models: dict[tuple[str, str], dict[str, datetime]] = defaultdict(dict)  # first cycle by gates, by deployment, stage
        self.outbox: dict[str, BusEvent] = {}
        self.locks: dict[str, threading.Lock] = defaultdict(threading.Lock)

    def add_model(self, deployment: str, stage: str, gates: Mapping[str, str], decided_at: datetime) -> None:
        """Keep what the gates said of a bundle that decided."""
        self.models[deployment, stage].setdefault(json.dumps(dict(gates), sort_keys=True), decided_at)

    def add_candles(self, venue: str, candles: Iterable[Candle]) -> None:
        """Keep bars; a later one of a minute replaces the earlier."""
        for candle in candles:
            self.candles[venue, candle.symbol][candle.open_time] = candle


class MemoryTradingLedger:
    """Units of work on a database in memory."""

    def __init__(self, database: MemoryTradingDatabase | None = None) -> None:
        self.database = database or MemoryTradingDatabase()

    def accounts(self) -> Sequence[TradingAccount]:
        return tuple(rows.state.account for _, rows in sorted(self.database.accounts.items()))

    def configured(self) -> tuple[Sequence[TradingAccount], Mapping[str, str]]:
        return self.accounts(), {}  # it keeps accounts, not texts

    def open_account(self, account: TradingAccount, at: datetime, who: str) -> bool:
        kept = self.database.accounts.get(account.account)
        if kept is None:
            capital = opening_transfer(account, at)
            self.database.accounts[account.account] = AccountRows(opened(account, at), entries={capital.entry_id: capital})
            return True
        if kept.state.account != account:
            raise AccountDiffersError(
                f"account {account.account} exists with another configuration: {kept.state.account!r}, got {account!r}"
            )
        return False

    @contextmanager
    def transaction(self, account: str) -> Iterator[MemoryTradingTransaction]:
        if account not in self.database.accounts:
            raise no_account(account)
        with self.database.locks[account]:
            tx = MemoryTradingTransaction(self.database, self.database.accounts[account].copy())
            yield tx
            self.database.accounts[account] = tx.rows
            for event in tx.outbox:
                self.database.outbox.setdefault(event.event_id, event)


class MemoryTradingTransaction:
    """One unit of work on one account; nothing is visible before it ends."""

    def __init__(self, database: MemoryTradingDatabase, rows: AccountRows) -> None:
        self._database, self.rows = database, rows
        self.outbox: list[BusEvent] = []

    @property
    def _market(self) -> dict[Symbol, dict[datetime, Candle]]:
        market = self.rows.state.account.market
        return {symbol: bars for (venue, symbol), bars in sorted(self._database.candles.items()) if venue == market}

    def load(self, at: datetime, orders: Collection[str] = ()) -> AccountState:
        state = self.rows.state
        trades = tuple(state.trades.values())
        found = {ClientOrderId(k): o for k, o in self._orders().items() if counts(o, trades) or k in orders}
        window = timedelta(seconds=state.account.limits.throttle_window_seconds)
        sent = sorted(e.at for e in self.rows.order_events.values() if isinstance(e, OrderReleased))
        valued_at = state.watched_until or at
        marks = {}
        for symbol, bars in self._market.items():
            if times := [t for t in bars if t + ONE_MINUTE <= valued_at]:
                marks[symbol] = Mark(bars[max(times)].close, max(times) + ONE_MINUTE)
        return replace(
            state,
            orders=MappingProxyType(found),
            locks=tuple(lock for lock in state.locks if at < lock.until),
            order_times=tuple(time for time in sent if at - window < time <= at),
            marks=MappingProxyType(marks),
        )

    def _orders(self) -> dict[str, Order]:
        events: dict[str, list[OrderEvent]] = defaultdict(list)
        for event in self.rows.order_events.values():
            events[event.client_order_id].append(event)
        return {key: replay(own) for key, own in events.items()}

    def order(self, client_order_id: str) -> Order | None:
        return self._orders().get(client_order_id)

    def entries(self) -> Sequence[Entry]:
        return tuple(sorted(self.rows.entries.values(), key=booking_order))

    def candles(self, since: datetime | None, until: datetime) -> Mapping[Symbol, Sequence[Candle]]:
        after = until - ONE_MINUTE if since is None else since
        found = {
            symbol: tuple(bars[t] for t in sorted(bars) if after < t + ONE_MINUTE <= until)
            for symbol, bars in self._market.items()
        }
        return MappingProxyType({symbol: bars for symbol, bars in found.items() if bars})

    def bars(self, symbol: Symbol, until: datetime, count: int) -> Bars:
        bars = self._market.get(symbol, {})
        times = sorted(t for t in bars if t + ONE_MINUTE <= until)[-count:]
        return Bars.from_candles(symbol, [bars[t] for t in times])

    def confirmations(self) -> Sequence[Confirmation]:
        return tuple(sorted(self.rows.confirmations.values(), key=lambda output: (output.at, output.request_id)))

    def recorded(self, kind: RiskEventKind, key: str) -> RiskEvent | None:
        return self.rows.risk.get((kind, key))

    def model_qualification(self, at: datetime, decided_by: tuple[str, str] | None) -> ModelQualification | None:
        if decided_by is None:
            newest = max((when for when, _ in self._database.decided if when <= at), default=None)
            if newest is None:
                return None
            deployment = min(name for when, name in self._database.decided if when == newest)
            decided_by = deployment, self._database.decided[newest, deployment]
        kept = self._database.models.get(decided_by, {})
        gates = [json.loads(text) for text, first in kept.items() if first <= at]
        return qualification_of(*decided_by, gates) if gates else None

    def deciders(self, symbol: Symbol, decided_at: datetime) -> Sequence[tuple[str, str]]:
        names = sorted(name for of, at, name in self._database.signals if (of, at) == (symbol, decided_at))
        return tuple((name, self._database.decided[decided_at, name]) for name in names)

    def keep_view_part(self, part: VenueViewReported) -> Sequence[VenueViewReported]:
        compared_at = self.rows.state.compared_at
        if compared_at is None or compared_at < part.asked_at:
            self.rows.view_parts.setdefault((part.asked_at, part.view or "", part.part), part)
        kept = sorted(self.rows.view_parts.items(), key=lambda item: item[0])
        return tuple(one for (asked_at, view, _), one in kept if (asked_at, view) == (part.asked_at, part.view))

    def incomplete_views(self) -> Sequence[IncompleteView]:
        came = Counter((asked_at, view, one.parts) for (asked_at, view, _), one in self.rows.view_parts.items())
        return tuple(IncompleteView(at, view, count, parts) for (at, view, parts), count in sorted(came.items()))

    def drop_view_parts(self, until: datetime) -> None:
        for key in [key for key in self.rows.view_parts if key[0] <= until]:
            del self.rows.view_parts[key]

    def differences(self, since: datetime) -> Sequence[str]:
        found = (line for line in self.rows.risk.values() if line.kind in UNEXPLAINED and line.at >= since)
        return tuple(f"{line.code} {line.detail}" for line in sorted(found, key=lambda line: line.at))

    def save(self, before: AccountState, after: AccountState, changes: ChangeSet) -> None:
        if before.account.account != after.account.account:
            raise LedgerError(f"expected two states of one account, got {before.account.account} and {after.account.account}")
        if changes.events and after.at is None:
            raise LedgerError(f"{after.account.account}: a step with events needs an instant (`at`), got None")
        rows = self.rows
        _facts(rows.order_events, {e.event_id: e for e in changes.order_events})
        _facts(rows.entries, {e.entry_id: e for e in changes.entries})
        if changes.rebooked:
            rows.disposals.clear()
        for disposal in changes.disposals:
            rows.disposals.setdefault((disposal.fill_id, disposal.lot_id), disposal)
        rows.trades |= {trade.entry: trade for trade in changes.trades}
        for snapshot in changes.equity:
            rows.equity.setdefault(snapshot.at, snapshot)
        for day in changes.days:
            rows.days.setdefault(day.date, day)
        _facts(rows.confirmations, {output.request_id: output for output in changes.confirmations})
        for line in changes.risk:
            rows.risk.setdefault((line.kind, line.key), line)
        rows.state = after
        self.outbox += changes.events


def _facts(kept: dict[str, Fact], offered: Mapping[str, Fact]) -> None:
    """Append facts; one that is known stays as it is. Raises LedgerRefusedError when it is known with other data."""
    for key, fact in offered.items():
        if kept.setdefault(key, fact) != fact:
            raise LedgerRefusedError(f"conflicting duplicate of {key}")
