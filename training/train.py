"""One training run: candles to a verified, judged bundle. What is done is the recipe's (recipe.py) and the configuration's.

The test period is scored once, by the bundle as it will be loaded, and nothing is chosen on it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import numpy as np

from signalbox.features import get_schema
from signalbox.inference import BundleManifest, Ensemble, Gate, Verdict
from signalbox.inference.manifest import GOLDEN_FILE, REPORT_FILE
from signalbox.market.candles import Bars, from_ms
from training.assessment import Assessment, assess
from training.candles import CandleSeries, find_candle_files
from training.config import TrainConfig
from training.costs import DEFAULT_COSTS
from training.dataset import DECISION_MINUTES, ENTRY_LAG_BARS, HORIZON_MINUTES, Dataset, build_dataset
from training.evaluate import read_all
from training.evaluation import evaluate
from training.export import booster_to_onnx, parity_difference
from training.history import TRIALS_FILE, overlap_of
from training.integrity import check_integrity
from training.overfitting import Trials
from training.progress import Progress, each_of
from training.recipe import FoldResults, Frozen, freeze_all, periods_of, run_folds, trials_of
from training.report_page import render_page
from training.scoring import score
from training.splits import Period, Span, split_chronologically
from training.writer import BundleWriter, array_bytes, code_version, report_bytes

PAGE_FILE: Final = "report.html"
GOLDEN_ROWS: Final = 24


@dataclass(frozen=True, slots=True)
class TrainRequest:
    """What to train on. `created_at` is an argument, so that equal requests give equal bytes."""

    data: Path
    out: Path
    name: str
    config: TrainConfig
    created_at: datetime
    start: datetime | None = None
    end: datetime | None = None


@dataclass(frozen=True, slots=True, eq=False)
class TrainResult:
    """What came out, for whoever asked."""

    manifest: BundleManifest
    assessment: Assessment
    spans: dict[Period, Span]
    rows: dict[Period, int]


@dataclass(frozen=True, slots=True, eq=False)
class _Run:
    """What the report and the manifest are made of."""

    request: TrainRequest
    files: Sequence[CandleSeries]
    data: Dataset
    spans: dict[Period, Span]
    parts: dict[Period, Dataset]
    tried: list[Frozen]
    folds: FoldResults | None
    trials: Trials

    @property
    def chosen(self) -> Frozen:
        return self.tried[0]

    @property
    def train_up_rate(self) -> float:
        return float(self.parts[Period.TRAIN].label.mean())


def train_bundle(request: TrainRequest, progress: Progress) -> TrainResult:
    """Train, judge and write one bundle.

    Raises MarketDataError for candles that cannot be used, TrainingError for a request that cannot be met.
    """
    with BundleWriter(request.out) as writer:
        progress.stage("read candles", 0.10)
        files = find_candle_files(request.data)
        bars = read_all(files, request.start, request.end, progress)
        run = _run(request, files, bars, progress)
        progress.stage("judge on the test period", 0.15)
        graphs, exported = _export(run)
        calibration = run.parts[Period.CALIBRATION]
        golden_rows = calibration.features[np.linspace(0, len(calibration) - 1, GOLDEN_ROWS).astype(np.int64)]
        golden = array_bytes(features=golden_rows.astype(np.float64), probability_up=run.chosen.probability(golden_rows))
        contents = {**graphs, GOLDEN_FILE: golden}
        if run.trials.daily_bps is not None and run.trials.daily_bps.shape[1] > 1:
            contents[TRIALS_FILE] = array_bytes(daily_bps=run.trials.daily_bps)
        draft = _draft(run, list(graphs))
        ensemble = writer.write(draft, {**contents, REPORT_FILE: report_bytes({"headline": "not evaluated"})})
        progress.advance(0.2)
        assessment = _assess(run, ensemble, writer.partial, bars, exported)
        draft["gates"] = {gate: result.verdict for gate, result in assessment.gates.items()}
        draft["passes_promotion"] = assessment.qualifies
        contents[REPORT_FILE] = report_bytes({**assessment.to_json(), **_provenance(run)})
        contents[PAGE_FILE] = render_page(assessment).encode()
        manifest = writer.write(draft, contents).manifest
        writer.publish()
        progress.advance(1.0)
    return TrainResult(manifest, assessment, run.spans, {period: len(part) for period, part in run.parts.items()})


def _run(request: TrainRequest, files: Sequence[CandleSeries], bars: Sequence[Bars], progress: Progress) -> _Run:
    config, cost = request.config, DEFAULT_COSTS[0]
    progress.stage("features and labels", 0.15)
    data = build_dataset(get_schema(config.schema_name), bars, each_of(progress, len(bars)))
    spans = split_chronologically(data.decided_at_ms, config.periods.shares)
    parts = periods_of(data, spans)
    count = len(config.candidates)
    progress.stage(f"fit {count} x {config.xgboost.members} x {config.xgboost.max_trees} trees", 0.60 / (1 + config.folds))
    tried = freeze_all(config, parts, progress.advance)
    folds = None
    if config.folds:
        progress.stage(f"walk forward in {config.folds} folds", 0.60 * config.folds / (1 + config.folds))
        folds = run_folds(config, data, cost, progress.advance)
    trials = trials_of(tried, parts[Period.TEST], folds, cost)
    return _Run(request, files, data, spans, parts, tried, folds, trials)


def _export(run: _Run) -> tuple[dict[str, bytes], float]:
    """Return the ONNX graphs and the largest difference of a probability from the boosters'."""
    graphs, worst = {}, 0.0
    for i, booster in enumerate(run.chosen.boosters):
        name = f"xgboost-{i}.onnx"
        graphs[name] = booster_to_onnx(booster, len(run.data.schema.names), f"xgboost-{i}")
        worst = max(worst, parity_difference(booster, graphs[name], run.parts[Period.EARLY_STOPPING].features))
    return graphs, worst


