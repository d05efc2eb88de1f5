"""Decisions of the five-minute cycle for years at once: probabilities, directions, tiers, and signals held back.

Rows, windows and gaps are those of the training data (dataset.py), which are those of the cycle. The hourly limits are the
cycle's own (signals/rate_limit.py). A decision counts even if its outcome is not known yet.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import Final

import numpy as np
from numpy.typing import NDArray

from signalbox.events import SignalGenerated
from signalbox.inference.ensemble import Ensemble
from signalbox.market.candles import MINUTE_MS, Symbol
from signalbox.signals.cycle import STANDARD, announcement
from signalbox.signals.rate_limit import WINDOW, Issued, SignalLimits, limit_rate
from signalbox.signals.signal import DeploymentStage, Direction, Signal, Thresholds, Tier, classify
from training.backtest.bar_grid import BarGrid
from training.data.dataset import Dataset
from training.judge.kept_scores import KeptScores
from training.judge.scoring import score

STAGE: Final = DeploymentStage.SHADOW  # the stage that `signalbox demo` uses for a bundle
_WINDOW_MS: Final = WINDOW // timedelta(milliseconds=1)


@dataclass(frozen=True, eq=False)
class Decisions:
    """Every decision of a period, and its BUY and SELL signals, whether issued or held back.

    at_ms, symbol (index into `symbols`), probability_up: (n,), sorted by time, then by symbol.
    signals: BUY and SELL in the same order; `held_back` names the hourly limit that stopped a signal, if any.
    """

    symbols: tuple[Symbol, ...]
    at_ms: NDArray[np.int64]
    symbol: NDArray[np.int64]
    probability_up: NDArray[np.float64]
    signals: tuple[SignalGenerated, ...]

    def __len__(self) -> int:
        return int(self.at_ms.shape[0])

    @property
    def held_back(self) -> dict[str, int]:
        """How many signals each limit held back."""
        return dict(Counter(signal.held_back for signal in self.signals if signal.held_back))

    def since(self, start: datetime) -> tuple[SignalGenerated, ...]:
        """Return the signals decided after `start`."""
        return tuple(signal for signal in self.signals if signal.decided_at > start)


def decide(
    ensemble: Ensemble,
    data: Dataset,
    grid: BarGrid,
    deployment: str,
    *,
    start_ms: int,
    end_ms: int,
    limits: SignalLimits = STANDARD,
    on_progress: Callable[[float], None] = lambda _: None,
    kept: KeptScores | None = None,
) -> Decisions:
    """Return the decisions with start < decided_at <= end, as the cycle makes them if it starts at `start`."""
    chosen = data.select((data.decided_at_ms > start_ms) & (data.decided_at_ms <= end_ms))
    scored = score(ensemble, chosen, on_progress, kept)
    rows = np.flatnonzero(scored.issued)
    found: list[SignalGenerated] = []
    hour: list[tuple[int, Issued]] = []
    thresholds = Thresholds(ensemble.thresholds.issue_margin, ensemble.thresholds.high_margin)
    horizon = ensemble.manifest.label.horizon_minutes
    for at_ms, own in groupby(rows.tolist(), key=lambda row: int(chosen.decided_at_ms[row])):
        hour = [one for one in hour if one[0] > at_ms - _WINDOW_MS]
        cycle = tuple(
            _signal(chosen, row, float(scored.probability_up[row]), grid, deployment=deployment, thresholds=thresholds)
            for row in own
        )
        for signal in limit_rate(cycle, (issued for _, issued in hour), limits):
            if signal.issued:
                hour.append((at_ms, Issued(signal.symbol, signal.decided_at, signal.tier)))
            found.append(announcement(signal, horizon))
    return Decisions(chosen.symbols, chosen.decided_at_ms, chosen.symbol, scored.probability_up, tuple(found))


def _signal(data: Dataset, row: int, probability: float, grid: BarGrid, *, deployment: str, thresholds: Thresholds) -> Signal:
    """Return a BUY or SELL signal. HOLDs do not count for the limits and do not change an account."""
    minute = (int(data.decided_at_ms[row]) - grid.first_ms) // MINUTE_MS
    direction, tier = classify(probability, thresholds)
    symbol = data.symbols[int(data.symbol[row])]
    return Signal(
        symbol=symbol,
        decided_at=grid.instant(minute),
        deployment=deployment,
        stage=STAGE,
        direction=direction,
        tier=tier,
        probability_up=probability,
        price=grid.price(symbol, minute),
        late=False,
        schema_name=data.schema.name,
        schema_hash=data.schema.hash,
        features=(),
    )


def directions(decisions: Decisions, thresholds: Thresholds) -> list[tuple[Direction, Tier]]:
    """Return direction and tier of every decision, including HOLD."""
    return [classify(float(p), thresholds) for p in decisions.probability_up.tolist()]
