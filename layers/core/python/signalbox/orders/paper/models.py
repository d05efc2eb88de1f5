"""The assumptions of the paper venue, one named model each. Rates are in basis points of the price or the value traded.

Randomness comes from a numpy Generator that is passed in and is asked for integers only, so money never meets a float.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Final, Protocol

from numpy.random import Generator

from signalbox.exact import exactly, up_to_places
from signalbox.market.candles import Candle
from signalbox.orders.events import Liquidity

FEE_PLACES: Final = 8  # decimals of a fee, rounded against us
_BPS: Final = Decimal("0.0001")
_HALF: Final = Decimal("0.5")
_PARTS: Final = 10_000  # steps of a random share


class SpreadModel(Protocol):
    """How far bid and ask are from the price of a bar."""

    def half_spread(self, bar: Candle) -> Decimal:
        """Return half the spread during this bar, quote currency, 0 or more."""


class SlippageModel(Protocol):
    """What a market order pays beyond the touch."""

    def slippage(self, price: Decimal, bar: Candle, rng: Generator) -> Decimal:
        """Return how much worse than `price` it trades, quote currency, 0 or more."""


class LatencyModel(Protocol):
    """How long a message takes to the venue."""

    def delay(self, rng: Generator) -> timedelta:
        """Return the delay of one message, 0 or more."""


class LiquidityModel(Protocol):
    """How much of an order a bar can take."""

    def available(self, bar: Candle) -> Decimal | None:
        """Return the most that fills in this bar, base currency; None when there is no limit."""


class RejectionModel(Protocol):
    """Whether the venue refuses an order for no reason of ours."""

    def is_rejected(self, rng: Generator) -> bool:
        """Return whether this order is refused."""


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
    def slippage(self, price: Decimal, bar: Candle, rng: Generator) -> Decimal:  # noqa: ARG002 - the model's shape
        """Return bps of the price."""
        return price * self.bps * _BPS


@dataclass(frozen=True, slots=True)
class RandomSlippage:
    """Uniform between nothing and `worst_bps`: never in our favour, independent of size and of other orders."""

    worst_bps: Decimal

    @exactly
    def slippage(self, price: Decimal, bar: Candle, rng: Generator) -> Decimal:  # noqa: ARG002 - the model's shape
        """Return a random part of the worst, in ten thousand steps."""
        return price * self.worst_bps * _BPS * _BPS * int(rng.integers(0, _PARTS, endpoint=True))


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
class FixedLatency:
    """Every message takes the same time."""

    time: timedelta

    def delay(self, rng: Generator) -> timedelta:  # noqa: ARG002 - the model's shape
        """Return the time."""
        return self.time


@dataclass(frozen=True, slots=True)
class JitteredLatency:
    """A fixed time plus a uniform random part up to `jitter`, in whole milliseconds; messages may overtake each other."""

    time: timedelta
    jitter: timedelta

    def delay(self, rng: Generator) -> timedelta:
        """Return the time plus a random part of the jitter."""
        steps = self.jitter // timedelta(milliseconds=1)
        return self.time + timedelta(milliseconds=int(rng.integers(0, steps, endpoint=True)))


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


@dataclass(frozen=True, slots=True)
class NoRejections:
    """The venue takes every order that keeps its rules."""

    def is_rejected(self, rng: Generator) -> bool:  # noqa: ARG002 - the model's shape
        """Return False."""
        return False


@dataclass(frozen=True, slots=True)
class RandomRejections:
    """The venue refuses this many of ten thousand orders, independently of each other and of the market."""

    per_10_000: int

    def is_rejected(self, rng: Generator) -> bool:
        """Return whether this one is refused."""
        return int(rng.integers(0, _PARTS)) < self.per_10_000
