"""Shows an import on the terminal: the recognised files, the progress, and the result."""

from __future__ import annotations

from typing import Any, Final

from rich import box
from rich.console import Console
from rich.progress import BarColumn, SpinnerColumn, TaskProgressColumn, TextColumn
from rich.table import Table

from local.cli.data.bar import BarView
from local.cli.data.importing.recognise import RecognisedFile
from local.cli.data.importing.run import ImportedSeries, ImportEnding, ImportResult
from local.cli.data.quality_json import gap_json
from signalbox.adapters.lake.merging import Conflict
from signalbox.market.candles import MINUTE_MS, from_ms
from signalbox.wire import in_one_line
from training.bar_columns import TimesColumn

SHOWN: Final = 12  # files, gaps and refusals that are named; --json has them all
ADVICE: Final = {
    ImportEnding.CONFLICTS: "the lake's bars were kept where they differ; --replace takes the files' bars",
    ImportEnding.REFUSED: "some files were not read: see above; what was read is in the lake",
    ImportEnding.STORAGE_FAILED: "what is written is whole; run the same command again when there is room",
    ImportEnding.INTERRUPTED: "interrupted; what is written is whole: run the same command again",
}


class ImportConsole(BarView):
    """ImportView on a console. It is a context manager, which restores the terminal at its end."""

    def __init__(self, console: Console) -> None:
        self._shown: dict[tuple[str, ...], int] = {}
        self._refused = 0
        rate = TextColumn("{task.fields[rate]:,.0f} rows/s")
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TaskProgressColumn(),
            rate,
            TimesColumn(),
        )
        super().__init__(console, *columns, task="looking at the files")

    def recognised(self, found: RecognisedFile) -> None:
        series = found.series
        facts = (found.kind, series.venue, series.symbol, found.plan.shown, found.shown_time)
        self._shown[facts] = self._shown.get(facts, 0) + 1
        if self._shown[facts] == 1:
            self._line(
                f"{found.file.shown}: {found.kind}, {series.symbol} of {series.venue}; "
                f"{found.plan.shown}; times: {found.shown_time}"
            )

    def refused(self, name: str, reason: str) -> None:
        self._refused += 1
        if self._refused <= SHOWN:
            self._line(f"not read: {name}: {reason}")

    def begin(self, total_bytes: int) -> None:
        for facts, count in self._shown.items():
            if count > 1:
                self._line(f"and {count - 1} more files of {facts[2]} in the same form")
        if self._refused > SHOWN:
            self._line(f"not read: and {self._refused - SHOWN} more")
        self._bar.update(self._task, total=total_bytes)

    def progress(self, done_bytes: int, name: str, rows_per_second: float) -> None:
        self._bar.update(self._task, completed=done_bytes, description=in_one_line(name[-40:]), rate=rows_per_second)

    def _line(self, text: str) -> None:
        _say(self._console, text)


def show_result(console: Console, result: ImportResult) -> None:
    """Print what was imported, what was not and why, and the remedy."""

    def say(text: str) -> None:
        _say(console, text)

    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    for name in ("symbol", "rows", "new", "from", "to", "gaps", "missing", "dup", "bad", "differ"):
        table.add_column(name, justify="left" if name in {"symbol", "from", "to"} else "right", no_wrap=True)
    for one in result.series:
        present, gaps = one.present, one.gaps
        ends = [f"{from_ms(int(present[place])):%Y-%m-%d}" for place in (0, -1)] if len(present) else ["none", "none"]
        numbers = [len(gaps), sum(gap.minutes for gap in gaps), one.duplicates, sum(rows for rows, _ in one.faults.values())]
        row = [one.series.symbol, f"{one.rows:,}", f"{one.added:,}", *ends]
        table.add_row(*row, *(f"{number:,}" for number in (*numbers, one.conflict_rows)))
    console.print(table)
    for one in result.series:
        for line in _lines(one):
            say(line)
    rate = result.rows / max(result.seconds, 1e-9)
    where = "nothing written (--dry-run)" if result.request.dry_run else f"written to {result.request.out}"
    say(f"{result.rows:,} rows in {result.seconds:.1f} s ({rate:,.0f} rows/s); {where}")
    if result.error:
        say(result.error)
    if result.ending in ADVICE:
        say(ADVICE[result.ending])


def _say(console: Console, text: str) -> None:
    """Print a line. Names of files and columns are of whoever made them, and may hold what moves a terminal's cursor."""
    console.print(in_one_line(text), highlight=False, markup=False, soft_wrap=True)


def _lines(one: ImportedSeries) -> list[str]:
    """Return what is to be said of one series beside its row of the table."""
    symbol = one.series.symbol
    lines = [f"{symbol}: {rows:,} rows not taken: {words}, first {first}" for words, (rows, first) in one.faults.items()]
    lines += [
        f"{symbol} {found.open_time:%Y-%m-%d %H:%M}: the lake has {_bar(found.held)}, a file {_bar(found.fresh)}"
        for found in one.conflicts[:SHOWN]
    ]
    if one.conflict_rows > SHOWN:
        lines.append(f"{symbol}: and {one.conflict_rows - SHOWN:,} more conflicts")
    for gap in sorted(one.gaps, key=lambda found: -found.minutes)[:SHOWN]:
        ends = f"{from_ms(gap.first_ms):%Y-%m-%d %H:%M} to {from_ms(gap.last_ms):%Y-%m-%d %H:%M}"
        lines.append(f"{symbol} gap: {ends}, {gap.minutes:,} minutes")
    if one.empty:
        lines.append(f"{symbol}: {one.empty:,} absent minutes taken for minutes without a trade, as --empty-minutes says")
    return lines + [f"{symbol} {bad}" for bad in one.bad_days]


def _bar(numbers: tuple[str, ...]) -> str:
    return "/".join(numbers)


def to_json(result: ImportResult) -> dict[str, Any]:
    """Return the result as `--json` prints it."""
    return {
        "ending": result.ending.value,
        "error": result.error,
        "rows": result.rows,
        "seconds": round(result.seconds, 3),
        "rows_per_second": round(result.rows / max(result.seconds, 1e-9)),
        "written": not result.request.dry_run,
        "series": [_series_json(one) for one in result.series],
        "not_read": [{"file": name, "reason": reason} for name, reason in result.refused],
    }


def _series_json(one: ImportedSeries) -> dict[str, Any]:
    present = one.present
    return {
        "venue": one.series.venue,
        "symbol": one.series.symbol,
        "files": one.files,
        "recognised": one.kinds,
        "columns": one.columns,
        "times": one.times,
        "rows": one.rows,
        "rows_added": one.added,
        "empty_minutes": one.empty,
        "duplicates": one.duplicates,
        "not_taken": [{"reason": words, "rows": rows, "first": first} for words, (rows, first) in one.faults.items()],
        "first": from_ms(int(present[0])).isoformat() if len(present) else None,
        "last_close": from_ms(int(present[-1]) + MINUTE_MS).isoformat() if len(present) else None,
        "gaps": [gap_json(gap) for gap in one.gaps],
        "conflicts": one.conflict_rows,
        "first_conflicts": [_conflict_json(conflict) for conflict in one.conflicts],
        "days_written": one.days_written,
        "days_unchanged": one.days_same,
        "bad_days": one.bad_days,
    }


def _conflict_json(conflict: Conflict) -> dict[str, Any]:
    return {"open_time": conflict.open_time.isoformat(), "lake": list(conflict.held), "file": list(conflict.fresh)}
