"""Entries that change an account: fills, funding and transfers. Each has a natural key and happens at one instant.

Signs: a positive `fee` is paid, a negative one is a rebate; a positive `amount` of funding or transfer is received. All money is
in the account's currency, which is the quote currency of its symbols. If a fee was taken in another currency, the adapter that
reads it converts it and keeps the venue's figure beside it.
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
    key: Key  # unique within account and kind, and for a fill within the symbol
    at: AwareDatetime

    @made_once
    def entry_id(self) -> str:
        """The natural key."""
        return f"{self.kind}:{self.account}:{self.key}"


class Fill(_Entry):
    """One trade. Its key is the venue's trade id."""

    kind: Literal["Fill"] = "Fill"
    symbol: SymbolName
    side: Side
    quantity: PositiveAmount
    price: PositiveAmount
    fee: Amount = ZERO

    @made_once
    @override
    def entry_id(self) -> str:
        """The natural key. It includes the symbol, because venues number trades per symbol."""
        return f"{self.kind}:{self.account}:{self.symbol}:{self.key}"

    @property
    def signed_quantity(self) -> Decimal:
        """The quantity that it adds to the position."""
        return self.quantity if self.side is Side.BUY else self.quantity.copy_negate()

    @classmethod
    def of(cls, terms: OrderTerms, event: OrderFilled) -> Fill:
        """Return the entry of an order's fill."""
        make = cls if len(event.trade_id) > MOST_OF_A_KEY else cls.trusted  # an order has the same bounds for everything else
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
    """Funding or swap of an open position; a positive amount is received."""

    kind: Literal["Funding"] = "Funding"
    symbol: SymbolName
    amount: Amount


class Transfer(_Entry):
    """Money paid into the account (positive) or out of it."""

    kind: Literal["Transfer"] = "Transfer"
    amount: Amount


def venue_key(venue_id: str) -> str:
    """Return the key of a transfer that the venue numbers itself."""
    return f"venue-{venue_id}"


Entry: TypeAlias = Fill | FundingPayment | Transfer
_ADAPTER: TypeAdapter[Entry] = TypeAdapter(Annotated[Entry, Field(discriminator="kind")])


def parse_entry(text: str | bytes) -> Entry:
    """Return the entry in a JSON text (`entry.model_dump_json()`). Raises pydantic.ValidationError."""
    return _ADAPTER.validate_json(text)


def booking_order(entry: Entry) -> tuple[datetime, bool, str]:
    """Return the sort key of booking: instant, then natural key, so that entries are booked alike in any order of arrival.

    At one instant transfers come first: money moved at the open of a bar is available to a trade at that open.
    """
    return entry.at, not isinstance(entry, Transfer), entry.entry_id
