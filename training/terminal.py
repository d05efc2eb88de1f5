"""Terminal output of a long run: one bar over all stages (in a file: a line now and then), and the closing tables."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, SpinnerColumn, TaskProgressColumn, TextColumn
from rich.progress import Progress as ProgressBar
from rich.table import Table

from training.bar_columns import TimesColumn
from training.fit.members import FitSpeed
from training.judge.assessment import Assessment
from training.write.report_page import number, plain_verdict, share

_PLAIN_EVERY: Final = 30.0  # seconds


class TerminalProgress:
    """One bar over all stages with the time left, and one line for each finished stage."""

    def __init__(self, bar: ProgressBar) -> None:
        self._bar = bar
        self._task = bar.add_task("start", total=1.0, detail="")
        self._name, self._share, self._before = "", 0.0, 0.0
        self._began = time.monotonic()

    def stage(self, name: str, share: float) -> None:
        """Show the new stage and log the one that ended."""
        self.finish()
        self._before += self._share
        self._name, self._share = name, share
        self._bar.update(self._task, description=name, detail="")

    def advance(self, fraction: float) -> None:
        """Move the bar."""
        self._bar.update(self._task, completed=self._before + self._share * fraction)

    def detail(self, text: str) -> None:
        """Show the text after the bar."""
        self._bar.update(self._task, detail=text)

    def finish(self) -> None:
        """Log the current stage as done."""
        now = time.monotonic()
        if self._name:
            self._bar.console.print(f"  {self._name}: {now - self._began:.1f} s", highlight=False)
        self._began = now


class PlainProgress:
    """Progress for a file or a pipe: at most one line every half minute, and one line for each finished stage."""

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic, every: float = _PLAIN_EVERY) -> None:
        self._console, self._clock, self._every = console, clock, every
        self._name, self._detail, self._share, self._before = "", "", 0.0, 0.0
        self._begun = self._began = self._reported = clock()

    def stage(self, name: str, share: float) -> None:
        """Begin a stage and log the one before it as done."""
        self.finish()
        self._before += self._share
        self._name, self._share, self._detail = name, share, ""

    def advance(self, fraction: float) -> None:
        """Print the progress if the interval has passed."""
        now = self._clock()
        if now - self._reported < self._every:
            return
        self._reported = now
        done = self._before + self._share * fraction
        left = "" if done <= 0 else f", about {timedelta(seconds=round((now - self._begun) * (1 / done - 1)))} left"
        detail = f" ({self._detail})" if self._detail else ""
        self._console.print(f"  {self._name}: {done:.0%} of the run{detail}{left}", highlight=False, soft_wrap=True)

    def detail(self, text: str) -> None:
        """Add the text to the next line."""
        self._detail = text

    def finish(self) -> None:
        """Log the current stage as done."""
        now = self._clock()
        if self._name:
            self._console.print(f"  {self._name}: {now - self._began:.1f} s", highlight=False)
        self._began = self._reported = now


@contextmanager
def terminal_progress(console: Console) -> Iterator[TerminalProgress | PlainProgress]:
    """Show a bar while the block runs, or plain lines if the output is not a terminal."""
    if not console.is_terminal:
        plain = PlainProgress(console)
        yield plain
        plain.finish()
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimesColumn())
    with ProgressBar(*columns, TextColumn("{task.fields[detail]}"), console=console, transient=True) as bar:
        progress = TerminalProgress(bar)
        yield progress
        progress.finish()


def show_assessment(console: Console, assessment: Assessment) -> None:
    """Print the verdict in words, the figures and the gates."""
    console.print(f"[bold]{plain_verdict(assessment)}[/bold]", highlight=False)
    console.print(_figures(assessment))
    gates = Table("gate", "verdict", "requires", "found", title="Gates, judged by their 95 % bounds")
    for gate, found in assessment.gates.items():
        gates.add_row(gate.value, found.verdict_text, found.asks, found.found)
    console.print(gates)


def show_speeds(console: Console, speeds: Sequence[FitSpeed]) -> None:
    """Print how fast each family was fitted, and on which device."""
    table = Table("family", "device", "members", "epochs or trees", "seconds", "samples a second")
    for one in speeds:
        where = f"{one.device}, {one.precision}"
        figures = one.device_figures or {}
        if (share := figures.get("kernel_share")) is not None:
            where += f", in kernels {share:.0%} of the time"
        table.add_row(
            one.family, where, str(one.members), f"{one.epochs:,}", f"{one.seconds:.1f}", f"{one.samples_a_second:,.0f}"
        )
    console.print(table)


def _figures(assessment: Assessment) -> Table:
    evaluation, span = assessment.evaluation, assessment.span
    tiers = (evaluation.issued, evaluation.high)
    title = f"{assessment.manifest.label.name}, {span.start:%Y-%m-%d} to {span.end:%Y-%m-%d}, 95 % day-block intervals"
    table = Table("figure", "issued", "HIGH", title=title)
    table.add_row("precision", *(share(t.precision) for t in tiers))
    table.add_row("coverage, signals an hour", *(f"{t.coverage:.1%}, {t.signals_an_hour:.1f}" for t in tiers))
    table.add_row("signals, of them BUY", *(f"{t.precision.n:,}, {t.buys:,}" for t in tiers))
    table.add_row("a coin on the same signals", *(f"{t.random_side:.1%}" for t in tiers))
    for rule in evaluation.issued.base_rates:
        table.add_row(f"{rule} on the same signals", *(share(t.base_rates[rule]) for t in tiers))
    table.add_row("calibration error", *(share(t.calibration_error) for t in tiers))
    table.add_row("calibration slope", *(number(t.calibration_slope) for t in tiers))
    table.add_row("gross bps", *(number(t.gross_bps, "+.2f") for t in tiers))
    for name, side in evaluation.costs.items():
        table.add_row(f"net bps, {name} ({2 * side:g} a round trip)", *(number(t.net_bps[name], "+.2f") for t in tiers))
    one = evaluation.one_position
    table.add_row("one position a symbol", f"{one.signals_an_hour:.1f} an hour, {share(one.precision)}", "")
    return table
