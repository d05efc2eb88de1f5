"""Each index of the library has a query that needs it: at size, no statement of the library reads a whole table.

Twenty thousand versions in CI, a million in the nightly search.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final

import psycopg
import pytest
from hypothesis import settings

from signalbox.adapters.postgres import deployments, entities, library, library_requests, registry
from tests.fakes.postgres_server import SUPERUSER, PostgresServer

pytestmark = pytest.mark.integration

NIGHTLY: Final = settings().max_examples > 75  # of the profile in use
MODELS, OF_EACH = (5_000, 200) if NIGHTLY else (400, 50)
AT: Final = datetime(2026, 11, 28, tzinfo=UTC)
FILLED: Final = f"""
SET session_replication_role = replica;
INSERT INTO entities SELECT 'model', 'model-' || i, now() FROM generate_series(1, {MODELS}) AS i;
INSERT INTO versions (kind, name, number, origin, state, created_at, bundle_key, sha256, manifest, semantic, description)
SELECT 'model', 'model-' || m, n, 'job-' || m || '-' || n, 'candidate',
    timestamptz '2020-01-01' + (m * {OF_EACH} + n) * interval '1 minute', 'bundles/x',
    encode(sha256((m || '-' || n)::bytea), 'hex'), '{{}}', '1.' || n || '.0', 'weekly run ' || m || ' of series s' || n
FROM generate_series(1, {MODELS}) AS m, generate_series(1, {OF_EACH}) AS n;
INSERT INTO evaluations (kind, name, number, source, evaluated_at, qualifies, headline, gates, report)
SELECT kind, name, number, 'training-' || name || number, created_at, false, 'h', '{{"G0": "pass"}}', '{{}}' FROM versions;
INSERT INTO version_decisions (kind, name, number, step, state, who, at, why, request_id)
SELECT kind, name, number, 1, 'candidate', 'training', created_at, 'G0', 'r-' || name || number FROM versions;
INSERT INTO entity_revisions (kind, name, revision, archived, at, who, why, request_id)
SELECT kind, name, 1, name LIKE '%7', created_at, 'anna', 'y', 'e-' || name FROM entities;
INSERT INTO library_requests (request_id, digest, verb, at, who, why)
SELECT 'q-' || name || '-' || number, sha256, 'approve', created_at, 'anna', 'y' FROM versions;
INSERT INTO version_tags SELECT kind, name, number, 'tag-' || (number % 40) || '-' || name FROM versions;
INSERT INTO dependencies SELECT kind, name, number, kind, name, number - 1 FROM versions WHERE number > 1;
INSERT INTO deployments (deployment, kind, name, number, symbol_group, ordinal, stage, state, requested_at, changed_at, who, why,
    overridden, request_id, reason)
SELECT name || '-v' || number, kind, name, number, 'all', row_number() OVER (ORDER BY created_at), 'shadow',
    CASE WHEN row_number() OVER (ORDER BY created_at) = {MODELS * OF_EACH} THEN 'healthy'
         WHEN row_number() OVER (ORDER BY created_at) % 7 = 0 THEN 'failed' ELSE 'superseded' END,
    created_at, created_at, 'anna', 'y', false, 'd-' || name || '-' || number, 'x' FROM versions;
INSERT INTO deployment_events (deployment, step, state, at, who, why, missed_cycle, request_id)
SELECT deployment, s, state, changed_at + s * interval '1 second', who, why, CASE WHEN s = 2 THEN changed_at END,
    CASE WHEN s = 1 AND state = 'failed' THEN 'w-' || deployment END
FROM deployments, generate_series(1, 3) AS s;
RESET session_replication_role;
ANALYZE entities, entity_revisions, versions, evaluations, version_decisions, version_tags, dependencies, deployments,
    deployment_events, library_requests;
