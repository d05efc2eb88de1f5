"""Writes a logical dump: every table of the ledger with COPY, inside one snapshot, as compressed parts and a manifest.

It needs no program of PostgreSQL's and holds one part in memory at a time. What it does not read whole it does not call a dump:
a table that its role may not see, in whole or in part, is an error. Decision 0101.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date, datetime
from graphlib import TopologicalSorter
from typing import Final

import psycopg
from psycopg import sql

from signalbox.adapters.postgres.connection import SNAPSHOT, Connection, DatabaseSettings, connect
from signalbox.adapters.postgres.errors import translated
from signalbox.backup.errors import DumpIncompleteError
from signalbox.backup.manifest import FORMAT, MANIFEST, AppliedMigration, DumpManifest, DumpTable
from signalbox.backup.parts import PART_BYTES, PartWriter, in_pieces
from signalbox.backup.store import DumpStore

DUMP_TIMEOUT_MS: Final = 840_000  # of a statement; under the longest time a function may run
PARENT: Final = "accounts"  # triggers ask for it where no foreign key does (migration 0014), so it is restored first
_HISTORY: Final = "schema_migrations"
_TABLES: Final = """
SELECT c.relname, array_agg(a.attname::text ORDER BY a.attnum)
FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
    AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
GROUP BY c.relname ORDER BY c.relname
"""
_KEYS: Final = """
SELECT c.relname, array_agg(a.attname::text ORDER BY array_position(i.indkey::int[], a.attnum::int))
FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indrelid
    JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = ANY (i.indkey)
WHERE i.indisprimary AND c.relnamespace = 'public'::regnamespace GROUP BY c.relname
"""
_REFERENCES: Final = """
SELECT DISTINCT child.relname, parent.relname
FROM pg_constraint AS f JOIN pg_class AS child ON child.oid = f.conrelid JOIN pg_class AS parent ON parent.oid = f.confrelid
WHERE f.contype = 'f' AND child.relnamespace = 'public'::regnamespace AND child.oid <> parent.oid
"""
# Row-level security leaves rows out without a word. A policy that lets this role see everything is all that may be in force.
_HIDDEN: Final = """
SELECT c.relname FROM pg_class AS c
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND row_security_active(c.oid) AND (
    NOT EXISTS (
        SELECT FROM pg_policy AS p WHERE p.polrelid = c.oid AND p.polpermissive AND p.polcmd IN ('r', '*')
            AND pg_get_expr(p.polqual, p.polrelid) = 'true'
            AND (SELECT oid FROM pg_roles WHERE rolname = current_user) = ANY (p.polroles)
    ) OR EXISTS (SELECT FROM pg_policy AS p WHERE p.polrelid = c.oid AND NOT p.polpermissive)
)
"""
_SEQUENCES: Final = "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'S' ORDER BY relname"
_MONTHS: Final = (
    "SELECT relname FROM pg_class WHERE relispartition AND relname ~ '^candles_[0-9]{6}$' AND relkind = 'r' ORDER BY relname"
)


def dump(
    settings: DatabaseSettings,
    password: Callable[[], str],
    store: DumpStore,
    at: datetime,
    *,
    part_bytes: int = PART_BYTES,
    progress: Callable[[str], None] = lambda _: None,
) -> DumpManifest:
    """Write a dump into a store and return its manifest, which is written last.

    at: the instant that the dump is called by. Raises LedgerError, DumpIncompleteError, DumpStorageError: then there is no dump.
    """
    patient = replace(settings, statement_timeout_ms=DUMP_TIMEOUT_MS, idle_in_transaction_timeout_ms=DUMP_TIMEOUT_MS)
    try:
        with connect(patient, password()) as connection:
            connection.execute(SNAPSHOT)
            found = _dumped(connection, store, at, part_bytes, progress)
    except psycopg.errors.InsufficientPrivilege as error:
        raise DumpIncompleteError(
            f"{settings.user} may not read every table, so no dump was made: {str(error).strip()}"
        ) from error
    except psycopg.Error as error:
        raise translated(error) from error
    store.put(MANIFEST, found.content())
    return found


def _dumped(
    connection: Connection, store: DumpStore, at: datetime, part_bytes: int, progress: Callable[[str], None]
) -> DumpManifest:
    hidden = [name for (name,) in connection.execute(_HIDDEN)]
    if hidden:
        raise DumpIncompleteError(f"row-level security may hide rows of {', '.join(hidden)} from this user, so no dump was made")
    migrations = connection.execute("SELECT version, sha256 FROM schema_migrations ORDER BY version").fetchall()
    keys: dict[str, list[str]] = dict(connection.execute(_KEYS).fetchall())
    tables = dumped_tables(connection)
    written = []
    for name, columns in tables.items():
        progress(name)
        written.append(
            _table(
                connection,
                name,
                columns,
                keys.get(name) or columns,
                PartWriter(name, store.put, part_bytes=part_bytes),
            )
        )
    return DumpManifest(
        format=FORMAT,
        dumped_at=at,
        migrations=tuple(AppliedMigration(version=version, sha256=sha256) for version, sha256 in migrations),
        candle_months=tuple(_month(name) for (name,) in connection.execute(_MONTHS)),
        # after the rows: a sequence knows no snapshot, and every number of a row that we saw was given out before
        sequences={name: _last(connection, name) for name in dumped_sequences(connection)},
        tables=tuple(written),
    )


def dumped_tables(connection: Connection) -> dict[str, list[str]]:
    """Return the columns of each table that a dump has: all tables of the schema but the history of migrations."""
    return {name: columns for name, columns in connection.execute(_TABLES) if name != _HISTORY}


def dumped_sequences(connection: Connection) -> list[str]:
    """Return the sequences that a dump has: all of the schema."""
    return [name for (name,) in connection.execute(_SEQUENCES)]


def _table(connection: Connection, name: str, columns: list[str], key: list[str], writer: PartWriter) -> DumpTable:
    # COPY of a partitioned table takes a query; in the order of the key equal tables make equal texts
    query = sql.SQL("COPY (SELECT {} FROM {} ORDER BY {}) TO STDOUT")
    statement = query.format(sql_names(columns), sql.Identifier(name), sql_names(key))
    with connection.cursor() as cursor, cursor.copy(statement) as copied:
        for piece in in_pieces(copied):
            writer.add(piece)
    parts, rows, sha256 = writer.finish()
    return DumpTable(name=name, columns=tuple(columns), rows=rows, sha256=sha256, parts=parts)


def sql_names(names: Sequence[str]) -> sql.Composed:
    """Return names of columns or roles as SQL, quoted where they must be."""
    return sql.SQL(", ").join(map(sql.Identifier, names))


def _last(connection: Connection, sequence: str) -> int:
    statement = sql.SQL("SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM {}").format(sql.Identifier(sequence))
    row = connection.execute(statement).fetchone()
    return 0 if row is None else int(row[0])


def _month(partition: str) -> date:
    digits = partition.removeprefix("candles_")
    return date(int(digits[:4]), int(digits[4:]), 1)


def restore_order(connection: Connection, names: set[str]) -> list[str]:
    """Return tables so that each comes after those that its rows refer to."""
    needs = {name: {PARENT} & names - {name} for name in sorted(names)}
    for child, parent in connection.execute(_REFERENCES):
        if child in names and parent in names:
            needs[child].add(parent)
    return list(TopologicalSorter(needs).static_order())
