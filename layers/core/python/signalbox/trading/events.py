"""What people are told about an account. Alerts are rendered from these (chat/alerts.py); amounts are in account currency."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Annotated, ClassVar, Final, Literal

from pydantic import AwareDatetime
from typing_extensions import override

from signalbox.contracts import REVIEW_DELAY_SECONDS, EventType
from signalbox.events import BusEvent, CycleDecided, SignalGenerated, SymbolName
from signalbox.frozen import made_once
from signalbox.orders.events import OrderKey, Text
from signalbox.orders.messages import AccountName
from signalbox.orders.terms import Leg, Side
from signalbox.risk.snapshot import HaltLevel
from signalbox.wire import cut


class TurnMissed(BusEvent):
    """One account could not take what concerns every account; the others did. It takes it again, in its own message group."""

    type: ClassVar[EventType] = EventType.TURN_MISSED
    account: AccountName
    missed: SignalGenerated | CycleDecided
    why: Annotated[str, cut(300)]

    @property
    @override
    def caused_at(self) -> datetime | None:
        return self.missed.caused_at

    @property
    @override
    def event_id(self) -> str:
        return f"{self.type}:{self.account}:{self.missed.event_id}"


class OrderRefused(BusEvent):
    """The interlocking did not let an order through."""

    type: ClassVar[EventType] = EventType.ORDER_REFUSED
    account: AccountName
    client_order_id: OrderKey
    symbol: SymbolName
    side: Side
    at: AwareDatetime
    code: Text  # RefusalCode of the first breach
    message: str
    decided_at: AwareDatetime | None = None  # of the decision it goes back to: the cycle of a signal

    @property
    @override
    def event_id(self) -> str:
        return f"{self.type}:{self.client_order_id}"


class VenueRefused(BusEvent):
    """A venue refused an order that the interlocking had let through, a cancel or a change; `detail` is in its own words."""

    type: ClassVar[EventType] = EventType.VENUE_REFUSED
    account: AccountName
    venue: Text
    client_order_id: OrderKey
    request: Text | None  # of a cancel or change
    what: Literal["order", "cancel", "change"]
    symbol: SymbolName
    side: Side
    at: AwareDatetime
    reason: Text
    detail: str
    decided_at: AwareDatetime | None = None  # of the decision it goes back to: the cycle of a signal

    @property
    @override
    def event_id(self) -> str:
        return f"{self.type}:{self.client_order_id}:{self.request or self.what}"


class _TradeEvent(BusEvent):
    """What happens once in the life of a trade; the order that enters it names it."""

    account: AccountName
    mode: Literal["paper", "live"]
    entry: OrderKey
    symbol: SymbolName
    side: Side
    at: AwareDatetime

    @property
    @override
    def event_id(self) -> str:
        return f"{self.type}:{self.entry}"


class TradeOpened(_TradeEvent):
    """The entry of a trade filled for the first time."""

    type: ClassVar[EventType] = EventType.TRADE_OPENED
    quantity: Decimal
    price: Decimal
    stop_loss: Decimal
    take_profit: Decimal | None
    deadline: AwareDatetime
    decided_at: AwareDatetime | None = None  # of the decision it goes back to: the cycle of a signal


class TradeClosed(_TradeEvent):
    """A trade is flat again."""

    type: ClassVar[EventType] = EventType.TRADE_CLOSED
    leg: Leg
    price: Decimal
    realised: Decimal  # after fees
    balance: Decimal
    decided_at: AwareDatetime | None = None  # of the decision it goes back to: the cycle of a signal


class ExitFailed(BusEvent):
    """A position that has to be closed is still there. Told again with growing pauses for as long as it is; tries go on."""

    type: ClassVar[EventType] = EventType.EXIT_FAILED
    account: AccountName
    mode: Literal["paper", "live"]
    symbol: SymbolName
    leg: Leg  # why it has to be closed
    quantity: Decimal  # signed, what is still open
    since: AwareDatetime
    at: AwareDatetime
    number: int  # of this alarm
    attempts: int
    reason: str  # of the newest attempt, in the venue's words where it has any; empty: none has an answer
    retry_at: AwareDatetime | None

    @property
    @override
    def event_id(self) -> str:
        return f"{self.type}:{self.account}:{self.symbol}:{self.since.isoformat()}:{self.number}"


class StopPassed(BusEvent):
    """The market is beyond the stop that rests at the venue, and the stop did not close the trade: it is closed at the market."""

    type: ClassVar[EventType] = EventType.STOP_PASSED
    account: AccountName
    entry: OrderKey
    symbol: SymbolName
    side: Side
    at: AwareDatetime
    stop_loss: Decimal
    price: Decimal  # the close that was beyond it
    decided_at: AwareDatetime | None = None  # of the decision it goes back to: the cycle of a signal

    @property
    @override
    def event_id(self) -> str:
        return f"{self.type}:{self.entry}"


REVIEW_DELAY: Final = timedelta(seconds=REVIEW_DELAY_SECONDS)  # of the queue that an AccountReviewDue waits in


class AccountReviewDue(BusEvent):
    """Something of a live account is due in seconds: a retry of an exit or cancel. It comes back to the account delayed."""

    type: ClassVar[EventType] = EventType.ACCOUNT_REVIEW_DUE
    account: AccountName
    at: AwareDatetime  # when it was put
    due: AwareDatetime

    @property
    def comes_at(self) -> datetime:
        """Return when it is back at the account, at the earliest."""
        return min(self.due, self.at + REVIEW_DELAY)

    @made_once
    @override
    def event_id(self) -> str:
        return f"{self.type}:{self.account}:{self.at.isoformat()}:{self.due.isoformat()}"


class RiskWarning(BusEvent):
    """A share of a loss limit is used up. Raised once a level and day.

    counts_from: when a limit comes into force that does not count yet: the midnight that begins `day`.
    """

    type: ClassVar[EventType] = EventType.RISK_WARNING
    account: AccountName
    rule: Text
    level: Text  # ALERT, BLOCK, FLATTEN
    at: AwareDatetime
    day: str  # of the rules' zone
    used: Decimal
    amount: Decimal
    equity: Decimal
    limit: Decimal
    counts_from: AwareDatetime | None = None

    @property
    @override
    def event_id(self) -> str:
        return f"{self.type}:{self.account}:{self.rule}:{self.level}:{self.day}"


class AccountExhausted(BusEvent):
    """So little is left above our own stop of a loss limit that no entry can pass. Told once, until one could again."""

    type: ClassVar[EventType] = EventType.ACCOUNT_EXHAUSTED
    account: AccountName
    rule: Text
    at: AwareDatetime
    balance: Decimal
    left: Decimal  # above the level at which new risk is blocked; may be below 0
    least_loss: Decimal  # that any entry would risk
    until: AwareDatetime | None  # the day's end; None: for good

    @property
    @override
    def event_id(self) -> str:
        return f"{self.type}:{self.account}:{self.rule}:{self.at.isoformat()}"


class TradingHalted(BusEvent):
    """The kill switch was set."""

    type: ClassVar[EventType] = EventType.TRADING_HALTED
    account: AccountName
    level: HaltLevel
    who: Text
    why: Text
    at: AwareDatetime
    until: AwareDatetime | None

    @property
    @override
    def event_id(self) -> str:
        return f"{self.type}:{self.account}:{self.level}:{self.at.isoformat()}"


class TradingResumed(BusEvent):
    """The kill switch was released by a command."""

    type: ClassVar[EventType] = EventType.TRADING_RESUMED
    account: AccountName
    who: Text
    why: Text
    at: AwareDatetime

    @property
    @override
    def event_id(self) -> str:
        return f"{self.type}:{self.account}:{self.at.isoformat()}"


class RuleBreached(BusEvent):
    """A loss rule of the account broke. It is final."""

    type: ClassVar[EventType] = EventType.RULE_BREACHED
    account: AccountName
    rule: Text
    at: AwareDatetime
    limit: Decimal
    equity: Decimal

    @property
    @override
    def event_id(self) -> str:
        return f"{self.type}:{self.account}:{self.rule}"


class TargetReached(BusEvent):
    """Every objective of the phase is met, with nothing open."""

    type: ClassVar[EventType] = EventType.TARGET_REACHED
    account: AccountName
    phase: Text
    at: AwareDatetime
    balance: Decimal

    @property
    @override
    def event_id(self) -> str:
        return f"{self.type}:{self.account}:{self.phase}"
