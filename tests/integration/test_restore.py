"""A dump holds every row of every table, and a restore gives them back, whatever breaks on the way."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from typing_extensions import override

from local.cli.backup.command import Backups, print_dump, print_restore
from local.cli.backup.folder import FolderDumpStore
from local.errors import DataError
from local.settings import load_settings
from signalbox.adapters.postgres.connection import ConnectionSource
from signalbox.adapters.postgres.dump import dump
from signalbox.adapters.postgres.migrate import load_migrations, migrate
from signalbox.adapters.postgres.restore import RestoreProgress, restore
from signalbox.adapters.postgres.trading import PostgresTradingLedger
from signalbox.backup.errors import (
    BackupError,
    DumpDamagedError,
    DumpIncompleteError,
    DumpStorageError,
    DumpTooNewError,
    RestoreRefusedError,
)
from signalbox.backup.manifest import MANIFEST, DumpManifest, DumpTable, read_manifest
from signalbox.backup.parts import PartWriter
from signalbox.contracts import ADMIN_DATABASE_USER, Function, database_user
from signalbox.ledger_errors import LedgerError
from signalbox.limits import MAX_DUMP_FILE_BYTES
from signalbox.risk.snapshot import HaltLevel
from tests.fakes.postgres_server import PostgresServer, app_source
from tests.integration.function_statements import use_every_function
from tests.unit.trading.test_live_service import NAME

pytestmark = pytest.mark.integration

AT = datetime(2026, 11, 28, 2, 30, tzinfo=UTC)
NOW = AT + timedelta(hours=9)
DUMPS = database_user(Function.DUMP_DATABASE)
SMALL = 20_000  # bytes of a part: the tables have several


@pytest.fixture(scope="module")
def busy(postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A ledger in which every function did its work."""
    database = postgres.create_database(template="template0")
    migrate(postgres.settings(database, ADMIN_DATABASE_USER), "")
    use_every_function(postgres, database, tmp_path_factory.mktemp("busy"))
    # a view that came in part, and a live account that nobody halted
    postgres.execute(
        "INSERT INTO venue_view_parts (account, view, asked_at, part, parts, payload)"
        f" VALUES ('{NAME}', '{'0' * 32}', '{AT.isoformat()}', 1, 2, '{{}}')",
        database,
    )
    postgres.execute(f"UPDATE accounts SET halt = NULL WHERE account = '{NAME}'", database)
    yield database
    postgres.drop_database(database)


@pytest.fixture(scope="module")
def made(postgres: PostgresServer, busy: str, tmp_path_factory: pytest.TempPathFactory) -> FolderDumpStore:
    store = FolderDumpStore(tmp_path_factory.mktemp("dumps") / "one")
    dump(postgres.settings(busy, DUMPS), lambda: "", store, AT, part_bytes=SMALL)
    return store


@pytest.fixture
def copied(made: FolderDumpStore, tmp_path: Path) -> FolderDumpStore:
    """A dump that a test may damage."""
    found = FolderDumpStore(tmp_path / "copy")
    for path in made.folder.iterdir():
        found.put(path.name, path.read_bytes())
    return found


def manifest_of(store: FolderDumpStore) -> DumpManifest:
    return read_manifest(store.get(MANIFEST) or b"", "it")[0]


def restored(postgres: PostgresServer, database: str, store: FolderDumpStore, **options: object) -> RestoreProgress:
    return restore(postgres.settings(database, ADMIN_DATABASE_USER), "", store, now=NOW, **options)  # type: ignore[arg-type]


def texts(postgres: PostgresServer, database: str, folder: Path) -> dict[str, tuple[int, str]]:
    """Rows and sha256 of every table, as a dump has them."""
    found = dump(postgres.settings(database, DUMPS), lambda: "", FolderDumpStore(folder), AT, part_bytes=SMALL)
    return {table.name: (table.rows, table.sha256) for table in found.tables}


def test_a_dump_names_every_table_and_its_rows(postgres: PostgresServer, busy: str, made: FolderDumpStore) -> None:
    found = manifest_of(made)
    tables = {
        name
        for (name,) in postgres.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')"
            " AND NOT relispartition AND relname <> 'schema_migrations'",
            busy,
        )
    }
    assert {table.name for table in found.tables} == tables
    for table in found.tables:
        assert postgres.execute(f"SELECT count(*) FROM {table.name}", busy) == [(table.rows,)], table.name
    rows = {table.name: table.rows for table in found.tables}
    assert not [name for name, count in rows.items() if not count], (
        "the busy ledger lacks rows of a table: the test proves nothing"
    )
    assert max(len(table.parts) for table in found.tables) > 1


