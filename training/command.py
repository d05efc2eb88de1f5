"""`signalbox train`: the terminal's side of a training run. What it does is in quick.py."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, SpinnerColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as ProgressBar
from rich.table import Table

from training.errors import TrainingError
from training.evaluation import Estimate, TierReport
from training.quick import TrainRequest, TrainResult, train_quick


class TerminalProgress:
    """One bar over all stages with the time left, and a line for each stage that is done."""

    def __init__(self, bar: ProgressBar) -> None:
        self._bar = bar
        self._task = bar.add_task("start", total=1.0)
        self._name, self._share, self._before = "", 0.0, 0.0
        self._began = time.monotonic()

    def stage(self, name: str, share: float) -> None:
        """Show the stage that begins and log the one that ended."""
        self.finish()
        self._before += self._share
        self._name, self._share = name, share
        self._bar.update(self._task, description=name)

    def advance(self, fraction: float) -> None:
        """Move the bar."""
        self._bar.update(self._task, completed=self._before + self._share * fraction)

    def finish(self) -> None:
        """Log the present stage as done."""
        now = time.monotonic()
        if self._name:
            self._bar.console.print(f"  {self._name}: {now - self._began:.1f} s", highlight=False)
        self._began = now


def run_train(
    data: Path,
    out: Path,
    *,
    quick: bool = True,
    seed: int = 7,
    start: datetime | None = None,
    end: datetime | None = None,
    as_json: bool = False,
    name: str | None = None,
    created_at: datetime | None = None,
) -> TrainResult:
    """Train a bundle on the candles of `data` and write it to `out`, with a progress bar and a closing table.

    start, end: aware instants that bound the candles by open_time. as_json: the result as JSON on standard output, all
    else on standard error. created_at: the clock's time if not given. Raises SignalboxError with what to do about it.
    """
    if not quick:
        raise TrainingError("expected --quick: it is the only configuration so far")
    console = Console(stderr=as_json)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    began = time.monotonic()
    with ProgressBar(*columns, TextColumn("left"), TimeRemainingColumn(), console=console, transient=True) as bar:
        progress = TerminalProgress(bar)
        request = TrainRequest(
            data=data,
            out=out,
            name=name or f"dir60-v31-quick-{seed}",
            seed=seed,
            created_at=created_at or datetime.now(UTC),
            start=start,
            end=end,
        )
        result = train_quick(request, progress)
        progress.finish()
    seconds = time.monotonic() - began
    if as_json:
        print(json.dumps(_summary(result, out, seconds)))
    else:
        _show(console, result, out, seconds)
    return result


def _summary(result: TrainResult, out: Path, seconds: float) -> dict[str, object]:
    report = json.loads((out / "report.json").read_text(encoding="utf-8"))
    return {**report, "bundle": str(out), "wall_seconds": round(seconds, 1), "passes_promotion": result.manifest.passes_promotion}


def _show(console: Console, result: TrainResult, out: Path, seconds: float) -> None:
    console.print(f"[bold]{result.headline}[/bold]", highlight=False)
    console.print(_tiers(result))
    gates = Table("gate", "verdict", "asks", "found", title="Gates, judged by their 95 % bounds")
    for gate, found in result.gates.items():
        gates.add_row(gate.value, found.verdict.value, found.asks, found.found)
    console.print(gates)
    size = sum(path.stat().st_size for path in out.iterdir())
    rows = ", ".join(f"{period.value.replace('_', ' ')} {count:,}" for period, count in result.rows.items())
    console.print(f"decisions: {rows}", highlight=False)
    console.print(f"bundle {out} ({size / 1e6:.2f} MB) in {seconds:.0f} s", highlight=False)


def _tiers(result: TrainResult) -> Table:
    evaluation = result.evaluation
    span = f"{min(s.start for s in result.spans.values()):%Y-%m-%d}"
    test = list(result.spans.values())[-1]
    title = (
        f"dir60 on the test period {test.start:%Y-%m-%d} to {test.end:%Y-%m-%d} (fitted from {span}), 95 % day-block intervals"
    )
    table = Table("figure", "issued", "HIGH", title=title)
    tiers = (evaluation.issued, evaluation.high)

    def row(name: str, *cells: str) -> None:
        table.add_row(name, *cells)

    row("precision", *(_share(t.precision) for t in tiers))
    row("coverage, signals an hour", *(f"{t.coverage:.1%}, {t.signals_an_hour:.1f}" for t in tiers))
    row("signals, of them BUY", *(f"{t.precision.n:,}, {t.buys:,}" for t in tiers))
    for rule in evaluation.issued.base_rates:
        row(f"{rule} on the same", *(_share(t.base_rates[rule]) for t in tiers))
    row("calibration error", *(_share(t.calibration_error) for t in tiers))
    row("gross bps", *(_bps(t, "gross_bps") for t in tiers))
    row("net bps at 6.5 a round trip", *(_bps(t, "net_bps") for t in tiers))
    return table


def _share(estimate: Estimate) -> str:
    return f"{estimate.value:.3f} [{estimate.low:.3f}, {estimate.high:.3f}]"


def _bps(tier: TierReport, name: str) -> str:
    estimate: Estimate = getattr(tier, name)
    return f"{estimate.value:+.2f} [{estimate.low:+.2f}, {estimate.high:+.2f}]"
