"""The terms of an order, which are fixed when it is decided. Prices are in quote currency, quantities in base currency."""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Self

from pydantic import AwareDatetime, Field, model_validator

from signalbox.events import SymbolName
from signalbox.exact import PositiveAmount
from signalbox.frozen import FrozenModel, made_once
from signalbox.orders.identity import ClientOrderId, client_order_id

Name = Annotated[str, Field(min_length=1, max_length=64)]


class Side(StrEnum):
    """Buy or sell."""

    BUY = "BUY"
    SELL = "SELL"

    sign: int  # +1 for a buy, -1 for a sell: what a fill does to the position; set below, for every sum asks for it

    @property
    def opposite(self) -> Side:
        """The side that closes what this side opens."""
        return Side.SELL if self is Side.BUY else Side.BUY


Side.BUY.sign, Side.SELL.sign = 1, -1


class OrderType(StrEnum):
    """MARKET trades at once; LIMIT trades at its price or better; STOP becomes a market order once its price trades."""

    MARKET = "MARKET"
    LIMIT = "LIMIT"
    STOP = "STOP"


class TimeInForce(StrEnum):
    """GTC: until cancelled. IOC: fill what is possible now, cancel the rest. FOK: all now or nothing. GTD: until `expires_at`."""

    GTC = "GTC"
    IOC = "IOC"
    FOK = "FOK"
    GTD = "GTD"


class Leg(StrEnum):
    """The role of an order within its decision. A decision has one order per leg, except for repeated attempts of an exit."""

    ENTRY = "ENTRY"
    EXIT = "EXIT"
    TAKE_PROFIT = "TAKE_PROFIT"
    STOP_LOSS = "STOP_LOSS"
    TIMEOUT = "TIMEOUT"
    FLATTEN = "FLATTEN"  # closed by the kill switch


class OrderTerms(FrozenModel):
    """The terms. Raises pydantic.ValidationError when prices do not fit the type or times are out of order."""

    account: Name
    strategy: Name
    symbol: SymbolName
    decided_at: AwareDatetime
    leg: Leg
    attempt: Annotated[int, Field(ge=0)] = 0  # 0 for the first order of this leg; a retried exit gets the next number
    side: Side
    type: OrderType
    quantity: PositiveAmount
    limit_price: PositiveAmount | None = None
    stop_price: PositiveAmount | None = None
    time_in_force: TimeInForce = TimeInForce.GTC
    expires_at: AwareDatetime | None = None  # GTD only
    reduce_only: bool = False
    send_before: AwareDatetime  # nobody may send it at or after this instant

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.limit_price is not None) != (self.type is OrderType.LIMIT):
            raise ValueError(f"expected a limit_price for LIMIT only, got {self.type} {self.limit_price}")
        if (self.stop_price is not None) != (self.type is OrderType.STOP):
            raise ValueError(f"expected a stop_price for STOP only, got {self.type} {self.stop_price}")
        if (self.expires_at is not None) != (self.time_in_force is TimeInForce.GTD):
            raise ValueError(f"expected expires_at for GTD only, got {self.time_in_force} {self.expires_at}")
        if self.expires_at is not None and self.expires_at <= self.decided_at:
            raise ValueError(f"expected expires_at after {self.decided_at}, got {self.expires_at}")
        if self.send_before <= self.decided_at:
            raise ValueError(f"expected send_before after {self.decided_at}, got {self.send_before}")
        return self

    @made_once
    def client_order_id(self) -> ClientOrderId:
        """The identity. It depends on why the order exists, not on its quantity or prices."""
        return client_order_id(
            account=self.account,
            strategy=self.strategy,
            symbol=self.symbol,
            decided_at=self.decided_at,
            leg=self.leg,
            attempt=self.attempt,
        )

    @made_once
    def entry_id(self) -> ClientOrderId:
        """The id of this decision's entry order. For an exit, that is the order whose position it closes."""
        return client_order_id(
            account=self.account, strategy=self.strategy, symbol=self.symbol, decided_at=self.decided_at, leg=Leg.ENTRY
        )

    @made_once
    def text(self) -> str:
        """The terms as JSON text, as stored with the order."""
        return self.__pydantic_serializer__.to_json(self).decode()

    def signed(self, quantity: Decimal) -> Decimal:
        """Return the signed change of the position when `quantity` fills."""
        return quantity if self.side is Side.BUY else quantity.copy_negate()