def test_a_restored_ledger_has_the_same_rows_rights_and_numbers(
    postgres: PostgresServer, busy: str, made: FolderDumpStore, empty_database: str, tmp_path: Path
) -> None:
    done = restored(postgres, empty_database, made)
    assert done.is_done
    assert done.differences == ()
    assert done.accounts >= 3
    before, after = texts(postgres, busy, tmp_path / "a"), texts(postgres, empty_database, tmp_path / "b")
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"accounts", "halts", "risk_events", "outbox"}  # of the live account, which waits for somebody
    assert done.halted == (NAME,)
    for name in changed - {"accounts"}:
        assert after[name][0] == before[name][0] + 1, name
    sequences = manifest_of(made).sequences
    for name, last in sequences.items():
        ((value,),) = postgres.execute(f"SELECT nextval('{name}')", empty_database)
        assert value > last, name
    with (
        app_source(postgres, empty_database, user=database_user(Function.MANAGE_ORDERS)) as source,
        PostgresTradingLedger(source).transaction(NAME) as tx,
    ):
        halt = tx.load(NOW).halt
    assert halt is not None
    assert (halt.level, halt.who, halt.until) == (HaltLevel.HALT, "restore", None)
    assert postgres.execute("SELECT count(*) FROM signals", empty_database, database_user(Function.GENERATE_SIGNALS))


def test_what_is_there_is_refused_and_with_a_word_moved_aside_whole(
    postgres: PostgresServer, busy: str, made: FolderDumpStore, tmp_path: Path
) -> None:
    other = postgres.create_database(template="template0")
    try:
        migrate(postgres.settings(other, ADMIN_DATABASE_USER), "")
        postgres.execute("INSERT INTO symbol_status (symbol) VALUES ('XRP-USD')", other)
        with pytest.raises(RestoreRefusedError, match="symbol_status hold rows; with --replace"):
            restored(postgres, other, made)
        assert postgres.execute("SELECT symbol FROM symbol_status", other) == [("XRP-USD",)]
        done = restored(postgres, other, made, replace_all=True)
        assert done.is_done
        assert postgres.execute(f"SELECT symbol FROM {done.moved_to}.symbol_status", other) == [("XRP-USD",)]
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            postgres.execute(f"SELECT 1 FROM {done.moved_to}.accounts", other, database_user(Function.MANAGE_ORDERS))
        with pytest.raises(RestoreRefusedError, match="hold rows"):
            restored(postgres, other, made)
    finally:
        postgres.drop_database(other)


def test_an_interrupted_restore_goes_on_where_it_was_and_nobody_looks_in_meanwhile(
    postgres: PostgresServer, busy: str, made: FolderDumpStore, empty_database: str, tmp_path: Path
) -> None:
    turns = iter([True] * 7 + [False])
    first = restored(postgres, empty_database, made, may_go_on=lambda: next(turns))
    assert not first.is_done
    assert first.restored == 7
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="schema public"):
        postgres.execute("SELECT count(*) FROM public.accounts", empty_database, database_user(Function.MANAGE_ORDERS))

    class Dies(FolderDumpStore):
        calls = 0

        @override
        def get(self, file: str) -> bytes | None:
            self.calls += file != MANIFEST
            if self.calls > 5:
                raise DumpStorageError("the bucket is out of reach")
            return super().get(file)

    with pytest.raises(DumpStorageError, match="out of reach"):
        restored(postgres, empty_database, Dies(made.folder))
    seen: list[str] = []
    done = restored(postgres, empty_database, made, progress=seen.append)
    parts = sum(len(table.parts) for table in manifest_of(made).tables)
    assert done.is_done
    assert len(seen) == parts - 7 - 5
    for table in manifest_of(made).tables:
        extra = {"halts": 1, "risk_events": 1, "outbox": 1}.get(table.name, 0)
        assert postgres.execute(f"SELECT count(*) FROM {table.name}", empty_database) == [(table.rows + extra,)]


def test_another_dump_is_not_begun_over_one_that_is_half_restored(
    postgres: PostgresServer, busy: str, made: FolderDumpStore, empty_database: str, tmp_path: Path
) -> None:
    restored(postgres, empty_database, made, may_go_on=lambda: False)
    other = FolderDumpStore(tmp_path / "other")
    dump(postgres.settings(busy, DUMPS), lambda: "", other, AT + timedelta(days=1))
    with pytest.raises(RestoreRefusedError, match="the restore of another dump into this database is unfinished"):
        restored(postgres, empty_database, other)
    assert restored(postgres, empty_database, other, replace_all=True).is_done


