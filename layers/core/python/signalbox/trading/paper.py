"""The paper venue of every account that is not live: which models it is made of, and how its fills are stamped.

A side costs 3.25 bps commission, half of a spread of 1 bps and 0.5 bps of slippage: 4.25 bps, 8.5 bps a round trip. A message
takes no time, so an order decided at t trades in the bar that opens at t; a bar takes an order whole, whatever its volume.
"""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Final

from signalbox.exact import exactly
from signalbox.market.candles import Candle
from signalbox.orders.events import OrderEvent, OrderFilled
from signalbox.orders.paper.models import (
    FixedSlippage,
    FixedSpread,
    ProportionalFees,
    UnlimitedLiquidity,
)
from signalbox.orders.paper.venue import PaperInstrument, PaperVenue
from signalbox.trading.instruments import FEE_BPS, INSTRUMENTS

SPREAD_BPS: Final = Decimal(1)
SLIPPAGE_BPS: Final = Decimal("0.5")
INSIDE: Final = timedelta(microseconds=1)  # before its close: when a fill inside a bar is stamped
VENUE: Final = PaperVenue(
    instruments={symbol: PaperInstrument(found.tick, found.step) for symbol, found in INSTRUMENTS.items()},
    spread=FixedSpread(SPREAD_BPS),
    slippage=FixedSlippage(SLIPPAGE_BPS),
    fees=ProportionalFees(maker_bps=FEE_BPS, taker_bps=FEE_BPS),
    latency=timedelta(0),
    liquidity=UnlimitedLiquidity(),
)
ROUND_TRIP: Final = 2 * (FEE_BPS + SPREAD_BPS / 2 + SLIPPAGE_BPS) / 10_000  # of the value traded


def stamped(event: OrderEvent, bar: Candle) -> OrderEvent:
    """Return the event with a fill inside the bar stamped just before its close.

    So it comes before what trades at the open of the next bar, and midnight at the close comes after it.
    """
    if isinstance(event, OrderFilled) and event.at == bar.close_time:
        return event.model_copy(update={"at": bar.close_time - INSIDE})
    return event


@exactly
def half_spread(bar: Candle) -> Decimal:
    """Return half of the venue's spread in a bar."""
    return VENUE.spread.half_spread(bar)
