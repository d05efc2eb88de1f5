"""Restores a logical dump: verifies everything first, restores each part in one transaction, and resumes an interrupted restore.

What is in the database already is refused, or with `replace_all` moved aside whole into a schema of its own.
Nothing is dropped but an empty schema. While a restore is under way no function may look into the ledger. At its
end the accounts are made again from their facts and compared with what was restored, live accounts are halted, and
only then the functions may look again. Decision 0101.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

import psycopg
from psycopg import sql

from signalbox.adapters.postgres.connection import Connection, ConnectionSource, DatabaseSettings, connect
from signalbox.adapters.postgres.dump import dumped_sequences, dumped_tables, restore_order, sql_names
from signalbox.adapters.postgres.errors import translated
from signalbox.adapters.postgres.migrate import MIGRATION_TIMEOUT_MS, Migration, apply_missing, load_migrations
from signalbox.adapters.postgres.trading import PostgresTradingLedger
from signalbox.adapters.postgres.trading_rebuild import rebuild, verify
from signalbox.backup.errors import BackupError, DumpDamagedError, DumpTooNewError, RestoreRefusedError
from signalbox.backup.manifest import MANIFEST, DumpManifest, DumpPart, DumpTable, read_manifest
from signalbox.backup.parts import text_of
from signalbox.backup.store import DumpStore
from signalbox.trading.restoration import halt_restored

_LOCK: Final = 0x5167_6E61_6C62_6F79  # of one restore at a time; that of migrations is another
_PROGRESS: Final = """
CREATE SCHEMA IF NOT EXISTS signalbox_restore;
DROP TABLE IF EXISTS signalbox_restore.parts, signalbox_restore.run;
CREATE TABLE signalbox_restore.run (
    manifest text PRIMARY KEY,
    began_at timestamptz NOT NULL,
    users text[] NOT NULL,
    ended_at timestamptz
);
CREATE TABLE signalbox_restore.parts (file text PRIMARY KEY, rows bigint NOT NULL);
"""
_RUN: Final = "SELECT manifest, users, ended_at FROM signalbox_restore.run"
_USERS: Final = """
SELECT r.rolname FROM pg_namespace AS n, aclexplode(n.nspacl) AS a JOIN pg_roles AS r ON r.oid = a.grantee
WHERE n.nspname = 'public' AND a.privilege_type = 'USAGE' AND a.grantee <> n.nspowner ORDER BY 1
"""
_OURS: Final = """
SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition
    AND relname <> 'schema_migrations' ORDER BY 1