def _cut(store: FolderDumpStore) -> None:
    path = sorted(store.folder.glob("order_events-*.gz"))[0]
    path.write_bytes(path.read_bytes()[:-200])


def _flipped(store: FolderDumpStore) -> None:
    path = sorted(store.folder.glob("fills-*.gz"))[0]
    sibling = sorted(store.folder.glob("orders-*.gz"))[0]
    path.write_bytes(sibling.read_bytes())


def _gone(store: FolderDumpStore) -> None:
    sorted(store.folder.glob("accounts-*.gz"))[0].unlink()


def _no_manifest(store: FolderDumpStore) -> None:
    (store.folder / MANIFEST).unlink()


def _half_manifest(store: FolderDumpStore) -> None:
    path = store.folder / MANIFEST
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _wrong_hash(store: FolderDumpStore) -> None:
    path = store.folder / MANIFEST
    found = json.loads(path.read_text())
    part = next(table for table in found["tables"] if table["name"] == "lots")["parts"][0]
    part["sha256"] = "0" * 64
    path.write_text(json.dumps(found))


def _changed(change: Callable[[dict[str, Any]], None]) -> Callable[[FolderDumpStore], None]:
    """A manifest that somebody wrote anew: its hashes and counts are right."""

    def damage(store: FolderDumpStore) -> None:
        path = store.folder / MANIFEST
        found = json.loads(path.read_text())
        change(found)
        path.write_text(json.dumps(found))

    return damage


def _without(name: str) -> Callable[[FolderDumpStore], None]:
    return _changed(lambda found: found.update(tables=[one for one in found["tables"] if one["name"] != name]))


def _with_history(store: FolderDumpStore) -> None:
    """Rows of migrations that were never applied here, so that a later release would take them for applied."""
    writer = PartWriter("schema_migrations", store.put)
    writer.add(f"9999\tnobody\t{'0' * 64}\t2026-11-28\n".encode())
    parts, rows, sha256 = writer.finish()
    table = DumpTable(name="schema_migrations", columns=("version",), rows=rows, sha256=sha256, parts=parts)
    _changed(lambda found: found["tables"].append(table.model_dump(mode="json")))(store)


def _endless(store: FolderDumpStore) -> None:
    path = sorted(store.folder.glob("fills-*.gz"))[0]
    path.unlink()
    path.symlink_to("/dev/zero")


def _of_a_pipe(store: FolderDumpStore) -> None:
    path = store.folder / MANIFEST
    path.unlink()
    os.mkfifo(path)


def _huge(store: FolderDumpStore) -> None:
    with (store.folder / MANIFEST).open("r+b") as out:
        out.truncate(MAX_DUMP_FILE_BYTES + 1)


def _one_column_less(found: dict[str, Any]) -> None:
    next(one for one in found["tables"] if one["name"] == "halts")["columns"].remove("until")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        *((_without(name), f"table {name} is missing") for name in ("halts", "confirmations", "account_access")),
        (_with_history, "table schema_migrations is unknown"),
        (_changed(_one_column_less), "table halts has other columns"),
        (_changed(lambda found: found["sequences"].pop("bookings")), "sequence bookings is missing or unknown"),
        (_changed(lambda found: found["sequences"].update(later_seq=1)), "sequence later_seq is missing or unknown"),
        (_changed(lambda found: found["tables"].append(found["tables"][0])), "a table is named twice"),
        (_changed(lambda found: found["tables"][0]["parts"][0].update(file="../../etc-00000.gz")), "should match pattern"),
        (_endless, "is not a file"),
        (_of_a_pipe, "is not a file"),
        (_huge, "expected at most"),
    ],
    ids=lambda one: one if isinstance(one, str) else "",
)
def test_a_dump_that_somebody_changed_is_refused_and_touches_nothing(
    postgres: PostgresServer,
    copied: FolderDumpStore,
    empty_database: str,
    damage: Callable[[FolderDumpStore], None],
    message: str,
) -> None:
    damage(copied)
    assert_refused(postgres, empty_database, copied, BackupError, message)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_cut, r"order_events-00000\.gz is cut short"),
        (_flipped, r"fills-00000\.gz"),
        (_gone, r"accounts-00000\.gz is missing"),
        (_no_manifest, r"no manifest\.json, so this is no dump, or an unfinished one"),
        (_half_manifest, "the manifest is cut short"),
        (_wrong_hash, r"lots-00000\.gz: expected sha256 0000"),
    ],
)
def test_a_damaged_dump_is_one_line_and_touches_nothing(
    postgres: PostgresServer,
    copied: FolderDumpStore,
    empty_database: str,
    damage: Callable[[FolderDumpStore], None],
    message: str,
) -> None:
    damage(copied)
    assert_refused(postgres, empty_database, copied, DumpDamagedError, message)


