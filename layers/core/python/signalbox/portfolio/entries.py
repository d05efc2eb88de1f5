"""What changes an account: fills, funding, transfers. Each has a natural key and happens at one instant.

Signs: `fee` positive is paid, negative a rebate; `amount` of funding and transfers positive is received. All money is in
the account's currency, the quote currency of its symbols. A fee taken in another currency is converted by the adapter
that reads it, which keeps the venue's own figure beside it.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Final, Literal, TypeAlias

from pydantic import AwareDatetime, Field, TypeAdapter
from typing_extensions import override

from signalbox.events import SymbolName
from signalbox.exact import ZERO, Amount, PositiveAmount
from signalbox.frozen import FrozenModel, made_once
from signalbox.orders.events import OrderFilled
from signalbox.orders.terms import OrderTerms, Side

MOST_OF_A_KEY: Final = 128  # characters
Key = Annotated[str, Field(min_length=1, max_length=MOST_OF_A_KEY)]


class _Entry(FrozenModel):
    kind: str
    account: Key
    key: Key  # natural within account and kind (a fill: and symbol)
    at: AwareDatetime

    @made_once
    def entry_id(self) -> str:
        """The natural key."""
        return f"{self.kind}:{self.account}:{self.key}"


class Fill(_Entry):
    """One trade; its key is the venue's trade id."""

    kind: Literal["Fill"] = "Fill"
    symbol: SymbolName
    side: Side
    quantity: PositiveAmount
    price: PositiveAmount
    fee: Amount = ZERO

    @made_once
    @override
    def entry_id(self) -> str:
        """The natural key: venues number the trades of a symbol."""
        return f"{self.kind}:{self.account}:{self.symbol}:{self.key}"

    @property
    def signed_quantity(self) -> Decimal:
        """What it adds to the position."""
        return self.quantity if self.side is Side.BUY else self.quantity.copy_negate()

    @classmethod
    def of(cls, terms: OrderTerms, event: OrderFilled) -> Fill:
        """Return the entry of an order's fill."""
        make = cls if len(event.trade_id) > MOST_OF_A_KEY else cls.trusted  # all else is as bounded in an order as here
        return make(
            account=event.account,
            key=event.trade_id,
            at=event.at,
            symbol=event.symbol,
            side=terms.side,
            quantity=event.quantity,
            price=event.price,
            fee=event.fee,
        )


class FundingPayment(_Entry):
    """Funding or swap of an open position; received when positive."""

    kind: Literal["Funding"] = "Funding"
    symbol: SymbolName
    amount: Amount


class Transfer(_Entry):
    """Money into (positive) or out of the account."""

    kind: Literal["Transfer"] = "Transfer"
    amount: Amount


def venue_key(venue_id: str) -> str:
    """Return the key of a transfer that the venue numbers itself."""
    return f"venue-{venue_id}"


Entry: TypeAlias = Fill | FundingPayment | Transfer
_ADAPTER: TypeAdapter[Entry] = TypeAdapter(Annotated[Entry, Field(discriminator="kind")])


def parse_entry(text: str | bytes) -> Entry:
    """Return the entry of its JSON text (`entry.model_dump_json()`). Raises pydantic.ValidationError."""
    return _ADAPTER.validate_json(text)


def booking_order(entry: Entry) -> tuple[datetime, bool, str]:
    """Sort key of booking: by instant, then by natural key, so that any order of arrival is booked alike.

    Of one instant transfers come first: money that is moved at the open of a bar is there before a trade at that open.
    """
    return entry.at, not isinstance(entry, Transfer), entry.entry_id
