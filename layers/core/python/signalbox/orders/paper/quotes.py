"""One bar as one side of the market sees it: what a market, limit or stop order of that side would get in it.

The bar's prices are mids; the touch is the ask for a buyer and the bid for a seller, half a spread away. Stops watch the
touch they will trade on. `before` and `after` compare in the direction of the side: a higher price is later for a buyer.
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
    """A price an order trades at, before rounding to the venue's tick; `slips` when slippage comes on top."""

    price: Decimal
    liquidity: Liquidity
    at: datetime
    slips: bool
    cap: Decimal | None = None  # a limit price that slippage may not pass


@dataclass(frozen=True, slots=True)
class Quotes:
    """A bar for orders of one side."""

    bar: Candle
    side: Side
    half_spread: Decimal

    @exactly
    def touch(self, mid: Decimal) -> Decimal:
        """Return the ask (for a buyer) or bid (for a seller) at a mid."""
        return mid + self.side.sign * self.half_spread

    def worse(self, one: Decimal, other: Decimal) -> bool:
        """Whether `one` is strictly worse than `other` to trade at: higher for a buyer, lower for a seller."""
        return one > other if self.side is Side.BUY else one < other

    def market(self, at: datetime) -> PaperExecution:
        """A market order trades at the touch of the open, plus slippage."""
        return PaperExecution(self.touch(self.bar.open), Liquidity.TAKER, max(at, self.bar.open_time), slips=True)

    def marketable_limit(self, limit: Decimal, at: datetime) -> PaperExecution | None:
        """An arriving limit order takes the touch of the open when its price allows; slippage stops at its price."""
        if self.worse(self.touch(self.bar.open), limit):
            return None
        return PaperExecution(self.touch(self.bar.open), Liquidity.TAKER, max(at, self.bar.open_time), slips=True, cap=limit)

    def resting_limit(self, limit: Decimal) -> PaperExecution | None:
        """A resting limit order fills at its price when the touch trades through it, never better, known at the close."""
        best = self.touch(self.bar.low if self.side is Side.BUY else self.bar.high)
        if not self.worse(limit, best):
            return None
        return PaperExecution(limit, Liquidity.MAKER, self.bar.close_time, slips=False)

    def stop(self, stop: Decimal) -> PaperExecution | None:
        """A stop trades once the touch reaches its price: at the open when it opens beyond, else at its price, plus slippage."""
        if not self.worse(stop, self.touch(self.bar.open)):
            return PaperExecution(self.touch(self.bar.open), Liquidity.TAKER, self.bar.open_time, slips=True)
        return self.stop_inside(stop)

    def stop_inside(self, stop: Decimal) -> PaperExecution | None:
        """As `stop`, for one that is set after the open: whatever the open was, it trades at its price."""
        worst = self.touch(self.bar.high if self.side is Side.BUY else self.bar.low)
        if self.worse(stop, worst):
            return None
        return PaperExecution(stop, Liquidity.TAKER, self.bar.close_time, slips=True)
