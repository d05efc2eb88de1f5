"""`signalbox collect alt`: adds funding rates, open interest, ratios, liquidations, sentiment and a calendar to a lake.

A value is known from the moment of this run on, however old it is. Exit 3 if no source answered.
"""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from rich import box
from rich.console import Console
from rich.table import Table

from local.errors import DataError
from signalbox.adapters.lake.alternative import StoredObservations
from signalbox.adapters.lake.stores import FolderStore
from signalbox.alternative.calendar import CalendarSource
from signalbox.alternative.collection import ObservationSource, SeriesOutcome, collect_observations
from signalbox.bootstrap.collect_alternative import observation_source
from signalbox.market.collection import VenueError

NOTHING_ANSWERED: Final = 3  # exit code
_SYMBOL: Final = re.compile(r"[A-Z0-9]{2,12}-[A-Z0-9]{2,12}\Z")


@dataclass(frozen=True, slots=True)
class AlternativeRequest:
    """What to collect. since: None means from the newest stored value on."""

    out: Path
    sources: tuple[str, ...]
    symbols: tuple[str, ...]
    since: datetime | None
    until: datetime | None
    calendar: Path | None
    url: str
    json_output: bool


def run_collect_alternative(request: AlternativeRequest) -> int:
    """Collect and return the exit code. Raises DataError for an unknown source or a calendar that cannot be read."""
    found = collect_observations(
        _sources(request),
        request.symbols,
        lake=StoredObservations(FolderStore(request.out)),
        clock=lambda: datetime.now(UTC),
        since=request.since,
        until=request.until,
    )
    if request.json_output:
        sys.stdout.write(json.dumps({"out": str(request.out), "series": [_json(one) for one in found]}, indent=2) + "\n")
    _show(Console(stderr=request.json_output), found)
    return 0 if any(one.problem is None for one in found) else NOTHING_ANSWERED


def _sources(request: AlternativeRequest) -> list[ObservationSource]:
    if not request.sources:
        raise DataError("--sources is empty; give some, such as okx,alternativeme")
    if wrong := [name for name in request.symbols if not _SYMBOL.match(name)] or ([] if request.symbols else [""]):
        raise DataError(f"--symbols: expected names such as BTC-USD, got {wrong[0]!r}")
    if request.url and not request.url.startswith(("http://", "https://")):
        raise DataError(f"--source-url: expected an address as in https://HOST, got {request.url!r}")
    try:
        found = [observation_source(name, request.url) for name in request.sources]
    except VenueError as error:
        raise DataError(f"--sources: {error}, or alternativeme") from error
    if request.calendar is not None:
        try:
            text = request.calendar.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"--calendar: {request.calendar} cannot be read as text: {error}") from error
        found.append(CalendarSource(text, datetime.now(UTC)))
    return found


def _json(one: SeriesOutcome) -> dict[str, Any]:
    facts = asdict(one)
    return {**facts, "kind": one.kind.value, "problem": None if one.problem is None else one.problem.value}


def _show(console: Console, found: Sequence[SeriesOutcome]) -> None:
    table = Table("source", "kind", "of", "added", "revised", "late", "refused", box=box.SIMPLE_HEAD, pad_edge=False)
    for one in found:
        counts = [f"{count:,}" for count in (one.added, one.revised, one.late, len(one.refused))]
        shown = counts if one.problem is None else ["no answer", "", "", ""]  # 0 would say that there was nothing new
        table.add_row(one.source, one.kind.value, one.subject, *shown)
    console.print(table)
    for detail, times in Counter(one.detail for one in found if one.problem is not None).items():
        text = f"no answer for {times} of {len(found)} series: {detail}"
        console.print(text, highlight=False, markup=False, soft_wrap=True)
    for one in found:
        for reason in one.refused[:3]:
            console.print(f"refused: {reason}", highlight=False, markup=False, soft_wrap=True)
