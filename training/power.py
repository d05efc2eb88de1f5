"""Proves that the pipeline finds a small edge when there is one, and none when there is none, on markets made for it.

Real data of three coins cannot prove that: nobody knows what is in it. A planted market is a random walk with two regimes of
volatility. In the wild one the price is pulled back against its past hour, by so much that the best rule (follow the pull in the
fifth of the decisions where it is strongest) earns `edge_bps` a signal before costs; in the calm one there is nothing. The
pipeline knows none of this: it computes its features, fits, calibrates and freezes thresholds as any run, and its signals are
judged by the lower bound of what they earned.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from signalbox.features import get_schema
from signalbox.market.candles import MINUTE_MS, Bars, Symbol
from training.config import TrainConfig
from training.data.dataset import DECISION_MINUTES, HORIZON_MINUTES, build_dataset
from training.data.splits import SplitName
from training.fit.members import Making
from training.judge.costs import DEFAULT_COSTS
from training.judge.estimates import Estimate
from training.judge.evaluation import evaluate
from training.recipe import families_of, freeze_all, periods_of

COVERAGE: Final = 0.20
_START_MS: Final = 1_640_995_200_000  # 2022-01-01
_CALM, _WILD = 2.5e-4, 5e-4  # deviation of a one-minute log return
_REGIME_HOURS: Final = 12
_STEPS, _CLOSE_BPS = 6, 0.05  # of the search for a pull that plants the edge
_STRONGEST: Final = 2.0  # deviations of the past hour from which the pull grows no more
_BLOCKS_AN_HOUR: Final = HORIZON_MINUTES // DECISION_MINUTES
_RECIPE: Final[dict[str, Any]] = {
    "families": ["xgboost"],
    "schema": "v31",
    "seed": 7,
    "folds": 0,
    "periods": {"train": 0.45, "early_stopping": 0.04, "calibration": 0.10, "thresholds": 0.04, "test": 0.37},
    "coverage": {"issue": COVERAGE, "high": 0.10},
    "weights": {"shrinkage": 1.0},
    "xgboost": {
        "members": 1,
        "threads": 1,
        "max_trees": 120,
        "patience": 0,
        "max_depth": 4,
        "eta": 0.04,
        "max_bin": 64,
        "min_child_weight": 300.0,
        "subsample": 0.6,
        "colsample_bytree": 0.5,
        "reg_lambda": 20.0,
    },
}


@dataclass(frozen=True, slots=True)
class PlantedMarket:
    """A market whose edge is known. edge_bps: what the best rule's signals earn on average before costs; 0: a random walk."""

    edge_bps: float
    days: int
    symbols: int
    seed: int


@dataclass(frozen=True, slots=True)
class PowerResult:
    """What the pipeline reported about one planted market.

    planted_bps: what the best rule's signals are expected to earn there, from the planted pull itself, without noise.
    gross_bps, precision: of the pipeline's issued signals in the test period.
    """

    market: PlantedMarket
    planted_bps: float
    gross_bps: Estimate
    precision: Estimate

    @property
    def found(self) -> bool:
        """Whether the pipeline reports an edge: the lower bound of what its signals earned is above 0."""
        return self.gross_bps.n > 0 and self.gross_bps.low > 0


def plant(market: PlantedMarket) -> tuple[list[Bars], float]:
    """Return the bars of every symbol, and what the best rule's signals are expected to earn, in basis points.

    The strength of the pull is found in steps: what the last one plants is measured, and the next one is in proportion to it.
    """
    strength = market.edge_bps * 1e-4 * 1.5
    pulls, returns = _path(market, strength)
    for _ in range(_STEPS if market.edge_bps else 0):
        planted = _best_rule_bps(*pulls)
        if abs(planted - market.edge_bps) < _CLOSE_BPS:
            break
        strength *= market.edge_bps / max(planted, market.edge_bps / 4)
        pulls, returns = _path(market, strength)
    rng = np.random.default_rng((market.seed, 1))
    bars = [_bars(Symbol(f"{name}-USD"), returns[:, i], rng) for i, name in enumerate(_names(market.symbols))]
    return bars, _best_rule_bps(*pulls) if market.edge_bps else 0.0


