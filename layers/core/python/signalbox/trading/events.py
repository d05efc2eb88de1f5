"""Events that inform people about an account. signalbox.alerts renders them as alerts. Amounts are in account currency."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Annotated, ClassVar, Final, Literal

from pydantic import AwareDatetime, Field
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
    """One account failed to handle an event that went to every account. It gets the event again, in its own message group."""

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
    """The pre-trade checks refused an order."""

    type: ClassVar[EventType] = EventType.ORDER_REFUSED
    account: AccountName
    client_order_id: OrderKey
    symbol: SymbolName
    side: Side
    at: AwareDatetime
    code: Text  # RefusalCode of the first breach
    message: str
    decided_at: AwareDatetime | None = None  # of the decision behind the order: the cycle of a signal

    @property
    @override
    def event_id(self) -> str:
        return f"{self.type}:{self.client_order_id}"


class VenueRefused(BusEvent):
    """A venue refused an order, a cancel or a change that the pre-trade checks had passed. `detail` is the venue's text."""

    type: ClassVar[EventType] = EventType.VENUE_REFUSED
    account: AccountName
    venue: Text
    client_order_id: OrderKey
    request: Text | None  # request id of the cancel or change
    what: Literal["order", "cancel", "change"]
    symbol: SymbolName
    side: Side
    at: AwareDatetime
    reason: Text
    detail: str
    decided_at: AwareDatetime | None = None  # of the decision behind the order: the cycle of a signal

    @property
    @override
    def event_id(self) -> str:
        return f"{self.type}:{self.client_order_id}:{self.request or self.what}"


class _TradeEvent(BusEvent):
    """An event that happens once per trade. `entry`, the entry order's id, identifies the trade."""

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
    """The entry of a trade was filled for the first time."""

    type: ClassVar[EventType] = EventType.TRADE_OPENED
    quantity: Decimal
    price: Decimal
    stop_loss: Decimal
    take_profit: Decimal | None
    deadline: AwareDatetime
    decided_at: AwareDatetime | None = None  # of the decision behind the trade: the cycle of a signal


class TradeClosed(_TradeEvent):
    """A trade is flat again."""

    type: ClassVar[EventType] = EventType.TRADE_CLOSED
    leg: Leg
    price: Decimal
    realised: Decimal  # after fees
    balance: Decimal
    decided_at: AwareDatetime | None = None  # of the decision behind the trade: the cycle of a signal


class ExitFailed(BusEvent):
    """A position that has to be closed is still open. Repeated at growing intervals until it is closed; attempts continue."""

    type: ClassVar[EventType] = EventType.EXIT_FAILED
    account: AccountName
    mode: Literal["paper", "live"]
    symbol: SymbolName
    leg: Leg  # why the position has to be closed
    quantity: Decimal  # open quantity, signed
    since: AwareDatetime
    at: AwareDatetime
    number: int  # 1 for the first alarm
    attempts: int
    reason: str  # how the newest attempt failed, in the venue's words if any; empty without an answer
    retry_at: AwareDatetime | None

    @property
    @override
    def event_id(self) -> str:
        return f"{self.type}:{self.account}:{self.symbol}:{self.since.isoformat()}:{self.number}"


class StopPassed(BusEvent):
    """The market is beyond the stop that rests at the venue, but the stop has not closed the trade.

    A market order will close it.
    """

    type: ClassVar[EventType] = EventType.STOP_PASSED
    account: AccountName
    entry: OrderKey
    symbol: SymbolName
    side: Side
    at: AwareDatetime
    stop_loss: Decimal
    price: Decimal  # the bar's close, which is beyond the stop
    decided_at: AwareDatetime | None = None  # of the decision behind the trade: the cycle of a signal

    @property
    @override
    def event_id(self) -> str:
        return f"{self.type}:{self.entry}"


REVIEW_DELAY: Final = timedelta(seconds=REVIEW_DELAY_SECONDS)  # the delay of the queue that carries AccountReviewDue


class AccountReviewDue(BusEvent):
    """A live account needs another step in seconds, such as a retry of an exit or cancel. This event returns to it delayed."""

    type: ClassVar[EventType] = EventType.ACCOUNT_REVIEW_DUE
    account: AccountName
    at: AwareDatetime  # when it was sent
    due: AwareDatetime

    @property
    def comes_at(self) -> datetime:
        """Return the earliest time at which the event returns to the account."""
        return min(self.due, self.at + REVIEW_DELAY)

    @made_once
    @override
    def event_id(self) -> str:
        return f"{self.type}:{self.account}:{self.at.isoformat()}:{self.due.isoformat()}"


class RiskWarning(BusEvent):
    """A share of a loss limit is used up. Raised once per level and day.

    counts_from: set for a limit that is not in force yet: the midnight at which `day` and the limit begin.
    """

    type: ClassVar[EventType] = EventType.RISK_WARNING
    account: AccountName
    rule: Text
    level: Text  # ALERT, BLOCK, FLATTEN
    at: AwareDatetime
    day: str  # in the time zone of the loss rules
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
    """Equity is so close to our own stop of a loss limit that no entry can pass the checks. Raised once until one can again."""

    type: ClassVar[EventType] = EventType.ACCOUNT_EXHAUSTED
    account: AccountName
    rule: Text
    at: AwareDatetime
    balance: Decimal
    left: Decimal  # above the level at which new risk is blocked; may be negative
    least_loss: Decimal  # the least that any entry would risk
    until: AwareDatetime | None  # the end of the day; None: permanently

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
    """The account broke a loss rule. A breach is final."""

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
    """The account met every objective of the phase and has no open position."""

    type: ClassVar[EventType] = EventType.TARGET_REACHED
    account: AccountName
    phase: Text
    at: AwareDatetime
    balance: Decimal

    @property
    @override
    def event_id(self) -> str:
        return f"{self.type}:{self.account}:{self.phase}"


MAX_CURVE_POINTS: Final = 240  # of a summary's picture


class AccountSummarised(BusEvent):
    """What a finished day or week was for an account: once for each, however often it is worked out.

    The period is [start, end), in days of the account's own zone; `first` is its first date. net: change of equity without
    transfers, after fees and funding. closed, won: trades that ended in it. fall: the maximum drawdown, None if there was none.
    curve: minutes after `start` and the profit then, for the picture only. halt: the kill switch when it was written.
    """

    type: ClassVar[EventType] = EventType.ACCOUNT_SUMMARISED
    account: AccountName
    mode: str
    currency: str
    span: Literal["day", "week"]
    first: date
    start: AwareDatetime
    end: AwareDatetime
    opening_equity: Decimal
    equity: Decimal
    transfers: Decimal
    net: Decimal
    fees: Decimal
    funding: Decimal
    opened: Annotated[int, Field(ge=0)]
    closed: Annotated[int, Field(ge=0)]
    won: Annotated[int, Field(ge=0)]
    fall: Decimal | None
    fall_at: AwareDatetime | None
    halt: HaltLevel | None
    curve: Annotated[tuple[tuple[Annotated[int, Field(ge=0)], float], ...], Field(max_length=MAX_CURVE_POINTS)]

    @property
    @override
    def event_id(self) -> str:
        return f"{self.type}:{self.account}:{self.span}:{self.first.isoformat()}"
