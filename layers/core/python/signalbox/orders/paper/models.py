"""The assumptions of the paper venue, one named model each. Rates are in basis points of the price or the value traded."""

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
    """How far bid and ask are from the price of a bar."""

    def half_spread(self, bar: Candle) -> Decimal:
        """Return half the spread during this bar, quote currency, 0 or more."""


class LiquidityModel(Protocol):
    """How much of an order a bar can take."""

    def available(self, bar: Candle) -> Decimal | None:
        """Return the most that fills in this bar, base currency; None when there is no limit."""


@dataclass(frozen=True, slots=True)
class FixedSpread:
    """The same spread in every bar, in basis points of its open. Ignores that spreads widen when prices move."""

    bps: Decimal

    @exactly
    def half_spread(self, bar: Candle) -> Decimal:
        """Return half of bps times the open."""
        return bar.open * self.bps * _BPS * _HALF


@dataclass(frozen=True, slots=True)
class FixedSlippage:
    """Market orders always trade this many basis points beyond the touch, whatever their size."""

    bps: Decimal

    @exactly
    def slippage(self, price: Decimal) -> Decimal:
        """Return bps of the price."""
        return price * self.bps * _BPS


@dataclass(frozen=True, slots=True)
class ProportionalFees:
    """Fees in basis points of the value traded, by whether we made or took; no tiers, no minimum. Negative is a rebate."""

    maker_bps: Decimal
    taker_bps: Decimal

    @exactly
    def fee(self, value: Decimal, liquidity: Liquidity) -> Decimal:
        """Return the fee in quote currency to 8 decimals, rounded against us. UNKNOWN pays as TAKER."""
        bps = self.maker_bps if liquidity is Liquidity.MAKER else self.taker_bps
        return up_to_places(value * bps * _BPS, FEE_PLACES)


@dataclass(frozen=True, slots=True)
class UnlimitedLiquidity:
    """A bar takes any order whole, also a bar without volume. Too good for orders that are large against the market."""

    def available(self, bar: Candle) -> Decimal | None:  # noqa: ARG002 - the model's shape
        """Return None."""
        return None


@dataclass(frozen=True, slots=True)
class VolumeShare:
    """An order gets at most a share of the bar's volume; each order is alone with the bar. The rest waits for the next bar."""

    share: Decimal  # 0.1 for 10 %

    @exactly
    def available(self, bar: Candle) -> Decimal | None:
        """Return the share of the volume."""
        return bar.volume * self.share
