"""Applies a frozen bundle to decisions: probabilities, issued signals, and the table of predictions."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from signalbox.inference.ensemble import Ensemble
from signalbox.inference.manifest import FrozenThresholds
from signalbox.labels.settlement import covers_cost
from signalbox.market.candles import MINUTE_MS
from signalbox.signals.signal import Direction, Tier
from training.data.dataset import Dataset
from training.data.splits import DAY_MS
from training.judge.costs import CostModel
from training.judge.kept_scores import KeptScores, days_of, key_of

_WORKERS: Final = 8
_KEPT_AT_ONCE: Final = 64  # days written together; a killed run loses at most these


@dataclass(frozen=True, eq=False)
class Scored:
    """Decisions with the probabilities and signals of a frozen model.

    probability_up: (n,) float64, calibrated. issued, high: (n,) bool, by the model's frozen thresholds.
    """

    data: Dataset
    probability_up: NDArray[np.float64]
    issued: NDArray[np.bool_]
    high: NDArray[np.bool_]

    @classmethod
    def of(cls, data: Dataset, probability_up: NDArray[np.float64], thresholds: FrozenThresholds) -> Scored:
        """Apply the thresholds as `signalbox.signals.signal.classify` does, to all rows at once.

        A contract whose signals must be expected to cover their cost issues no other.
        """
        margin = np.abs(probability_up - 0.5)
        covered = covers_cost(data.contract, probability_up, data.volatility)
        return cls(
            data,
            probability_up,
            (margin >= thresholds.issue_margin) & covered,
            (margin >= thresholds.high_margin) & covered,
        )

    def __len__(self) -> int:
        return len(self.data)

    def select(self, rows: NDArray[np.bool_]) -> Scored:
        """Return some of the decisions."""
        return Scored(self.data.select(rows), self.probability_up[rows], self.issued[rows], self.high[rows])

    @cached_property
    def side(self) -> NDArray[np.float64]:
        """+1 where up is more likely, else -1."""
        return np.where(self.probability_up > 0.5, 1.0, -1.0)

    @cached_property
    def hit(self) -> NDArray[np.float64]:
        """1 where the outcome has the direction of the side, else 0; a flat outcome is a miss."""
        return hits(self.data, self.side)

    @cached_property
    def confidence(self) -> NDArray[np.float64]:
        """Calibrated probability of the side."""
        return np.maximum(self.probability_up, 1.0 - self.probability_up)

    @cached_property
    def gross_bps(self) -> NDArray[np.float64]:
        """Return of the side before costs, in basis points."""
        sides = self.data.sides
        if sides is not None:
            return np.where(self.side > 0, sides.buy_earned, sides.sell_earned) * 1e4
        earned: NDArray[np.float64] = self.side * self.data.outcome * 1e4
        return earned

    @cached_property
    def random_hit(self) -> NDArray[np.float64]:
        """(n,) expected hit of a random side at the same moments: the mean of BUY and SELL."""
        return random_hits(self.data)

    @cached_property
    def fair_hit(self) -> NDArray[np.float64]:
        """(n,) the hit, with one half as what a random side reaches, whatever the contract."""
        return self.hit if self.data.sides is None else self.hit - self.random_hit + 0.5

    @cached_property
    def day(self) -> NDArray[np.int64]:
        """UTC day of the decision, in days since the epoch."""
        days: NDArray[np.int64] = self.data.decided_at_ms // DAY_MS
        return days

    @cached_property
    def one_position(self) -> NDArray[np.bool_]:
        """Return which issued signals a trader takes who holds at most one position per symbol, each for the whole horizon."""
        taken = np.zeros(len(self), dtype=np.bool_)
        for symbol in range(len(self.data.symbols)):
            rows = np.flatnonzero(self.issued & (self.data.symbol == symbol))
            times = self.data.decided_at_ms[rows]
            free, at = np.searchsorted(times, times + self.data.contract.horizon_minutes * MINUTE_MS), 0
            while at < rows.shape[0]:  # one iteration per trade
                taken[rows[at]] = True
                at = int(free[at])
        return taken


def hits(data: Dataset, side: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return 1 where the side was right by the contract, else 0. A flat outcome, or a rule without a side, is a miss."""
    if data.sides is not None:
        right = np.where(side > 0, data.sides.buy_right, data.sides.sell_right) & (side != 0)
        return np.asarray(right, dtype=np.float64)
    return (side * data.outcome > 0).astype(np.float64)


