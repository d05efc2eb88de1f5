"""What the library shows of versions, on PostgreSQL (`library.ports.RegistryReader`). Each answer is one snapshot."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final, LiteralString

from signalbox.adapters.postgres.connection import Connection, ConnectionSource
from signalbox.inference.manifest import Gate, Verdict
from signalbox.library.catalogue import (
    HistoryEntry,
    LineageEdge,
    PagePlace,
    VersionRecord,
    VersionReference,
    VersionSummary,
    newest_first,
)
from signalbox.library.entries import EntityKey, EntityKind, EvaluationPeriod, VersionEvaluation, VersionKey, VersionState
from signalbox.library.errors import UnknownVersionError
from signalbox.library.lifecycle import Lifecycle, VersionDecision

_SUMMARY: Final[LiteralString] = """
SELECT v.kind, v.name, v.number, v.semantic, v.state, v.created_at, v.reason,
    (SELECT d.state FROM version_decisions AS d WHERE (d.kind, d.name, d.number) = (v.kind, v.name, v.number)
        ORDER BY d.step DESC LIMIT 1),
    (SELECT coalesce(bool_or(d.overridden), false) FROM version_decisions AS d
        WHERE (d.kind, d.name, d.number) = (v.kind, v.name, v.number)),
    ARRAY(SELECT t.tag FROM version_tags AS t WHERE (t.kind, t.name, t.number) = (v.kind, v.name, v.number) ORDER BY t.tag),
    (SELECT p.deployment || ' ' || p.state FROM deployments AS p WHERE (p.kind, p.name, p.number) = (v.kind, v.name, v.number)
        AND p.state NOT IN ('failed', 'superseded', 'rolled_back') ORDER BY p.ordinal DESC LIMIT 1)
FROM versions AS v
"""
# one order for every list, so that a page goes on where the one before ended, whatever was registered meanwhile
_AFTER: Final[LiteralString] = """
(v.created_at, v.kind, v.name, v.number)
    < (%(after_at)s::timestamptz, %(after_kind)s::text, %(after_name)s::text, %(after_number)s::integer)
