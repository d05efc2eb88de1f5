"""Forward migrations: `migrations/NNNN_name.sql`, each applied once, in order, in its own transaction.

An applied migration must not change: a file whose sha256 differs from the recorded one is refused. A database that is newer
than the code (after a rollback of the deployment) is left alone, because migrations only add and older code still works.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import psycopg

from signalbox.adapters.postgres.connection import Connection, DatabaseSettings, connect
from signalbox.adapters.postgres.errors import MigrationError, translated

MIGRATIONS: Final = Path(__file__).parent / "migrations"
MIGRATION_TIMEOUT_MS: Final = 240_000  # below the function's own timeout
_FILE_NAME: Final = re.compile(r"(?P<version>\d{4})_(?P<name>[a-z0-9_]+)\.sql")
_ADVISORY_LOCK: Final = 0x5167_6E61_6C62_6F78  # "Signalbox" in ASCII, cut to 63 bits
_HISTORY: Final = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    version integer PRIMARY KEY CHECK (version > 0),
    name text NOT NULL,
    sha256 text NOT NULL CHECK (sha256 ~ '^[0-9a-f]{64}$'),
    applied_at timestamptz NOT NULL DEFAULT now()
)
"""


@dataclass(frozen=True, slots=True)
class Migration:
    """One migration file."""

    version: int
    name: str
    sha256: str
    sql: bytes

    @property
    def label(self) -> str:
        """The name in logs and replies, such as `0001_ledger`."""
        return f"{self.version:04d}_{self.name}"


def load_migrations(folder: Path = MIGRATIONS) -> tuple[Migration, ...]:
    """Return the migrations of a folder in order. Raises MigrationError unless they are numbered 1, 2, 3, ..."""
    found = []
    for path in sorted(folder.glob("*.sql")):
        match = _FILE_NAME.fullmatch(path.name)
        if match is None:
            raise MigrationError(f"{path.name}: expected a file name like NNNN_name.sql")
        sql = path.read_bytes()
        found.append(Migration(int(match["version"]), match["name"], hashlib.sha256(sql).hexdigest(), sql))
    versions = [migration.version for migration in found]
    if versions != list(range(1, len(found) + 1)):
        raise MigrationError(f"expected versions 1 to {len(found)} without gaps, got {versions}")
    return tuple(found)


def schema_hash(folder: Path = MIGRATIONS) -> str:
    """Return a sha256 over all migrations' labels and checksums. It changes exactly when the schema changes."""
    lines = "".join(f"{migration.label} {migration.sha256}\n" for migration in load_migrations(folder))
    return hashlib.sha256(lines.encode()).hexdigest()


def migrate(settings: DatabaseSettings, password: str, folder: Path = MIGRATIONS) -> list[str]:
    """Apply the missing migrations as the owner of the schema, and return their labels; often there are none.

    Concurrent callers wait for each other. Raises MigrationError with both hashes if an applied file was changed, and LedgerError
    if a migration fails; the migrations before it stay applied.
    """
    migrations = load_migrations(folder)
    patient = replace(settings, statement_timeout_ms=MIGRATION_TIMEOUT_MS, lock_timeout_ms=MIGRATION_TIMEOUT_MS)
    with connect(patient, password) as connection:
        try:
            connection.execute("SELECT pg_advisory_lock(%s)", (_ADVISORY_LOCK,))
            return apply_missing(connection, migrations)
        except psycopg.Error as error:
            raise translated(error) from error


def apply_missing(connection: Connection, migrations: Sequence[Migration]) -> list[str]:
    """Apply what is missing on a connection of the schema's owner, also inside a transaction of the caller."""
    connection.execute(_HISTORY)
    applied: dict[int, str] = dict(connection.execute("SELECT version, sha256 FROM schema_migrations").fetchall())
    for migration in migrations:
        recorded = applied.get(migration.version)
        if recorded not in {None, migration.sha256}:
            raise MigrationError(
                f"migration {migration.label} changed after it was applied: expected sha256 {recorded}, got {migration.sha256}"
            )
    missing = [migration for migration in migrations if migration.version not in applied]
    for migration in missing:
        _apply(connection, migration)
    return [migration.label for migration in missing]


def _apply(connection: Connection, migration: Migration) -> None:
    try:
        with connection.transaction():
            connection.execute(migration.sql)
            connection.execute(
                "INSERT INTO schema_migrations (version, name, sha256) VALUES (%s, %s, %s)",
                (migration.version, migration.name, migration.sha256),
            )
    except psycopg.Error as error:
        raise MigrationError(f"migration {migration.label} failed: {str(error).strip()}") from error