def random_hits(data: Dataset) -> NDArray[np.float64]:
    """Return (n,) the mean of what BUY and SELL would have been: how often a random side is right at the same moments."""
    ones = np.ones(len(data))
    return (hits(data, ones) + hits(data, -ones)) / 2.0


def score(
    ensemble: Ensemble, data: Dataset, on_progress: Callable[[float], None] = lambda _: None, kept: KeptScores | None = None
) -> Scored:
    """Return the ensemble's calibrated probabilities and issued signals.

    Each batch is one day of one symbol, so that a score does not depend on the period around it. The graphs run outside the
    interpreter's lock, one thread each, in as many threads as there are cores, at most eight.
    kept: where scores are looked up and added; None for nowhere.
    """
    probability, days, window = np.empty(len(data)), days_of(data, DAY_MS), ensemble.window_bars
    done = 0

    def predict(rows: NDArray[np.int64]) -> NDArray[np.float64]:
        return ensemble.predict(data.windows(rows, window))

    with ThreadPoolExecutor(min(os.cpu_count() or 1, _WORKERS)) as pool:
        try:
            keys = [] if kept is None else list(pool.map(lambda rows: key_of(data, rows, window), days))
            known = {} if kept is None else kept.find(ensemble, keys)
            asked = []
            for number, rows in enumerate(days):
                answer = known.get(keys[number]) if keys else None
                if answer is None or answer.shape != rows.shape:
                    asked.append(number)
                    continue
                probability[rows] = answer
                done += rows.shape[0]
            if kept is not None:
                kept.reused += done
            fresh = dict[bytes, NDArray[np.float64]]()
            for number, answer in zip(asked, pool.map(predict, (days[number] for number in asked)), strict=True):
                probability[days[number]] = answer
                done += answer.shape[0]
                on_progress(done / len(data))
                if kept is not None:
                    fresh[keys[number]] = answer
                    if len(fresh) >= _KEPT_AT_ONCE or number == asked[-1]:
                        kept.keep(ensemble, fresh)
                        fresh = {}
        except BaseException:
            pool.shutdown(cancel_futures=True)  # so that Ctrl-C does not wait for years of candles to be scored
            raise
    return Scored.of(data, probability, ensemble.thresholds)


def write_predictions(scored: Scored, cost: CostModel, path: Path) -> None:
    """Write one row per decision, in time order.

    outcome_bps is what a BUY would have earned before costs. net_bps is what the signal earned after costs, null for HOLD.
    """
    data = scored.data
    direction = np.where(scored.side > 0, Direction.BUY.value, Direction.SELL.value)
    tier = np.where(scored.high, Tier.HIGH.value, Tier.MEDIUM.value)
    table = pa.table(
        {
            "symbol": pa.array(np.array(data.symbols)[data.symbol]),
            "decided_at": pa.array(data.decided_at_ms, pa.int64()).cast(pa.timestamp("ms", tz="UTC")),
            "probability_up": scored.probability_up,
            "direction": np.where(scored.issued, direction, Direction.HOLD.value),
            "tier": np.where(scored.issued, tier, Tier.LOW.value),
            "issued": scored.issued,
            "label": data.label.astype(np.int8),
            "outcome_bps": data.outcome * 1e4,
            "net_bps": pa.array(scored.gross_bps - cost.round_trip_bps, mask=~scored.issued),
        }
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path)