"""
ONE: Final = ("model", "model-7", 3)
NAMED: Final = {"kind": "model", "name": "model-7", "tag": "tag-3-model-7"}
FIRST: Final[dict[str, Any]] = {"after_at": "infinity", "after_kind": "", "after_name": "", "after_number": 0}
LISTED: Final[dict[str, Any]] = {**NAMED, **FIRST, "words": "series s17 model 7", "limit": 50, "archived": False}
LATER: Final[dict[str, Any]] = {
    **LISTED, "after_at": datetime(2020, 1, 9, tzinfo=UTC), "after_kind": "model", "after_name": "model-7", "after_number": 3,
}  # fmt: skip
NEW_VERSION: Final = (
    "origin", "state", "created_at", "reason", "bundle_key", "sha256", "manifest", "semantic", "description",
)  # fmt: skip
NEW_DECISION: Final = ("state", "who", "at", "why", "request_id")
NEW_STEP: Final = ("state", "at", "who", "why", "missed", "request_id")
QUERIES: Final[dict[str, tuple[Any, Any]]] = {  # statement and values by the index that they justify, or one of them
    "entities_pkey": (entities.ENTITIES, LISTED),
    "entity_revisions_pkey": (registry.ARCHIVED, ONE[:2]),
    "entity_revisions_request": (entities.REVISED_BY, ("e-model-7",)),
    "library_requests_pkey": (library_requests.CLAIMED, ("q-model-7-3",)),
    "versions_pkey": (registry.BY_NUMBER, ONE),
    "versions_kind_name_origin_key": (library.VERSION_OF, ("model", "model-7", "job-7-3")),
    "versions_one_semantic": (registry.BY_SEMANTIC, ("model", "model-7", "1.3.0")),
    "versions_created": (registry.OF_KIND, LISTED),
    "versions_sha256": (registry.BY_SHA256, ("0" * 64,)),
    "versions_text": (registry.SEARCH, LISTED),
    "evaluations_pkey": (registry.EVALUATIONS, ONE),
    "evaluations_source": (library.JUDGED_BY, ("training-model-73",)),
    "evaluations_at": (registry.LATEST_EVALUATIONS, (50,)),
    "dependencies_pkey": (registry.MADE_FROM, ONE),
    "dependencies_needs": (registry.MADE_WITH, ONE),
    "version_tags_pkey": (registry.TAGS, ONE),
    "version_tags_tag": (registry.OF_TAG, LISTED),
    "version_decisions_pkey": (library.NEWEST_DECISION, ONE),
    "version_decisions_request": (library.SAME_DECISION, ("r-model-73", *ONE)),
    "version_decisions_at": (registry.DECISIONS_BY_TIME, (50,)),
    "version_decisions_final": (deployments.ENDED, ONE),
    "deployments_pkey": (deployments.NAMED, ("model-7-v3",)),
    "deployments_ordinal": (deployments.NUMBERED, ("all", 77)),
    "deployments_request": (deployments.REQUESTED, ("d-model-7-3",)),
    "deployments_one_incoming": (deployments.INCOMING, ("all",)),
    "deployments_healthy": (deployments.CURRENT, ("all",)),
    "deployments_superseded": (deployments.EARLIER, ("all", MODELS * OF_EACH, "model-7", 3)),
    "deployments_challengers": (deployments.CHALLENGERS, ("all",)),
    "deployments_version": (deployments.OF_VERSION, ONE),
    "deployments_restores": ("SELECT count(*) FROM deployments WHERE restores = %s", ("model-7-v3",)),
    "deployment_events_pkey": (registry.EVENTS_OF, (*ONE, 50)),
    "deployment_events_request": (deployments.WITHDRAWN, ("w-model-7-v3",)),
    "deployment_events_missed": (deployments.MISSED, ("model-7-v3", AT)),
    "deployment_events_at": (registry.EVENTS_BY_TIME, (50,)),
}
ALSO: Final[dict[str, tuple[Any, Any]]] = {
    "list of a name": (registry.OF_NAME, LISTED),
    "newest of a name": (registry.NEWEST, ("model", "model-7")),
    "newest bundle": (library.NEWEST_BUNDLE, ("model", "model-7")),
    "decisions": (registry.DECISIONS, ONE),
    "what a request decided": (library.DECIDED_BY, ("r-model-73", "model", "model-7")),
    "decisions of one": (registry.DECISIONS_OF, (*ONE, 50)),
    "later page of a name": (registry.OF_NAME, LATER),
    "later page of a kind": (registry.OF_KIND, LATER),
    "later page of a tag": (registry.OF_TAG, LATER),
    "a tag of a name": (registry.OF_NAME_AND_TAG, LISTED),
    "later page of a search": (registry.SEARCH, LATER),
    "later page of entities": (entities.ENTITIES, LATER),
    "entities of a kind": (entities.ENTITIES_OF_KIND, LATER),
    "one entity": (entities.ENTITY, ONE[:2]),
    "bundles of a name": (library.BUNDLES_OF, ("model", "model-7")),
    "newest deployments": (deployments.NEWEST, ("all", 2**31 - 1, 20)),
    "later deployments": (deployments.NEWEST, ("all", 77, 20)),
    "a new version": (library.INSERT_VERSION, dict.fromkeys(NEW_VERSION, None) | {"kind": "model", "name": "model-7"}),
    "a new decision": (library.INSERT_DECISION, dict.fromkeys(NEW_DECISION, None) | {**NAMED, "number": 3, "overridden": False}),
    "a new step": (deployments.INSERT_STEP, dict.fromkeys(NEW_STEP, None) | {"deployment": "model-7-v3"}),
    "steps of a deployment": (deployments.STEPS, ("model-7-v3",)),
    "newest challenger of a version": (deployments.NEWEST_CHALLENGER, ("all", *ONE)),
    "next ordinal": (deployments.NEXT_ORDINAL, ("all",)),
}
GUARDS: Final = {"deployments_one_active", "deployments_one_challenger"}  # they refuse, and answer nothing
TABLES: Final = (
    "entities", "entity_revisions", "library_requests", "versions", "evaluations", "dependencies", "version_tags",
    "version_decisions", "deployments", "deployment_events",
)  # fmt: skip
MODULES: Final = (deployments, entities, library, library_requests, registry)
# of signals, which have their own index; the begin of others; and of the one row that page_keys has
ELSEWHERE: Final = {"COUNTED", "DEPLOYED", "PAGE_KEY"}


@pytest.fixture(scope="module")
def filled(postgres: PostgresServer) -> Iterator[psycopg.Connection[Any]]:
    """A migrated database of this size, which nothing changes."""
    database = postgres.create_database()
    socket = str(postgres.socket_folder)
    with psycopg.connect(host=socket, dbname=database, user=SUPERUSER, autocommit=True) as connection:
        connection.execute(FILLED.encode())
        yield connection


def plan(connection: psycopg.Connection[Any], query: Any, values: Any) -> list[dict[str, Any]]:
    """Return the nodes of a plan."""
    text = query if isinstance(query, bytes) else f"EXPLAIN (FORMAT JSON) {query}"
    row = connection.execute(text, values).fetchone()
    assert row is not None
    waiting, nodes = [row[0][0]["Plan"]] if not isinstance(row[0], str) else [json.loads(row[0])[0]["Plan"]], []
    while waiting:
        node = waiting.pop()
        nodes.append(node)
        waiting += node.get("Plans", [])
    return nodes


@pytest.mark.parametrize("index", sorted(QUERIES))
def test_each_index_serves_a_query_of_the_library(filled: psycopg.Connection[Any], index: str) -> None:
    nodes = plan(filled, *QUERIES[index])
    assert [node["Relation Name"] for node in nodes if node["Node Type"] == "Seq Scan"] == []
    assert index in {node.get("Index Name") for node in nodes}, [node.get("Index Name") for node in nodes]


@pytest.mark.parametrize("what", sorted(ALSO))
def test_no_other_statement_reads_a_whole_table(filled: psycopg.Connection[Any], what: str) -> None:
    nodes = plan(filled, *ALSO[what])
    assert [node["Relation Name"] for node in nodes if node["Node Type"] == "Seq Scan"] == []


def test_no_index_of_the_library_is_without_a_query(filled: psycopg.Connection[Any]) -> None:
    rows = filled.execute("SELECT indexname FROM pg_indexes WHERE tablename = ANY(%s)", (list(TABLES),)).fetchall()
    assert {name for (name,) in rows} == set(QUERIES) | GUARDS
    assert len(rows) >= 20


def test_every_statement_of_the_library_is_planned_here() -> None:
    planned = {query for query, _ in (*QUERIES.values(), *ALSO.values())}
    statements = {
        name: value
        for module in MODULES
        for name, value in vars(module).items()
        if name.isupper()
        and not name.startswith("_")
        and isinstance(value, str)
        and value.lstrip().startswith(("SELECT", "WITH"))
    }
    assert len(statements) > 30
    assert {name for name, value in statements.items() if value not in planned} == ELSEWHERE
