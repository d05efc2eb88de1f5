"""The quick run: real candles to a verified bundle in under two minutes on two cores.

train → early stopping → calibration → thresholds → test; the test period is scored once, by the bundle as it will be
loaded, and nothing is chosen on it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import xgboost as xgb
from numpy.typing import NDArray

from signalbox.features import get_schema
from signalbox.inference import BundleManifest, Ensemble, Gate, Verdict
from signalbox.inference.ensemble import sigmoid
from signalbox.inference.manifest import GOLDEN_FILE, REPORT_FILE, FrozenThresholds
from signalbox.market.candles import Bars, from_ms
from training.calibration import fit_temperature, freeze_thresholds
from training.candles import CandleSeries, find_candle_files, read_bars
from training.dataset import DECISION_MINUTES, ENTRY_LAG_BARS, HORIZON_MINUTES, Dataset, build_dataset
from training.evaluation import Evaluation, evaluate
from training.export import booster_to_onnx, parity_difference
from training.gates import GateResult, headline, judge, passes_promotion
from training.integrity import Integrity, placebo_precision, prefix_difference
from training.progress import Progress
from training.splits import Period, Span, split_chronologically
from training.trees import MAX_TREES, MEMBERS, PARAMETERS, fit_members
from training.writer import BundleWriter, code_version, golden_bytes, report_bytes

SCHEMA: Final = "v31"
GOLDEN_ROWS: Final = 24
_PREFIX_BARS: Final = 20_000


@dataclass(frozen=True, slots=True)
class TrainRequest:
    """What to train on. `created_at` is an argument, so that equal requests give equal bytes."""

    data: Path
    out: Path
    name: str
    seed: int
    created_at: datetime
    start: datetime | None = None
    end: datetime | None = None


@dataclass(frozen=True, slots=True)
class TrainResult:
    """What came out, for whoever asked."""

    headline: str
    manifest: BundleManifest
    evaluation: Evaluation
    gates: dict[Gate, GateResult]
    spans: dict[Period, Span]
    rows: dict[Period, int]


@dataclass(frozen=True, slots=True, eq=False)
class _Fitted:
    """Members with what was frozen on the calibration and threshold periods."""

    boosters: list[xgb.Booster]
    graphs: dict[str, bytes]
    onnx_difference: float
    temperature: float
    thresholds: FrozenThresholds
    golden: bytes


def train_quick(request: TrainRequest, progress: Progress) -> TrainResult:
    """Train, evaluate and write one bundle.

    Raises MarketDataError for candles that cannot be used, TrainingError for a request that cannot be met.
    """
    with BundleWriter(request.out) as writer:
        progress.stage("read candles", 0.10)
        files = find_candle_files(request.data)
        bars = [_told(read_bars(file, request.start, request.end), progress, i, len(files)) for i, file in enumerate(files)]
        progress.stage("features and labels", 0.20)
        schema, done = get_schema(SCHEMA), 0

        def count(_: object) -> None:
            nonlocal done
            done += 1
            progress.advance(done / len(bars))

        data = build_dataset(schema, bars, count)
        spans = split_chronologically(data.decided_at_ms)
        parts = {period: data.select(span.rows(data.decided_at_ms)) for period, span in spans.items()}
        progress.stage(f"fit {MEMBERS} x {MAX_TREES} trees", 0.50)
        fitted = _fit(parts, request.seed, progress)
        progress.stage("evaluate on the test period", 0.20)
        train_rows = {period: len(part) for period, part in parts.items()}
        draft = _draft(request, files, data, fitted, len(parts[Period.TRAIN]))
        contents = {**fitted.graphs, GOLDEN_FILE: fitted.golden}
        ensemble = writer.write(draft, {**contents, REPORT_FILE: report_bytes({"headline": "not evaluated"})})
        progress.advance(0.1)
        evaluation = _evaluate(ensemble, parts)
        progress.advance(0.5)
        gates = judge(evaluation, _integrity(ensemble, bars, spans[Period.TEST], fitted.onnx_difference))
        report = {
            "headline": headline(gates),
            "name": request.name,
            "label": "dir60",
            "gates": {gate: result.to_json() for gate, result in gates.items()},
            "test": evaluation.to_json(),
            "periods": _periods(spans, train_rows),
            **_provenance(request, data, fitted),
        }
        draft["gates"] = {gate: result.verdict for gate, result in gates.items()}
        draft["passes_promotion"] = passes_promotion(gates)
        ensemble = writer.write(draft, {**contents, REPORT_FILE: report_bytes(report)})
        writer.publish()
        progress.advance(1.0)
    return TrainResult(headline(gates), ensemble.manifest, evaluation, gates, spans, train_rows)


def _told(bars: Bars, progress: Progress, index: int, total: int) -> Bars:
    progress.advance((index + 1) / total)
    return bars


def _fit(parts: dict[Period, Dataset], seed: int, progress: Progress) -> _Fitted:
    boosters = fit_members(parts[Period.TRAIN], parts[Period.EARLY_STOPPING], seed, progress.advance)
    graphs, worst = {}, 0.0
    for i, booster in enumerate(boosters):
        name = f"xgboost-{i}.onnx"
        graphs[name] = booster_to_onnx(booster, len(parts[Period.TRAIN].schema.names), f"xgboost-{i}")
        worst = max(worst, parity_difference(booster, graphs[name], parts[Period.EARLY_STOPPING].features))
    calibration = parts[Period.CALIBRATION]
    logits = _logits(boosters, calibration.features)
    temperature = fit_temperature(logits, calibration.label.astype(np.float64))
    probability = sigmoid(logits / temperature)
    thresholds = freeze_thresholds(sigmoid(_logits(boosters, parts[Period.THRESHOLDS].features) / temperature))
    golden_rows = np.linspace(0, len(calibration) - 1, GOLDEN_ROWS).astype(np.int64)
    golden = golden_bytes(calibration.features[golden_rows].astype(np.float64), probability[golden_rows])
    return _Fitted(boosters, graphs, worst, temperature, thresholds, golden)


def _logits(boosters: Sequence[xgb.Booster], rows: NDArray[np.float32]) -> NDArray[np.float64]:
    matrix = xgb.DMatrix(rows)
    margins = [booster.predict(matrix, output_margin=True).astype(np.float64) for booster in boosters]
    mean: NDArray[np.float64] = np.mean(margins, axis=0)
    return mean


def _draft(
    request: TrainRequest, files: Sequence[CandleSeries], data: Dataset, fitted: _Fitted, fitted_rows: int
) -> dict[str, Any]:
    """Return the manifest before its gates are known."""
    schema = data.schema
    return {
        "format": 1,
        "name": request.name,
        "created_at": request.created_at,
        "code_version": code_version(),
        "feature_schema": {"name": schema.name, "hash": schema.hash},
        "members": [
            {"file": name, "family": "xgboost", "weight": 1.0 / MEMBERS, "input": "row", "output": "probability_pair"}
            for name in fitted.graphs
        ],
        "ensemble": "averaged_logits",
        "calibrator": {"kind": "temperature", "temperature": fitted.temperature},
        "label": {
            "name": "dir60",
            "horizon_minutes": HORIZON_MINUTES,
            "entry_lag_bars": ENTRY_LAG_BARS,
            "decision_minutes": DECISION_MINUTES,
        },
        "thresholds": fitted.thresholds,
        "training": {
            "symbols": data.symbols,
            "start": from_ms(int(data.decided_at_ms[0])),
            "end": from_ms(int(data.decided_at_ms[-1])),
            "rows": len(data),
            "fitted_rows": fitted_rows,
            "seed": request.seed,
            "sources": [{"name": file.name, "sha256": file.sha256()} for file in files],
        },
        "gates": dict.fromkeys(Gate, Verdict.NOT_EVALUATED),
        "passes_promotion": False,
    }


def _evaluate(ensemble: Ensemble, parts: dict[Period, Dataset]) -> Evaluation:
    test = parts[Period.TEST]
    probability = ensemble.predict(test.features.astype(np.float64))
    return evaluate(test, probability, ensemble.thresholds, train_up_rate=float(parts[Period.TRAIN].label.mean()))


def _integrity(ensemble: Ensemble, bars: Sequence[Bars], test: Span, onnx_difference: float) -> Integrity:
    newest = bars[0].last(_PREFIX_BARS)
    return Integrity(
        prefix_difference=prefix_difference(ensemble.schema, newest, np.random.default_rng(0)),
        onnx_difference=onnx_difference,
        placebo_precision=placebo_precision(ensemble, bars, test),
    )


def _periods(spans: dict[Period, Span], rows: dict[Period, int]) -> dict[str, Any]:
    return {
        period: {"start": span.start.isoformat(), "end": span.end.isoformat(), "rows": rows[period]}
        for period, span in spans.items()
    }


def _provenance(request: TrainRequest, data: Dataset, fitted: _Fitted) -> dict[str, Any]:
    return {
        "frozen": {"temperature": fitted.temperature, **fitted.thresholds.model_dump()},
        "configurations_tried": 1,
        "parameters": PARAMETERS,
        "trees": [booster.num_boosted_rounds() for booster in fitted.boosters],
        "seed": request.seed,
        "rows_by_symbol": {symbol: asdict(counts) for symbol, counts in data.counts.items()},
    }
