"""The ledger's finished days become files, once, late candles included."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typing_extensions import override

from signalbox.adapters.lake.day_file import DayFile
from signalbox.adapters.lake.lake import Lake
from signalbox.adapters.lake.stores import FolderStore
from signalbox.market.candles import Candle, Symbol
from signalbox.market.compaction import CompactionReport, compact
from signalbox.market.lake import DayFault, DayKey, SeriesKey, day_of
from tests.builders import BTC, ETH, candle, candles, minutes

TODAY = datetime(2024, 3, 10, tzinfo=UTC)
AT = TODAY + minutes(20)
YESTERDAY = DayKey(SeriesKey("coinbase", BTC), date(2024, 3, 9))


class Ledger:
    def __init__(self, *rows: Candle) -> None:
        self.rows = list(rows)

    def days(self, venue: str, symbol: Symbol, before: datetime) -> Sequence[date]:
        assert venue == "coinbase"
        return sorted({day_of(c.open_time) for c in self.rows if c.symbol == symbol and c.open_time < before})

    def candles(self, venue: str, symbol: Symbol, start: datetime, end: datetime) -> Sequence[Candle]:
        return sorted(
            (c for c in self.rows if c.symbol == symbol and start <= c.open_time < end), key=lambda candle: candle.open_time
        )


def run(ledger: Ledger, root: Path, at: datetime = AT, **options: int) -> CompactionReport:
    return compact(at, ("coinbase",), (BTC, ETH), ledger=ledger, lake=Lake(FolderStore(root)), **options)


def contents(root: Path) -> dict[str, bytes]:
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*.parquet")}


def test_every_finished_day_is_written_and_today_is_not(tmp_path: Path) -> None:
    ledger = Ledger(*candles(BTC, TODAY + minutes(15), 3000), *candles(ETH, TODAY + minutes(15), 100))
    report = run(ledger, tmp_path)
    assert {(d.key.series.symbol, d.key.day.day): (d.rows, d.missing) for d in report.days} == {
        (BTC, 7): (105, 1335),
        (BTC, 8): (1440, 0),
        (BTC, 9): (1440, 0),
        (ETH, 9): (85, 1355),
    }
    assert report.left == 0
    day = Lake(FolderStore(tmp_path)).read_day(YESTERDAY)
    assert isinstance(day, DayFile)
    assert day.asked_until == YESTERDAY.end
    assert day.candles == tuple(ledger.candles("coinbase", BTC, YESTERDAY.start, YESTERDAY.end))


def test_a_second_run_changes_nothing(tmp_path: Path) -> None:
    ledger = Ledger(*candles(BTC, TODAY, 2000))
    run(ledger, tmp_path)
    before = contents(tmp_path)
    assert not any(day.changed for day in run(ledger, tmp_path).days)
    assert contents(tmp_path) == before


def test_the_scheduled_instant_decides_and_not_when_it_runs(tmp_path: Path) -> None:
    ledger = Ledger(*candles(BTC, TODAY + timedelta(days=5), 5 * 1440 + 60))
    assert [day.key for day in run(ledger, tmp_path).days] == [YESTERDAY]


def test_late_candles_reach_a_young_day_and_not_an_old_one(tmp_path: Path) -> None:
    rows = candles(BTC, TODAY, 7 * 1440)
    late = {day: rows.pop(day * 1440) for day in (6, 5, 0)}
    ledger = Ledger(*rows)
    assert len(run(ledger, tmp_path).days) == 7
    ledger.rows += late.values()
    report = run(ledger, tmp_path)
    assert [(d.key.day.day, d.rows, d.changed) for d in report.days] == [(7, 1440, False), (8, 1440, True), (9, 1440, True)]


def test_candle_that_arrives_while_its_day_is_written_is_in_it_the_next_night(tmp_path: Path) -> None:
    rows = candles(BTC, TODAY, 1440)
    late, revised = rows.pop(700), rows[20]
    better = candle(BTC, revised.open_time, "42")

    class Busy(Ledger):
        @override
        def candles(self, venue: str, symbol: Symbol, start: datetime, end: datetime) -> Sequence[Candle]:
            found = super().candles(venue, symbol, start, end)
            self.rows = [better if one == revised else one for one in self.rows] + [late] * (late not in self.rows)
            return found

    ledger = Busy(*rows)
    (first,) = run(ledger, tmp_path).days
    assert (first.rows, first.conflicts) == (1439, ())
    (second,) = run(ledger, tmp_path, AT + timedelta(days=1)).days
    assert (second.rows, second.changed, second.conflicts) == (1440, True, (revised.open_time,))
    stored = Lake(FolderStore(tmp_path)).stored(YESTERDAY).candles
    assert stored == tuple(ledger.candles("coinbase", BTC, YESTERDAY.start, YESTERDAY.end))


def test_old_days_without_a_file_are_caught_up_with_oldest_first_over_several_runs(tmp_path: Path) -> None:
    ledger = Ledger(*(candle(BTC, TODAY - timedelta(days=i)) for i in range(1, 21)), candle(ETH, TODAY - timedelta(days=20)))
    first = run(ledger, tmp_path, max_days=8)
    assert [d.key.day.day for d in first.days[:3]] == [7, 8, 9]
    assert [(d.key.day.isoformat(), d.key.series.symbol) for d in first.days[3:5]] == [("2024-02-19", BTC), ("2024-02-19", ETH)]
    assert (len(first.days), first.left) == (8, 13)
    while run(ledger, tmp_path, max_days=8).left:
        pass
    assert len(contents(tmp_path)) == 21


def test_rows_that_only_the_file_has_are_kept_and_the_ledger_wins_a_conflict(tmp_path: Path) -> None:
    lake = Lake(FolderStore(tmp_path))
    collected = candles(BTC, TODAY, 1440)
    lake.write_day(YESTERDAY, collected, asked_until=YESTERDAY.end)
    other = candle(BTC, TODAY - minutes(5), "42")
    (day,) = run(Ledger(other), tmp_path).days
    assert (day.rows, day.conflicts) == (1440, (other.open_time,))
    stored = lake.stored(YESTERDAY).candles
    assert stored[-5] == other
    assert stored[:-5] == tuple(collected[:-5])


def test_a_bad_file_is_set_aside_and_written_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    ledger = Ledger(*candles(BTC, TODAY, 1440))
    run(ledger, tmp_path)
    good = contents(tmp_path)
    (tmp_path / YESTERDAY.path).write_bytes(b"no more")
    (day,) = run(ledger, tmp_path).days
    assert (day.fault, day.changed, day.rows) == (DayFault.UNREADABLE, True, 1440)
    assert {k: v for k, v in contents(tmp_path).items() if k.startswith("candles/")} == good
    assert len(contents(tmp_path)) == 2


def test_a_day_that_cannot_be_written_leaves_the_others_alone(tmp_path: Path) -> None:
    hourly = [candle(BTC, TODAY - minutes(60 * i)) for i in range(1, 25)]
    ledger = Ledger(*candles(ETH, TODAY, 60), *reversed(hourly))
    bad, good = run(ledger, tmp_path).days
    assert bad.error is not None
    assert "expected 1-minute candles" in bad.error
    assert (good.key.series.symbol, good.rows, good.error) == (ETH, 60, None)


@given(st.lists(st.sets(st.integers(0, 4 * 1440 - 1), max_size=8), min_size=1, max_size=4))
def test_the_lake_is_the_ledger_however_the_candles_arrive(
    tmp_path_factory: pytest.TempPathFactory, arrivals: list[set[int]]
) -> None:
    """Nights in which candles arrive in any order end with the file that one night with all of them would have written."""
    start = TODAY - timedelta(days=1)
    nightly, at_once = (tmp_path_factory.mktemp(name) for name in ("nightly", "at_once"))
    ledger = Ledger()
    for night, minutes_of_night in enumerate(arrivals):
        known = {c.open_time for c in ledger.rows}
        fresh = [candle(BTC, start + minutes(m % 1440)) for m in sorted(minutes_of_night)]
        ledger.rows += {c.open_time: c for c in fresh if c.open_time not in known}.values()
        run(ledger, nightly, AT + timedelta(days=night) if night < 3 else AT)
    run(ledger, at_once)
    assert contents(nightly) == contents(at_once)
