"""dump_database and restore_database: a dump is counted when it is whole, a restore says how far it is, no password is told."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from types import ModuleType

import pytest
from pydantic import ValidationError
from typing_extensions import override

from signalbox.adapters.postgres.restore import RestoreProgress
from signalbox.backup.errors import DumpStorageError
from signalbox.backup.manifest import AppliedMigration, DumpManifest
from signalbox.wire import parse_object
from tests.fakes.lambda_context import FakeLambdaContext

NIGHT = datetime(2026, 3, 1, 2, 30, tzinfo=UTC)
JOB = {"job": "dump_database", "scheduled_at": NIGHT.isoformat()}
MANIFEST = DumpManifest(
    format=1,
    dumped_at=NIGHT,
    migrations=(AppliedMigration(version=20, sha256="0" * 64),),
    candle_months=(),
    sequences={},
    tables=(),
)


def metrics_of(text: str) -> dict[str, object]:
    lines = [parse_object(line) for line in text.splitlines() if '"_aws"' in line]
    return {key: value for line in lines for key, value in line.items() if key == "LedgerDumped"}


def test_a_dump_counts_when_it_is_whole(load: Callable[[str], ModuleType], capsys: pytest.CaptureFixture[str]) -> None:
    handler = load("dump_database").make_handler(lambda at: (f"s3://b/dumps/{at:%Y}", MANIFEST))
    assert handler(JOB, FakeLambdaContext()) == {"dump": "s3://b/dumps/2026", "schema": 20, "rows": 0}
    assert metrics_of(capsys.readouterr().out) == {"LedgerDumped": [1.0]}


@pytest.mark.filterwarnings("ignore:No application metrics")
def test_a_dump_that_failed_counts_nothing_and_fails_the_call(
    load: Callable[[str], ModuleType], capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(_: datetime) -> tuple[str, DumpManifest]:
        raise DumpStorageError("cannot write s3://b/dumps/x: AccessDenied")

    with pytest.raises(DumpStorageError):
        load("dump_database").make_handler(fails)(JOB, FakeLambdaContext())
    assert metrics_of(capsys.readouterr().out) == {}


class Hurried(FakeLambdaContext):
    @override
    def get_remaining_time_in_millis(self) -> int:
        return 100_000


def test_a_restore_stops_in_time_and_never_tells_the_password(
    load: Callable[[str], ModuleType], capsys: pytest.CaptureFixture[str]
) -> None:
    asked = []

    def restore(command: object, now: datetime, may_go_on: Callable[[], bool]) -> RestoreProgress:
        asked.append((command, may_go_on()))
        return RestoreProgress(parts=3, restored=1, rows=10)

    handler = load("restore_database").make_handler(restore)
    answer = handler({"dump": "20260301T023000Z", "username": "owner", "password": "hush-hush"}, Hurried())
    assert (answer["restored"], answer["is_done"]) == (1, False)
    assert asked[0][1] is False
    assert "hush-hush" not in capsys.readouterr().out


@pytest.mark.parametrize("function", ["restore_database", "migrate_database"])
def test_a_malformed_login_is_refused_without_its_password(load: Callable[[str], ModuleType], function: str) -> None:
    def untouched(*_: object) -> object:
        raise AssertionError("expected nothing to be done")

    handler = load(function).make_handler(untouched)
    for wrong in ({"password": "hush-hush"}, {"username": "u", "password": "hush-hush", "dump": "x", "more": "hush-hush"}):
        with pytest.raises(ValidationError) as caught:
            handler(wrong, FakeLambdaContext())
        assert "hush-hush" not in str(caught.value)
