"""Every function that a schedule runs refuses an instant of the future before it does anything."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType

import pytest

from signalbox.events import MAX_AHEAD, InstantAheadError, ScheduledJob
from tests.fakes.lambda_context import FakeLambdaContext

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
JOBS = sorted(
    path.parent.name for path in Path(__file__).parents[3].glob("lambdas/*/handler.py") if "ScheduledJob" in path.read_text()
)


class Untouched:
    """An application that must not be asked for anything."""

    def __call__(self, *_: object) -> object:
        raise AssertionError("expected nothing to be done")

    def __getattr__(self, name: str) -> object:
        raise AssertionError(f"expected nothing to be done, got {name}")


def test_the_jobs_are_those_of_the_schedules() -> None:
    assert JOBS == [
        "collect_alternative", "collect_candles", "compact_candles", "dump_database", "monitor_risk", "publish_reports",
        "relay_outbox", "start_training",
    ]  # fmt: skip


@pytest.mark.filterwarnings("ignore:No application metrics")
@pytest.mark.parametrize("job", JOBS)
def test_a_job_of_the_future_fails_the_call_and_does_nothing(load: Callable[[str], ModuleType], job: str) -> None:
    handler = load(job).make_handler(Untouched())
    ahead = (datetime.now(UTC) + 2 * MAX_AHEAD).isoformat()
    with pytest.raises(InstantAheadError):
        handler({"job": job, "scheduled_at": ahead}, FakeLambdaContext())


@pytest.mark.parametrize("apart", [MAX_AHEAD, timedelta(0), -timedelta(days=9)])
def test_a_job_is_taken_when_it_is_due_however_late(apart: timedelta) -> None:
    event = {"job": "x", "scheduled_at": (NOW + apart).isoformat()}
    assert ScheduledJob.read(event, NOW).scheduled_at == NOW + apart


def test_a_job_later_than_clocks_differ_is_refused() -> None:
    with pytest.raises(InstantAheadError):
        ScheduledJob.read({"job": "x", "scheduled_at": (NOW + MAX_AHEAD + timedelta(microseconds=1)).isoformat()}, NOW)