ORDER BY v.created_at DESC, v.kind DESC, v.name DESC, v.number DESC LIMIT %(limit)s
"""
OF_KIND: Final[LiteralString] = f"{_SUMMARY} WHERE v.kind = %(kind)s AND {_AFTER}"
OF_NAME: Final[LiteralString] = f"{_SUMMARY} WHERE v.kind = %(kind)s AND v.name = %(name)s AND {_AFTER}"
_TAGGED: Final[LiteralString] = f"""{_SUMMARY}
JOIN version_tags AS g ON (g.kind, g.name, g.number) = (v.kind, v.name, v.number)
WHERE g.tag = %(tag)s AND g.kind = %(kind)s"""
OF_TAG: Final[LiteralString] = f"{_TAGGED} AND {_AFTER}"
OF_NAME_AND_TAG: Final[LiteralString] = f"{_TAGGED} AND g.name = %(name)s AND {_AFTER}"
_TEXT: Final[LiteralString] = (
    "to_tsvector('simple', name || ' ' || replace(name, '-', ' ') || ' ' || coalesce(description, '') || ' '"
    " || coalesce(reason, ''))"
)
SEARCH: Final[LiteralString] = f"""
WITH found AS (
    SELECT kind, name, number FROM versions WHERE {_TEXT} @@ plainto_tsquery('simple', %(words)s)
    UNION
    SELECT kind, name, number FROM version_tags WHERE tag = ANY(string_to_array(lower(%(words)s), ' '))
)
{_SUMMARY} JOIN found USING (kind, name, number) WHERE {_AFTER}"""  # noqa: S608 - literals of this module alone
_RECORD: Final[LiteralString] = """
SELECT number, semantic, state, origin, created_at, description, reason, bundle_key, sha256, manifest FROM versions
"""
BY_NUMBER: Final[LiteralString] = f"{_RECORD} WHERE kind = %s AND name = %s AND number = %s"
BY_SEMANTIC: Final[LiteralString] = f"{_RECORD} WHERE kind = %s AND name = %s AND semantic = %s"
NEWEST: Final[LiteralString] = (
    f"{_RECORD} WHERE kind = %s AND name = %s AND (state IN ('candidate', 'recorded')) ORDER BY number DESC LIMIT 1"
)
BY_SHA256: Final[LiteralString] = "SELECT kind, name, number FROM versions WHERE sha256 = %s ORDER BY number LIMIT 1"
ARCHIVED: Final[LiteralString] = """
SELECT archived FROM entity_revisions WHERE (kind, name) = (%s, %s) ORDER BY revision DESC LIMIT 1
"""
TAGS: Final[LiteralString] = "SELECT tag FROM version_tags WHERE (kind, name, number) = (%s, %s, %s) ORDER BY tag"
DECISIONS: Final[LiteralString] = """
SELECT state, who, at, why, request_id, overridden FROM version_decisions
WHERE (kind, name, number) = (%s, %s, %s) ORDER BY step
"""
EVALUATIONS: Final[LiteralString] = """
SELECT source, evaluated_at, qualifies, headline, gates, report, period_start, period_end FROM evaluations
WHERE (kind, name, number) = (%s, %s, %s) ORDER BY evaluated_at, source
"""
# a walk both ways; UNION forgets what it saw, so that a circle, which nothing makes, would end too
MADE_FROM: Final[LiteralString] = """
WITH RECURSIVE walk AS (
    SELECT d.*, 1 AS depth FROM dependencies AS d WHERE (kind, name, number) = (%s, %s, %s)
    UNION
    SELECT d.*, walk.depth + 1 FROM walk JOIN dependencies AS d
        ON (d.kind, d.name, d.number) = (walk.needs_kind, walk.needs_name, walk.needs_number)
    WHERE walk.depth < 20
)
SELECT * FROM walk LIMIT 1000
"""
MADE_WITH: Final[LiteralString] = """
WITH RECURSIVE walk AS (
    SELECT d.*, -1 AS depth FROM dependencies AS d WHERE (needs_kind, needs_name, needs_number) = (%s, %s, %s)
    UNION
    SELECT d.*, walk.depth - 1 FROM walk JOIN dependencies AS d
        ON (d.needs_kind, d.needs_name, d.needs_number) = (walk.kind, walk.name, walk.number)
    WHERE walk.depth > -20
)
SELECT * FROM walk LIMIT 1000
"""
DECISIONS_BY_TIME: Final[LiteralString] = """
SELECT at, kind || ' ' || name || '@' || number, state || CASE WHEN overridden THEN ' (override)' ELSE '' END, who, why, NULL
FROM version_decisions ORDER BY at DESC LIMIT %s
"""
EVENTS_BY_TIME: Final[LiteralString] = """
SELECT e.at, 'deployment ' || e.deployment, e.state, e.who, e.why, d.ordinal
FROM (SELECT * FROM deployment_events ORDER BY at DESC LIMIT %s) AS e JOIN deployments AS d USING (deployment) ORDER BY e.at DESC
"""
DECISIONS_OF: Final[LiteralString] = """
SELECT at, kind || ' ' || name || '@' || number, state || CASE WHEN overridden THEN ' (override)' ELSE '' END, who, why, NULL
FROM version_decisions WHERE (kind, name, number) = (%s, %s, %s) ORDER BY step DESC LIMIT %s
"""
EVENTS_OF: Final[LiteralString] = """
SELECT e.at, 'deployment ' || e.deployment, e.state, e.who, e.why, d.ordinal
FROM deployments AS d JOIN deployment_events AS e USING (deployment)
WHERE (d.kind, d.name, d.number) = (%s, %s, %s) ORDER BY e.at DESC LIMIT %s
"""
LATEST_EVALUATIONS: Final[LiteralString] = """
SELECT evaluated_at, kind || ' ' || name || '@' || number, CASE WHEN qualifies THEN 'qualifies' ELSE 'does not qualify' END,
    source, headline, NULL
