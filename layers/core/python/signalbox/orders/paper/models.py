"""The assumptions of the paper venue, one named model each. Rates are in basis points of the price or of the traded value."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Final, Protocol

from signalbox.exact import exactly, up_to_places
from signalbox.market.candles import Candle
from signalbox.orders.events import Liquidity

FEE_PLACES: Final = 8  # decimals of a fee, rounded against us
_BPS: Final = Decimal("0.0001")
_HALF: Final = Decimal("0.5")


class SpreadModel(Protocol):
    """Distance of bid and ask from the price of a bar."""

    def half_spread(self, bar: Candle) -> Decimal:
        """Return half the spread in this bar, in quote currency, 0 or more."""


class LiquidityModel(Protocol):
    """Decides how much of an order a bar can fill."""

    def available(self, bar: Candle) -> Decimal | None:
        """Return the most that this bar fills, in base currency; None means no limit."""


@dataclass(frozen=True, slots=True)
class FixedSpread:
    """The same spread in every bar, in basis points of its open. Ignores that spreads widen in fast markets."""

    bps: Decimal

    @exactly
    def half_spread(self, bar: Candle) -> Decimal:
        """Return half of bps times the open."""
        return bar.open * self.bps * _BPS * _HALF


@dataclass(frozen=True, slots=True)
class FixedSlippage:
    """Market orders trade this many basis points beyond the touch, whatever their size."""

    bps: Decimal

    @exactly
    def slippage(self, price: Decimal) -> Decimal:
        """Return the slippage at this price, in quote currency."""
        return price * self.bps * _BPS


@dataclass(frozen=True, slots=True)
class ProportionalFees:
    """Fees in basis points of the traded value, for maker and taker; no tiers, no minimum. A negative fee is a rebate."""

    maker_bps: Decimal
    taker_bps: Decimal

    @exactly
    def fee(self, value: Decimal, liquidity: Liquidity) -> Decimal:
        """Return the fee in quote currency to 8 decimals, rounded against us. UNKNOWN pays the taker fee."""
        bps = self.maker_bps if liquidity is Liquidity.MAKER else self.taker_bps
        return up_to_places(value * bps * _BPS, FEE_PLACES)


@dataclass(frozen=True, slots=True)
class UnlimitedLiquidity:
    """A bar with a trade fills any order in full. Too optimistic for orders that are large for the market."""

    def available(self, bar: Candle) -> Decimal | None:  # noqa: ARG002 - the model's shape
        """Return None, which means no limit."""
        return None


@dataclass(frozen=True, slots=True)
class VolumeShare:
    """An order gets at most this share of the bar's volume, as if it were alone. The rest waits for the next bar."""

    share: Decimal  # 0.1 means 10 %

    @exactly
    def available(self, bar: Candle) -> Decimal | None:
        """Return this share of the bar's volume."""
        return bar.volume * self.share
