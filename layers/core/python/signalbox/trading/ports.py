"""The port to the ledger that trading uses. Implemented by adapters.postgres.trading and by a memory twin in tests/fakes.

One contract suite checks both for these promises: only one transaction at a time per account (two workers take turns); changes
become visible only when the block ends without an error; `save` is idempotent by natural keys; a state loaded after `save`
equals the saved one to the last digit, except for closed orders, ended locks and old order times that no longer count.
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
    """A venue's view of which only `came` of its `parts` parts have arrived."""

    asked_at: datetime
    view: str
    came: int
    parts: int


class TradingTransaction(Protocol):
    """One unit of work on one account, which stays locked."""

    def load(self, at: datetime, orders: Collection[str] = ()) -> AccountState:
        """Return the account with its marks, and with the locks and order times that still count at `at`.

        Marks come from the newest bars that were applied, even if `at` is earlier; before the first, from bars closed by `at`.
        Orders are the open ones, those of open trades, and those named in `orders`: whoever submits or reports an order names it,
        so that a second delivery finds the first one, however old it is. Order times are the instants of OrderReleased within the
        throttle's window before `at`.
        """

    def order(self, client_order_id: str) -> Order | None:
        """Return one order, however old; None if it does not exist."""

    def entries(self) -> Sequence[Entry]:
        """Return every entry of the account, oldest first. A step needs them after RebookNeededError."""

    def candles(self, since: datetime | None, until: datetime) -> Mapping[Symbol, Sequence[Candle]]:
        """Return the account's market bars with since < close_time <= until, oldest first. since None means the last minute."""

    def bars(self, symbol: Symbol, until: datetime, count: int) -> Bars:
        """Return the newest `count` bars of the account's market with close_time <= until, oldest first."""

    def confirmations(self) -> Sequence[Confirmation]:
        """Return everything that people confirmed or withdrew for this account, oldest first."""

    def recorded(self, kind: RiskEventKind, key: str) -> RiskEvent | None:
        """Return the compliance record line with this natural key, or None."""

    def model_qualification(self, at: datetime, decided_by: tuple[str, str] | None) -> ModelQualification | None:
        """Return the gate verdicts of a deployment (name, stage) at `at`; None if it has decided nothing.

        decided_by None means the deployment that decided the newest signal at or before `at`. A gate is True if every bundle that
        decided under this name and stage passed it, False if one failed it, and absent if it was not evaluated for one.
        """

    def deciders(self, symbol: Symbol, decided_at: datetime) -> Sequence[tuple[str, str]]:
        """Return (deployment, stage) of every deployment that decided a symbol at an instant, HOLD included, sorted by name.

        The stage of a challenger is account.CHALLENGER.
        """

    def keep_view_part(self, part: VenueViewReported) -> Sequence[VenueViewReported]:
        """Store a part of a view, and return its parts so far in order; empty if this or a newer view was compared already."""

    def incomplete_views(self) -> Sequence[IncompleteView]:
        """Return the views of which parts are stored, oldest first."""

    def drop_view_parts(self, until: datetime) -> None:
        """Delete the parts of views that were asked for at or before an instant."""

    def differences(self, since: datetime) -> Sequence[str]:
        """Return "CODE subject" of each difference between ledger and venue recorded at or after `since`, oldest first."""

    def save(self, before: AccountState, after: AccountState, changes: ChangeSet) -> None:
        """Write what changed between two states. Facts are appended, rows replaced, events put into the outbox."""


class TradingLedger(Protocol):
    """Opens transactions on accounts, and lists the accounts."""

    def accounts(self) -> Sequence[TradingAccount]:
        """Return every account that can be read, sorted by name."""

    def configured(self) -> tuple[Sequence[TradingAccount], Mapping[str, str]]:
        """Return `accounts`, and by name the fault of each row that cannot be read (AccountUnreadableError in a transaction)."""

    def open_account(self, account: TradingAccount, at: datetime, who: str) -> bool:
        """Create an account and transfer its capital in. False if it exists unchanged. Raises AccountError if it differs."""

    def transaction(self, account: str) -> AbstractContextManager[TradingTransaction]:
        """Lock an account; commit when the block ends, roll back when it raises.

        Raises AccountError if the account does not exist.
        """
