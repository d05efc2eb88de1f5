"""What the ledger's tests write."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from signalbox.events import MarketDataStale
from signalbox.market.candles import Symbol
from signalbox.signals.signal import DeploymentStage, Direction, Signal, Tier
from tests.builders import BTC, NOON

VENUE: Final = "coinbase"
SIGNAL: Final = Signal(
    symbol=BTC,
    decided_at=NOON,
    deployment="starter",
    stage=DeploymentStage.SHADOW,
    direction=Direction.BUY,
    tier=Tier.HIGH,
    probability_up=0.71,
    price=Decimal("43210.10"),
    late=False,
    schema_name="v31",
    schema_hash="abc",
    features=(1.5, -2.25, 1e-12),
)


class DeliberateError(Exception):
    """What a test raises inside a block."""


def stale(symbol: Symbol = BTC) -> MarketDataStale:
    """An event with a natural key of its own for each symbol."""
    return MarketDataStale(symbol=symbol, since=NOON, reason="STALE_DATA", newest_close=None)
