"""Migrations: once, in order, unchanged."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from itertools import chain
from pathlib import Path

import psycopg
import pytest

from signalbox.adapters.postgres import migrate as migrations
from signalbox.adapters.postgres.connection import Connection, DatabaseSettings, connect
from signalbox.adapters.postgres.errors import MigrationError
from signalbox.adapters.postgres.migrate import MIGRATIONS, load_migrations, migrate, schema_hash
from signalbox.adapters.postgres.roles import ROLES
from signalbox.contracts import ADMIN_DATABASE_USER, APP_DATABASE_USER
from signalbox.ledger_errors import LedgerError, LedgerUnavailableError
from tests.fakes.postgres_server import FUNCTIONS_USER, PostgresServer

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
    with pytest.raises(MigrationError, match=f"{version:04d}_half failed: .*already exists"):
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


@contextmanager
def as_on_rds(postgres: PostgresServer) -> Iterator[None]:
    """A server whose members of rds_iam, however indirect, log in by a token that this test has not."""
    rules = postgres.access_rules
    before = rules.read_text()
    postgres.execute("CREATE ROLE rds_iam NOLOGIN")
    rules.write_text("local all +rds_iam reject\n" + before)
    postgres.execute("SELECT pg_reload_conf()")
    try:
        yield
    finally:
        rules.write_text(before)
        postgres.execute("SELECT pg_reload_conf()")
        postgres.execute("DROP ROLE rds_iam")


@contextmanager
def granting(postgres: PostgresServer) -> Iterator[None]:
    """RDS lets its master grant rds_iam without being a member of it; PostgreSQL itself lets a member with ADMIN OPTION alone.

    So that membership lasts as long as a login, and what was granted with it is granted by a superuser before it ends.
    """
    postgres.execute(f"GRANT rds_iam TO {ADMIN_DATABASE_USER} WITH ADMIN OPTION")
    try:
        yield
    finally:
        granted = postgres.execute(
            "SELECT member::regrole::text FROM pg_auth_members WHERE roleid = 'rds_iam'::regrole"
            f" AND grantor = '{ADMIN_DATABASE_USER}'::regrole"
        )
        postgres.execute(f"REVOKE rds_iam FROM {ADMIN_DATABASE_USER} CASCADE")
        for (member,) in granted:
            postgres.execute(f"GRANT rds_iam TO {member}")


class MasterOfRds:
    """A login that is let in before it can grant, as RDS's master is."""

    def __init__(self, postgres: PostgresServer, owner: DatabaseSettings) -> None:
        self._postgres, self._owner = postgres, owner

    def migrate(self, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        connecting = connect

        def connected(settings: DatabaseSettings, password: str) -> Connection:
            connection = connecting(settings, password)
            stack.enter_context(granting(self._postgres))
            return connection

        with ExitStack() as stack, monkeypatch.context() as patch:
            patch.setattr(migrations, "connect", connected)
            return migrate(self._owner, "")


def test_the_master_of_rds_migrates_a_second_time(
    postgres: PostgresServer, owner: DatabaseSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may create roles and is no superuser: it must not become a member of those that log in with a token."""
    users = [role.user for role in ROLES]
    master = MasterOfRds(postgres, owner)
    with as_on_rds(postgres), roles_made_anew(postgres):
        assert master.migrate(monkeypatch) == [migration.label for migration in load_migrations()]
        members = postgres.execute("SELECT rolname FROM pg_roles WHERE pg_has_role(oid, 'rds_iam', 'MEMBER') AND NOT rolsuper")
        assert {name for (name,) in members} - {"rds_iam", FUNCTIONS_USER} == set(users)
        assert master.migrate(monkeypatch) == []
        with pytest.raises(LedgerUnavailableError, match="rejects connection"):
            connect(postgres.settings(owner.name, users[0]), "")


def test_a_role_of_a_later_migration_is_made_without_a_membership_of_the_owner(
    postgres: PostgresServer, owner: DatabaseSettings
) -> None:
    migrate(owner, "")
    role = "signalbox_new_function"
    try:
        with connect(owner, "") as connection:
            for _ in range(2):  # the second time another database, or a repeated migration, has made it
                connection.execute("SELECT make_function_role(%s)", (role,))
            for wrong in ("postgres", "signalbox_X; DROP ROLE postgres", ""):
                with pytest.raises(psycopg.errors.InvalidParameterValue, match="expected the name of a function's role"):
                    connection.execute("SELECT make_function_role(%s)", (wrong,))
        assert postgres.execute(f"SELECT pg_has_role('{ADMIN_DATABASE_USER}', '{role}', 'MEMBER')") == [(False,)]
        assert postgres.execute("SELECT count(*) FROM pg_roles WHERE rolname LIKE 'signalbox_maker_%'") == [(0,)]
        with connect(postgres.settings(owner.name, role), "") as connection:  # it may log in, and do nothing that is not granted
            for refused in ("SELECT * FROM accounts", "SELECT make_function_role('signalbox_other')"):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    connection.execute(refused)
    finally:
        postgres.execute(f"DROP OWNED BY {role}", owner.name)
        postgres.execute(f"DROP ROLE {role}")


def test_no_later_migration_repeats_how_a_role_is_made() -> None:
    found = load_migrations()
    (made,) = [one for one in found if b"CREATE FUNCTION make_function_role" in one.sql]
    assert [one.label for one in found[made.version :] if b"CREATE ROLE" in one.sql or b"CREATEROLE" in one.sql] == []


@contextmanager
def roles_made_anew(postgres: PostgresServer) -> Iterator[None]:
    """The roles belong to the server: those of the other tests step aside, so that the migrations have to make them."""
    users = [role.user for role in ROLES] + [APP_DATABASE_USER]
    for user in users:
        postgres.execute(f"ALTER ROLE {user} RENAME TO aside_{user}")
    try:
        yield
    finally:
        databases = postgres.execute("SELECT datname FROM pg_database WHERE datname LIKE 'test_%'")
        for user in users:
            for (database,) in databases:
                postgres.execute(f"DROP OWNED BY {user}", database)
            postgres.execute(f"DROP ROLE {user}")
            postgres.execute(f"ALTER ROLE aside_{user} RENAME TO {user}")


def test_application_role_may_not_migrate(postgres: PostgresServer, owner: DatabaseSettings, folder: Path) -> None:
    migrate(owner, "", folder)
    version = len(load_migrations(folder)) + 1
    (folder / f"{version:04d}_more.sql").write_text("CREATE TABLE more (a int);")
    with pytest.raises(LedgerError, match="permission denied"):
        migrate(postgres.settings(owner.name, FUNCTIONS_USER), "", folder)


def test_an_event_of_before_the_names_were_bound_to_types_is_kept_and_published(
    postgres: PostgresServer, owner: DatabaseSettings, folder: Path
) -> None:
    (later,) = folder.glob("0017_*.sql")
    text = later.read_text()
    for path in folder.glob("*.sql"):
        if path.name >= later.name:
            path.unlink()
    migrate(owner, "", folder)
    postgres.execute(
        "INSERT INTO outbox (event_id, event_type, detail, created_at, published_at)"
        " VALUES ('old', 'TradeOpened', '{}', now(), now()), ('waits', 'TradeOpened', '{}', now(), NULL)",
        owner.name,
    )
    later.write_text(text)
    assert migrate(owner, "", folder) == [later.stem]
    publish = "UPDATE outbox SET published_at = now() WHERE published_at IS NULL RETURNING event_id"
    assert postgres.execute(publish, owner.name, FUNCTIONS_USER) == [("waits",)]
