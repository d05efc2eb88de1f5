"""Rules and findings of a sound observation, changed by each test."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from signalbox.market.candles import Symbol
from signalbox.observation.clusters import SettledSignal
from signalbox.observation.findings import CheckedCount, ExecutionCost, ObservationFindings, ObservedDay
from signalbox.observation.rules import ObservationRules, ObservedModel, preset

START = datetime(2026, 11, 2, tzinfo=UTC)
BTC = Symbol("BTC-USD")
SYMBOLS = ("BTC-USD", "ETH-USD", "SOL-USD")
DAY_SLOTS = 288 * len(SYMBOLS)


def rules(**changes: Any) -> ObservationRules:
    """The preset of a five-day observation that may take ten."""
    model = ObservedModel(deployment="good-v1", bundle_sha256="a" * 64, symbols=SYMBOLS, horizon_minutes=60, evaluated_share=0.2)
    found = preset(model, START, days=5, last_days=10).model_dump()
    for name, value in changes.items():
        part, _, field = name.partition("__")
        if field:
            found[part][field] = value
        else:
            found[part] = value
    return ObservationRules.model_validate(found)


def settled(precision: float, days: int = 5, *, bps: float = 8.0, seed: int = 1) -> tuple[SettledSignal, ...]:
    """One signal each half hour, right with this chance. A right one earns `bps`, a wrong one loses it."""
    rng = np.random.default_rng(seed)
    right = (rng.random(days * 48) < precision).tolist()
    return tuple(SettledSignal(BTC, START + timedelta(minutes=30 * i), one, bps if one else -bps) for i, one in enumerate(right))


def day(number: int, **changes: Any) -> ObservedDay:
    """A day without a fault and 20 % signals."""
    found = ObservedDay((START + timedelta(days=number)).date(), DAY_SLOTS, DAY_SLOTS, 173, 48, 38, 120.0)
    return replace(found, **changes)


def findings(count: int = 5, /, **changes: Any) -> ObservationFindings:
    """What a sound observation of a model at 80 % finds."""
    signals = settled(0.8, count)
    slots = count * DAY_SLOTS
    found = ObservationFindings(
        until=START + timedelta(days=count),
        days=tuple(day(n) for n in range(count)),
        refusals={},
        features=CheckedCount(slots, 0, 0),
        parity=CheckedCount(slots, 0, 0),
        freshness=CheckedCount(slots, 0, 0),
        settled=signals,
        due=len(signals),
        execution=ExecutionCost(60, 3.4, 0),
    )
    return replace(found, **changes)
