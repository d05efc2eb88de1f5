"""`signalbox features verify`: derives the stored features of a day's signals again. Exit 1 on a mismatch, 3 without bars.

With --data, bars come only from there. Otherwise they come from the lake of the running local cloud for days that are
compacted, and from the ledger's own candles for the others.
"""

from __future__ import annotations

import json
import math
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from local.cli.ledger import connection_source
from local.errors import DataError, DeployError
from local.settings import STAGE, Settings
from signalbox.adapters.lake.lake import Lake
from signalbox.adapters.lake.s3 import S3Store
from signalbox.adapters.lake.series import CandleSeries, LakeSeries, every_series
from signalbox.adapters.postgres.connection import LedgerUnavailableError
from signalbox.adapters.postgres.reading import LedgerReader
from signalbox.contracts import StackOutput
from signalbox.market.candles import ONE_MINUTE, Bars, MarketDataError, Symbol, to_ms
from signalbox.market.lake import DAY_MS, ONE_DAY, DayKey, SeriesKey
from signalbox.market.revisions import BarRevision
from signalbox.signals.signal import Signal
from signalbox.signals.verification import SignalVerification, history_of, symbols_of, verify_signals

SHOWN: Final = 20
NO_BARS: Final = 3  # exit code
SLACK: Final = timedelta(days=2)  # for outages inside the history, because bars are counted and not minutes
BUCKET: Final = "s3://"


class BarsByTime(Protocol):
    """What gives the bars of one symbol in a period."""

    def bars(self, start: datetime, end: datetime) -> Bars:
        """Return the bars with start <= open_time < end."""


FindSeries = Callable[[Symbol], BarsByTime | None]
FindOfVenue = Callable[[str, Symbol], BarsByTime | None]


def run_verify(day: date, data: str | None, database: str | None, *, venue: str, json_output: bool, settings: Settings) -> int:
    """Verify one UTC day and return the exit code. Raises DataError if there is no ledger, no lake or no signal."""
    given = None if data is None else _finder(data, venue, settings)
    try:
        with connection_source(database, settings, name="signalbox verify") as source:
            reader = LedgerReader(source)
            signals = signals_of(reader, day)
            if not signals:
                raise DataError(f"no signal was decided on {day}; `signalbox signals list` shows when")
            lake = _lake_of_up(settings) if given is None and database is None else None
            found: list[SignalVerification] = []
            have_bars = False
            for market, own, bars in by_market(signals, venue, given or lake, reader if given is None else None):
                have_bars = have_bars or _reach(bars, day, own)
                found += verify_signals(own, bars, revisions=revisions_of(reader, market, own))
    except LedgerUnavailableError as error:
        raise DataError(f"no ledger answers ({error}); start `signalbox up`, or give --database") from error
    if not have_bars:
        _report_no_bars(day, data or "the ledger and its lake", len(signals), json_output=json_output)
        return NO_BARS
    found.sort(key=lambda one: (one.signal.decided_at, one.signal.symbol, one.signal.deployment))
    if json_output:
        sys.stdout.write(json.dumps(to_json(day, found), indent=2) + "\n")
    _show(Console(stderr=json_output), day, found)
    return 0 if all(one.agrees for one in found) else 1


def signals_of(reader: LedgerReader, day: date) -> tuple[Signal, ...]:
    """Return the signals decided in [day, day + 1), UTC."""
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    end = start + ONE_DAY
    return tuple(s for s in reader.signals(start - ONE_MINUTE, end) if start <= s.decided_at < end)


def by_market(
    signals: Sequence[Signal], venue: str, finder: FindOfVenue | None, ledger: LedgerReader | None
) -> Iterator[tuple[str, tuple[Signal, ...], dict[Symbol, Bars]]]:
    """Yield each market with its signals and the bars that they are verified on: those of the venue they were made on, no others.

    ledger: whose own candles serve for the days that the finder does not have; None: the finder's bars alone.
    """
    for market in sorted({one.market or venue for one in signals}):
        own = tuple(one for one in signals if (one.market or venue) == market)
        bars = {} if finder is None else read_bars(own, partial(finder, market))
        yield market, own, bars if ledger is None else with_ledger(own, bars, ledger, market)


def revisions_of(reader: LedgerReader, market: str, signals: Sequence[Signal]) -> tuple[BarRevision, ...]:
    """Return the earlier versions of the bars that these signals may be derived from."""
    return reader.revisions(market, *_window(signals))


def read_bars(signals: Sequence[Signal], find: FindSeries) -> dict[Symbol, Bars]:
    """Return the bars that these signals are derived from; a symbol without bars is left out."""
    start, end = _window(signals)
    found = {symbol: find(symbol) for symbol in symbols_of(signals)}
    return {symbol: series.bars(start, end) for symbol, series in found.items() if series is not None}