"""


@dataclass(frozen=True, slots=True)
class RestoreProgress:
    """The progress of a restore.

    differences: between restored accounts and their facts; a single one keeps the ledger closed.
    """

    parts: int  # of the dump
    restored: int  # parts that are in the database
    rows: int  # of the dump
    is_done: bool = False
    moved_to: str | None = None  # the schema that holds what was there before
    accounts: int = 0  # that were compared with their facts
    differences: tuple[str, ...] = ()
    halted: tuple[str, ...] = ()  # live accounts


def restore(
    settings: DatabaseSettings,
    password: str,
    store: DumpStore,
    *,
    now: datetime,
    replace_all: bool = False,
    rebuild_accounts: bool = False,
    may_go_on: Callable[[], bool] = lambda: True,
    progress: Callable[[str], None] = lambda _: None,
) -> RestoreProgress:
    """Restore a store's dump as the owner of the database, or resume it. Stops when it is done or `may_go_on` returns False.

    replace_all: moves aside what is there. rebuild_accounts: writes what the facts say where restored accounts differ. Raises
    DumpDamagedError and DumpTooNewError before anything is changed, RestoreRefusedError, LedgerError; then repeat the call.
    """
    manifest, name = _manifest(store)
    migrations = _known(manifest, store)
    patient = replace(settings, statement_timeout_ms=MIGRATION_TIMEOUT_MS, lock_timeout_ms=60_000)
    try:
        with connect(patient, password) as connection:
            if connection.execute("SELECT pg_try_advisory_lock(%s)", (_LOCK,)).fetchone() != (True,):
                raise RestoreRefusedError("another restore is at work on this database; wait for it, then repeat the command")
            moved = _begin(connection, manifest, name, store, migrations, replace_all=replace_all, now=now, progress=progress)
            found = _load(connection, manifest, store, may_go_on, progress)
            if found.restored < found.parts:
                return replace(found, moved_to=moved)
            _complete(connection, manifest)
            with ConnectionSource(patient, lambda: password) as source:
                found = _judged(source, found, manifest.dumped_at, now, rebuild_accounts=rebuild_accounts)
            if not found.differences:
                _open(connection, now)
            return replace(found, moved_to=moved, is_done=not found.differences)
    except psycopg.errors.DiskFull as error:
        raise BackupError(
            f"the database's disk is full: {str(error).strip()}; what was restored stays, make room and repeat the command"
        ) from error
    except psycopg.Error as error:
        raise translated(error) from error


def _manifest(store: DumpStore) -> tuple[DumpManifest, str]:
    content = store.get(MANIFEST)
    if content is None:
        raise DumpDamagedError(f"{store.name}: no {MANIFEST}, so this is no dump, or an unfinished one")
    return read_manifest(content, store.name)


def _known(manifest: DumpManifest, store: DumpStore) -> list[Migration]:
    """Return the migrations of what was dumped. Raises DumpTooNewError unless this release has each of them, unchanged."""
    ours = {migration.version: migration for migration in load_migrations()}
    newest = max(ours)
    if manifest.schema_version > newest:
        raise DumpTooNewError(
            f"{store.name}: expected schema {newest} or older, got {manifest.schema_version}: restore it with the release that"
            " made it, or a newer one"
        )
    for migration in manifest.migrations:
        if ours[migration.version].sha256 != migration.sha256:
            differs = f"{store.name}: its migration {migration.version} differs from this release's"
            raise DumpTooNewError(f"{differs}; restore with the release that wrote the dump")
    return [migration for version, migration in sorted(ours.items()) if version <= manifest.schema_version]


def check_dump(store: DumpStore, manifest: DumpManifest, progress: Callable[[str], None] = lambda _: None) -> None:
    """Read every part of a dump and verify it. Raises DumpDamagedError, DumpStorageError."""
    for table in manifest.tables:
        progress(f"verifying {table.name}")
        for part in table.parts:
            for _ in _text(store, part):
                pass


def _text(store: DumpStore, part: DumpPart) -> Iterator[bytes]:
    content = store.get(part.file)
    if content is None:
        raise DumpDamagedError(f"{store.name}: {part.file} is missing")
    return text_of(content, part, store.name)


def _begin(
    connection: Connection,
    manifest: DumpManifest,
    name: str,
    store: DumpStore,
    migrations: Sequence[Migration],
    *,
    replace_all: bool,
    now: datetime,
    progress: Callable[[str], None],
) -> str | None:
    """Make an empty schema as the dump's was, unless it is there from before. Return where the old one is, if there was one."""
    if _is_under_way(connection, name, store, replace_all=replace_all):
        return None
    check_dump(store, manifest, progress)
    with connection.transaction():
        tables = [table for (table,) in connection.execute(_OURS)]
        if tables:
            # until the end of the transaction: what a function writes between the look and the move would be lost in between
            connection.execute(sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(sql_names(tables)))
        filled = [table for table in tables if connection.execute(_any_row(table)).fetchone() == (True,)]
        if filled and not replace_all:
            raise RestoreRefusedError(
                f"expected an empty ledger, but {', '.join(filled[:5])}{' and others' if len(filled) > 5 else ''} hold rows;"
                " with --replace they are moved aside into a schema of their own, and nothing of them is lost"
            )
        moved = f"before_restore_{now.astimezone(UTC):%Y%m%dt%H%M%Sz}" if filled else None
        if moved is None:
            connection.execute("DROP SCHEMA IF EXISTS public CASCADE")  # it holds no row
        else:
            connection.execute(sql.SQL("ALTER SCHEMA public RENAME TO {}").format(sql.Identifier(moved)))
            if users := _users(connection, moved):
                connection.execute(sql.SQL("REVOKE ALL ON SCHEMA {} FROM {}").format(sql.Identifier(moved), sql_names(users)))
        connection.execute("CREATE SCHEMA public")
        apply_missing(connection, migrations)
        _require_whole(connection, manifest, store.name)
        connection.execute(_PROGRESS.encode())
        connection.execute("INSERT INTO signalbox_restore.run (manifest, began_at, users) VALUES (%s, %s, '{}')", (name, now))
        _close(connection)
    return moved


def _require_whole(connection: Connection, manifest: DumpManifest, place: str) -> None:
    """Raise DumpDamagedError unless a dump has every table, column and sequence of its schema, and nothing else.

    A table that it lacks would be restored as an empty one: no halt, no confirmation, nobody who may do anything. One that it has
    too much is written by the schema's owner: the history of migrations, so that a newer one is never applied.
    """
    stated = {table.name: sorted(table.columns) for table in manifest.tables}
    expected = {name: sorted(columns) for name, columns in dumped_tables(connection).items()}
    for name in sorted(expected.keys() | stated.keys()):
        if stated.get(name) != expected.get(name):
            what = "is missing" if name not in stated else "is unknown" if name not in expected else "has other columns"
            raise DumpDamagedError(
                f"{place}: expected a complete dump of schema {manifest.schema_version}, but table {name} {what}"
            )
    if odd := sorted(manifest.sequences.keys() ^ set(dumped_sequences(connection))):
        raise DumpDamagedError(
            f"{place}: expected a complete dump of schema {manifest.schema_version}, but sequence {odd[0]} is missing or unknown"
        )


def _is_under_way(connection: Connection, name: str, store: DumpStore, *, replace_all: bool) -> bool:
    """Return whether this dump's restore was begun and not ended. Raises RestoreRefusedError when another one's was."""
    if connection.execute("SELECT to_regclass('signalbox_restore.run') IS NULL").fetchone() == (True,):
        return False
    row = connection.execute(_RUN).fetchone()
    if row is None or row[2] is not None:
        return False
    if row[0] == name:
        return True
    if replace_all:
        return False
    raise RestoreRefusedError(
        f"the restore of another dump into this database is unfinished, so the one of {store.name} did not begin: repeat the"
        " other command to finish it, or give --replace"
    )


