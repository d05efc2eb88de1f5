"""Commands that a person, or a program on their behalf, gives an account. Queue and HTTP use the same commands.

A command carries its own instant, so that it can be replayed, and a `request_id`, so that a repeat changes nothing. A command
does not name its caller: the queue or the gateway identifies the caller.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Annotated, Final, Literal, TypeAlias

from pydantic import AwareDatetime, Field, TypeAdapter, field_validator

from signalbox.events import MAX_AHEAD, SymbolName
from signalbox.exact import ZERO, Amount, PositiveAmount
from signalbox.frozen import FrozenModel
from signalbox.orders.events import OrderKey
from signalbox.orders.messages import AccountName
from signalbox.orders.terms import Leg, OrderTerms, OrderType, Side, TimeInForce
from signalbox.portfolio.entries import Fill, Transfer, venue_key
from signalbox.portfolio.lots import LotMethod
from signalbox.risk.limits import AccountKind
from signalbox.risk.snapshot import HaltLevel
from signalbox.trading.account import (
    DIR60_STANDARD,
    PAPER_VENUE,
    POLICIES,
    SEND_WITHIN,
    STRATEGY,
    DeploymentName,
    TradingAccount,
    TradingMode,
)
from signalbox.trading.errors import CommandError
from signalbox.wire import OneLine

HALT: Final = "halt"  # the only command that the kill switch's own queue accepts
MANUAL: Final = "manual"  # prefix of the strategy of an order that a person sends
MAX_BEHIND: Final = timedelta(minutes=5)
RequestId = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{3,47}$")]
Reason = Annotated[OneLine, Field(min_length=3, max_length=200)]


class Command(FrozenModel):
    """The fields that every command has."""

    account: AccountName
    request_id: RequestId
    requested_at: AwareDatetime


class AccountConfiguration(FrozenModel):
    """The configuration of an account. `policy` names a preset in trading.account.POLICIES."""

    kind: AccountKind
    capital: PositiveAmount
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3,5}$")] = "USD"
    venue: Annotated[str, Field(min_length=1, max_length=40)] = PAPER_VENUE
    mode: TradingMode = TradingMode.PAPER
    phase: str | None = None
    policy: str = DIR60_STANDARD.version
    follows: DeploymentName | None = None

    @field_validator("policy")
    @classmethod
    def _preset(cls, name: str) -> str:
        if name not in POLICIES:
            raise ValueError(f"expected one of the policies {', '.join(POLICIES)}, got {name!r}")
        return name

    def account(self, name: str, *, market: str) -> TradingAccount:
        """Return the account. `market` is the venue whose candles price it. Raises pydantic.ValidationError."""
        return TradingAccount(
            account=name,
            mode=self.mode,
            kind=self.kind,
            currency=self.currency,
            capital=self.capital,
            venue=self.venue,
            market=market,
            strategy=STRATEGY,
            ftmo_phase=self.phase,
            policy=POLICIES[self.policy],
            follows=self.follows,
        )


class OpenAccount(Command):
    """Open an account as configured, or without a configuration the paper account that its name describes (`ftmo-2step-100k`).

    A live account does not trade at once: it first needs its confirmations and the rest of trading.readiness.
    """

    kind: Literal["open"] = "open"
    configuration: AccountConfiguration | None = None


class ConfirmAccount(Command):
    """Confirm that an account may trade live ("live") or that somebody read the firm's rules ("ftmo-2step 2026-11.2").

    "paper" withdraws the live mode, "withdrawn" withdraws both. The newest `requested_at` counts, so a confirmation that was
    delayed in a queue does not undo a later one.
    """

    kind: Literal["confirm"] = "confirm"
    what: Annotated[str, Field(min_length=3, max_length=80)]


class ChooseLots(Command):
    """Choose which tax lot a closing fill closes first, from an instant on.

    It never changes the past: without `effective_from` it applies to fills after the newest booked entry.
    """

    kind: Literal["lots"] = "lots"
    method: LotMethod
    effective_from: AwareDatetime | None = None


class SubmitOrder(Command):
    """Send an order. It passes the same pre-trade checks as any other. A refused order is an answer, not an error."""

    kind: Literal["submit"] = "submit"
    symbol: SymbolName
    side: Side
    type: OrderType
    quantity: PositiveAmount
    limit_price: PositiveAmount | None = None
    stop_price: PositiveAmount | None = None
    time_in_force: TimeInForce = TimeInForce.GTC
    expires_at: AwareDatetime | None = None
    reduce_only: bool = False

    def terms(self) -> OrderTerms:
        """Return the order's terms; `request_id` gives the order its identity. Raises pydantic.ValidationError."""
        return OrderTerms(
            account=self.account,
            strategy=f"{MANUAL}-{self.request_id}",
            decided_at=self.requested_at,
            leg=Leg.EXIT if self.reduce_only else Leg.ENTRY,
            send_before=self.requested_at + SEND_WITHIN,
            **self.model_dump(exclude={"kind", "account", "request_id", "requested_at"}),
        )


