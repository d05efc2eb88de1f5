"""`signalbox features verify`: the stored features of a day's signals, derived again from the lake. Exit 1 on any mismatch."""

from __future__ import annotations

import json
import math
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from rich import box
from rich.console import Console
from rich.table import Table

from local.cli.ledger import connection_source
from local.errors import DataError
from local.settings import Settings
from signalbox.adapters.lake.lake import Lake
from signalbox.adapters.lake.s3 import S3Store
from signalbox.adapters.lake.series import CandleSeries, LakeSeries, find_series
from signalbox.adapters.postgres.connection import LedgerUnavailableError
from signalbox.adapters.postgres.reading import LedgerReader
from signalbox.market.candles import ONE_MINUTE, Bars, Symbol
from signalbox.market.lake import ONE_DAY, DayKey, SeriesKey
from signalbox.signals.signal import Signal
from signalbox.signals.verification import SignalVerification, history_of, symbols_of, verify_signals

SHOWN: Final = 20
SLACK: Final = timedelta(days=2)  # of outages inside the history: bars are counted, not minutes
BUCKET: Final = "s3://"

FindSeries = Callable[[Symbol], CandleSeries | None]


def run_verify(day: date, lake: str, database: str | None, *, venue: str, json_output: bool, settings: Settings) -> int:
    """Verify one UTC day and return the exit code. Raises DataError when there is no ledger, no lake or no signal."""
    find = _finder(lake, venue)
    try:
        with connection_source(database, settings, name="signalbox verify") as source:
            reader = LedgerReader(source)
            signals = signals_of(reader, day)
            revisions = reader.revisions(venue, *_span(signals)) if signals else ()
    except LedgerUnavailableError as error:
        raise DataError(f"no ledger answers ({error}); start `signalbox up`, or give --database") from error
    if not signals:
        raise DataError(f"no signal was decided on {day}")
    found = verify_signals(signals, read_bars(signals, find), revisions=revisions)
    if json_output:
        sys.stdout.write(json.dumps(to_json(day, found), indent=2) + "\n")
    _show(Console(stderr=json_output), day, found)
    return 0 if all(one.agrees for one in found) else 1


def signals_of(reader: LedgerReader, day: date) -> tuple[Signal, ...]:
    """Return the signals decided in [day, day + 1), UTC."""
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    end = start + ONE_DAY
    return tuple(s for s in reader.signals(start - ONE_MINUTE, end) if start <= s.decided_at < end)


def read_bars(signals: Sequence[Signal], find: FindSeries) -> dict[Symbol, Bars]:
    """Return the bars these signals are derived from; a symbol without any is left out."""
    start, end = _span(signals)
    found = {symbol: find(symbol) for symbol in symbols_of(signals)}
    return {symbol: series.bars(start, end) for symbol, series in found.items() if series is not None}


def _span(signals: Sequence[Signal]) -> tuple[datetime, datetime]:
    """Return from when to when bars are needed to derive these signals, with a reserve for outages."""
    start = min(s.decided_at for s in signals) - history_of(signals) * ONE_MINUTE - SLACK
    return start, max(s.decided_at for s in signals)


def _finder(lake: str, venue: str) -> FindSeries:
    if lake.startswith(BUCKET):
        import boto3  # noqa: PLC0415 - only for a bucket

        bucket = Lake(S3Store(boto3.client("s3"), lake.removeprefix(BUCKET).strip("/")))
        return lambda symbol: _in_bucket(bucket, SeriesKey(venue, symbol))
    series = {one.symbol: one for one in find_series(Path(lake))}
    return series.get


def _in_bucket(lake: Lake, key: SeriesKey) -> CandleSeries | None:
    days: tuple[DayKey, ...] = lake.days(key)
    return LakeSeries(key.symbol, lake, key, days) if days else None


def to_json(day: date, found: Sequence[SignalVerification]) -> dict[str, Any]:
    """Return the result as `--json` prints it."""
    largest = max(one.largest_difference for one in found)
    return {
        "day": day.isoformat(),
        "signals": len(found),
        "agreeing": sum(one.agrees for one in found),
        "largest_relative_difference": largest if math.isfinite(largest) else None,
        "by_code": dict(Counter(m.code.value for one in found for m in one.mismatches)),
        "mismatches": [_mismatch_json(one) for one in found if not one.agrees],
    }


def _mismatch_json(one: SignalVerification) -> dict[str, Any]:
    return {
        "symbol": one.signal.symbol,
        "decided_at": one.signal.decided_at.isoformat(),
        "deployment": one.signal.deployment,
        "schema": one.signal.schema_name,
        "missing_minutes": one.missing_minutes,
        "mismatches": [
            {"code": m.code.value, "feature": m.feature, "stored": m.stored, "derived": m.derived} for m in one.mismatches
        ],
    }


def _show(console: Console, day: date, found: Sequence[SignalVerification]) -> None:
    wrong = [(one, mismatch) for one in found for mismatch in one.mismatches]
    if wrong:
        table = Table("decided at", "symbol", "what", "stored", "derived", box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
        for one, m in wrong[:SHOWN]:
            what = m.feature or m.code.value
            table.add_row(f"{one.signal.decided_at:%H:%M}", one.signal.symbol, what, m.stored[:24], m.derived[:40])
        console.print(table)
        if len(wrong) > SHOWN:
            console.print(f"and {len(wrong) - SHOWN} mismatches more", highlight=False)
    agreeing = sum(one.agrees for one in found)
    console.print(f"{day}: {agreeing} of {len(found)} signals agree with the lake, {len(wrong)} mismatches", highlight=False)
