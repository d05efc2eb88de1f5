"""What trading needs from the ledger. Implementations: adapters.postgres.trading, and a memory twin in tests/fakes.

Promises that one contract suite checks on both: the transaction of an account excludes every other one of that account
(two workers take turns); nothing is visible before the block ends without an error; `save` is idempotent by natural keys;
a state that is loaded after `save` equals the one that was saved, to the last digit, but for what no longer counts: orders
that closed, locks and order times that ended.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from signalbox.market.candles import Bars, Candle, Symbol
from signalbox.orders.messages import VenueViewReported
from signalbox.orders.order import Order
from signalbox.portfolio.entries import Entry
from signalbox.trading.account import TradingAccount
from signalbox.trading.changes import ChangeSet, RiskEvent, RiskEventKind
from signalbox.trading.readiness import Confirmation, ModelQualification
from signalbox.trading.state import AccountState


@dataclass(frozen=True, slots=True)
class IncompleteView:
    """A venue's view of which some parts came."""

    asked_at: datetime
    view: str
    came: int
    parts: int


class TradingTransaction(Protocol):
    """One unit of work on one account, which it holds locked."""

    def load(self, at: datetime, orders: Collection[str] = ()) -> AccountState:
        """Return the account: locks and order times that still count at `at`, and its marks.

        Marks are of the newest bars that were watched, also where `at` is earlier; before any was, of those closed by `at`.
        Its orders are the open ones, those of trades that are not closed, and whatever exists of the client order ids in
        `orders`: whoever submits or reports names them, so that a second delivery finds the first, however old it is.
        Order times are the instants of OrderReleased within the throttle's window before `at`.
        """

    def order(self, client_order_id: str) -> Order | None:
        """Return one order, however old."""

    def entries(self) -> Sequence[Entry]:
        """Return every entry of the account, oldest first: what a step asks for with RebookNeededError."""

    def candles(self, since: datetime | None, until: datetime) -> Mapping[Symbol, Sequence[Candle]]:
        """Return the bars of the account's market with since < close_time <= until, oldest first. None: of the last minute."""

    def bars(self, symbol: Symbol, until: datetime, count: int) -> Bars:
        """Return the newest `count` bars of the account's market with close_time <= until, oldest first."""

    def confirmations(self) -> Sequence[Confirmation]:
        """Return everything that people confirmed or took back of this account, oldest first."""

    def recorded(self, kind: RiskEventKind, key: str) -> RiskEvent | None:
        """Return the line of the compliance record with this natural key, None when there is none."""

    def model_qualification(self, at: datetime, decided_by: tuple[str, str] | None) -> ModelQualification | None:
        """Return the gate verdicts of a deployment (name, stage) by `at`; None when it decided nothing.

        decided_by None: of the one that decided the newest signal at or before `at`. A gate is True when it passed for every
        bundle that decided under this name and stage, False when it failed for one, absent when one was not judged.
        """

    def deciders(self, symbol: Symbol, decided_at: datetime) -> Sequence[tuple[str, str]]:
        """Return (deployment, stage) of every deployment that decided a symbol at an instant, HOLD included, by name."""

    def keep_view_part(self, part: VenueViewReported) -> Sequence[VenueViewReported]:
        """Keep a part of a view; return all of that view that are kept, in order. None once it, or a newer one, was compared."""

    def incomplete_views(self) -> Sequence[IncompleteView]:
        """Return the views of which parts are kept, oldest first."""

    def drop_view_parts(self, until: datetime) -> None:
        """Forget the parts of views asked at or before an instant."""

    def differences(self, since: datetime) -> Sequence[str]:
        """Return "CODE subject" of what ledger and venue disagreed about at or after `since`, oldest first."""

    def save(self, before: AccountState, after: AccountState, changes: ChangeSet) -> None:
        """Write the difference. Facts are appended, rows replaced, events put into the outbox."""


class TradingLedger(Protocol):
    """Opens units of work."""

    def accounts(self) -> Sequence[TradingAccount]:
        """Return every account that can be read, by name."""

    def configured(self) -> tuple[Sequence[TradingAccount], Mapping[str, str]]:
        """Return `accounts`, and of those whose row cannot be read why; a transaction of one raises AccountUnreadableError."""

    def open_account(self, account: TradingAccount, at: datetime, who: str) -> bool:
        """Create an account with its capital transferred in; False when it exists as it is. Raises AccountError if it differs."""

    def transaction(self, account: str) -> AbstractContextManager[TradingTransaction]:
        """Lock an account; commit when the block ends, roll back when it raises. Raises AccountError if it is not there."""
