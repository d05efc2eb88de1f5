"""What a step asks the ledger to commit, all or nothing, with the events that tell about it. Order within a field matters."""

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
    """Why a row is in risk_events: the account's compliance record."""

    ORDER_REFUSED = "ORDER_REFUSED"  # code: RefusalCode
    SIGNAL_HELD_BACK = "SIGNAL_HELD_BACK"  # code: trading.entry_plan.SignalSkipReason
    LIMIT_USED = "LIMIT_USED"  # code: rule; level reached: alert, block, flatten
    LIMIT_BREACHED = "LIMIT_BREACHED"
    EXHAUSTED = "EXHAUSTED"  # no entry can pass any more; code: rule
    EXIT_FAILED = "EXIT_FAILED"  # a position that has to be closed is still there; code: why it has to be
    LATE_FILL = "LATE_FILL"  # an order of ours filled after its trade was over; code: its leg
    STOP_PASSED = "STOP_PASSED"  # the market is beyond a resting stop that did not close its trade
    HALTED = "HALTED"
    RESUMED = "RESUMED"
    LOCKED = "LOCKED"  # code: ProtectionCode
    EVENT_REFUSED = "EVENT_REFUSED"  # a report that fits no order: conflicting trade, illegal move
    OVERFILL = "OVERFILL"  # the venue filled more than was ordered; it is booked; code: the leg; value: how much more, signed
    RECONCILED = "RECONCILED"
    DIFFERENCE = "DIFFERENCE"  # ledger and venue differ, and a second view agrees; code: orders.reconciliation.VenueDifference
    DOUBTED = "DOUBTED"  # one view differs: the venue is looked at again before anything is stopped; code: as above
    DUST = "DUST"  # a position differs from the venue's by less than can be traded
    OTHERS_AT_VENUE = "OTHERS_AT_VENUE"  # positions at the venue that are not ours: told when they change, never touched
    VENUE_REFUSED = "VENUE_REFUSED"  # the venue refused an order, a cancel or a change; code: of the event, detail: its own words
    TRANSFER_DIFFERS = "TRANSFER_DIFFERS"  # money moved at the venue under a key that is booked with another amount
    VIEW_INCOMPLETE = "VIEW_INCOMPLETE"  # parts of a venue's view never came: it was not compared
    OVERRIDE = "OVERRIDE"  # an operator's command outside the plain course


UNEXPLAINED: Final = (RiskEventKind.DIFFERENCE, RiskEventKind.EVENT_REFUSED, RiskEventKind.OVERFILL)  # till a view agrees


@dataclass(frozen=True, slots=True)
class RiskEvent:
    """One line of the compliance record. `key` is natural within account and kind: the same fact is written once."""

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
    """Facts to append (order_events, entries, disposals, equity, days, risk, confirmations), rows to replace (the others).

    Order within a field matters.
    """

    order_events: tuple[OrderEvent, ...] = ()
    entries: tuple[Entry, ...] = ()
    disposals: tuple[Disposal, ...] = ()
    trades: tuple[Trade, ...] = ()
    equity: tuple[EquitySnapshot, ...] = ()
    days: tuple[AccountDay, ...] = ()  # days of the rules' zone that ended
    risk: tuple[RiskEvent, ...] = ()
    halts: tuple[Halt, ...] = ()
    locks: tuple[Lock, ...] = ()
    confirmations: tuple[Confirmation, ...] = ()
    events: tuple[BusEvent, ...] = ()  # for the outbox
    rebooked: bool = False  # an entry came late: `disposals` are all of the account and replace those that were written

    @classmethod
    def of(cls, **facts: Any) -> ChangeSet:
        """Return a change set of these facts: `ChangeSet(...)`, at a fraction of its cost. Most are empty in most steps."""
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
        mine = self.__dict__
        return _made(mine | {name: mine.get(name, ()) + value for name, value in theirs.items()})


def _made(facts: dict[str, Any]) -> ChangeSet:
    made = object.__new__(ChangeSet)
    made.__dict__.update(facts)  # it is frozen: only its construction writes here
    return made


NO_CHANGES: Final = ChangeSet()
Transition: TypeAlias = tuple[AccountState, ChangeSet]  # the result of a pure step