def assert_refused(
    postgres: PostgresServer, database: str, dump: FolderDumpStore, error: type[BackupError], message: str
) -> None:
    """A restore into an empty database is refused, and the database stays empty."""
    with pytest.raises(error, match=message):
        restored(postgres, database, dump, replace_all=True)
    assert postgres.execute("SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace", database) == [(0,)]


@pytest.mark.parametrize("kind", ["newer", "other"])
def test_a_dump_of_a_schema_that_is_not_known_is_refused(
    postgres: PostgresServer, copied: FolderDumpStore, empty_database: str, kind: str
) -> None:
    path = copied.folder / MANIFEST
    found = json.loads(path.read_text())
    newest = len(load_migrations())
    if kind == "newer":
        found["migrations"].append({"version": newest + 1, "sha256": "1" * 64})
    else:
        found["migrations"][2]["sha256"] = "1" * 64
    path.write_text(json.dumps(found))
    expected = (
        f"expected schema {newest} or older, got {newest + 1}" if kind == "newer" else "its migration 3 differs from this release"
    )
    with pytest.raises(DumpTooNewError, match=expected):
        restored(postgres, empty_database, copied)


def test_a_dump_of_an_older_schema_is_brought_up_to_date(postgres: PostgresServer, empty_database: str, tmp_path: Path) -> None:
    old = postgres.create_database(template="template0")
    migrations = tmp_path / "migrations"
    migrations.mkdir()
    for migration in load_migrations()[:-1]:
        (migrations / f"{migration.label}.sql").write_bytes(migration.sql)
    try:
        migrate(postgres.settings(old, ADMIN_DATABASE_USER), "", migrations)
        postgres.execute("INSERT INTO symbol_status (symbol) VALUES ('XRP-USD')", old)
        store = FolderDumpStore(tmp_path / "dump")
        dump(postgres.settings(old, ADMIN_DATABASE_USER), lambda: "", store, AT)
    finally:
        postgres.drop_database(old)
    assert restored(postgres, empty_database, store).is_done
    assert postgres.execute("SELECT max(version) FROM schema_migrations", empty_database) == [(len(load_migrations()),)]
    assert postgres.execute("SELECT symbol FROM symbol_status", empty_database) == [("XRP-USD",)]


def test_an_account_that_differs_keeps_the_ledger_closed_until_it_is_rebuilt(
    postgres: PostgresServer, busy: str, empty_database: str, tmp_path: Path
) -> None:
    other = postgres.create_database(template="template0")
    store = FolderDumpStore(tmp_path / "dump")
    try:
        restored(postgres, other, FolderDumpStore(_dumped(postgres, busy, tmp_path / "first")))
        postgres.execute("UPDATE positions SET cost = cost + 1 WHERE quantity <> 0", other)
        dump(postgres.settings(other, DUMPS), lambda: "", store, AT)
    finally:
        postgres.drop_database(other)
    found = restored(postgres, empty_database, store)
    assert not found.is_done
    assert any("positions" in one and "cost" in one for one in found.differences)
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="schema public"):
        postgres.execute("SELECT count(*) FROM public.accounts", empty_database, database_user(Function.MANAGE_ORDERS))
    assert restored(postgres, empty_database, store, rebuild_accounts=True).is_done
    assert postgres.execute("SELECT count(*) > 0 FROM accounts", empty_database, database_user(Function.MANAGE_ORDERS)) == [
        (True,)
    ]


def _dumped(postgres: PostgresServer, database: str, folder: Path) -> Path:
    dump(postgres.settings(database, DUMPS), lambda: "", FolderDumpStore(folder), AT)
    return folder


def test_a_dump_that_cannot_see_everything_is_no_dump(postgres: PostgresServer, database: str, tmp_path: Path) -> None:
    store = FolderDumpStore(tmp_path)
    postgres.execute("CREATE TABLE later (a int)", database, ADMIN_DATABASE_USER)
    with pytest.raises(DumpIncompleteError, match=r"may not read every table.*later"):
        dump(postgres.settings(database, DUMPS), lambda: "", store, AT)
    postgres.execute(f"GRANT SELECT ON later TO {DUMPS}", database, ADMIN_DATABASE_USER)
    postgres.execute("ALTER TABLE later ENABLE ROW LEVEL SECURITY", database, ADMIN_DATABASE_USER)
    with pytest.raises(DumpIncompleteError, match="row-level security may hide rows of later"):
        dump(postgres.settings(database, DUMPS), lambda: "", store, AT)
    assert store.get(MANIFEST) is None


