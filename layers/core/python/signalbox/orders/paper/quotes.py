"""One bar from the perspective of one side: the price at which a market, limit or stop order of that side trades in it.

The bar's prices are mids. The touch is half a spread away: the ask for a buyer, the bid for a seller. Stops watch the touch
that they will trade at.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from signalbox.exact import exactly
from signalbox.market.candles import Candle
from signalbox.orders.events import Liquidity
from signalbox.orders.terms import Side


@dataclass(frozen=True, slots=True)
class PaperExecution:
    """The price at which an order trades, before rounding to the venue's tick. `slips`: slippage is added."""

    price: Decimal
    liquidity: Liquidity
    at: datetime
    slips: bool
    cap: Decimal | None = None  # a limit price that slippage may not pass


@dataclass(frozen=True, slots=True)
class Quotes:
    """A bar as orders of one side see it."""

    bar: Candle
    side: Side
    half_spread: Decimal

    @exactly
    def touch(self, mid: Decimal) -> Decimal:
        """Return the ask (for a buyer) or bid (for a seller) at a mid price."""
        return mid + self.side.sign * self.half_spread

    def worse(self, one: Decimal, other: Decimal) -> bool:
        """Whether trading at `one` is strictly worse than at `other`: higher for a buyer, lower for a seller."""
        return one > other if self.side is Side.BUY else one < other

    def market(self, at: datetime) -> PaperExecution:
        """Return the execution of a market order: at the touch of the open, plus slippage."""
        return PaperExecution(self.touch(self.bar.open), Liquidity.TAKER, max(at, self.bar.open_time), slips=True)

    def marketable_limit(self, limit: Decimal, at: datetime) -> PaperExecution | None:
        """Return the execution of a new limit order at the open's touch, slippage capped at its limit; None if it must rest."""
        if self.worse(self.touch(self.bar.open), limit):
            return None
        return PaperExecution(self.touch(self.bar.open), Liquidity.TAKER, max(at, self.bar.open_time), slips=True, cap=limit)

    def resting_limit(self, limit: Decimal) -> PaperExecution | None:
        """Return the execution of a resting limit order: at its limit if the touch trades through it, else None."""
        best = self.touch(self.bar.low if self.side is Side.BUY else self.bar.high)
        if not self.worse(limit, best):
            return None
        return PaperExecution(limit, Liquidity.MAKER, self.bar.close_time, slips=False)

    def stop(self, stop: Decimal) -> PaperExecution | None:
        """Return the execution of a stop: at the open if the touch opens beyond it, else at its price; None if not reached."""
        if not self.worse(stop, self.touch(self.bar.open)):
            return PaperExecution(self.touch(self.bar.open), Liquidity.TAKER, self.bar.open_time, slips=True)
        return self.stop_inside(stop)

    def stop_inside(self, stop: Decimal) -> PaperExecution | None:
        """Return the execution of a stop that was set after the open: at its price, or None if not reached."""
        worst = self.touch(self.bar.high if self.side is Side.BUY else self.bar.low)
        if self.worse(stop, worst):
            return None
        return PaperExecution(stop, Liquidity.TAKER, self.bar.close_time, slips=True)
