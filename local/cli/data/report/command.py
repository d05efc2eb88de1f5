"""Reads the facts of a folder, prints the table, writes `report.json` and `coverage.png`. Exit 1 if some data is unsound."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from rich import box
from rich.console import Console
from rich.table import Table

from local.cli.data.alternative.report import alternative_facts, alternative_json, show_alternative
from local.cli.data.quality_json import fault_text
from local.cli.data.report.facts import (
    FolderFacts,
    HeldElsewhere,
    SeriesFacts,
    held_by_others,
    read_facts,
    to_json,
    total_minutes,
)
from local.errors import DataError
from signalbox.adapters.postgres.connection import ConnectionSource
from signalbox.adapters.postgres.reading import FallbackDecisions, LedgerReader
from signalbox.market.candles import ONE_MINUTE, MarketDataError, from_ms
from signalbox.market.clock import Gap
from signalbox.market.quality import JUMP

SHOWN: Final = 12  # gaps and bad files listed on screen; report.json has all of them
REPORT: Final = "report.json"
PICTURE: Final = "coverage.png"


def run_data_report(
    folder: Path,
    out: Path | None,
    *,
    json_output: bool,
    now: datetime,
    ledger_of: Callable[[], AbstractContextManager[ConnectionSource]] | None = None,
) -> int:
    """Report on a folder and return the exit code. Raises MarketDataError if it holds neither candles nor alternative data.

    ledger_of: opens the ledger that says where a fallback venue decided; None leaves that out.
    """
    beside = alternative_facts(folder)
    try:
        venues = read_facts(folder, now=now)
    except MarketDataError:
        if beside.is_empty:
            raise
        venues = (FolderFacts(folder, now, (), ()),)
    others = held_by_others(venues)
    report = to_json(venues[0]) if len(venues) == 1 else _venues_json(venues, others)
    decisions = None if ledger_of is None else _decided_on_fallbacks(ledger_of, venues)
    if decisions is not None:
        report["decided_on_fallbacks"] = [asdict(one) | _instants(one) for one in decisions]
    if not beside.is_empty:
        report["alternative"] = alternative_json(beside)
    written = [] if out is None else _write(report, venues, out)
    if json_output:
        sys.stdout.write(json.dumps(report, indent=2) + "\n")
    console = Console(stderr=json_output)
    _show_venues(console, venues, others)
    if decisions is not None:
        _show_fallbacks(console, decisions)
    show_alternative(console, beside)
    if written:
        console.print(f"written {', '.join(map(str, written))}", highlight=False, markup=False)
    return 0 if all(facts.is_sound for facts in venues) and not beside.bad_files else 1


def _show_venues(console: Console, venues: Sequence[FolderFacts], others: Sequence[HeldElsewhere]) -> None:
    for facts in venues:
        if facts.series:
            if len(venues) > 1:
                console.print(f"venue {facts.venue}", highlight=False)
            _show(console, facts)
    for one in others:
        text = f"{one.symbol}: {one.other} has {one.minutes:,} minutes that {one.venue} lacks, first {one.first:%Y-%m-%d %H:%M}"
        console.print(text, highlight=False)


def _venues_json(venues: Sequence[FolderFacts], others: Sequence[HeldElsewhere]) -> dict[str, Any]:
    """Return the report of a lake of several venues: each venue's own, and what one has of the minutes that another lacks."""
    return {
        "folder": venues[0].folder.name,
        "sound": all(facts.is_sound for facts in venues),
        "measured_at": venues[0].now.isoformat(),
        "venues": {facts.venue: to_json(facts) for facts in venues},
        "held_by_others": [asdict(one) | {"first": one.first.isoformat()} for one in others],
    }


def _write(report: dict[str, Any], venues: Sequence[FolderFacts], out: Path) -> list[Path]:
    from local.cli.data.report.heat_map import draw_coverage  # noqa: PLC0415 - matplotlib only when something is drawn

    written = [out / REPORT]
    try:
        out.mkdir(parents=True, exist_ok=True)
        (out / REPORT).write_text(json.dumps(report, indent=2) + "\n")
        for facts in venues:
            if facts.series:
                name = PICTURE if len(venues) == 1 else PICTURE.replace(".", f"-{facts.venue}.")
                draw_coverage(facts, out / name)
                written.append(out / name)
    except OSError as error:
        raise DataError(f"--out {out}: cannot be written: {error.strerror or error}") from error
    return written


def _decided_on_fallbacks(
    ledger_of: Callable[[], AbstractContextManager[ConnectionSource]], venues: Sequence[FolderFacts]
) -> tuple[FallbackDecisions, ...]:
    """Return what was decided on fallback venues since the first minute that the folder has."""
    starts = [one.quality.first for facts in venues for one in facts.series if one.quality.first is not None]
    if not starts:
        return ()
    with ledger_of() as source:
        return LedgerReader(source).fallback_decisions(min(starts), venues[0].now)


def _instants(one: FallbackDecisions) -> dict[str, str]:
    return {"first": one.first.isoformat(), "last": one.last.isoformat()}


def _show_fallbacks(console: Console, decisions: Sequence[FallbackDecisions]) -> None:
    if not decisions:
        console.print("decided on a fallback venue: nothing", highlight=False)
    for one in decisions:
        period = f"{one.first:%Y-%m-%d %H:%M} to {one.last:%Y-%m-%d %H:%M}"
        console.print(f"{one.symbol}: {one.count:,} decisions on {one.market}, {period}", highlight=False)


def _show(console: Console, facts: FolderFacts) -> None:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    for name in ("symbol", "rows", "from", "to", "missing", "own", "empty", "dup", "bad", "stale"):
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
            f"newest close {newest:%Y-%m-%d %H:%M} UTC, {behind} ago; own: missing in this symbol only; empty: nobody traded",
            highlight=False,
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
        f"{found.empty:,}",
        f"{found.duplicates:,}",
        wrong,
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
