"""The change set: what a step asks the ledger to commit, all or nothing, with the events that report it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final, TypeAlias

from signalbox.events import BusEvent
from signalbox.market.candles import Symbol
from signalbox.orders.events import OrderEvent
from signalbox.portfolio.account import EquitySnapshot
from signalbox.portfolio.entries import Entry
from signalbox.portfolio.lots import Disposal
from signalbox.risk.ftmo.state import AccountDay
from signalbox.risk.snapshot import Lock
from signalbox.trading.readiness import Confirmation
from signalbox.trading.state import AccountState, Halt, Trade


class RiskEventKind(StrEnum):
    """Why a row is in risk_events, the account's compliance record."""

    ORDER_REFUSED = "ORDER_REFUSED"  # code: RefusalCode
    SIGNAL_HELD_BACK = "SIGNAL_HELD_BACK"  # why a signal became no order; code: trading.entry_plan.SignalSkipReason
    LIMIT_USED = "LIMIT_USED"  # code: the rule; level reached: alert, block or flatten
    LIMIT_BREACHED = "LIMIT_BREACHED"
    EXHAUSTED = "EXHAUSTED"  # headroom depleted: no entry can pass any more; code: the rule
    EXIT_FAILED = "EXIT_FAILED"  # a position that must be closed is still open; code: why it must be closed
    LATE_FILL = "LATE_FILL"  # one of our orders filled after its trade was over; code: the order's leg
    STOP_PASSED = "STOP_PASSED"  # the market is beyond a resting stop that has not closed its trade
    HALTED = "HALTED"
    RESUMED = "RESUMED"
    LOCKED = "LOCKED"  # code: ProtectionCode
    EVENT_REFUSED = "EVENT_REFUSED"  # a report that fits no order, such as a conflicting trade or an illegal transition
    OVERFILL = "OVERFILL"  # the venue filled more than was ordered; the fill is booked; code: the leg; value: the signed excess
    RECONCILED = "RECONCILED"
    DIFFERENCE = "DIFFERENCE"  # ledger and venue differ, confirmed by a second view; code: orders.reconciliation.VenueDifference
    DOUBTED = "DOUBTED"  # one view differs; the venue is queried again before anything stops; code: as for DIFFERENCE
    DUST = "DUST"  # a position differs from the venue's by less than can be traded
    OTHERS_AT_VENUE = "OTHERS_AT_VENUE"  # positions at the venue that are not ours; recorded when they change, never traded
    VENUE_REFUSED = "VENUE_REFUSED"  # the venue refused an order, a cancel or a change; code: of the event; detail: venue's words
    TRANSFER_DIFFERS = "TRANSFER_DIFFERS"  # the venue reports a transfer under a key that is booked with another amount
    VIEW_INCOMPLETE = "VIEW_INCOMPLETE"  # parts of a venue's view never arrived, so the view was not compared
    OVERRIDE = "OVERRIDE"  # a command of an operator


UNEXPLAINED: Final = (RiskEventKind.DIFFERENCE, RiskEventKind.EVENT_REFUSED, RiskEventKind.OVERFILL)  # until a later view agrees


@dataclass(frozen=True, slots=True)
class RiskEvent:
    """One line of the compliance record. `key` is unique per account and kind, so each fact is written once."""

    kind: RiskEventKind
    key: str
    at: datetime
    code: str
    symbol: Symbol | None = None
    limit: Decimal | str | None = None
    value: Decimal | str | None = None
    who: str = "signalbox"
    detail: str = ""
    snapshot_id: str | None = None


@dataclass(frozen=True)  # without slots: `of` keeps what there is, and the class's defaults are the rest
class ChangeSet:
    """All changes of a step, to be committed together. The order within a field matters.

    order_events, entries, disposals, equity, days, risk and confirmations are appended; rows of the other fields are replaced.
    """

    order_events: tuple[OrderEvent, ...] = ()
    entries: tuple[Entry, ...] = ()
    disposals: tuple[Disposal, ...] = ()
    trades: tuple[Trade, ...] = ()
    equity: tuple[EquitySnapshot, ...] = ()
    days: tuple[AccountDay, ...] = ()  # finished days, in the time zone of the loss rules
    risk: tuple[RiskEvent, ...] = ()
    halts: tuple[Halt, ...] = ()
    locks: tuple[Lock, ...] = ()
    confirmations: tuple[Confirmation, ...] = ()
    events: tuple[BusEvent, ...] = ()  # for the outbox
    rebooked: bool = False  # an entry came late: `disposals` holds all of the account's and replaces those in the ledger

    @classmethod
    def of(cls, **facts: Any) -> ChangeSet:
        """Return a change set of these facts. It does what `ChangeSet(...)` does, at a fraction of its cost."""
        return _made({name: value for name, value in facts.items() if value})

    @property
    def is_nothing(self) -> bool:
        """Whether there is nothing to commit."""
        return not any(self.__dict__.values())

    def __add__(self, other: ChangeSet) -> ChangeSet:
        theirs = {name: value for name, value in other.__dict__.items() if value}
        if not theirs:
            return self
        if other.rebooked:
            return replace(self + replace(other, disposals=(), rebooked=False), disposals=other.disposals, rebooked=True)
        mine = {name: value for name, value in self.__dict__.items() if value}
        if not mine:
            return other
        return _made(mine | {name: mine[name] + value if name in mine else value for name, value in theirs.items()})


def _made(facts: dict[str, Any]) -> ChangeSet:
    made = object.__new__(ChangeSet)
    made.__dict__.update(facts)  # it is frozen: only its construction writes here
    return made


NO_CHANGES: Final = ChangeSet()
Transition: TypeAlias = tuple[AccountState, ChangeSet]  # the result of a pure step
