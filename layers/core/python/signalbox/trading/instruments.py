"""Tick, step and size limits of each instrument, for the pre-trade checks and the paper venue.

New risk in a symbol that is not listed here is refused as INSTRUMENT_UNKNOWN. paper.py has the spread and the slippage.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import Final

from signalbox.market.candles import Symbol
from signalbox.risk.order import GroupName, Instrument

CRYPTO: Final = GroupName("crypto")  # one group, because these coins fall together
FEE_BPS: Final = Decimal("3.25")  # per side: FTMO's commission on crypto (training/judge/costs.py)
MARGIN_FRACTION: Final = Decimal("0.5")  # leverage 1:2, our assumption and no firm's figure; CASH accounts pay in full regardless


def _instrument(symbol: str, tick: str, step: str, most: str) -> tuple[Symbol, Instrument]:
    name = Symbol(symbol)
    return name, Instrument(
        symbol=name,
        group=CRYPTO,
        tick=Decimal(tick),
        step=Decimal(step),
        min_quantity=Decimal(step),
        max_quantity=Decimal(most),
        min_notional=Decimal(10),
        max_notional=Decimal(1_000_000),
        margin_fraction=MARGIN_FRACTION,
        fee_fraction=FEE_BPS / 10_000,
    )


INSTRUMENTS: Final[Mapping[Symbol, Instrument]] = MappingProxyType(
    dict(
        (
            _instrument("BTC-USD", "0.01", "0.0001", "100"),
            _instrument("ETH-USD", "0.01", "0.001", "2000"),
            _instrument("SOL-USD", "0.01", "0.01", "50000"),
        )
    )
)