FROM evaluations ORDER BY evaluated_at DESC LIMIT %s
"""


class PostgresRegistry:
    """Versions, their lineage and their history. Raises LedgerError as described in `errors.py`."""

    def __init__(self, source: ConnectionSource) -> None:
        self._source = source

    def versions(
        self, kind: EntityKind, name: str | None, tag: str | None, limit: int, after: PagePlace | None = None
    ) -> Sequence[VersionSummary]:
        queries = {(False, False): OF_KIND, (True, False): OF_NAME, (False, True): OF_TAG, (True, True): OF_NAME_AND_TAG}
        query = queries[name is not None, tag is not None]
        facts = {"kind": kind.value, "name": name, "tag": tag, "limit": limit, **_after(after)}
        with self._source.snapshot() as connection:
            return tuple(map(_summary, connection.execute(query, facts).fetchall()))

    def search(self, words: str, limit: int, after: PagePlace | None = None) -> Sequence[VersionSummary]:
        with self._source.snapshot() as connection:
            rows = connection.execute(SEARCH, {"words": words, "limit": limit, **_after(after)}).fetchall()
        return tuple(map(_summary, rows))

    def record(self, reference: VersionReference, kind: EntityKind) -> VersionRecord:
        with self._source.snapshot() as connection:
            return record_of(connection, reference, kind)

    def lineage(self, version: VersionKey) -> Sequence[LineageEdge]:
        with self._source.snapshot() as connection:
            rows = [row for query in (MADE_FROM, MADE_WITH) for row in connection.execute(query, _key(version)).fetchall()]
        return tuple(LineageEdge(_version(*row[:3]), _version(*row[3:6]), row[6]) for row in rows)

    def history(self, version: VersionKey | None, limit: int) -> Sequence[HistoryEntry]:
        with self._source.snapshot() as connection:
            if version is None:
                queries = (DECISIONS_BY_TIME, EVENTS_BY_TIME, LATEST_EVALUATIONS)
                rows = [row for query in queries for row in connection.execute(query, (limit,)).fetchall()]
            else:
                values = (*_key(version), limit)
                rows = [row for query in (DECISIONS_OF, EVENTS_OF) for row in connection.execute(query, values).fetchall()]
        return newest_first([HistoryEntry(*row) for row in rows])[:limit]


def record_of(connection: Connection, reference: VersionReference, kind: EntityKind) -> VersionRecord:
    """Return everything of a version. Raises UnknownVersionError."""
    if reference.number is not None:
        found = connection.execute(BY_NUMBER, (kind.value, reference.name, reference.number)).fetchone()
    elif reference.semantic is not None:
        found = connection.execute(BY_SEMANTIC, (kind.value, reference.name, reference.semantic)).fetchone()
    else:
        found = connection.execute(NEWEST, (kind.value, reference.name)).fetchone()
    if found is None:
        raise UnknownVersionError(f"the library has no {kind.value} {reference}; `signalbox library list` shows what there is")
    number, semantic, state, origin, created_at, description, reason, bundle_key, sha256, manifest = found
    version = _version(kind.value, reference.name, number)
    decisions = connection.execute(DECISIONS, _key(version)).fetchall()
    evaluations = connection.execute(EVALUATIONS, _key(version)).fetchall()
    archived = connection.execute(ARCHIVED, (kind.value, reference.name)).fetchone()
    return VersionRecord(
        version=version,
        semantic=semantic,
        made=VersionState(state),
        origin=origin,
        created_at=created_at,
        description=description,
        reason=reason,
        bundle_key=bundle_key,
        sha256=sha256,
        manifest=manifest,
        tags=tuple(tag for (tag,) in connection.execute(TAGS, _key(version)).fetchall()),
        decisions=tuple(VersionDecision(Lifecycle(state), *rest) for state, *rest in decisions),
        evaluations=tuple(map(_evaluation, evaluations)),
        archived=archived is not None and archived[0],
    )


def _after(place: PagePlace | None) -> dict[str, Any]:
    if place is None:  # later than every version
        return {"after_at": "infinity", "after_kind": "", "after_name": "", "after_number": 0}
    kind, name, number = _key(place.version)
    return {"after_at": place.created_at, "after_kind": kind, "after_name": name, "after_number": number}


def _evaluation(row: Sequence[Any]) -> VersionEvaluation:
    source, evaluated_at, qualifies, headline, gates, report, start, end = row
    given = gates if isinstance(gates, dict) else json.loads(gates)
    return VersionEvaluation(
        source=source,
        evaluated_at=evaluated_at,
        qualifies=qualifies,
        headline=headline,
        gates={Gate(gate): Verdict(verdict) for gate, verdict in given.items()},
        report=report,
        period=None if start is None else EvaluationPeriod(start, end),
    )


def _summary(row: Sequence[Any]) -> VersionSummary:
    kind, name, number, semantic, state, created_at, reason, lifecycle, overridden, tags, deployed = row
    return VersionSummary(
        version=_version(kind, name, number),
        semantic=semantic,
        made=VersionState(state),
        lifecycle=None if lifecycle is None else Lifecycle(lifecycle),
        overridden=overridden,
        created_at=created_at,
        tags=tuple(tags),
        deployed=deployed,
        reason=reason,
    )


def _version(kind: str, name: str, number: int) -> VersionKey:
    return VersionKey(EntityKey(EntityKind(kind), name), number)


def _key(version: VersionKey) -> tuple[str, str, int]:
    return version.entity.kind.value, version.entity.name, version.number
