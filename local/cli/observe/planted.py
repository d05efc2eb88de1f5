"""A market with a known edge and a model that has it: what an observation must end in GO with, and its faulty twins.

Prices trend for hours at a time. The model buys what rose during the last hour, so its edge follows from the market's own
construction. It is judged by the code that judges every bundle, on days before the observation. It says nothing of a real market.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from local.market.source import HistoryCoverage
from signalbox.features import get_schema
from signalbox.inference.manifest import Gate, Verdict
from signalbox.market.candles import MINUTE_MS, Bars, Symbol, from_ms, to_ms
from training.data.dataset import build_dataset
from training.data.splits import Span
from training.judge.assessment import Assessment, assess
from training.judge.history import overlap_of
from training.judge.integrity import check_integrity
from training.judge.overfitting import Trials
from training.judge.scoring import score
from training.write.writer import BundleWriter, array_bytes, code_version, report_bytes

JUDGED_DAYS: Final = 10  # before the observation; the model is calibrated on the first half and judged on the second
WARM_UP: Final = timedelta(days=4)
SCHEMA: Final = get_schema("v31")
FEATURE: Final = "return_60_volscaled"
COVERAGE: Final = 0.2
TREND: Final = 1.6  # standard deviations that a trend moves the price in an hour
MINUTE_VOLATILITY: Final = 4e-4
TREND_MINUTES: Final = (240, 720)  # shortest and longest trend
PRICES: Final = {"BTC-USD": 60_000.0, "ETH-USD": 3_000.0, "SOL-USD": 140.0}


class PlantedModel(StrEnum):
    """A model for the planted market."""

    GOOD = "good-model"
    FLIPPED = "flipped-model"  # every side the other way round, and golden vectors that agree
    DOUBLED_RATE = "doubled-rate"  # issues far more signals than its evaluation says


class TrendingMarket:
    """Bars of a market that trends, from WARM_UP before the days that the model is judged on, to the end of the observation."""

    def __init__(self, start: datetime, end: datetime, seed: int = 11) -> None:
        self.first, self.last = start - timedelta(days=JUDGED_DAYS) - WARM_UP, end
        self._bars = {symbol: _trending(symbol, self.first, end, [seed, n]) for n, symbol in enumerate(PRICES)}

    @property
    def name(self) -> str:
        return "a planted market that trends"

    def coverage(self, symbols: Sequence[Symbol]) -> HistoryCoverage:  # noqa: ARG002 - the same for all symbols
        return HistoryCoverage(self.first, self.last)

    def default_end(self, symbols: Sequence[Symbol]) -> datetime:  # noqa: ARG002 - as above
        return self.last

    def bars(self, symbol: Symbol, start: datetime, end: datetime) -> Bars:
        one = self._bars[symbol]
        low, high = np.searchsorted(one.open_time_ms, [to_ms(start), to_ms(end)])
        return one.window(slice(int(low), int(high)))


def _trending(symbol: str, start: datetime, end: datetime, seed: list[int]) -> Bars:
    rng = np.random.default_rng(seed)
    count = (to_ms(end) - to_ms(start)) // MINUTE_MS
    drift = np.empty(count)
    at, side = 0, 1.0
    while at < count:
        length = int(rng.integers(*TREND_MINUTES))
        drift[at : at + length] = side
        at, side = at + length, -side  # trends alternate, so that days of observation leave the price where it was
    returns = MINUTE_VOLATILITY * (rng.standard_normal(count) + drift * TREND / np.sqrt(60.0))
    close = np.round(PRICES[symbol] * np.exp(np.cumsum(returns)), 2)
    open_ = np.concatenate(([PRICES[symbol]], close[:-1]))
    reach = np.abs(rng.normal(0.0, 0.4 * MINUTE_VOLATILITY, (2, count)))
    high = np.round(np.maximum(open_, close) * (1 + reach[0]), 2)
    low = np.round(np.minimum(open_, close) * (1 - reach[1]), 2)
    volume = np.round(np.exp(rng.normal(1.0, 0.5, count)), 8).astype(np.float64)
    times = to_ms(start) + MINUTE_MS * np.arange(count, dtype=np.int64)
    return Bars(Symbol(symbol), times, open_, high, low, close, volume)


@dataclass(frozen=True, slots=True)
class PlantedBundle:
    """A bundle on disk, with how it was judged on the days before the observation."""

    folder: Path
    assessment: Assessment


def write_planted_bundle(kind: PlantedModel, market: TrendingMarket, target: Path) -> PlantedBundle:
    """Fit the threshold, judge the good model, and write it or its faulty twin with the good model's report."""
    bars = [market.bars(Symbol(symbol), market.first, market.last) for symbol in PRICES]
    judged_from = market.first + WARM_UP + timedelta(days=JUDGED_DAYS // 2)
    until = market.first + WARM_UP + timedelta(days=JUDGED_DAYS)
    known = [one.until(until) for one in bars]
    fit = Span(to_ms(market.first + WARM_UP), to_ms(judged_from))
    data = build_dataset(SCHEMA, known)
    column = data.features[fit.rows(data.decided_at_ms), SCHEMA.names.index(FEATURE)].astype(np.float64)
    strength = _fitted(column, data.label[fit.rows(data.decided_at_ms)].astype(np.float64))
    margins = np.abs(1.0 / (1.0 + np.exp(-strength * column)) - 0.5)
    issue, high = (float(np.quantile(margins, 1.0 - share)) for share in (COVERAGE, COVERAGE / 2))
    span = Span(to_ms(judged_from), to_ms(until))
    facts = _facts(fit, int(data.decided_at_ms.size), int(column.size), issue, high)
    with BundleWriter(target) as writer:
        ensemble = writer.write(facts, _contents(strength, {"headline": "not judged yet"}))
        scored = score(ensemble, data.select(span.rows(data.decided_at_ms)))
        assessment = assess(
            ensemble.manifest,
            scored,
            span,
            integrity=check_integrity(ensemble, writer.partial, known, span),
            trials=Trials(1, None),
            train_up_rate=None,
            overlap=overlap_of(span, {"calibration": fit}),
        )
    gates = {gate: one.verdict for gate, one in assessment.gates.items()}
    facts |= {"gates": gates, "passes_promotion": assessment.qualifies}
    if kind is PlantedModel.DOUBLED_RATE:
        facts["thresholds"] = {"issue_margin": float(np.quantile(margins, 1.0 - 4.0 * COVERAGE)), "high_margin": high}
    with BundleWriter(target) as writer:
        writer.write(facts, _contents(-strength if kind is PlantedModel.FLIPPED else strength, assessment.to_json()))
        writer.publish()
    return PlantedBundle(target, assessment)


def _fitted(x: NDArray[np.float64], label: NDArray[np.float64]) -> float:
    """Return the strength k that fits sigmoid(k x) to the labels: Newton's method on one parameter, which is convex."""
    strength = 0.0
    for _ in range(25):
        p = 1.0 / (1.0 + np.exp(-strength * x))
        strength += float(np.sum(x * (label - p)) / np.sum(x * x * p * (1 - p)))
    return strength


def _contents(strength: float, report: Any) -> dict[str, bytes]:
    rows = np.random.default_rng(0).normal(0.0, 1.0, (8, len(SCHEMA.names))).astype(np.float32)
    at = SCHEMA.names.index(FEATURE)
    weights = np.zeros((len(SCHEMA.names), 1), dtype=np.float32)
    weights[at] = strength
    golden = 1.0 / (1.0 + np.exp(-rows[:, at].astype(np.float64) * float(np.float32(strength))))
    return {
        "linear.onnx": _linear(weights),
        "golden.npz": array_bytes(features=rows.astype(np.float64), probability_up=golden),
        "report.json": report_bytes(report),
    }


def _linear(weights: NDArray[np.float32]) -> bytes:
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["features", "w"], ["logit"])],
        "linear",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, [None, len(weights)])],
        [helper.make_tensor_value_info("logit", TensorProto.FLOAT, [None, 1])],
        [numpy_helper.from_array(weights, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    content: bytes = model.SerializeToString()
    return content


def _facts(fit: Span, rows: int, fitted: int, issue: float, high: float) -> dict[str, Any]:
    start, end = from_ms(fit.start_ms), from_ms(fit.end_ms)
    return {
        "format": 1,
        "name": "planted-trend",
        "created_at": datetime(end.year, end.month, end.day, tzinfo=UTC),
        "code_version": code_version(),
        "feature_schema": {"name": SCHEMA.name, "hash": SCHEMA.hash},
        "members": [{"file": "linear.onnx", "family": "xgboost", "weight": 1.0, "input": "row", "output": "logit"}],
        "ensemble": "averaged_logits",
        "calibrator": {"kind": "temperature", "temperature": 1.0},
        "label": {"name": "dir60", "horizon_minutes": 60, "entry_lag_bars": 1, "decision_minutes": 5},
        "thresholds": {"issue_margin": issue, "high_margin": high},
        "training": {
            "symbols": list(PRICES),
            "start": start,
            "end": end,
            "rows": rows,
            "fitted_rows": fitted,
            "seed": 0,
            "sources": [],
        },
        "gates": dict.fromkeys(Gate, Verdict.NOT_EVALUATED),
        "passes_promotion": False,
    }
