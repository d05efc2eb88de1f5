"""Shows the progress of a collection: in a terminal a bar with rate and remaining time, otherwise a line now and then."""

from __future__ import annotations

from typing import Final

from rich import box
from rich.console import Console
from rich.progress import BarColumn, SpinnerColumn, TaskProgressColumn, TextColumn
from rich.table import Table

from local.cli.data.bar import BarView
from local.cli.data.collection.run import CollectionEnding, CollectResult
from signalbox.market.backfill import DayOutcome
from training.bar_columns import CountColumn, TimesColumn

LINES: Final = 20  # lines that a run prints without a terminal
ADVICE: Final = {
    CollectionEnding.DAMAGED: "some files did not verify; run the same command again, and check the disk if it happens twice",
    CollectionEnding.VENUE_FAILED: "run the same command again: it continues where it stopped",
    CollectionEnding.STORAGE_FAILED: "written days are complete; free some space and run the same command again",
    CollectionEnding.INTERRUPTED: "interrupted; run the same command again: it continues where it stopped",
}


class ConsoleView(BarView):
    """A CollectView on a console. It is a context manager, which restores the terminal at its end."""

    def __init__(self, console: Console) -> None:
        self._total = self._done = 0
        rate = TextColumn("{task.fields[rate]:,.0f} rows/s")
        columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), CountColumn(), TextColumn("days"))
        left = (TaskProgressColumn(), rate, TimesColumn())
        super().__init__(console, *columns, *left, task="")

    def begin(self, days: int, done: int) -> None:
        self._total, self._done = days, done
        self._bar.update(self._task, total=days, completed=done)
        self._line(f"{days} days, {done} of them on disk")

    def day(self, outcome: DayOutcome, rows_per_second: float) -> None:
        self._done += 1
        label = f"{outcome.key.series.symbol} {outcome.key.day}"
        self._bar.update(self._task, completed=self._done, description=label, rate=rows_per_second)
        if self._done == self._total or self._done % max(self._total // LINES, 1) == 0:
            self._line(f"{self._done}/{self._total} days, {label}, {rows_per_second:,.0f} rows/s")

    def phase(self, text: str) -> None:
        self._bar.update(self._task, description=text)
        self._line(text)

    def _line(self, text: str) -> None:
        if self._bar.disable:
            self._console.print(text, highlight=False)


def show_result(console: Console, result: CollectResult) -> None:
    """Print the closing table, and what to do if the run did not end well."""
    if result.symbols:
        _show_symbols(console, result)
    if result.error:
        console.print(result.error, highlight=False, markup=False, soft_wrap=True)
    if result.ending in ADVICE:
        console.print(ADVICE[result.ending], highlight=False, soft_wrap=True)


def _show_symbols(console: Console, result: CollectResult) -> None:
    request = result.request
    title = f"{request.venue}, 1-minute candles, {request.since:%Y-%m-%d %H:%M} to {request.until:%Y-%m-%d %H:%M} UTC"
    names = ("symbol", "days", "fetched", "rows", "missing", "gaps", "longest", "refused", "dup", "bad", "0 vol")
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False, title=title)
    for name in names:
        table.add_column(name, justify="left" if name == "symbol" else "right", no_wrap=True)
    for one in result.symbols:
        row = [one.symbol, f"{one.days:,}", f"{one.fetched:,}"]
        if (found := one.quality) is not None:
            longest = found.longest_gap
            row += [
                f"{found.rows:,}",
                f"{found.missing:,}",
                f"{len(found.gaps):,}",
                f"{longest.minutes:,} min" if longest else "none",
            ]
            row += [f"{one.refused:,}", f"{found.duplicates}", f"{found.bad_rows}", f"{found.zero_volume:,}"]
        table.add_row(*row)
    console.print(table)
    for one in result.symbols:
        if one.rows_kept or one.rows_changed:
            console.print(
                f"{one.symbol}: {one.rows_changed:,} bars of the lake were replaced by the venue's newer values, "
                f"{one.rows_kept:,} that the venue does not send were kept",
                highlight=False,
                soft_wrap=True,
            )
        for reason in one.refusals:
            console.print(f"refused: {reason}", highlight=False, markup=False, soft_wrap=True)
        for bad in one.bad_days:
            console.print(str(bad), highlight=False, markup=False, soft_wrap=True)
    outages = sum(gap.minutes for gap in result.outages)
    rate = result.rows_fetched / max(result.seconds, 1e-9)
    console.print(
        f"{result.rows_fetched:,} rows in {result.seconds:.1f} s ({rate:,.0f} rows/s); "
        f"outages of all symbols: {len(result.outages)}, {outages:,} minutes; written to {request.out}",
        highlight=False,
        soft_wrap=True,
    )