def find_edge(market: PlantedMarket) -> PowerResult:
    """Return what the pipeline reports about a planted market. Raises MarketDataError for too few days."""
    bars, planted = plant(market)
    config = TrainConfig.model_validate(_RECIPE)
    data = build_dataset(get_schema(config.schema_name), bars)
    parts = periods_of(data, config.spans(data.decided_at_ms))
    frozen, _ = freeze_all(config, families_of(config, data), parts, Making(seed=config.seed))
    found = evaluate(frozen[0].score(parts[SplitName.TEST]), train_up_rate=None, costs=DEFAULT_COSTS).issued
    return PowerResult(market, planted, found.gross_bps, found.precision)


def power_curve(edges_bps: Sequence[float], *, days: int, symbols: int, seeds: Sequence[int]) -> dict[float, list[PowerResult]]:
    """Return the results for each planted edge, one for each seed."""
    return {edge: [find_edge(PlantedMarket(edge, days, symbols, seed)) for seed in seeds] for edge in edges_bps}


def _names(count: int) -> tuple[str, ...]:
    return ("BTC", "ETH", "SOL", "ADA", "XRP", "DOT", "LTC", "BCH")[:count]


_Pulls = tuple[NDArray[np.float64], NDArray[np.float64]]


def _path(market: PlantedMarket, strength: float) -> tuple[_Pulls, NDArray[np.float64]]:
    """Return (pull a minute, strength of its cause), each (blocks, symbols), and (minutes, symbols) log returns.

    A block is five minutes; its pull is fixed at its beginning, where a decision is made.
    """
    rng = np.random.default_rng((market.seed, 0))
    blocks = market.days * 24 * _BLOCKS_AN_HOUR
    regimes = rng.random((-(-market.days * 24 // _REGIME_HOURS), market.symbols)) < 0.5
    is_wild = np.repeat(regimes, _REGIME_HOURS * _BLOCKS_AN_HOUR, axis=0)[:blocks]
    deviation = np.where(is_wild, _WILD, _CALM)
    noise = rng.normal(size=(blocks, DECISION_MINUTES, market.symbols)) * deviation[:, None, :]
    summed = noise.sum(axis=1)
    level, pull, cause = np.zeros((blocks + 1, market.symbols)), np.zeros_like(summed), np.zeros_like(summed)
    scale = deviation * np.sqrt(HORIZON_MINUTES)
    for block in range(blocks):
        if strength and block >= _BLOCKS_AN_HOUR:
            moved = (level[block] - level[block - _BLOCKS_AN_HOUR]) / scale[block]
            cause[block] = -np.clip(moved, -_STRONGEST, _STRONGEST) * is_wild[block]
            pull[block] = strength * cause[block] / HORIZON_MINUTES
        level[block + 1] = level[block] + summed[block] + DECISION_MINUTES * pull[block]
    returns: NDArray[np.float64] = (noise + pull[:, None, :]).reshape(-1, market.symbols)
    return (pull, cause), returns


def _best_rule_bps(pull: NDArray[np.float64], cause: NDArray[np.float64]) -> float:
    """Return the mean pull over the next hour, towards its side, of the fifth of decisions whose cause is strongest."""
    summed = np.cumsum(np.vstack((np.zeros((1, pull.shape[1])), pull)), axis=0) * DECISION_MINUTES
    ahead = summed[_BLOCKS_AN_HOUR:] - summed[:-_BLOCKS_AN_HOUR]
    cause = cause[: ahead.shape[0]]
    chosen = np.abs(cause) >= np.quantile(np.abs(cause), 1.0 - COVERAGE)
    return float((np.sign(cause) * ahead)[chosen].mean() * 1e4)


def _bars(symbol: Symbol, returns: NDArray[np.float64], rng: np.random.Generator) -> Bars:
    close = 100.0 * np.exp(np.cumsum(returns))
    open_ = np.concatenate(([100.0], close[:-1]))
    reach = np.abs(rng.normal(0.0, 2e-4, (2, returns.shape[0])))
    high, low = np.maximum(open_, close) * np.exp(reach[0]), np.minimum(open_, close) * np.exp(-reach[1])
    times = _START_MS + MINUTE_MS * np.arange(returns.shape[0], dtype=np.int64)
    return Bars(symbol, times, open_, high, low, close, np.exp(rng.normal(1.0, 0.5, returns.shape[0])))
