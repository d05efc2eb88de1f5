"""Expand, then contract: functions of the release before go on working on this release's schema, while it is rolled out or back.

What they send was recorded from them (record_statements.py). Whoever contracts, and takes away what the release before no longer
used, records first, on that release. Besides, their handlers, taken out of the history, live through a day on this schema.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any, Final

import pytest

from signalbox.adapters.postgres.migrate import MIGRATIONS, load_migrations
from signalbox.wire import parse_object
from tests.fakes.postgres_server import PostgresServer
from tests.integration.record_statements import RECORD
from tests.integration.test_function_roles import refused, superuser

pytestmark = pytest.mark.integration

ROOT: Final = Path(__file__).resolve().parents[2]
SHIPPED: Final = ("lambdas", "layers/core", "training/starter_bundle")


@pytest.fixture(scope="module")
def before() -> dict[str, Any]:
    return parse_object(RECORD.read_bytes(), max_bytes=10_000_000)


def test_the_record_is_of_a_schema_that_was_and_of_every_function(before: dict[str, Any]) -> None:
    assert 1 <= before["schema"] <= len(load_migrations())
    assert sum(map(len, before["statements"].values())) > 100


def test_every_statement_of_the_release_before_is_planned_and_allowed(
    postgres: PostgresServer, database: str, before: dict[str, Any]
) -> None:
    with superuser(postgres, database) as connection:
        connection.execute("SELECT ensure_candle_partitions('{2024-03-01}')")
        for user, statements in before["statements"].items():
            for statement in statements:
                assert refused(connection, user, statement) is None, f"{user}: {statement}"


def test_what_the_release_before_does_not_fill_fills_itself(
    postgres: PostgresServer, database: str, before: dict[str, Any]
) -> None:
    """A column that is new in a table of its release is nullable, has a default or is generated."""
    rows = postgres.execute(
        "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'public' AND is_nullable = 'NO'"
        " AND column_default IS NULL AND is_identity = 'NO' AND is_generated = 'NEVER'",
        database,
    )
    unfilled = [(table, column) for table, column in rows if column not in before["columns"].get(table, [column])]
    assert unfilled == []
    gone = {table for table in before["columns"] if not postgres.execute(f"SELECT to_regclass('{table}')", database)[0][0]}
    assert gone == set()


def _git(*arguments: str) -> bytes:
    done = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"NOT RUN: git {arguments[0]} of the release before failed: {done.stderr.decode().strip()}")
    return done.stdout


def commit_before_the_newest_migration() -> str:
    """The commit whose functions met the schema without its newest migration: HEAD, while that one is not committed."""
    folder = str(MIGRATIONS.relative_to(ROOT))
    committed = _git("ls-tree", "--name-only", "HEAD", f"{folder}/").decode().split()
    if f"{folder}/{load_migrations()[-1].label}.sql" not in committed:
        return "HEAD"
    log = _git("log", "-1", "--format=%H %P", "--first-parent", "-m", "--diff-filter=AR", "--", folder).decode().split()
    if len(log) < 2:
        pytest.skip(
            "NOT RUN: the clone has no commit before the newest migration; fetch the whole history (git fetch --unshallow)"
        )
    return log[1]


def _day(root: Path, postgres: PostgresServer, database: str) -> dict[str, Any]:
    """What the handlers in a source tree did in a day on a database."""
    environment = {
        "PATH": os.defpath, "HOME": str(root), "PYTHONPATH": str(root / "layers" / "core" / "python"),
        "AWS_DEFAULT_REGION": "eu-central-1", "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x",
    }  # fmt: skip
    script = Path(__file__).with_name("release_day.py")
    command = [sys.executable, "-P", str(script), str(root), postgres.socket_folder, database]
    done = subprocess.run(command, env=environment, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2_000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_handlers_of_the_release_before_live_through_a_day_on_this_schema(
    postgres: PostgresServer, database: str, tmp_path: Path
) -> None:
    """Two cycles are decided, an account trades, risk is watched, alerts are sent, reports are published."""
    release = commit_before_the_newest_migration()
    with tarfile.open(fileobj=io.BytesIO(_git("archive", release, *SHIPPED))) as archive:
        archive.extractall(tmp_path, filter="data")
    day = _day(tmp_path, postgres, database)
    assert Path(day["library"]).is_relative_to(tmp_path)
    assert day["failures"] == [[], [], [], [], []]
    assert (day["order"], day["halt"]) == (201, 200), day["answers"]
    assert {"CycleDecided", "SignalGenerated", "TradingHalted"} <= set(day["events"])
    assert [one for one in day["sent"] if one.startswith("sendMessage")] != []
    assert day["reports"]["files"] > 0
    counted = {
        table: postgres.execute(f"SELECT count(*) FROM {table}", database)[0][0]
        for table in ("cycles", "signals", "orders", "halts", "equity_snapshots", "published_reports")
    }
    assert (counted["cycles"], counted["orders"], counted["halts"]) == (2, 1, 1)
    assert min(counted.values()) > 0, counted
