"""compact_candles: time from the event, counts as metrics, a failure that is seen."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, date, datetime
from types import ModuleType

import pytest

from signalbox.bootstrap.settings import CompactCandlesSettings
from signalbox.market.compaction import CompactionError, CompactionReport, DayCompaction
from signalbox.market.lake import DayFault, DayKey, SeriesKey
from tests.builders import BTC, ETH, NOON
from tests.fakes.lambda_context import FakeLambdaContext

EVENT = {"job": "compact_candles", "scheduled_at": "2024-03-02T00:20:00Z"}
KEY = DayKey(SeriesKey("coinbase", BTC), date(2024, 3, 1))
GOOD = DayCompaction(KEY, 1430, changed=True, conflicts=(NOON,), fault=DayFault.UNREADABLE)
SAME = DayCompaction(DayKey(SeriesKey("coinbase", ETH), date(2024, 3, 1)), 1440, changed=False, conflicts=(), fault=None)
FAILED = DayCompaction(KEY, 5, changed=False, conflicts=(), fault=None, error="extreme")


def metric_values(out: str) -> dict[str, float]:
    lines = [json.loads(line) for line in out.splitlines() if '"_aws"' in line]
    return {k: v[0] for line in lines for k, v in line.items() if isinstance(v, list) and len(v) == 1 and isinstance(v[0], float)}


def test_the_scheduled_instant_is_the_clock_and_days_are_counted(
    load: Callable[[str], ModuleType], capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[datetime] = []

    def run(at: datetime) -> CompactionReport:
        asked.append(at)
        return CompactionReport((GOOD, SAME), 7)

    answer = load("compact_candles").make_handler(run)(EVENT, FakeLambdaContext())
    assert asked == [datetime(2024, 3, 2, 0, 20, tzinfo=UTC)]
    assert answer == {"days": 2, "changed": 1, "rows": 2870, "missing": 10, "left": 7}
    out = capsys.readouterr().out
    found = metric_values(out)
    assert (found["DaysCompacted"], found["CandlesCompacted"], found["CandlesMissing"]) == (2, 1430, 10)
    assert found["LakeFilesQuarantined"] == 1
    assert "day_file_quarantined" in out


def test_a_day_that_was_not_written_fails_the_run_after_the_others_were(
    load: Callable[[str], ModuleType], capsys: pytest.CaptureFixture[str]
) -> None:
    handler = load("compact_candles").make_handler(lambda _: CompactionReport((SAME, FAILED), 0))
    with pytest.raises(CompactionError, match="1 of 2 days were not written, first candles/venue=coinbase"):
        handler(EVENT, FakeLambdaContext())
    assert metric_values(capsys.readouterr().out)["DaysCompacted"] == 1


def test_settings_are_read_from_the_templates_names(environment: dict[str, str]) -> None:
    found = CompactCandlesSettings.read()
    assert (found.market_data_bucket, found.venue, found.symbols) == ("market-data", "coinbase", (BTC, ETH))
