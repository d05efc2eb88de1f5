"""Entities and their revisions on PostgreSQL (`library.ports.EntityBook`). A change takes the entity's lock."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, LiteralString

from signalbox.adapters.postgres.connection import Connection, ConnectionSource
from signalbox.adapters.postgres.library import lock_entity
from signalbox.library.catalogue import LibraryEntity
from signalbox.library.entries import EntityKey, EntityKind
from signalbox.library.errors import EntityExistsError, RevisionConflictError, UnknownVersionError

_COLUMNS: Final[LiteralString] = """
SELECT e.kind, e.name, e.created_at, coalesce(r.revision, 0), r.description, coalesce(r.archived, false), r.at, r.who, r.why,
    (SELECT coalesce(max(v.number), 0) FROM versions AS v WHERE (v.kind, v.name) = (e.kind, e.name))
FROM entities AS e LEFT JOIN LATERAL (
    SELECT * FROM entity_revisions AS o WHERE (o.kind, o.name) = (e.kind, e.name) ORDER BY o.revision DESC LIMIT 1
) AS r ON true
"""
_PAGE: Final[LiteralString] = """
AND coalesce(r.archived, false) = %(archived)s ORDER BY e.kind, e.name LIMIT %(limit)s
"""
ENTITIES: Final[LiteralString] = f"{_COLUMNS} WHERE (e.kind, e.name) > (%(after_kind)s, %(after_name)s) {_PAGE}"
ENTITIES_OF_KIND: Final[LiteralString] = f"{_COLUMNS} WHERE e.kind = %(kind)s AND e.name > %(after_name)s {_PAGE}"
ENTITY: Final[LiteralString] = f"{_COLUMNS} WHERE e.kind = %s AND e.name = %s"
REVISED_BY: Final[LiteralString] = "SELECT kind, name FROM entity_revisions WHERE request_id = %s"
INSERT_ENTITY: Final[LiteralString] = "INSERT INTO entities (kind, name, created_at) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING"
_INSERT_REVISION: Final[LiteralString] = """
INSERT INTO entity_revisions (kind, name, revision, description, archived, at, who, why, request_id)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)
"""


class PostgresEntities:
    """Entities on a connection source. Raises LedgerError as described in `errors.py`."""

    def __init__(self, source: ConnectionSource) -> None:
        self._source = source

    def entities(
        self, kind: EntityKind | None, *, archived: bool, limit: int, after: EntityKey | None = None
    ) -> Sequence[LibraryEntity]:
        after_kind, after_name = ("", "") if after is None else (after.kind.value, after.name)
        facts: dict[str, Any] = {"archived": archived, "limit": limit, "after_kind": after_kind, "after_name": after_name}
        query = ENTITIES
        if kind is not None:
            query, facts["kind"] = ENTITIES_OF_KIND, kind.value
        with self._source.snapshot() as connection:
            return tuple(map(_entity, connection.execute(query, facts).fetchall()))

    def entity(self, key: EntityKey) -> LibraryEntity:
        with self._source.snapshot() as connection:
            return _read(connection, key)

    def create(
        self, key: EntityKey, description: str | None, *, at: datetime, who: str, why: str, request_id: str
    ) -> LibraryEntity:
        with self._source.transaction() as connection:
            lock_entity(connection, key)
            if connection.execute(REVISED_BY, (request_id,)).fetchone() is None:
                if connection.execute(INSERT_ENTITY, (*_columns(key), at)).rowcount != 1:
                    raise EntityExistsError(f"the {key.kind.value} {key.name} exists; change it, or use another name")
                connection.execute(_INSERT_REVISION, (*_columns(key), 1, description, False, at, who, why, request_id))
            return _read(connection, key)

    def change(
        self,
        key: EntityKey,
        revision: int,
        *,
        description: str | None,
        archived: bool | None,
        at: datetime,
        who: str,
        why: str,
        request_id: str,
    ) -> LibraryEntity:
        with self._source.transaction() as connection:
            lock_entity(connection, key)
            before = _read(connection, key)
            if connection.execute(REVISED_BY, (request_id,)).fetchone() is not None:
                return before
            if before.revision != revision:
                raise RevisionConflictError(
                    f"the {key.kind.value} {key.name} is at revision {before.revision}, expected {revision}; read it again and"
                    " repeat the change if it still applies"
                )
            text = before.description if description is None else description
            state = before.archived if archived is None else archived
            connection.execute(_INSERT_REVISION, (*_columns(key), revision + 1, text, state, at, who, why, request_id))
            return _read(connection, key)


def _read(connection: Connection, key: EntityKey) -> LibraryEntity:
    row = connection.execute(ENTITY, _columns(key)).fetchone()
    if row is None:
        raise UnknownVersionError(f"the library has no {key.kind.value} {key.name}; `signalbox library list` shows what there is")
    return _entity(row)


def _entity(row: Sequence[Any]) -> LibraryEntity:
    kind, name, *rest = row
    return LibraryEntity(EntityKey(EntityKind(kind), name), *rest)


def _columns(key: EntityKey) -> tuple[str, str]:
    return key.kind.value, key.name