class CancelOrder(Command):
    """Cancel an open order."""

    kind: Literal["cancel"] = "cancel"
    client_order_id: OrderKey


class ReplaceOrder(Command):
    """Change the total quantity or the price of an open order. A field that is None keeps its value."""

    kind: Literal["replace"] = "replace"
    client_order_id: OrderKey
    quantity: PositiveAmount | None = None
    limit_price: PositiveAmount | None = None
    stop_price: PositiveAmount | None = None


class HaltTrading(Command):
    """Set the kill switch. It stays set until somebody resumes trading, or until `until`."""

    kind: Literal["halt"] = "halt"
    level: Literal[HaltLevel.HALT, HaltLevel.REDUCE_ONLY, HaltLevel.FLATTEN] = HaltLevel.HALT
    why: Reason
    until: AwareDatetime | None = None


class ResumeTrading(Command):
    """Release the kill switch."""

    kind: Literal["resume"] = "resume"
    why: Reason


class AdoptPosition(Command):
    """Book a position that none of our orders opened: one older than the account, dust, or a trade that somebody made by hand.

    It is booked as a fill at `price`: its cost comes out of cash, balance and equity do not change at that price, and a tax lot
    begins. `at`: when the position was acquired, which must be after the account began; default: now.
    """

    kind: Literal["adopt"] = "adopt"
    symbol: SymbolName
    quantity: Annotated[Amount, Field(description="in base currency; negative for a short position")]
    price: PositiveAmount
    fee: Amount = ZERO
    at: AwareDatetime | None = None
    why: Reason

    @field_validator("quantity")
    @classmethod
    def _something(cls, quantity: Decimal) -> Decimal:
        if not quantity:
            raise ValueError("expected a quantity other than 0")
        return quantity

    def fill(self) -> Fill:
        """Return the fill to book."""
        return Fill(
            account=self.account,
            key=f"adopt-{self.request_id}",
            at=self.at or self.requested_at,
            symbol=self.symbol,
            side=Side.BUY if self.quantity > 0 else Side.SELL,
            quantity=abs(self.quantity),
            price=self.price,
            fee=self.fee,
        )


class _MoneyMoved(Command):
    """Money that came in or went out. `venue_id`: the venue's own id of the transfer, which a live account's view reports too."""

    amount: PositiveAmount
    at: AwareDatetime | None = None
    venue_id: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    why: Reason


class DepositMoney(_MoneyMoved):
    """Book a deposit. It is not profit: loss rules and reports leave it out."""

    kind: Literal["deposit"] = "deposit"


class WithdrawMoney(_MoneyMoved):
    """Book a withdrawal. It is not a loss: loss rules and reports leave it out."""

    kind: Literal["withdraw"] = "withdraw"


def transfer_of(command: DepositMoney | WithdrawMoney) -> Transfer:
    """Return the entry that a command books, keyed by the venue's id, or without one by the command's own id."""
    return Transfer(
        account=command.account,
        key=f"command-{command.request_id}" if command.venue_id is None else venue_key(command.venue_id),
        at=command.at or command.requested_at,
        amount=command.amount if isinstance(command, DepositMoney) else command.amount.copy_negate(),
    )


AnyCommand: TypeAlias = Annotated[
    OpenAccount
    | ConfirmAccount
    | ChooseLots
    | SubmitOrder
    | CancelOrder
    | ReplaceOrder
    | HaltTrading
    | ResumeTrading
    | AdoptPosition
    | DepositMoney
    | WithdrawMoney,
    Field(discriminator="kind"),
]
COMMANDS: Final[TypeAdapter[AnyCommand]] = TypeAdapter(AnyCommand)


def check_clock(command: Command, now: datetime, *, behind: timedelta | None = MAX_BEHIND) -> None:
    """Refuse a command whose `requested_at` is too far from `now`. Raises CommandError.

    A command from the future would move the account's clock ahead, and every later event would look old. behind: None allows any
    age, for commands that waited in a queue or are replayed.
    """
    if command.requested_at > now + MAX_AHEAD:
        raise CommandError(f"requested_at: expected at most {MAX_AHEAD} after {now.isoformat()}, got {command.requested_at}")
    if behind is not None and command.requested_at < now - behind:
        raise CommandError(f"requested_at: expected at most {behind} before {now.isoformat()}, got {command.requested_at}")


def amounts(command: ReplaceOrder) -> tuple[Decimal | None, Decimal | None, Decimal | None]:
    """Return the new quantity, limit price and stop price. Raises CommandError when all three are None."""
    wanted = (command.quantity, command.limit_price, command.stop_price)
    if wanted == (None, None, None):
        raise CommandError("nothing to change: give a quantity, a limit_price or a stop_price")
    return wanted