def test_a_dump_is_one_instant_of_the_ledger(postgres: PostgresServer, database: str, tmp_path: Path) -> None:
    """Rows that others commit while it is written are not in it: neither in a later table, nor a half of a pair."""

    class Watched(FolderDumpStore):
        @override
        def put(self, file: str, content: bytes) -> None:
            super().put(file, content)
            if file.startswith("access_refusals"):
                postgres.execute("INSERT INTO symbol_status (symbol) VALUES ('XRP-USD')", database)

    postgres.execute(
        "INSERT INTO access_refusals (account, principal, action, minute, needed) VALUES ('a', 'p', 'x', now(), 'owner')",
        database,
    )
    found = dump(postgres.settings(database, DUMPS), lambda: "", Watched(tmp_path), AT)
    rows = {table.name: table.rows for table in found.tables}
    assert postgres.execute("SELECT count(*) FROM symbol_status", database) == [(1,)]
    assert (rows["access_refusals"], rows["symbol_status"]) == (1, 0)


def test_the_commands_dump_and_restore_any_database(
    postgres: PostgresServer, busy: str, empty_database: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    backups = Backups(replace(load_settings({}), state=tmp_path), now=lambda: AT)
    address = f"host={postgres.socket_folder} sslmode=disable dbname={{}} user={{}}"
    out = tmp_path / "out"
    made = backups.dump(out, None, address.format(busy, DUMPS))
    assert made.rows == manifest_of(FolderDumpStore(out)).rows
    print_dump(made, as_json=False)
    assert f"signalbox restore --from {out}" in capsys.readouterr().out
    with pytest.raises(DataError, match="expected a new or empty folder"):
        backups.dump(out, None, address.format(busy, DUMPS))
    with pytest.raises(DataError, match=r"no ledger of a local cloud in .*: start `signalbox up` first"):
        backups.dump(None, None, None)
    assert not (tmp_path / "up").exists()
    owner = address.format(empty_database, ADMIN_DATABASE_USER)
    with pytest.raises(LedgerError, match="expected a ledger with the schema of this version, got another database") as refused:
        backups.dump(tmp_path / "none", None, owner)
    assert "SELECT" not in str(refused.value)
    done = backups.restore(str(out), None, owner, replace_all=False, rebuild_accounts=False)
    assert done.is_done
    print_restore(done, as_json=False)
    assert f"{NAME} is live and halted" in capsys.readouterr().out
    with pytest.raises(DataError, match="no such folder"):
        backups.restore(str(tmp_path / "nowhere"), None, owner, replace_all=False, rebuild_accounts=False)


def test_a_full_disk_of_this_machine_leaves_no_dump_and_says_what_to_do(
    postgres: PostgresServer, busy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FolderDumpStore(tmp_path / "full")
    written = 0

    def full(_: int) -> None:
        nonlocal written
        written += 1
        if written > 3:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("local.cli.backup.folder.os.fsync", full)
    with pytest.raises(DumpStorageError, match="No space left on device; the dump is incomplete; make room"):
        dump(postgres.settings(busy, DUMPS), lambda: "", store, AT)
    monkeypatch.undo()
    assert store.get(MANIFEST) is None
    assert not list(store.folder.glob(".*"))
    with pytest.raises(DumpDamagedError, match="this is no dump, or an unfinished one"):
        restored(postgres, busy, store)


def test_two_restores_at_once_are_one(postgres: PostgresServer, made: FolderDumpStore, empty_database: str) -> None:
    seen: list[str] = []

    def at_work(_: str) -> None:
        if not seen:
            with pytest.raises(RestoreRefusedError, match="another restore is at work"):
                restored(postgres, empty_database, made)
            seen.append("refused")

    assert restored(postgres, empty_database, made, progress=at_work).is_done
    assert seen


def test_a_full_disk_of_the_database_loses_nothing(postgres: PostgresServer, made: FolderDumpStore, empty_database: str) -> None:
    settings = replace(postgres.settings(empty_database, ADMIN_DATABASE_USER))
    seen = 0

    def full(_: str) -> None:
        nonlocal seen
        seen += 1
        if seen == len(manifest_of(made).tables) + 3:
            raise psycopg.errors.DiskFull("could not extend file: No space left on device")

    with pytest.raises(BackupError, match=r"disk is full.*make room and repeat the command"):
        restore(settings, "", made, now=NOW, progress=full)
    with ConnectionSource(settings, lambda: "") as source, source.snapshot() as connection:
        row = connection.execute("SELECT count(*) FROM signalbox_restore.parts").fetchone()
    assert row == (2,)
    assert restore(settings, "", made, now=NOW).is_done
