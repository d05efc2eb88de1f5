"""The library on PostgreSQL (`library.ports.Library`).

It uses READ COMMITTED and an advisory lock per entity. So version numbers have no gaps and no duplicates, and of two deliveries
of one job the second sees what the first committed. Rows never change, so the functions' role has no right to update them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Final

from psycopg.errors import CheckViolation

from signalbox.adapters.postgres.connection import Connection, ConnectionSource
from signalbox.adapters.postgres.outbox import insert_event
from signalbox.adapters.postgres.registry import record_of
from signalbox.events import Event
from signalbox.library.catalogue import VersionRecord, VersionReference
from signalbox.library.entries import EntityKey, EntityKind, NewVersion, VersionEvaluation, VersionKey
from signalbox.library.errors import DependencyCycleError
from signalbox.library.lifecycle import Lifecycle, VersionDecision

INSERT_VERSION: Final = """
INSERT INTO versions (kind, name, number, origin, state, created_at, reason, bundle_key, sha256, manifest, semantic, description)
SELECT %(kind)s, %(name)s, coalesce(max(number), 0) + 1, %(origin)s, %(state)s, %(created_at)s, %(reason)s, %(bundle_key)s,
    %(sha256)s, %(manifest)s, %(semantic)s, %(description)s
FROM versions WHERE kind = %(kind)s AND name = %(name)s
RETURNING number
"""
NEWEST_BUNDLE: Final = """
SELECT semantic, manifest FROM versions WHERE kind = %s AND name = %s AND semantic IS NOT NULL ORDER BY number DESC LIMIT 1
"""
NEWEST_DECISION: Final = """
SELECT state FROM version_decisions WHERE (kind, name, number) = (%s, %s, %s) ORDER BY step DESC LIMIT 1
"""
DECIDED_BY: Final = "SELECT number FROM version_decisions WHERE (request_id, kind, name) = (%s, %s, %s) ORDER BY number LIMIT 1"
SAME_DECISION: Final = """
SELECT EXISTS (SELECT FROM version_decisions WHERE (request_id, kind, name, number) = (%s, %s, %s, %s))
"""
INSERT_DECISION: Final = """
INSERT INTO version_decisions (kind, name, number, step, state, who, at, why, request_id, overridden)
SELECT %(kind)s, %(name)s, %(number)s, coalesce(max(step), 0) + 1, %(state)s, %(who)s, %(at)s, %(why)s, %(request_id)s,
    %(overridden)s
