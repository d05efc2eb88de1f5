"""One training run, from candles to a verified and assessed bundle. recipe.py has the steps, the configuration their settings.

The test period is scored once, by the bundle as it will be loaded. Nothing is chosen on it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import numpy as np

from signalbox.features import get_schema
from signalbox.inference import BundleManifest, Ensemble, Gate, Verdict
from signalbox.inference.ensemble import calibrated
from signalbox.inference.manifest import GOLDEN_FILE, REPORT_FILE, LabelContract
from signalbox.market.candles import Bars, from_ms
from training.config import TrainConfig
from training.data.candles import CandleSeries, find_candle_files
from training.data.dataset import Dataset, build_dataset
from training.data.splits import Span, SplitName
from training.errors import TrainingError
from training.evaluate import read_all
from training.fit.checkpoints import Checkpoints, RunIdentity
from training.fit.export import export_members
from training.fit.members import FitSpeed, FittedMember, Making
from training.judge.assessment import Assessment, assess
from training.judge.costs import costs_of
from training.judge.evaluation import evaluate
from training.judge.history import TRIALS_FILE, overlap_of
from training.judge.integrity import check_integrity
from training.judge.overfitting import Trials
from training.judge.scoring import score
from training.progress import Progress, each_of
from training.recipe import FoldResults, FrozenRecipe, families_of, freeze_all, periods_of, require_torch, run_folds, trials_of
from training.write.report_page import render_page
from training.write.tracking import NoTracking, Tracking
from training.write.writer import BundleWriter, array_bytes, code_version, report_bytes

PAGE_FILE: Final = "report.html"
SPEED_FILE: Final = "speed.json"  # measured times: the one file that differs between equal requests
GOLDEN_ROWS: Final = 24


@dataclass(frozen=True, slots=True)
class TrainRequest:
    """What to train on. `created_at` is an argument so that equal requests give equal bytes, except for the measured speed.

    checkpoints: the folder that an interrupted run resumes from; next to `out` if not given. It is removed when the bundle is
    written.
    """

    data: Path
    out: Path
    name: str
    config: TrainConfig
    created_at: datetime
    start: datetime | None = None
    end: datetime | None = None
    checkpoints: Path | None = None
    tracking: Tracking = field(default_factory=NoTracking)

    @property
    def checkpoint_folder(self) -> Path:
        return self.checkpoints or self.out.with_name(f"{self.out.name}.checkpoints")


@dataclass(frozen=True, slots=True, eq=False)
class TrainResult:
    """The result of a training run."""

    manifest: BundleManifest
    assessment: Assessment
    spans: dict[SplitName, Span]
    rows: dict[SplitName, int]
    speeds: list[FitSpeed]


@dataclass(frozen=True, slots=True, eq=False)
class _Run:
    """The parts that the report and the manifest are made from."""

    request: TrainRequest
    files: Sequence[CandleSeries]
    data: Dataset
    spans: dict[SplitName, Span]
    parts: dict[SplitName, Dataset]
    tried: list[FrozenRecipe]
    folds: FoldResults | None
    trials: Trials
    speeds: list[FitSpeed]
    checkpoints: Checkpoints

    @property
    def chosen(self) -> FrozenRecipe:
        return self.tried[0]

    @property
    def train_up_rate(self) -> float:
        return float(self.parts[SplitName.TRAIN].label.mean())

    @property
    def judged_by(self) -> str:
        """Which fit the figures are of, in words."""
        if SplitName.TEST in self.spans:
            return "this bundle, on its test period"
        count, until = len(_folds_of(self).spans), self.spans[SplitName.TRAIN].end
        return (
            f"{count} earlier fits of the same recipe, each on the period after it (walk-forward); "
            f"this bundle was fitted anew until {until:%Y-%m-%d} and has no test period"
        )


def train_bundle(request: TrainRequest, progress: Progress) -> TrainResult:
    """Train, assess and write one bundle. A run that was killed resumes from its last complete epoch.

    Raises MarketDataError for candles that cannot be used, TrainingError for a request that cannot be met.
    """
    require_torch(request.config)
    finished = False
    try:
        with BundleWriter(request.out) as writer:
            request.tracking.begin(request.name, request.config.model_dump(mode="json", by_alias=True))
            result = _train_into(writer, request, progress)
        finished = True
        request.tracking.artefacts(request.out)
    finally:
        request.tracking.end(finished=finished)
    return result


def _train_into(writer: BundleWriter, request: TrainRequest, progress: Progress) -> TrainResult:
    progress.stage("read candles", 0.05)
    files = find_candle_files(request.data)
    bars = read_all(files, request.start, request.end, progress)
    run = _run(request, files, bars, progress)
    progress.stage("judge on the test period", 0.15)
    names = member_files([member for member, _ in run.chosen.members])
    graphs, exported = export_members(names, run.parts[SplitName.CALIBRATION])
    contents = {
        **graphs,
        GOLDEN_FILE: _golden(run),
        SPEED_FILE: report_bytes({"families": [{**asdict(one), "samples_a_second": one.samples_a_second} for one in run.speeds]}),
    }
    if run.trials.daily_bps is not None and run.trials.daily_bps.shape[1] > 1:
        contents[TRIALS_FILE] = array_bytes(daily_bps=run.trials.daily_bps)
    draft = _draft(run, list(names))
    ensemble = writer.write(draft, {**contents, REPORT_FILE: report_bytes({"headline": "not evaluated"})})
    progress.advance(0.2)
    assessment = _assess(run, ensemble, writer.partial, bars, exported)
    draft["gates"] = {gate: result.verdict for gate, result in assessment.gates.items()}
    draft["passes_promotion"] = assessment.qualifies
    contents[REPORT_FILE] = report_bytes({**assessment.to_json(), **_provenance(run)})
    contents[PAGE_FILE] = render_page(assessment, [file.name for file in run.files]).encode()
    manifest = writer.write(draft, contents).manifest
    writer.publish()
    run.checkpoints.remove()
    issued = assessment.evaluation.issued
    judged = {
        "precision": issued.precision.value,
        "coverage": issued.coverage,
        "net_bps": next(iter(issued.net_bps.values())).value,
    }
    request.tracking.metrics("test", 0, judged)
    progress.advance(1.0)
    rows = {period: len(part) for period, part in run.parts.items()}
    return TrainResult(manifest, assessment, run.spans, rows, run.speeds)


def _run(request: TrainRequest, files: Sequence[CandleSeries], bars: Sequence[Bars], progress: Progress) -> _Run:
    config, cost = request.config, costs_of(request.config.contract)[0]
    progress.stage("features and labels", 0.05)
    data = build_dataset(
        get_schema(config.schema_name),
        bars,
        each_of(progress, len(bars)),
        window_bars=config.window_bars,
        contract=config.contract,
    )
    spans = config.spans(data.decided_at_ms)
    if config.folds:
        config.walk_forward.spans(data.decided_at_ms)  # fails now if there are too few days, not after hours of fitting
    parts = periods_of(data, spans)
    identity = RunIdentity.of(config.model_dump_json(by_alias=True), data, code_version())
    making = Making(
        seed=config.seed,
        on_progress=progress.advance,
        detail=progress.detail,
        on_epoch=request.tracking.metrics,
        checkpoints=Checkpoints(request.checkpoint_folder, identity),
    )
    families = families_of(config, data)
    progress.stage(f"fit {', '.join(config.families)}", 0.75 / (1 + config.folds))
    tried, speeds = freeze_all(config, families, parts, making)
    folds = None
    if config.folds:
        progress.stage(f"walk forward in {config.folds} folds", 0.75 * config.folds / (1 + config.folds))
        folds = run_folds(config, families, data, cost, making)
    whole = folds if config.folds_are_whole else None  # else the folds fitted another recipe
    trials = trials_of(tried, parts.get(SplitName.TEST), whole, cost)
    return _Run(request, files, data, spans, parts, tried, folds, trials, speeds, making.checkpoints)


def member_files(members: Sequence[FittedMember]) -> dict[str, FittedMember]:
    """Return the members by the file names of their graphs, FAMILY-NUMBER.onnx."""
    seen: dict[str, int] = {}
    named = {}
    for member in members:
        number = seen.get(member.family, 0)
        named[f"{member.family}-{number}.onnx"] = member
        seen[member.family] = number + 1
    return named


def _golden(run: _Run) -> bytes:
    """Return golden decisions as the bundle will receive them, with the probabilities of the models before export."""
    chosen, calibration = run.chosen, run.parts[SplitName.CALIBRATION]
    spread = np.linspace(0, len(calibration) - 1, GOLDEN_ROWS).astype(np.int64)
    windows = calibration.windows(spread, chosen.window_bars)
    total = np.zeros(GOLDEN_ROWS)
    for member, weight in chosen.members:
        seen = windows[:, -1] if member.window_bars is None else windows[:, -member.window_bars :]
        total += weight * member.logits_of(np.ascontiguousarray(seen))
    given = windows[:, -1] if chosen.window_bars == 1 else windows
    return array_bytes(features=np.ascontiguousarray(given), probability_up=calibrated(total, chosen.calibrator))


def _assess(run: _Run, ensemble: Ensemble, folder: Path, bars: Sequence[Bars], exported: float) -> Assessment:
    """Judge on the test period of the bundle; of a refitted one by the walk-forward, each decision by the model of its fold."""
    if SplitName.TEST in run.spans:
        span, scored = run.spans[SplitName.TEST], score(ensemble, run.parts[SplitName.TEST])
        seen = {period.value: one for period, one in run.spans.items() if period is not SplitName.TEST}
    else:
        folds = _folds_of(run)
        span, scored, seen = folds.tested, folds.scored, {}
    return assess(
        ensemble.manifest,
        scored,
        span,
        integrity=check_integrity(ensemble, folder, bars, span, exported=exported),
        trials=run.trials,
        train_up_rate=run.train_up_rate,
        overlap=overlap_of(span, seen),
        costs=costs_of(ensemble.contract),
        folds=run.folds.stability if run.folds is not None and run.request.config.folds_are_whole else None,
        judged_by=run.judged_by,
    )


def _folds_of(run: _Run) -> FoldResults:
    if run.folds is None:
        raise TrainingError("expected a walk-forward: a bundle that is fitted on all data is judged by nothing else")
    return run.folds


def _draft(run: _Run, members: Sequence[str]) -> dict[str, Any]:
    """Return the manifest before the gates are judged."""
    request, data, schema = run.request, run.data, run.data.schema
    return {
        "format": 1,
        "name": request.name,
        "created_at": request.created_at,
        "code_version": code_version(),
        "feature_schema": {"name": schema.name, "hash": schema.hash},
        "members": [
            {
                "file": name,
                "family": member.family,
                "weight": weight,
                "input": "row" if member.window_bars is None else "window",
                "window_bars": member.window_bars,
                "output": member.output,
            }
            for name, (member, weight) in zip(members, run.chosen.members, strict=True)
        ],
        "ensemble": "averaged_logits",
        "calibrator": run.chosen.calibrator,
        "label": LabelContract.of(data.contract),
        "thresholds": run.chosen.thresholds,
        "training": {
            "symbols": data.symbols,
            "start": from_ms(int(data.decided_at_ms[0])),
            "end": from_ms(int(data.decided_at_ms[-1])),
            "rows": len(data),
            "fitted_rows": len(run.parts[SplitName.TRAIN]),
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
        "frozen": {**run.chosen.calibrator.model_dump(exclude={"kind"}), **run.chosen.thresholds.model_dump()},
        "configurations_tried": len(run.tried),
        "tried": [
            {
                "name": one.name,
                "stopping_loss": one.stopping_loss,
                "equal_weights_loss": one.equal_loss,
                "family_weights": one.family_weights,
                "members": one.facts,
            }
            for one in run.tried
        ],
        "chosen": run.chosen.name,
        "config": run.request.config.model_dump(mode="json", by_alias=True),
        "walk_forward": None if run.folds is None else _walk_forward(run.folds, run.train_up_rate, run.request.config.folded),
        "rows_by_symbol": {symbol: asdict(counts) for symbol, counts in run.data.counts.items()},
    }


def _walk_forward(folds: FoldResults, train_up_rate: float, families: Sequence[str]) -> dict[str, Any]:
    """Return the pooled figures of all folds, where each decision is scored by the model of its own fold."""
    spans: Sequence[Mapping[SplitName, Span]] = folds.spans
    return {
        "families": families,
        "folds": [
            {
                **{period: [span.start.isoformat(), span.end.isoformat()] for period, span in fold.items()},
                "chosen": chosen,
                "test_log_loss": loss,
            }
            for fold, chosen, loss in zip(spans, folds.chosen, folds.losses, strict=True)
        ],
        "pooled": evaluate(folds.scored, train_up_rate=train_up_rate, costs=costs_of(folds.scored.data.contract)).to_json(),
    }
