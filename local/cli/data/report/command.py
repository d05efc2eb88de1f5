"""Reads the facts of a folder, prints the table, writes `report.json` and `coverage.png`. Exit 1 if some data is unsound."""

from __future__ import annotations

import json
import sys
from datetime import datetime
from pathlib import Path
from typing import Final

from rich import box
from rich.console import Console
from rich.table import Table

from local.cli.data.alternative.report import alternative_facts, alternative_json, show_alternative
from local.cli.data.quality_json import fault_text
from local.cli.data.report.facts import FolderFacts, SeriesFacts, read_facts, to_json, total_minutes
from local.errors import DataError
from signalbox.market.candles import ONE_MINUTE, MarketDataError, from_ms
from signalbox.market.clock import Gap
from signalbox.market.quality import JUMP

SHOWN: Final = 12  # gaps and bad files listed on screen; report.json has all of them
REPORT: Final = "report.json"
PICTURE: Final = "coverage.png"


def run_data_report(folder: Path, out: Path | None, *, json_output: bool, now: datetime) -> int:
    """Report on a folder and return the exit code. Raises MarketDataError if it holds neither candles nor alternative data."""
    beside = alternative_facts(folder)
    try:
        facts = read_facts(folder, now=now)
    except MarketDataError:
        if beside.is_empty:
            raise
        facts = FolderFacts(folder, now, (), ())
    report = to_json(facts)
    if not beside.is_empty:
        report["alternative"] = alternative_json(beside)
    if out is not None:
        from local.cli.data.report.heat_map import draw_coverage  # noqa: PLC0415 - matplotlib only when something is drawn

        try:
            out.mkdir(parents=True, exist_ok=True)
            (out / REPORT).write_text(json.dumps(report, indent=2) + "\n")
            if facts.series:
                draw_coverage(facts, out / PICTURE)
        except OSError as error:
            raise DataError(f"--out {out}: cannot be written: {error.strerror or error}") from error
    if json_output:
        sys.stdout.write(json.dumps(report, indent=2) + "\n")
    console = Console(stderr=json_output)
    if facts.series:
        _show(console, facts)
    show_alternative(console, beside)
    if out is not None:
        console.print(f"written {out / REPORT}, {out / PICTURE}", highlight=False, markup=False)
    return 0 if facts.is_sound and not beside.bad_files else 1


def _show(console: Console, facts: FolderFacts) -> None:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    for name in ("symbol", "rows", "from", "to", "missing", "own", "dup", "bad", "0 vol", "stale"):
        table.add_column(name, justify="left" if name in {"symbol", "from", "to"} else "right", no_wrap=True)
    for one in facts.series:
        table.add_row(*_row(one, facts))
    console.print(table)
    for one in facts.series:
        if "synthetic" in one.name:
            console.print(f"{one.symbol}: {one.name}", highlight=False, markup=False, soft_wrap=True)
    if (newest := facts.newest) is not None:
        behind = _span((facts.now - newest) // ONE_MINUTE)
        console.print(
            f"newest close {newest:%Y-%m-%d %H:%M} UTC, {behind} ago; own: missing in this symbol only", highlight=False
        )
    minutes = total_minutes(facts.outages)
    console.print(f"outages of all symbols: {_count(facts.outages)}, {minutes:,} minutes", highlight=False)
    _show_gaps(console, "  ", facts.outages)
    for one in facts.series:
        if own := facts.own_gaps(one):
            console.print(f"{one.symbol} alone: {_count(own)}, {total_minutes(own):,} minutes", highlight=False)
            _show_gaps(console, "  ", own)
        for problem in _problems(one):
            console.print(problem, highlight=False, markup=False, soft_wrap=True)


def _row(one: SeriesFacts, facts: FolderFacts) -> list[str]:
    found, newest = one.quality, facts.newest
    if found.first is None or found.last_close is None or newest is None:
        return [one.symbol, "0", *["none"] * 2]
    wrong = f"{found.bad_rows + found.off_minute + found.disordered + found.suspect_rows}"
    return [
        one.symbol,
        f"{found.rows:,}",
        f"{found.first:%Y-%m-%d}",
        f"{found.last_close - ONE_MINUTE:%Y-%m-%d}",
        f"{found.missing:,}",
        f"{total_minutes(facts.own_gaps(one)):,}",
        f"{found.duplicates:,}",
        wrong,
        f"{found.zero_volume:,}",
        _span(found.stale_minutes(newest)),
    ]


def _count(gaps: tuple[Gap, ...]) -> str:
    return "1 gap" if len(gaps) == 1 else f"{len(gaps)} gaps"


def _span(minutes: int) -> str:
    if minutes < 120:
        return f"{minutes} min"
    return f"{minutes // 60:,} h" if minutes < 2 * 1440 else f"{minutes // 1440:,} d"


def _show_gaps(console: Console, indent: str, gaps: tuple[Gap, ...]) -> None:
    for gap in sorted(gaps, key=lambda g: -g.minutes)[:SHOWN]:
        text = f"{from_ms(gap.first_ms):%Y-%m-%d %H:%M} to {from_ms(gap.last_ms):%Y-%m-%d %H:%M}, {gap.minutes:,} minutes"
        console.print(indent + text, highlight=False)
    if len(gaps) > SHOWN:
        console.print(f"{indent}and {len(gaps) - SHOWN} shorter ones", highlight=False)


def _problems(one: SeriesFacts) -> list[str]:
    found = [f"{one.symbol}: {one.error}"] if one.error else []
    if one.quality.coarse_minutes:
        found.append(f"{one.symbol}: some of its candles are {one.quality.coarse_minutes}-minute candles")
    found += [f"{one.symbol}: {fault_text(fault)}" for fault in one.quality.row_faults]
    if one.quality.jumps:
        found.append(f"{one.symbol}: {one.quality.jumps} jumps of more than {JUMP:.0%} within a minute")
    found += [str(bad) for bad in one.bad_days[:SHOWN]]
    if len(one.bad_days) > SHOWN:
        found.append(f"{one.symbol}: and {len(one.bad_days) - SHOWN} more bad files")
    return found
