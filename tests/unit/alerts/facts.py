"""Events that tests of alerts are about."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np

from signalbox.events import RecentCandles, SignalGenerated
from signalbox.trading.events import AccountSummarised
from tests.builders import NOON, minutes


def recent(bars: int = 241, *, price: float = 62000.5, seed: int = 7) -> RecentCandles:
    """The bars of a random walk that ends at a price at NOON."""
    steps = np.random.default_rng(seed).normal(0, 0.0006, bars)
    closes = price * np.exp(np.cumsum(steps) - np.sum(steps))
    rows = []
    for place, close in enumerate(closes.tolist()):
        opened = closes[place - 1].item() if place else close
        rows.append((place, opened, max(opened, close) * 1.0003, min(opened, close) * 0.9997, close))
    return RecentCandles(first=NOON - minutes(bars), rows=tuple(rows))


def signal(**changes: Any) -> SignalGenerated:
    """An issued signal with its bars."""
    facts: dict[str, Any] = {
        "symbol": "BTC-USD", "decided_at": NOON, "deployment": "starter", "stage": "shadow", "direction": "BUY", "tier": "HIGH",
        "issued": True, "late": False, "probability_up": 0.61, "confidence": 0.61, "price": Decimal("62000.50"),
        "horizon_minutes": 60, "schema_name": "v31", "schema_hash": "abc", "recent": recent(),
    }  # fmt: skip
    return SignalGenerated(**{**facts, **changes})


SUMMARY = AccountSummarised(
    account="a", mode="paper", currency="USD", span="day", first=NOON.date(), start=NOON - minutes(720), end=NOON + minutes(720),
    opening_equity=Decimal(100_000), equity=Decimal("101250.50"), transfers=Decimal(0), net=Decimal("1250.50"),
    fees=Decimal("12.30"), funding=Decimal("0.50"), opened=3, closed=2, won=1, fall=Decimal(300), fall_at=NOON, halt=None,
    curve=((0, 0.0), (600, -300.0), (1440, 1250.5)),
)  # fmt: skip
