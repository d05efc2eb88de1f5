"""Deployments on PostgreSQL (`library.ports.DeploymentBook`).

Every change takes the slot's advisory lock, so that two requests meet here and not in the rows; partial unique indexes refuse
what would slip through. A state changes with its row of events, and what people are
alerted of goes into the outbox, in one transaction. What a rollback needs is read by columns, so that
a manifest or a row that nobody can read any more does not stand in its way.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, Literal, LiteralString

from signalbox.adapters.postgres.connection import Connection, ConnectionSource
from signalbox.adapters.postgres.deployment_rows import DEPLOYED, one_deployment, readable_deployment
from signalbox.adapters.postgres.outbox import insert_event
from signalbox.library.catalogue import DeploymentStep
from signalbox.library.deployments import (
    DECIDER,
    RUNNING,
    DeploymentState,
    LibraryDeployment,
    SignalCount,
    Slot,
    deployment_name,
    ended,
    is_challenger,
    missed,
    moved,
    require_room,
    taken_over,
)
from signalbox.library.entries import VersionKey
from signalbox.library.errors import (
    DeploymentConflictError,
    DeploymentRefusedError,
    DeploymentStateError,
    UnknownVersionError,
)
from signalbox.library.events import DeploymentChanged
from signalbox.signals.signal import DeploymentStage

CURRENT: Final[LiteralString] = f"""{DEPLOYED} WHERE symbol_group = %s AND d.state = 'healthy' AND NOT challenger
ORDER BY ordinal DESC LIMIT 1"""
INCOMING: Final[LiteralString] = f"""{DEPLOYED}
WHERE symbol_group = %s AND d.state IN ('pending', 'validating', 'warming') AND NOT challenger"""
CHALLENGERS: Final[LiteralString] = f"""{DEPLOYED}
WHERE symbol_group = %s AND challenger AND d.state IN ('pending', 'validating', 'warming', 'healthy') ORDER BY ordinal"""
NEWEST_CHALLENGER: Final[LiteralString] = f"""{DEPLOYED}
WHERE symbol_group = %s AND challenger AND (d.kind, d.name, d.number) = (%s, %s, %s) ORDER BY ordinal DESC LIMIT 1"""
NEWEST: Final[LiteralString] = f"{DEPLOYED} WHERE symbol_group = %s AND ordinal < %s ORDER BY ordinal DESC LIMIT %s"
NAMED: Final[LiteralString] = f"{DEPLOYED} WHERE deployment = %s"
REQUESTED: Final[LiteralString] = f"{DEPLOYED} WHERE d.request_id = %s"
WITHDRAWN: Final[LiteralString] = "SELECT deployment FROM deployment_events WHERE request_id = %s"
STEPS: Final[LiteralString] = "SELECT state, at, who, why FROM deployment_events WHERE deployment = %s ORDER BY step"
NUMBERED: Final[LiteralString] = f"{DEPLOYED} WHERE symbol_group = %s AND ordinal = %s"
# an earlier deployment of another version that served, was not taken back itself, was not rejected or retired since, and whose
# bundle did not fail when it was last restored
EARLIER: Final[LiteralString] = f"""{DEPLOYED}
WHERE symbol_group = %s AND ordinal < %s AND d.state = 'superseded' AND NOT challenger
    AND (d.name, d.number) <> (%s, %s)
    AND v.bundle_key IS NOT NULL
    AND NOT EXISTS (
        SELECT FROM version_decisions AS r
        WHERE (r.kind, r.name, r.number) = (d.kind, d.name, d.number) AND r.state IN ('rejected', 'retired')
    )
    AND NOT EXISTS (
        SELECT FROM deployments AS r
        WHERE r.restores = d.deployment AND r.state = 'failed' AND NOT starts_with(r.reason, 'withdrawn')
    )
ORDER BY ordinal DESC LIMIT 1
"""  # noqa: S608 - of constants
OF_VERSION: Final[LiteralString] = "SELECT count(*) FROM deployments WHERE (kind, name, number) = (%s, %s, %s)"
NEXT_ORDINAL: Final[LiteralString] = "SELECT coalesce(max(ordinal), 0) + 1 FROM deployments WHERE symbol_group = %s"
ENDED: Final[LiteralString] = """
SELECT EXISTS (
    SELECT FROM version_decisions WHERE (kind, name, number) = (%s, %s, %s) AND state IN ('rejected', 'retired')
)
"""
COUNTED: Final[LiteralString] = """
SELECT count(*), count(*) FILTER (WHERE direction <> 'HOLD') FROM signals
WHERE deployment = %s AND decided_at > %s AND decided_at <= %s AND NOT late
"""
MISSED: Final[LiteralString] = "SELECT EXISTS (SELECT FROM deployment_events WHERE deployment = %s AND missed_cycle = %s)"
_INSERT: Final = """
INSERT INTO deployments (deployment, kind, name, number, symbol_group, ordinal, stage, state, requested_at, changed_at, who, why,
    overridden, evaluated_rate, replaces, restores, request_id, challenger)