def _users(connection: Connection, schema: str) -> list[str]:
    return [user for (user,) in connection.execute(_USERS.replace("'public'", "%s"), (schema,))]


def _close(connection: Connection) -> None:
    """Let nobody but the owner look into the ledger, and remember who could."""
    users = _users(connection, "public")
    if users:
        connection.execute(sql.SQL("REVOKE USAGE ON SCHEMA public FROM {}").format(sql_names(users)))
    connection.execute(
        "UPDATE signalbox_restore.run SET users ="
        " (SELECT coalesce(array_agg(DISTINCT u), '{}') FROM unnest(users || %s::text[]) AS u)",
        (users,),
    )


def _open(connection: Connection, now: datetime) -> None:
    """Let the functions look into the ledger again, and write down that the restore has ended."""
    row = connection.execute(_RUN).fetchone()
    users = [] if row is None else row[1]
    with connection.transaction():
        if users:
            connection.execute(sql.SQL("GRANT USAGE ON SCHEMA public TO {}").format(sql_names(users)))
        connection.execute("UPDATE signalbox_restore.run SET ended_at = %s", (now,))


def _any_row(table: str) -> sql.Composed:
    return sql.SQL("SELECT EXISTS (SELECT FROM {})").format(sql.Identifier(table))


def _load(
    connection: Connection,
    manifest: DumpManifest,
    store: DumpStore,
    may_go_on: Callable[[], bool],
    progress: Callable[[str], None],
) -> RestoreProgress:
    """Copy the parts that are not there, each in a transaction of its own."""
    tables = {table.name: table for table in manifest.tables}
    there = {file for (file,) in connection.execute("SELECT file FROM signalbox_restore.parts")}
    found = RestoreProgress(sum(len(table.parts) for table in manifest.tables), len(there), manifest.rows)
    months = [month.isoformat() for month in manifest.candle_months]
    connection.execute("SELECT ensure_candle_partitions(%s::date[])", (months,))
    for name in restore_order(connection, set(tables)):
        for part in tables[name].parts:
            if part.file in there:
                continue
            if not may_go_on():
                return found
            progress(f"restoring {part.file}")
            _copy(connection, tables[name], part, store)
            found = replace(found, restored=found.restored + 1)
    return found


def _copy(connection: Connection, table: DumpTable, part: DumpPart, store: DumpStore) -> None:
    statement = sql.SQL("COPY {} ({}) FROM STDIN").format(sql.Identifier(table.name), sql_names(table.columns))
    with connection.transaction(), connection.cursor() as cursor:
        with cursor.copy(statement) as copy:
            for piece in _text(store, part):
                copy.write(piece)
        if cursor.rowcount != part.rows:
            raise DumpDamagedError(f"{store.name}: {part.file}: expected {part.rows} rows, PostgreSQL stored {cursor.rowcount}")
        cursor.execute("INSERT INTO signalbox_restore.parts (file, rows) VALUES (%s, %s)", (part.file, part.rows))


def _complete(connection: Connection, manifest: DumpManifest) -> None:
    """Count every table, set the sequences, and bring the schema up to this release. All or nothing, and harmless again."""
    with connection.transaction():
        newest = connection.execute("SELECT max(version) FROM schema_migrations").fetchone()
        if newest == (manifest.schema_version,):  # else this was done before
            for table in manifest.tables:
                statement = sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table.name))
                row = connection.execute(statement).fetchone()
                if row != (table.rows,):
                    raise DumpDamagedError(f"{table.name}: expected {table.rows} rows after the restore, got {row and row[0]}")
            for name, last in sorted(manifest.sequences.items()):
                connection.execute("SELECT setval(%s::regclass, %s, %s)", (name, max(last, 1), last > 0))
        apply_missing(connection, load_migrations())
        _close(connection)
    connection.execute("ANALYZE")


def _judged(
    source: ConnectionSource, found: RestoreProgress, dumped_at: datetime, now: datetime, *, rebuild_accounts: bool
) -> RestoreProgress:
    """Make every account again from its facts, compare it with what was restored, and halt the live ones."""
    ledger = PostgresTradingLedger(source)
    with source.snapshot() as connection:
        names = [name for (name,) in connection.execute("SELECT account FROM accounts ORDER BY account")]
    differences: list[str] = []
    for name in names:
        different = verify(source, name)
        if different and rebuild_accounts:
            rebuild(source, name)
            different = verify(source, name)
        differences += [f"{name}: {difference}" for difference in different]
    readable, unreadable = ledger.configured()
    differences += [f"{name}: its configuration cannot be read: {why}" for name, why in unreadable.items()]
    halted = []
    for account in readable:
        with ledger.transaction(account.account) as tx:
            before = tx.load(now)
            after, changes = halt_restored(before, dumped_at, now)
            if after is not before:
                tx.save(before, after, changes)
                halted.append(account.account)
    return replace(found, accounts=len(names), differences=tuple(differences), halted=tuple(halted))