def _assess(run: _Run, ensemble: Ensemble, folder: Path, bars: Sequence[Bars], exported: float) -> Assessment:
    test = run.spans[Period.TEST]
    seen = {period.value: span for period, span in run.spans.items() if period is not Period.TEST}
    return assess(
        ensemble.manifest,
        score(ensemble, run.parts[Period.TEST]),
        test,
        integrity=check_integrity(ensemble, folder, bars, test, exported),
        trials=run.trials,
        train_up_rate=run.train_up_rate,
        overlap=overlap_of(test, seen),
        folds=None if run.folds is None else run.folds.stability,
    )


def _draft(run: _Run, members: Sequence[str]) -> dict[str, Any]:
    """Return the manifest before its gates are known."""
    request, data, schema = run.request, run.data, run.data.schema
    return {
        "format": 1,
        "name": request.name,
        "created_at": request.created_at,
        "code_version": code_version(),
        "feature_schema": {"name": schema.name, "hash": schema.hash},
        "members": [
            {"file": name, "family": "xgboost", "weight": 1.0 / len(members), "input": "row", "output": "probability_pair"}
            for name in members
        ],
        "ensemble": "averaged_logits",
        "calibrator": {"kind": "temperature", "temperature": run.chosen.temperature},
        "label": {
            "name": "dir60",
            "horizon_minutes": HORIZON_MINUTES,
            "entry_lag_bars": ENTRY_LAG_BARS,
            "decision_minutes": DECISION_MINUTES,
        },
        "thresholds": run.chosen.thresholds,
        "training": {
            "symbols": data.symbols,
            "start": from_ms(int(data.decided_at_ms[0])),
            "end": from_ms(int(data.decided_at_ms[-1])),
            "rows": len(data),
            "fitted_rows": len(run.parts[Period.TRAIN]),
            "seed": request.config.seed,
            "sources": [{"name": file.name, "sha256": file.sha256()} for file in run.files],
        },
        "gates": dict.fromkeys(Gate, Verdict.NOT_EVALUATED),
        "passes_promotion": False,
    }


def _provenance(run: _Run) -> dict[str, Any]:
    return {
        "periods": {
            period: {"start": span.start.isoformat(), "end": span.end.isoformat(), "rows": len(run.parts[period])}
            for period, span in run.spans.items()
        },
        "train_up_rate": run.train_up_rate,
        "frozen": {"temperature": run.chosen.temperature, **run.chosen.thresholds.model_dump()},
        "configurations_tried": len(run.tried),
        "tried": [
            {"name": one.name, "stopping_loss": one.stopping_loss, "trees": [b.num_boosted_rounds() for b in one.boosters]}
            for one in run.tried
        ],
        "chosen": run.chosen.name,
        "config": run.request.config.model_dump(mode="json", by_alias=True),
        "walk_forward": None if run.folds is None else _walk_forward(run.folds, run.train_up_rate),
        "rows_by_symbol": {symbol: asdict(counts) for symbol, counts in run.data.counts.items()},
    }


def _walk_forward(folds: FoldResults, train_up_rate: float) -> dict[str, Any]:
    """Return the pooled figures of all folds, each decision scored by the model of its fold."""
    spans: Sequence[Mapping[Period, Span]] = folds.spans
    return {
        "folds": [
            {**{period: [span.start.isoformat(), span.end.isoformat()] for period, span in fold.items()}, "chosen": chosen}
            for fold, chosen in zip(spans, folds.chosen, strict=True)
        ],
        "pooled": evaluate(folds.scored, train_up_rate=train_up_rate).to_json(),
    }