VALUES (%s, %s, %s, %s, %s, %s, %s, 'pending', %s, %s, %s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING
"""
INSERT_STEP: Final = """
INSERT INTO deployment_events (deployment, step, state, at, who, why, missed_cycle, request_id)
SELECT %(deployment)s, coalesce(max(step), 0) + 1, %(state)s, %(at)s, %(who)s, %(why)s, %(missed)s, %(request_id)s
FROM deployment_events WHERE deployment = %(deployment)s
"""
_UPDATE: Final = "UPDATE deployments SET state = %s, changed_at = %s, missed = %s, reason = %s WHERE deployment = %s"
_ENDLESS: Final = 2**31 - 1  # more than every ordinal
ITSELF: Final = "signalbox"  # recorded as `who` for what no person asked for


class PostgresDeployments:
    """Deployments on a connection source. Raises LedgerError as described in `errors.py`."""

    def __init__(self, source: ConnectionSource) -> None:
        self._source = source

    def slot(self, group: str) -> Slot:
        with self._source.snapshot() as connection:
            return _slot(connection, group)

    def deployments(self, group: str, limit: int, before: int | None = None) -> Sequence[LibraryDeployment]:
        with self._source.snapshot() as connection:
            rows = connection.execute(NEWEST, (group, _ENDLESS if before is None else before, limit)).fetchall()
        return tuple(one for one in map(readable_deployment, rows) if one is not None)

    def deployment(self, name: str) -> tuple[LibraryDeployment, Sequence[DeploymentStep]]:
        with self._source.snapshot() as connection:
            found = _named(connection, name)
            steps = connection.execute(STEPS, (name,)).fetchall()
        return found, tuple(DeploymentStep(*row) for row in steps)

    def request(
        self,
        version: VersionKey,
        group: str,
        stage: DeploymentStage,
        *,
        at: datetime,
        who: str,
        why: str,
        request_id: str,
        overridden: bool,
        evaluated_rate: float | None,
        only_first: bool = False,
        beside: bool = False,
        most: int = 0,
    ) -> LibraryDeployment:
        with self._source.transaction() as connection:
            _lock(connection, group)
            if (same := one_deployment(connection, REQUESTED, request_id)) is not None:
                if (same.version, same.stage) != (version, stage):
                    raise DeploymentConflictError(f"request {request_id} asked for {same.name} before; use another request id")
                return same
            if only_first and (newest := one_deployment(connection, NEWEST, group, _ENDLESS, 1)) is not None:
                return newest
            slot = _slot(connection, group)
            if is_challenger(slot, stage, beside=beside):
                require_room(slot, version, most)
                alone = (at, who, why, overridden, evaluated_rate, None, None, request_id)
                return _added(connection, version, group, stage, alone, challenger=True)
            if slot.incoming is not None:
                raise _on_its_way(slot.incoming)
            replaces = None if slot.current is None else slot.current.name
            facts = (at, who, why, overridden, evaluated_rate, replaces, None, request_id)
            return _added(connection, version, group, stage, facts)

    def move(self, name: str, to: DeploymentState, at: datetime, who: str, why: str) -> LibraryDeployment:
        with self._source.transaction() as connection:
            one = _locked(connection, name)
            if one.state is to:
                return one
            return _save(connection, moved(one, to, at, why if to is DeploymentState.FAILED else None), who, why)

    def confirm(self, name: str, at: datetime, why: str) -> LibraryDeployment:
        with self._source.transaction() as connection:
            one = _locked(connection, name)
            if one.state is DeploymentState.HEALTHY:
                return one
            found = moved(one, DeploymentState.HEALTHY, at)
            before = _slot(connection, one.group).current
            if one.challenger:
                return _save(connection, found, ITSELF, why)
            for rival in _slot(connection, one.group).challengers:
                if rival.version == one.version:  # it decides no longer beside itself; its version's alert says so
                    _save(connection, taken_over(rival, one, at), one.who, f"{one.name} took over: {one.why}", announce=False)
            if before is not None:
                ends = DeploymentState.SUPERSEDED if one.restores is None else DeploymentState.ROLLED_BACK
                reason = None if one.restores is None else one.why
                ended = _save(connection, moved(before, ends, at, reason), one.who, f"{one.name} took over: {one.why}")
                if ended.state is DeploymentState.ROLLED_BACK:
                    _announce(connection, ended, "rolled_back", one.who, one.why, serves=one.name)
                    return _save(connection, found, ITSELF, why)  # one alert: it names what serves again
            _announce(connection, found, "healthy", one.who, one.why, serves=found.name)
            return _save(connection, found, ITSELF, why)

    def miss(self, name: str, cycle_at: datetime, why: str) -> LibraryDeployment:
        with self._source.transaction() as connection:
            one = _locked(connection, name)
            counted = connection.execute(MISSED, (name, cycle_at)).fetchone()
            if not one.is_incoming or (counted is not None and counted[0]):
                return one
            found = missed(one, cycle_at, why)
            return _save(connection, found, ITSELF, found.reason or why, missed_cycle=cycle_at)

    def end(self, name: str, at: datetime, who: str, why: str) -> LibraryDeployment:
        with self._source.transaction() as connection:
            one = _locked(connection, name)
            if not one.challenger:
                raise DeploymentStateError(
                    f"deployment {name} is no challenger; `signalbox library rollback` takes back what serves"
                )
            return _save(connection, ended(one, at, why), who, why) if one.state in RUNNING else one

    def requested(self, request_id: str) -> LibraryDeployment | None:
        with self._source.snapshot() as connection:
            return one_deployment(connection, REQUESTED, request_id)

    def withdraw(
        self, version: VersionKey, group: str, *, at: datetime, who: str, why: str, request_id: str
    ) -> LibraryDeployment:
        with self._source.transaction() as connection:
            _lock(connection, group)
            if (gone := connection.execute(WITHDRAWN, (request_id,)).fetchone()) is not None:
                return _named(connection, gone[0])  # asked again, it takes back no later challenger of the version
            one = one_deployment(connection, NEWEST_CHALLENGER, group, *_key(version))
            if one is None or one.state not in RUNNING:
                raise DeploymentRefusedError(
                    f"{version.reference} decides beside nothing; `signalbox library history` shows what does"
                )
            return _save(connection, ended(one, at, f"withdrawn: {why}"), who, why, request_id=request_id)

    def fall_back(self, name: str, at: datetime, who: str, why: str) -> LibraryDeployment | None:
        with self._source.transaction() as connection:
            one = _locked(connection, name)
            slot = _slot(connection, one.group)
            if slot.incoming is not None or slot.current is None or slot.current.name != name:
                return None
            target = _target(connection, one.group, one, None)
            request = f"unusable-{one.name}-{target.name}-{at:%Y%m%dT%H%M%S}"
            facts = (at, who, why, target.overridden, target.evaluated_rate, one.name, target.name, request)
            return _added(connection, target.version, one.group, target.stage, facts)

    def count(self, name: str, since: datetime, until: datetime) -> SignalCount:
        with self._source.snapshot() as connection:
            decisions, signals = connection.execute(COUNTED, (name, since, until)).fetchone() or (0, 0)
        return SignalCount(decisions, signals)

    def roll_back(self, group: str, *, to: int | None, at: datetime, who: str, why: str, request_id: str) -> LibraryDeployment:
        with self._source.transaction() as connection:
            _lock(connection, group)
            if (same := one_deployment(connection, REQUESTED, request_id)) is not None:
                return same
            slot = _slot(connection, group)
            if (gone := connection.execute(WITHDRAWN, (request_id,)).fetchone()) is not None:
                # the same request withdrew it: asked again, it goes back no further
                return slot.current or _named(connection, gone[0])
            if slot.incoming is not None and who == DECIDER:
                return slot.incoming  # it may be the remedy; the watch over signals asks again once nothing is on its way
            if slot.incoming is not None:
                reason = f"withdrawn: {why}"
                failed = moved(slot.incoming, DeploymentState.FAILED, at, reason)
                withdrawn = _save(connection, failed, who, reason, request_id=request_id)
                if to is None or (slot.current is not None and to == slot.current.ordinal):
                    return slot.current or withdrawn
            target = _target(connection, group, slot.current, to)
            replaces = None if slot.current is None else slot.current.name
            facts = (at, who, why, target.overridden, target.evaluated_rate, replaces, target.name, request_id)
            return _added(connection, target.version, group, target.stage, facts)


def _target(connection: Connection, group: str, current: LibraryDeployment | None, to: int | None) -> LibraryDeployment:
    if to is None:
        name, number = ("", 0) if current is None else (current.version.entity.name, current.version.number)
        before = _ENDLESS if current is None else current.ordinal
        found = one_deployment(connection, EARLIER, group, before, name, number)
        if found is None:
            raise DeploymentRefusedError("there is no earlier healthy deployment of another version to go back to")
        return found
    found = one_deployment(connection, NUMBERED, group, to)
    if found is None:
        raise UnknownVersionError(f"the slot {group} has no deployment {to}; `signalbox library history` lists them")
    if found.state not in {DeploymentState.SUPERSEDED, DeploymentState.ROLLED_BACK}:
        raise DeploymentRefusedError(f"deployment {to} ({found.name}) is {found.state}: expected one that served earlier")
    if found.challenger:
        raise DeploymentRefusedError(f"deployment {to} ({found.name}) was a challenger and never served; deploy its version")
    ended = connection.execute(ENDED, _key(found.version)).fetchone()
    if ended is not None and ended[0]:
        raise DeploymentRefusedError(f"deployment {to} ({found.name}) is of a version that was rejected or retired since")
    return found


def _added(
    connection: Connection,
    version: VersionKey,
    group: str,
    stage: DeploymentStage,
    facts: tuple[Any, ...],
    *,
    challenger: bool = False,
) -> LibraryDeployment:
    at, who, why, overridden, rate, replaces, restores, request_id = facts
    (before,) = connection.execute(OF_VERSION, _key(version)).fetchone() or (0,)
    (ordinal,) = connection.execute(NEXT_ORDINAL, (group,)).fetchone() or (1,)
    name = deployment_name(version, before)
    asked = (at, at, who, why, overridden, rate, replaces, restores, request_id, challenger)
    row = (name, *_key(version), group, ordinal, stage.value, *asked)
    if connection.execute(_INSERT, row).rowcount != 1:
        raise DeploymentConflictError(f"another deployment of the slot {group} is on its way, or has the name {name}")
    added = one_deployment(connection, NAMED, name)
    if added is None:  # its version has no bundle
        raise DeploymentRefusedError(f"{version.reference} has no verified bundle")
    _log(connection, added, at, who, why)
    return added


def _on_its_way(one: LibraryDeployment) -> DeploymentConflictError:
    return DeploymentConflictError(
        f"deployment {one.ordinal} ({one.name}, by {one.who}) is {one.state}; wait until a cycle decided, or take it back with"
        " `signalbox library rollback`"
    )


def _lock(connection: Connection, group: str) -> None:
    connection.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (f"signalbox slot {group}",))


def _locked(connection: Connection, name: str) -> LibraryDeployment:
    _lock(connection, _named(connection, name).group)
    return _named(connection, name)


def _named(connection: Connection, name: str) -> LibraryDeployment:
    found = one_deployment(connection, NAMED, name)
    if found is None:
        raise UnknownVersionError(f"no deployment {name}; `signalbox library history` lists them")
    return found


def _save(
    connection: Connection,
    one: LibraryDeployment,
    who: str,
    why: str,
    *,
    missed_cycle: datetime | None = None,
    request_id: str | None = None,
    announce: bool = True,
) -> LibraryDeployment:
    connection.execute(_UPDATE, (one.state.value, one.changed_at, one.missed, one.reason, one.name))
    _log(connection, one, missed_cycle or one.changed_at, who, why, missed_cycle=missed_cycle, request_id=request_id)
    if announce and one.state is DeploymentState.FAILED:
        current = _slot(connection, one.group).current
        _announce(connection, one, "failed", who, one.reason or why, serves=None if current is None else current.name)
    return one


def _announce(
    connection: Connection,
    one: LibraryDeployment,
    state: Literal["healthy", "failed", "rolled_back"],
    who: str,
    why: str,
    *,
    serves: str | None,
) -> None:
    version = one.version.reference
    stage, at = one.stage.value, one.changed_at
    event = DeploymentChanged(
        deployment=one.name, version=version, stage=stage, state=state, at=at, who=who, why=why, serves=serves
    )
    insert_event(connection, event, at)


def _log(
    connection: Connection,
    one: LibraryDeployment,
    at: datetime,
    who: str,
    why: str,
    *,
    missed_cycle: datetime | None = None,
    request_id: str | None = None,
) -> None:
    facts = {"deployment": one.name, "state": one.state.value, "at": at, "who": who, "why": why}
    connection.execute(INSERT_STEP, {**facts, "missed": missed_cycle, "request_id": request_id})


def _slot(connection: Connection, group: str) -> Slot:
    rows = connection.execute(CHALLENGERS, (group,)).fetchall()
    challengers = tuple(one for one in map(readable_deployment, rows) if one is not None)
    return Slot(one_deployment(connection, CURRENT, group), one_deployment(connection, INCOMING, group), challengers)


def _key(version: VersionKey) -> tuple[str, str, int]:
    return version.entity.kind.value, version.entity.name, version.number