FROM version_decisions WHERE kind = %(kind)s AND name = %(name)s AND number = %(number)s
"""
_INSERT_DEPENDENCY: Final = """
INSERT INTO dependencies (kind, name, number, needs_kind, needs_name, needs_number) VALUES (%s, %s, %s, %s, %s, %s)
ON CONFLICT DO NOTHING
"""
_CYCLES: Final = {"dependencies_no_cycle", "dependencies_of_another"}
VERSION_OF: Final = "SELECT number FROM versions WHERE kind = %s AND name = %s AND origin = %s"
BUNDLES_OF: Final = "SELECT number, sha256 FROM versions WHERE kind = %s AND name = %s ORDER BY number"
JUDGED_BY: Final = "SELECT kind, name, number FROM evaluations WHERE source = %s ORDER BY 1, 2, 3 LIMIT 1"


class PostgresLibrary:
    """Transactions of the library on a connection source."""

    def __init__(self, source: ConnectionSource) -> None:
        self._source = source

    @contextmanager
    def transaction(self) -> Iterator[PostgresLibraryTransaction]:
        """Commit when the block ends, roll back when it raises. Raises LedgerError as described in `errors.py`."""
        with self._source.transaction() as connection:
            yield PostgresLibraryTransaction(connection)


class PostgresLibraryTransaction:
    """`library.ports.LibraryTransaction` inside one open transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def lock(self, entity: EntityKey) -> None:
        lock_entity(self._connection, entity)

    def version_of(self, entity: EntityKey, origin: str) -> VersionKey | None:
        found = self._connection.execute(VERSION_OF, (entity.kind.value, entity.name, origin)).fetchone()
        return None if found is None else VersionKey(entity, found[0])

    def bundles_of(self, entity: EntityKey) -> list[tuple[VersionKey, str | None]]:
        found = self._connection.execute(BUNDLES_OF, (entity.kind.value, entity.name))
        return [(VersionKey(entity, number), sha256) for number, sha256 in found]

    def version_judged_by(self, source: str) -> VersionKey | None:
        found = self._connection.execute(JUDGED_BY, (source,)).fetchone()
        return None if found is None else VersionKey(EntityKey(EntityKind(found[0]), found[1]), found[2])

    def add_version(self, version: NewVersion) -> VersionKey:
        kind, name = version.entity.kind.value, version.entity.name
        self._connection.execute(
            "INSERT INTO entities (kind, name, created_at) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
            (kind, name, version.created_at),
        )
        row = {
            "kind": kind,
            "name": name,
            "origin": version.origin,
            "state": version.state.value,
            "created_at": version.created_at,
            "reason": version.reason,
            "bundle_key": version.bundle_key,
            "sha256": version.sha256,
            "manifest": version.manifest,
            "semantic": version.semantic,
            "description": version.description,
        }
        (number,) = self._connection.execute(INSERT_VERSION, row).fetchone() or (0,)
        return VersionKey(version.entity, number)

    def newest_bundle(self, entity: EntityKey) -> tuple[str, str] | None:
        found = self._connection.execute(NEWEST_BUNDLE, (entity.kind.value, entity.name)).fetchone()
        return None if found is None else (found[0], found[1])

    def lifecycle(self, version: VersionKey) -> Lifecycle | None:
        found = self._connection.execute(NEWEST_DECISION, _columns(version)).fetchone()
        return None if found is None else Lifecycle(found[0])

    def add_decision(self, version: VersionKey, decision: VersionDecision) -> bool:
        kind, name, number = _columns(version)
        same = self._connection.execute(SAME_DECISION, (decision.request_id, kind, name, number)).fetchone()
        if same is not None and same[0]:
            return False
        facts = {"state": decision.state.value, "who": decision.who, "at": decision.at, "why": decision.why}
        of = {"kind": kind, "name": name, "number": number}
        row = {**of, **facts, "request_id": decision.request_id, "overridden": decision.overridden}
        return self._connection.execute(INSERT_DECISION, row).rowcount == 1

    def decided_by(self, request_id: str, entity: EntityKey) -> VersionKey | None:
        found = self._connection.execute(DECIDED_BY, (request_id, entity.kind.value, entity.name)).fetchone()
        return None if found is None else VersionKey(entity, found[0])

    def add_tag(self, version: VersionKey, tag: str) -> bool:
        cursor = self._connection.execute(
            "INSERT INTO version_tags (kind, name, number, tag) VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING",
            (*_columns(version), tag),
        )
        return cursor.rowcount == 1

    def record(self, reference: VersionReference, kind: EntityKind) -> VersionRecord:
        return record_of(self._connection, reference, kind)

    def add_evaluation(self, version: VersionKey, evaluation: VersionEvaluation) -> bool:
        row = (
            *_columns(version),
            evaluation.source,
            evaluation.evaluated_at,
            evaluation.qualifies,
            evaluation.headline,
            json.dumps({gate.value: verdict.value for gate, verdict in evaluation.gates.items()}),
            evaluation.report,
            *((None, None) if evaluation.period is None else (evaluation.period.start, evaluation.period.end)),
        )
        cursor = self._connection.execute(
            "INSERT INTO evaluations"
            " (kind, name, number, source, evaluated_at, qualifies, headline, gates, report, period_start, period_end)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
            row,
        )
        return cursor.rowcount == 1

    def add_dependency(self, version: VersionKey, needs: VersionKey) -> bool:
        try:
            cursor = self._connection.execute(_INSERT_DEPENDENCY, (*_columns(version), *_columns(needs)))
        except CheckViolation as error:
            if error.diag.constraint_name not in _CYCLES:
                raise
            one, other = (f"{key.entity.kind.value} {key.reference}" for key in (version, needs))
            raise DependencyCycleError(f"{one} cannot be made from {other}, which is {one} or was made from it") from error
        return cursor.rowcount == 1

    def add_event(self, event: Event, at: datetime) -> bool:
        return insert_event(self._connection, event, at)


def lock_entity(connection: Connection, entity: EntityKey) -> None:
    """Lock an entity until the transaction ends."""
    key = f"signalbox library {entity.kind} {entity.name}"
    connection.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (key,))


def _columns(key: VersionKey) -> tuple[str, str, int]:
    return key.entity.kind.value, key.entity.name, key.number
