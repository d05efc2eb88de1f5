"""Migrations: once, in order, unchanged."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path

import pytest

from signalbox.adapters.postgres.connection import DatabaseSettings
from signalbox.adapters.postgres.errors import LedgerError, LedgerUnavailableError, MigrationError
from signalbox.adapters.postgres.migrate import MIGRATIONS, load_migrations, migrate, schema_hash
from signalbox.contracts import ADMIN_DATABASE_USER, APP_DATABASE_USER
from tests.fakes.postgres_server import PostgresServer

pytestmark = pytest.mark.integration


@pytest.fixture
def owner(postgres: PostgresServer, empty_database: str) -> DatabaseSettings:
    return postgres.settings(empty_database, ADMIN_DATABASE_USER)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the migrations that a test may change."""
    return Path(shutil.copytree(MIGRATIONS, tmp_path / "migrations"))


def history(postgres: PostgresServer, owner: DatabaseSettings) -> list[tuple[object, ...]]:
    return postgres.execute("SELECT version, name, sha256, applied_at FROM schema_migrations ORDER BY version", owner.name)


def tables(postgres: PostgresServer, owner: DatabaseSettings) -> list[str]:
    found = postgres.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1", owner.name)
    return [name for (name,) in found]


def test_empty_database_gets_every_migration_and_a_second_run_changes_nothing(
    postgres: PostgresServer, owner: DatabaseSettings
) -> None:
    labels = [migration.label for migration in load_migrations()]
    assert migrate(owner, "") == labels
    before = history(postgres, owner)
    assert migrate(owner, "") == []
    assert history(postgres, owner) == before
    assert [row[0] for row in before] == list(range(1, len(load_migrations()) + 1))
    assert [row[2] for row in before] == [migration.sha256 for migration in load_migrations()]


def test_applied_migration_that_was_changed_is_refused_with_both_hashes(owner: DatabaseSettings, folder: Path) -> None:
    migrate(owner, "", folder)
    recorded = load_migrations(folder)[0].sha256
    first = folder / "0001_ledger.sql"
    first.write_text(first.read_text() + "-- a word more\n")
    with pytest.raises(MigrationError, match=recorded) as caught:
        migrate(owner, "", folder)
    assert load_migrations(folder)[0].sha256 in str(caught.value)


def test_migration_that_fails_is_undone_whole_and_those_before_it_stay(
    postgres: PostgresServer, owner: DatabaseSettings, folder: Path
) -> None:
    version = len(load_migrations(folder)) + 1
    bad = folder / f"{version:04d}_half.sql"
    bad.write_text("CREATE TABLE half (a int); CREATE TABLE half (a int);")
    with pytest.raises(MigrationError, match=f"{version:04d}_half: .*already exists"):
        migrate(owner, "", folder)
    assert "half" not in tables(postgres, owner)
    assert len(history(postgres, owner)) == version - 1
    bad.write_text("CREATE TABLE half (a int);")
    assert migrate(owner, "", folder) == [f"{version:04d}_half"]


def test_callers_at_the_same_time_apply_each_migration_once(postgres: PostgresServer, owner: DatabaseSettings) -> None:
    with ThreadPoolExecutor(3) as pool:
        applied = list(pool.map(lambda _: migrate(owner, ""), range(3)))
    assert sorted(applied, key=len)[:2] == [[], []]
    assert sorted(chain.from_iterable(applied)) == [migration.label for migration in load_migrations()]


def test_database_ahead_of_the_code_is_left_alone(postgres: PostgresServer, owner: DatabaseSettings, folder: Path) -> None:
    version = len(load_migrations(folder)) + 1
    newer = folder / f"{version:04d}_newer.sql"
    newer.write_text("CREATE TABLE newer (a int);")
    migrate(owner, "", folder)
    newer.unlink()
    assert migrate(owner, "", folder) == []
    assert "newer" in tables(postgres, owner)


@pytest.mark.parametrize("name", ["0009_gap.sql", "3_short.sql", "0003_Upper.sql", "0001_twice.sql"])
def test_misnamed_or_misnumbered_file_is_refused_before_anything_runs(
    postgres: PostgresServer, owner: DatabaseSettings, folder: Path, name: str
) -> None:
    (folder / name).write_text("SELECT 1;")
    with pytest.raises(MigrationError, match="expected"):
        migrate(owner, "", folder)
    assert tables(postgres, owner) == []


def test_schema_hash_changes_with_any_byte_of_any_migration(folder: Path) -> None:
    before = schema_hash(folder)
    assert before == schema_hash()
    last = folder / "0002_application_role.sql"
    last.write_text(last.read_text() + "\n")
    assert schema_hash(folder) != before


def test_database_that_is_not_there_is_unavailable(postgres: PostgresServer) -> None:
    with pytest.raises(LedgerUnavailableError, match="does not exist"):
        migrate(postgres.settings("no_such_database", ADMIN_DATABASE_USER), "")


def test_application_role_logs_in_with_iam_where_rds_knows_it(postgres: PostgresServer, owner: DatabaseSettings) -> None:
    postgres.execute("CREATE ROLE rds_iam NOLOGIN")
    postgres.execute(f"GRANT rds_iam TO {ADMIN_DATABASE_USER} WITH ADMIN OPTION")
    try:
        migrate(owner, "")
        assert postgres.execute(f"SELECT pg_has_role('{APP_DATABASE_USER}', 'rds_iam', 'MEMBER')") == [(True,)]
    finally:
        postgres.execute("DROP ROLE rds_iam")


def test_application_role_may_not_migrate(postgres: PostgresServer, owner: DatabaseSettings, folder: Path) -> None:
    migrate(owner, "", folder)
    version = len(load_migrations(folder)) + 1
    (folder / f"{version:04d}_more.sql").write_text("CREATE TABLE more (a int);")
    with pytest.raises(LedgerError, match="permission denied"):
        migrate(postgres.settings(owner.name, APP_DATABASE_USER), "", folder)
