"""The broker's rules for a symbol, from `symbol_info`: steps and limits of size and price, filling, and the allowed directions.

Our quantities are in base currency; divided by the contract size they give lots. An order that opens risk is refused unless it
fits exactly. An order that reduces is rounded down to what can be traded, because a ledger may hold less than one step and the
terminal cannot. Source: https://www.mql5.com/en/docs/constants/environment_state/marketinfoconstants.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from signalbox.exact import ZERO, exactly, to_step
from signalbox.orders.terms import OrderTerms, Side, TimeInForce
from signalbox.orders.venue_port import NOT_SUPPORTED, PRECISION, VenueRefusedError
from signalbox.orders.venue_view import VenueInstrument
from signalbox_mt5.terminal import ExpirationFlag, Filling, FillingFlag, TradeExecution, TradeMode, exact

BELOW_MINIMUM: Final = "BELOW_MINIMUM"  # refusal codes
ABOVE_MAXIMUM: Final = "ABOVE_MAXIMUM"
TRADE_MODE: Final = "TRADE_MODE"
_MAY_OPEN: Final = {
    Side.BUY: frozenset({TradeMode.FULL, TradeMode.LONG_ONLY}),
    Side.SELL: frozenset({TradeMode.FULL, TradeMode.SHORT_ONLY}),
}


@dataclass(frozen=True, slots=True)
class Contract:
    """One of our symbols at the broker. size: base currency per lot. step, smallest, largest: in lots."""

    ours: str
    name: str
    size: Decimal
    step: Decimal
    smallest: Decimal
    largest: Decimal
    tick: Decimal
    mode: TradeMode = TradeMode.FULL
    execution: TradeExecution = TradeExecution.MARKET
    filling: FillingFlag = FillingFlag.FOK | FillingFlag.IOC
    expiration: ExpirationFlag = ExpirationFlag.GTC | ExpirationFlag.SPECIFIED
    stops_level: int = 0  # least distance of a stop from the price, in points
    freeze_level: int = 0  # within this many points of the price nothing may be changed

    @classmethod
    def of(cls, ours: str, name: str, info: Any) -> Contract:
        """Return the contract that `symbol_info` describes. Raises ValueError for a mode that this code does not know."""
        return cls(
            ours=ours,
            name=name,
            size=exact(info.trade_contract_size),
            step=exact(info.volume_step),
            smallest=exact(info.volume_min),
            largest=exact(info.volume_max),
            tick=exact(info.trade_tick_size),
            mode=TradeMode(info.trade_mode),
            execution=TradeExecution(info.trade_exemode),
            filling=FillingFlag(info.filling_mode & 3),
            expiration=ExpirationFlag(info.expiration_mode & 5),
            stops_level=int(info.trade_stops_level),
            freeze_level=int(info.trade_freeze_level),
        )

    @classmethod
    def unknown(cls, name: str) -> Contract:
        """Return a placeholder for a symbol outside our configuration.

        It keeps the broker's name, and its quantities are in lots.
        """
        return cls(name, name, Decimal(1), ZERO, ZERO, ZERO, ZERO)

    @exactly
    def base(self, lots: float | Decimal) -> Decimal:
        """Return the quantity in base currency of this many lots."""
        return (lots if isinstance(lots, Decimal) else exact(lots)) * self.size

    @exactly
    def require_openable(self, terms: OrderTerms) -> None:
        """Raise VenueRefusedError unless an order that opens risk fits the symbol's rules."""
        if self.mode not in _MAY_OPEN[terms.side]:
            raise VenueRefusedError(
                TRADE_MODE,
                f"{terms.symbol}: a {terms.side} may not be opened, because the symbol's trade mode is {self.mode.name}",
            )
        quantity, step = terms.quantity, self.step * self.size
        if quantity < self.smallest * self.size:
            raise VenueRefusedError(
                BELOW_MINIMUM, f"{terms.symbol}: expected a quantity of at least {self.smallest * self.size}, got {quantity}"
            )
        if quantity % step:
            raise VenueRefusedError(PRECISION, f"{terms.symbol}: expected a quantity in steps of {step}, got {quantity}")
        if quantity > self.largest * self.size:
            raise VenueRefusedError(
                ABOVE_MAXIMUM, f"{terms.symbol}: expected a quantity of at most {self.largest * self.size}, got {quantity}"
            )

    @exactly
    def require_price(self, price: Decimal | None) -> None:
        """Raise VenueRefusedError for a price that is not on a tick."""
        if price is not None and self.tick and price % self.tick:
            raise VenueRefusedError(PRECISION, f"{self.ours}: expected a price in steps of {self.tick}, got {price}")

    def require_expiry(self, terms: OrderTerms) -> None:
        """Raise VenueRefusedError for a time in force that a resting order of this symbol cannot have."""
        wanted = ExpirationFlag.SPECIFIED if terms.time_in_force is TimeInForce.GTD else ExpirationFlag.GTC
        if terms.time_in_force in {TimeInForce.IOC, TimeInForce.FOK} or not self.expiration & wanted:
            raise VenueRefusedError(
                NOT_SUPPORTED, f"{terms.symbol}: the broker does not support {terms.time_in_force} for a resting order"
            )

    @exactly
    def lots(self, quantity: Decimal) -> Decimal:
        """Return a quantity in lots, rounded down to the step. Zero means that nothing of it can be traded."""
        return to_step(quantity, self.step * self.size, upwards=False) / self.size

    def immediate(self, time_in_force: TimeInForce) -> Filling:
        """Return the filling of a market order. Raises VenueRefusedError if FOK was requested but is not available.

        Request and instant execution always use FOK. Market and exchange execution use what the flags allow. RETURN, which leaves
        the rest in the book, is only for exchange execution and is the last choice.
        """
        if self.execution in {TradeExecution.REQUEST, TradeExecution.INSTANT}:
            return Filling.FOK
        if time_in_force is TimeInForce.FOK:
            if FillingFlag.FOK not in self.filling:
                raise VenueRefusedError(NOT_SUPPORTED, f"{self.ours}: the broker does not support FOK orders for this symbol")
            return Filling.FOK
        if FillingFlag.IOC in self.filling:
            return Filling.IOC
        return Filling.FOK if FillingFlag.FOK in self.filling else Filling.RETURN

    @exactly
    def instrument(self) -> VenueInstrument:
        """Return the symbol's rules for the ledger, in base and quote currency."""
        return VenueInstrument(
            symbol=self.ours,
            tick=self.tick,
            step=self.step * self.size,
            min_quantity=self.smallest * self.size,
            max_quantity=self.largest * self.size if self.largest else None,
            can_open=self.mode in {TradeMode.FULL, TradeMode.LONG_ONLY, TradeMode.SHORT_ONLY},
        )
