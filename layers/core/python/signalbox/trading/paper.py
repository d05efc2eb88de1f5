"""The paper venue of every account that is not live: its cost and fill models, and the time stamps of its fills.

One side costs 3.25 bps commission, half of the 1 bps spread and 0.5 bps slippage: 4.25 bps, so 8.5 bps per round trip. Latency
is zero, so an order decided at t fills in the bar that opens at t. A bar fills an order in full, whatever the bar's volume,
but for one without any: nobody traded, so the order waits for the next.
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
INSIDE: Final = timedelta(microseconds=1)  # a fill inside a bar is stamped this long before the bar's close
VENUE: Final = PaperVenue(
    instruments={symbol: PaperInstrument(found.tick, found.step) for symbol, found in INSTRUMENTS.items()},
    spread=FixedSpread(SPREAD_BPS),
    slippage=FixedSlippage(SLIPPAGE_BPS),
    fees=ProportionalFees(maker_bps=FEE_BPS, taker_bps=FEE_BPS),
    latency=timedelta(0),
    liquidity=UnlimitedLiquidity(),
)
ROUND_TRIP: Final = 2 * (FEE_BPS + SPREAD_BPS / 2 + SLIPPAGE_BPS) / 10_000  # of the traded value


def stamped(event: OrderEvent, bar: Candle) -> OrderEvent:
    """Return the event, with a fill inside the bar stamped just before the bar's close.

    So it sorts before fills at the open of the next bar, and before a midnight at the close.
    """
    if isinstance(event, OrderFilled) and event.at == bar.close_time:
        return event.model_copy(update={"at": bar.close_time - INSIDE})
    return event


@exactly
def half_spread(bar: Candle) -> Decimal:
    """Return half of the paper venue's spread in a bar, in quote currency."""
    return VENUE.spread.half_spread(bar)
