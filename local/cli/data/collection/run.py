"""One run of the collection: fetches the missing days, one symbol after the other, then verifies everything on disk.

Symbols are not fetched in parallel on purpose: the venue's rate limit covers all of them, and each client paces itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from local.cli.data.collection.request import CollectRequest
from local.cli.data.quality_json import gap_json, quality_json
from signalbox.adapters.lake.lake import BadDay, Lake
from signalbox.adapters.lake.stores import LakeStorageError
from signalbox.events import CollectionProblem
from signalbox.market.backfill import DayOutcome, backfill, days_of, open_days
from signalbox.market.candles import Symbol
from signalbox.market.clock import Gap
from signalbox.market.collection import CandleSource, VenueError
from signalbox.market.lake import SeriesKey
from signalbox.market.quality import SeriesQuality, assess, find_outages


class CollectionEnding(StrEnum):
    """How a run ended."""

    OK = "ok"
    DAMAGED = "damaged"  # a written file does not verify: the disk is at fault, not the venue
    VENUE_FAILED = "venue_failed"
    STORAGE_FAILED = "storage_failed"
    INTERRUPTED = "interrupted"


class CollectView(Protocol):
    """Receives the progress of a run."""

    def begin(self, days: int, done: int) -> None:
        """Note that the run covers `days` days, of which `done` are on disk already."""

    def day(self, outcome: DayOutcome, rows_per_second: float) -> None:
        """Note that one more day is on disk."""

    def phase(self, text: str) -> None:
        """Show what the run is doing."""


@dataclass(slots=True)
class CollectedSymbol:
    """The result for one symbol: what this run fetched, and what the lake holds for the period."""

    series: SeriesKey
    days: int
    kept: int  # days that an earlier run had finished
    fetched: int = 0
    refused: int = 0
    rows_kept: int = 0  # of the lake, which the venue does not send now
    rows_changed: int = 0  # of the lake, which had other numbers
    refusals: list[str] = field(default_factory=list)  # the first few
    quality: SeriesQuality | None = None
    volume: float = 0.0
    bad_days: tuple[BadDay, ...] = ()

    @property
    def symbol(self) -> Symbol:
        return self.series.symbol


@dataclass(frozen=True, slots=True)
class CollectResult:
    """The result of one run."""

    request: CollectRequest
    symbols: tuple[CollectedSymbol, ...]
    outages: tuple[Gap, ...]
    rows_fetched: int
    seconds: float
    ending: CollectionEnding
    error: str | None


SHOWN_REFUSALS = 5


def run_collection(
    request: CollectRequest, *, source: CandleSource, lake: Lake, view: CollectView, timer: Callable[[], float] = time.monotonic
) -> CollectResult:
    """Collect and verify. Raises VenueError for an unknown venue or symbol; the result reports any other failure."""
    began = timer()
    results, pending = [], {}
    ending, error = CollectionEnding.OK, None
    rows = 0
    try:
        view.phase("checking what is on disk")
        for series in request.series:
            days = days_of(series, request.since, request.until)
            pending[series] = open_days(days, request.until, lake, refresh_days=request.refresh_days)
            results.append(CollectedSymbol(series, len(days), len(days) - len(pending[series])))
        view.begin(sum(r.days for r in results), sum(r.kept for r in results))
        for result in results:
            for outcome in backfill(pending[result.series], request.until, source=source, archive=lake):
                rows += outcome.rows
                result.fetched += 1
                result.refused += len(outcome.refused)
                result.rows_kept += outcome.kept
                result.rows_changed += outcome.changed
                result.refusals += outcome.refused[: max(0, SHOWN_REFUSALS - len(result.refusals))]
                view.day(outcome, rows / max(timer() - began, 1e-9))
    except KeyboardInterrupt:
        ending = CollectionEnding.INTERRUPTED
    except VenueError as failed:
        if failed.problem is CollectionProblem.VENUE_REFUSED and rows == 0:
            raise
        ending, error = CollectionEnding.VENUE_FAILED, str(failed)
    except LakeStorageError as failed:
        ending, error = CollectionEnding.STORAGE_FAILED, str(failed)
    seconds = timer() - began
    if ending in {CollectionEnding.OK, CollectionEnding.VENUE_FAILED}:
        view.phase("verifying")
        ending = _verify(request, results, lake, ending)
    qualities = [r.quality for r in results if r.quality is not None]
    return CollectResult(request, tuple(results), find_outages(qualities), rows, seconds, ending, error)


def _verify(request: CollectRequest, results: list[CollectedSymbol], lake: Lake, ending: CollectionEnding) -> CollectionEnding:
    for result in results:
        read = lake.read(result.series, request.since, request.until)
        bars = read.bars
        result.quality = assess(result.symbol, bars.open_time_ms, (bars.open, bars.high, bars.low, bars.close, bars.volume))
        result.volume, result.bad_days = float(bars.volume.sum()), read.bad_days
    if any(r.bad_days or (r.quality is not None and r.quality.faults) for r in results) and ending is CollectionEnding.OK:
        return CollectionEnding.DAMAGED
    return ending


def to_json(result: CollectResult) -> dict[str, Any]:
    """Return the result as `--json` prints it. Instants are ISO 8601 in UTC; a gap is its first and last missing minute."""
    request = result.request
    return {
        "ending": result.ending.value,
        "error": result.error,
        "venue": request.venue,
        "since": request.since.isoformat(),
        "until": request.until.isoformat(),
        "rows_fetched": result.rows_fetched,
        "seconds": round(result.seconds, 3),
        "rows_per_second": round(result.rows_fetched / max(result.seconds, 1e-9)),
        "symbols": {one.symbol: _symbol_json(one) for one in result.symbols},
        "outages": [gap_json(gap) for gap in result.outages],
    }


def _symbol_json(one: CollectedSymbol) -> dict[str, Any]:
    found: dict[str, Any] = {
        "days": one.days,
        "days_fetched": one.fetched,
        "days_kept": one.kept,
        "rows_refused": one.refused,
        "rows_kept": one.rows_kept,
        "rows_changed": one.rows_changed,
        "refusals": one.refusals,
        "bad_days": [
            {"path": bad.key.path, "fault": bad.fault.value, "quarantined_to": bad.quarantined_to} for bad in one.bad_days
        ],
    }
    if (quality := one.quality) is not None:
        found |= quality_json(quality) | {"volume": one.volume}
    return found
