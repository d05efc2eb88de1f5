"""Commands that a person, or a program on their behalf, gives an account; the same over a queue and over HTTP.

A command carries its instant, so that it can be replayed, and a `request_id`: a repeated request changes nothing. The caller is
never in the message; queue and gateway vouch for it.
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

HALT: Final = "halt"  # the kind of the one command that the kill switch's own queue takes
MANUAL: Final = "manual"  # the strategy of an order that a person sends
MAX_BEHIND: Final = timedelta(minutes=5)
RequestId = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{3,47}$")]
Reason = Annotated[OneLine, Field(min_length=3, max_length=200)]


class Command(FrozenModel):
    """What all of them have."""

    account: AccountName
    request_id: RequestId
    requested_at: AwareDatetime


class AccountConfiguration(FrozenModel):
    """What an account is. `policy` names a preset (trading.account.POLICIES)."""

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
            raise ValueError(f"expected a policy of {', '.join(POLICIES)}, was {name!r}")
        return name

    def account(self, name: str, *, market: str) -> TradingAccount:
        """Return the account; `market` is the venue whose candles value it. Raises pydantic.ValidationError if it cannot be."""
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
    """Open an account: as it is configured, or else the paper account that its name describes, like `ftmo-2step-100k`.

    An account that is opened live does not trade: it takes confirmations and everything else of trading.readiness first.
    """

    kind: Literal["open"] = "open"
    configuration: AccountConfiguration | None = None


class ConfirmAccount(Command):
    """Say, by name, that an account may trade live ("live") or that the firm's rules were read ("ftmo-2step 2026-11.2").

    "paper" takes the mode back, "withdrawn" both. The newest `requested_at` counts, so that a word that waited somewhere does
    not undo a later one.
    """

    kind: Literal["confirm"] = "confirm"
    what: Annotated[str, Field(min_length=3, max_length=80)]


class ChooseLots(Command):
    """Give the standing order of the tax lots: which lot a closing fill closes first, from an instant on.

    It never reaches into the past: without `effective_from` it holds for what is closed after the newest booked entry.
    """

    kind: Literal["lots"] = "lots"
    method: LotMethod
    effective_from: AwareDatetime | None = None


class SubmitOrder(Command):
    """Send an order. It passes the same checks as any other; a refusal is an answer, not an error."""

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
        """Return what is ordered; its identity comes from the request. Raises pydantic.ValidationError if it cannot be."""
        return OrderTerms(
            account=self.account,
            strategy=f"{MANUAL}-{self.request_id}",
            decided_at=self.requested_at,
            leg=Leg.EXIT if self.reduce_only else Leg.ENTRY,
            send_before=self.requested_at + SEND_WITHIN,
            **self.model_dump(exclude={"kind", "account", "request_id", "requested_at"}),
        )


class CancelOrder(Command):
    """Take an order back."""

    kind: Literal["cancel"] = "cancel"
    client_order_id: OrderKey


class ReplaceOrder(Command):
    """Change an open order: its total quantity, or its price. What is not named stays."""

    kind: Literal["replace"] = "replace"
    client_order_id: OrderKey
    quantity: PositiveAmount | None = None
    limit_price: PositiveAmount | None = None
    stop_price: PositiveAmount | None = None


class HaltTrading(Command):
    """Set the kill switch. It stays until somebody resumes, or until `until`."""

    kind: Literal["halt"] = "halt"
    level: Literal[HaltLevel.HALT, HaltLevel.REDUCE_ONLY, HaltLevel.FLATTEN] = HaltLevel.HALT
    why: Reason
    until: AwareDatetime | None = None


class ResumeTrading(Command):
    """Release the kill switch."""

    kind: Literal["resume"] = "resume"
    why: Reason


class AdoptPosition(Command):
    """Book a position that no order of ours made: what was there when the account began, dust, somebody's own trade.

    It is booked as a fill at `price`: neither balance nor equity moves at that price, its cost comes out of the cash, and a
    tax lot begins. `at`: when it was acquired, after the account began; default: now.
    """

    kind: Literal["adopt"] = "adopt"
    symbol: SymbolName
    quantity: Annotated[Amount, Field(description="in base currency; below zero what was sold")]
    price: PositiveAmount
    fee: Amount = ZERO
    at: AwareDatetime | None = None
    why: Reason

    @field_validator("quantity")
    @classmethod
    def _something(cls, quantity: Decimal) -> Decimal:
        if not quantity:
            raise ValueError("expected a quantity that is not 0")
        return quantity

    def fill(self) -> Fill:
        """Return the entry."""
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
    """Money that came or went. `venue_id`: the venue's own id of it, which a live account's view shows as well."""

    amount: PositiveAmount
    at: AwareDatetime | None = None
    venue_id: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    why: Reason


class DepositMoney(_MoneyMoved):
    """Book money that came into the account. It is no profit: rules and reports leave it out."""

    kind: Literal["deposit"] = "deposit"


class WithdrawMoney(_MoneyMoved):
    """Book money that was taken out of the account. It is no loss."""

    kind: Literal["withdraw"] = "withdraw"


def transfer_of(command: DepositMoney | WithdrawMoney) -> Transfer:
    """Return the entry of a command: under the venue's id where it is named, else under the command's own."""
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
    """Refuse a command of another time than the one it came by. Raises CommandError.

    One from the future would carry the account there, and every later event would look old. `behind` None: it may be as old
    as it likes, as one that waited in a queue or is replayed.
    """
    if command.requested_at > now + MAX_AHEAD:
        raise CommandError(f"requested_at: expected at most {MAX_AHEAD} after {now.isoformat()}, was {command.requested_at}")
    if behind is not None and command.requested_at < now - behind:
        raise CommandError(f"requested_at: expected at most {behind} before {now.isoformat()}, was {command.requested_at}")


def amounts(command: ReplaceOrder) -> tuple[Decimal | None, Decimal | None, Decimal | None]:
    """Return the new quantity, limit price and stop price. Raises CommandError when nothing is to change."""
    wanted = (command.quantity, command.limit_price, command.stop_price)
    if wanted == (None, None, None):
        raise CommandError("give a quantity, a limit_price or a stop_price")
    return wanted
