"""Terminal side of `signalbox train` and `signalbox evaluate`. The work itself is in train.py and evaluate.py."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from training.config import QUICK, read_config
from training.errors import TrainingError
from training.evaluate import EvaluateRequest, EvaluateResult, evaluate_bundle
from training.judge.costs import costs_of
from training.judge.scoring import write_predictions
from training.terminal import show_assessment, show_speeds, terminal_progress
from training.write.report_page import render_page
from training.write.tracking import Tracking, tracking_at
from training.write.writer import report_bytes

if TYPE_CHECKING:
    from training.train import TrainResult


def run_train(
    data: Path,
    out: Path,
    *,
    config: Path = QUICK,
    folds: int | None = None,
    seed: int | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
    as_json: bool = False,
    name: str | None = None,
    created_at: datetime | None = None,
    families: Sequence[str] | None = None,
    checkpoints: Path | None = None,
    tracking: Path | None = None,
    tracking_uri: str | None = None,
    watched: Callable[[Tracking], Tracking] | None = None,
) -> TrainResult:
    """Train a bundle on the candles of `data` and write it to `out`; show a progress bar and a closing table.

    folds, seed, families: replace the values of the configuration file.
    start, end: aware instants that bound the candles by open_time.
    as_json: print the result as JSON on standard output and everything else on standard error.
    created_at: the current time if not given.
    checkpoints: the folder that an interrupted run resumes from; next to `out` if not given.
    tracking, tracking_uri: the folder or the address where mlflow records the run; nothing is recorded if neither is given.
    watched: wraps the tracker, for a caller that wants to see each record too.
    Raises SignalboxError with what to do about it.
    """
    from training.train import TrainRequest, train_bundle  # noqa: PLC0415 - xgboost, seconds that an evaluation need not wait

    chosen = read_config(config, folds=folds, seed=seed, families=families)
    console, aside = Console(stderr=as_json), Console(stderr=True)
    began = time.monotonic()
    diary = tracking_at(tracking, tracking_uri, lambda shown: aside.print(f"  {shown}", highlight=False, style="yellow"))
    with terminal_progress(aside) as progress:  # one console: what the tracker says goes above the bar, not into it
        request = TrainRequest(
            data=data,
            out=out,
            name=name or f"{chosen.contract.name}-{chosen.schema_name}-{config.stem}-{chosen.seed}",
            config=chosen,
            created_at=created_at or datetime.now(UTC),
            start=start,
            end=end,
            checkpoints=checkpoints,
            tracking=diary if watched is None else watched(diary),
        )
        result = train_bundle(request, progress)
    seconds = time.monotonic() - began
    if as_json:
        report = json.loads((out / "report.json").read_text(encoding="utf-8"))
        passes = result.manifest.passes_promotion
        print(json.dumps({**report, "bundle": str(out), "wall_seconds": round(seconds, 1), "passes_promotion": passes}))
    else:
        show_assessment(console, result.assessment)
        show_speeds(console, result.speeds)
        size = sum(path.stat().st_size for path in out.iterdir())
        rows = ", ".join(f"{period.value.replace('_', ' ')} {count:,}" for period, count in result.rows.items())
        console.print(f"decisions: {rows}", highlight=False)
        console.print(f"bundle {out} ({size / 1e6:.2f} MB) in {seconds:.0f} s", highlight=False)
    return result


def run_evaluate(
    request: EvaluateRequest,
    *,
    as_json: Path | None = None,
    predictions: Path | None = None,
    page: Path | None = None,
    printed: bool = False,
) -> EvaluateResult:
    """Evaluate a bundle on a period, print the verdict, and write the requested files. Raises SignalboxError.

    printed: the gates and every figure as JSON on standard output, all else on standard error.
    """
    console = Console(stderr=printed)
    began = time.monotonic()
    with terminal_progress(Console(stderr=True)) as progress:
        result = evaluate_bundle(request, progress)
    try:
        if as_json is not None:
            _write(as_json, report_bytes(result.to_json()))
        if predictions is not None:
            scored = result.assessment.scored
            write_predictions(scored, costs_of(scored.data.contract)[0], predictions)
        if page is not None:
            _write(page, render_page(result.assessment, [source.name for source in result.sources]).encode())
    except OSError as error:
        raise TrainingError(f"{error.filename}: cannot be written ({error.strerror})") from error
    if printed:
        sys.stdout.write(report_bytes(result.to_json()).decode())
    written = [str(path) for path in (as_json, predictions, page) if path is not None]
    show_assessment(console, result.assessment)
    decisions, seconds = result.assessment.evaluation.decisions, time.monotonic() - began
    known = f" ({result.reused:,} scored in earlier runs, with those of the placebo)" if result.reused else ""
    console.print(
        f"{decisions:,} decisions in {seconds:.1f} s{known}; written: {', '.join(written) or 'nothing'}", highlight=False
    )
    return result


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