def _window(signals: Sequence[Signal]) -> tuple[datetime, datetime]:
    """Return the period [start, end) of the bars that these signals may be derived from."""
    start = min(s.decided_at for s in signals) - history_of(signals) * ONE_MINUTE - SLACK
    return start, max(s.decided_at for s in signals)


def with_ledger(signals: Sequence[Signal], found: Mapping[Symbol, Bars], reader: LedgerReader, venue: str) -> dict[Symbol, Bars]:
    """Return the found bars, plus the ledger's bars for each UTC day and symbol without any."""
    start, end = _window(signals)
    together = {}
    for symbol in symbols_of(signals):
        own = reader.bars(venue, symbol, start, end)
        lake = found.get(symbol)
        if lake is None or not len(lake):
            together[symbol] = own
            continue
        missing = ~np.isin(own.open_time_ms // DAY_MS, np.unique(lake.open_time_ms // DAY_MS))
        columns = [
            np.concatenate([getattr(lake, name), getattr(own, name)[missing]])
            for name in ("open_time_ms", "open", "high", "low", "close", "volume")
        ]
        order = np.argsort(columns[0])
        together[symbol] = Bars(symbol, *(column[order] for column in columns))
    return together


def _reach(bars: Mapping[Symbol, Bars], day: date, signals: Sequence[Signal]) -> bool:
    """Whether there is any bar of the day. A signal at the day's first midnight needs only bars of the day before."""
    start = to_ms(datetime(day.year, day.month, day.day, tzinfo=UTC))
    first = min(start, to_ms(max(s.decided_at for s in signals) - ONE_MINUTE))
    return any(bool(len(one) and one.open_time_ms[-1] >= first) for one in bars.values())


def _report_no_bars(day: date, where: str, signals: int, *, json_output: bool) -> None:
    text = f"no bars of {day} in {where} yet: a day is written to the lake at 00:20 UTC on the next day"
    if json_output:
        sys.stdout.write(json.dumps({"day": day.isoformat(), "signals": signals, "verified": 0, "why": text}) + "\n")
    Console(stderr=json_output).print(f"{day}: {signals} signals, none verified; {text}", highlight=False, soft_wrap=True)


def stage_bars(data: str | None, database: str | None, venue: str, settings: Settings) -> FindOfVenue | None:
    """Return what finds bars in `data`, else in the lake of the running local cloud; None if only a ledger has them."""
    if data is not None:
        return _finder(data, venue, settings)
    return _lake_of_up(settings) if database is None else None


def _lake_of_up(settings: Settings) -> FindOfVenue | None:
    """Return the lake of the running local cloud, None if only its ledger answers."""
    from local.cli.accounts.command import AccountsError, session_of  # noqa: PLC0415 - boto3
    from local.cli.stage_outputs import required_outputs  # noqa: PLC0415 - as above

    try:
        session, url = session_of(STAGE, settings)
        (bucket,) = required_outputs(session, STAGE, (StackOutput.MARKET_DATA_BUCKET,), endpoint=url)
    except (AccountsError, DeployError):
        return None
    lake = Lake(S3Store(session.client("s3", endpoint_url=url), bucket))
    return lambda venue, symbol: _in_bucket(lake, SeriesKey(venue, symbol))


def _finder(lake: str, venue: str, settings: Settings) -> FindOfVenue:
    """Return what finds a venue's series. venue: the one whose bars a folder holds if it does not say so."""
    if lake.startswith(BUCKET):
        from local.cli.stage import aws_session  # noqa: PLC0415 - boto3, only for a bucket

        bucket = Lake(S3Store(aws_session(settings).client("s3"), lake.removeprefix(BUCKET).strip("/")))
        return lambda market, symbol: _in_bucket(bucket, SeriesKey(market, symbol))
    series = every_series(Path(lake))

    def find(market: str, symbol: Symbol) -> CandleSeries | None:
        """Return the series of a symbol at a market. If the market is the ledger's own, the symbol's only series will do."""
        found = [one for one in series if one.symbol == symbol]
        exact = [one for one in found if isinstance(one, LakeSeries) and one.key.venue == market]
        if exact or market != venue:
            return exact[0] if exact else None
        if len(found) > 1:
            raise MarketDataError(f"{lake}: several venues hold {symbol}, and {market} is none of them; name one venue's folder")
        return found[0] if found else None

    return find


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
            console.print(f"and {len(wrong) - SHOWN} more mismatches", highlight=False)
    agreeing = sum(one.agrees for one in found)
    console.print(f"{day}: {agreeing} of {len(found)} signals agree with their bars, {len(wrong)} mismatches", highlight=False)
