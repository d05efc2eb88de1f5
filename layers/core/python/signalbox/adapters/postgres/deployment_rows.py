"""Rows of deployments as deployments. A query of them begins with DEPLOYED."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, LiteralString

from signalbox.adapters.postgres.connection import Connection
from signalbox.library.deployments import DeploymentState, LibraryDeployment
from signalbox.library.entries import EntityKey, EntityKind, VersionKey
from signalbox.library.errors import DeploymentStateError
from signalbox.signals.signal import DeploymentStage

DEPLOYED: Final[LiteralString] = """
SELECT d.deployment, d.kind, d.name, d.number, v.semantic, d.symbol_group, d.ordinal, d.stage, d.state, d.requested_at,
    d.changed_at, d.who, d.why, v.bundle_key, v.sha256, d.overridden, d.evaluated_rate, d.replaces, d.restores, d.missed,
    d.reason, d.challenger
FROM deployments AS d JOIN versions AS v USING (kind, name, number)
"""


def one_deployment(connection: Connection, query: LiteralString, *values: object) -> LibraryDeployment | None:
    """Return the first deployment of a query, or None. Raises for a row that cannot be read."""
    row = connection.execute(query, values).fetchone()
    return None if row is None else _deployment(row)


def readable_deployment(row: Sequence[Any]) -> LibraryDeployment | None:
    """Return a row as a deployment; None if it cannot be read."""
    try:
        return _deployment(row)
    except (ValueError, DeploymentStateError):
        return None


def _deployment(row: Sequence[Any]) -> LibraryDeployment:
    name, kind, entity, number, semantic, group, ordinal, stage, state, *rest = row
    requested_at, changed_at, who, why, bundle_key, sha256, *tail = rest
    return LibraryDeployment(
        name,
        VersionKey(EntityKey(EntityKind(kind), entity), number),
        semantic or "",
        group,
        ordinal,
        DeploymentStage(stage),
        DeploymentState(state),
        requested_at,
        changed_at,
        who,
        why,
        bundle_key or "",
        sha256 or "",
        *tail,
    )
