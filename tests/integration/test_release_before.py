"""Expand, then contract: functions of the release before go on working on this release's schema, while it is rolled out or back.

What they send was recorded from them (record_statements.py). Whoever contracts, and takes away what the release before no longer
used, records first, on that release.
"""

from __future__ import annotations

from typing import Any

import pytest

from signalbox.adapters.postgres.migrate import load_migrations
from signalbox.wire import parse_object
from tests.fakes.postgres_server import PostgresServer
from tests.integration.record_statements import RECORD
from tests.integration.test_function_roles import refused, superuser

pytestmark = pytest.mark.integration


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
