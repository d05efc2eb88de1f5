"""`signalbox evaluate`: judge any bundle on any period of candles. Features are computed anew from the candles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from signalbox.inference import Workspace, load_bundle
from signalbox.labels import CONTRACTS
from signalbox.market.candles import ONE_MINUTE, Bars, MarketDataError, from_ms, to_ms
from training.data.candles import CandleSeries, find_candle_files, read_bars
from training.data.dataset import build_dataset
from training.data.splits import Span
from training.judge.assessment import Assessment, assess
from training.judge.costs import DEFAULT_COSTS, CostModel, costs_of
from training.judge.history import overlap_of, read_history
from training.judge.integrity import check_integrity
from training.judge.kept_scores import KeptScores
from training.judge.scoring import score
from training.progress import Progress, each_of


@dataclass(frozen=True, slots=True)
class EvaluateRequest:
    """The bundle to evaluate, and the candles to evaluate it on.

    start, end: aware instants that bound decisions and their outcomes; None means no bound.
    scores: the folder of scores from earlier runs (kept_scores.py); None scores everything anew.
    """

    bundle: Path
    data: Path
    start: datetime | None = None
    end: datetime | None = None
    costs: Sequence[CostModel] = DEFAULT_COSTS
    scores: Path | None = None


@dataclass(frozen=True, slots=True, eq=False)
class EvaluateResult:
    """The assessment, and the candle files it was made from."""

    assessment: Assessment
    sources: tuple[CandleSeries, ...]
    reused: int  # decisions with a score from an earlier run, including the placebo's

    def to_json(self) -> dict[str, Any]:
        data = self.assessment.scored.data
        return {
            **self.assessment.to_json(),
            "sources": [{"name": source.name, "sha256": source.sha256()} for source in self.sources],
            "rows_by_symbol": data.counts,
        }


def evaluate_bundle(request: EvaluateRequest, progress: Progress) -> EvaluateResult:
    """Score a bundle on a period and judge it.

    Raises BundleError for an unusable bundle, MarketDataError if the period has no decision.
    """
    ensemble = load_bundle(request.bundle, Workspace.MACHINE, contracts=CONTRACTS.values())
    kept = None if request.scores is None else KeptScores(request.scores)
    progress.stage("read candles", 0.10)
    files = find_candle_files(request.data)
    history = timedelta(minutes=2 * ensemble.history_bars + 1440)  # twice what is needed, because gaps use up minutes
    earliest = None if request.start is None else request.start - history
    bars = read_all(files, earliest, request.end, progress)
    span = _span(request, bars)
    progress.stage("features and labels", 0.35)
    data = build_dataset(
        ensemble.schema, bars, each_of(progress, len(bars)), window_bars=ensemble.window_bars, contract=ensemble.contract
    )
    chosen = span.rows_of(data)
    if not chosen.any():
        raise MarketDataError(
            f"{request.data}: no decision from {span.start:%Y-%m-%d %H:%M} to {span.end:%Y-%m-%d %H:%M} has its features and its "
            f"outcome; features need {ensemble.history_bars} minutes before, the outcome {ensemble.contract.window_minutes} after"
        )
    progress.stage("score", 0.20)
    scored = score(ensemble, data.select(chosen), progress.advance, kept)
    progress.stage("integrity", 0.20)
    integrity = check_integrity(ensemble, request.bundle, bars, span, kept=kept)
    progress.stage("figures and gates", 0.15)
    made = read_history(request.bundle, ensemble.manifest)
    decided = scored.data.decided_at_ms
    judged = Span(int(decided[0]), int(decided[-1]) + data.purge_ms)
    result = assess(
        ensemble.manifest,
        scored,
        judged,
        integrity=integrity,
        trials=made.trials,
        train_up_rate=made.train_up_rate,
        overlap=overlap_of(judged, made.seen),
        costs=costs_of(ensemble.contract, request.costs),
    )
    progress.advance(1.0)
    return EvaluateResult(result, files, 0 if kept is None else kept.reused)


def read_all(files: Sequence[CandleSeries], start: datetime | None, end: datetime | None, progress: Progress) -> list[Bars]:
    """Return the bars of every symbol in a period. None means no bound."""
    on_progress, bars = each_of(progress, len(files)), []
    for file in files:
        bars.append(read_bars(file, start, end))
        on_progress(file)
    return bars


def _span(request: EvaluateRequest, bars: Sequence[Bars]) -> Span:
    """Return the requested period, or the period that the candles cover."""
    start = request.start or from_ms(min(int(one.open_time_ms[0]) for one in bars))
    end = request.end or from_ms(max(int(one.open_time_ms[-1]) for one in bars)) + ONE_MINUTE
    if start >= end:
        raise MarketDataError(f"expected --start before --end, got {start.isoformat()} and {end.isoformat()}")
    return Span(to_ms(start), to_ms(end))
