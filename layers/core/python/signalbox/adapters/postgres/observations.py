"""Observations on PostgreSQL (`observation.ports`). Rows are added and never change; triggers of the tables see to it.

Changes take one advisory lock, so of two requests the second sees what the first committed. The database checks the hash of the
rules itself, so the text that an observation is judged by is the one that was recorded before it began.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from signalbox.adapters.postgres.connection import Connection, ConnectionSource
from signalbox.observation.errors import ObservationStateError, UnknownObservationError
from signalbox.observation.ports import ObservationState, ObservationStep, RecordedObservation
from signalbox.observation.rules import ObservationRules, parse_rules
from signalbox.observation.verdicts import ObservationVerdict

_OBSERVATION: Final = "SELECT rules FROM observations WHERE observation = %s"
_STEPS: Final = """
SELECT state, at, who, why, request_id, verdict, reasons FROM observation_events WHERE observation = %s ORDER BY step
"""
_NEWEST: Final = "SELECT observation FROM observations ORDER BY starts_at DESC, observation LIMIT %s"
_EARLIER: Final = """
SELECT observation FROM observations WHERE bundle_sha256 = %s AND starts_at < %s ORDER BY starts_at, observation
"""
_OF_DEPLOYMENT: Final = """
SELECT o.observation FROM observations AS o
WHERE o.deployment = %s AND NOT EXISTS (
    SELECT FROM observation_events AS e WHERE e.observation = o.observation AND e.state = 'ended'
)
"""
_INSERT: Final = """
INSERT INTO observations (observation, rules_sha256, rules, deployment, bundle_sha256, starts_at) VALUES (%s, %s, %s, %s, %s, %s)
"""
_EVENT: Final = """
INSERT INTO observation_events (observation, step, state, at, who, why, request_id, verdict, reasons)
SELECT %(observation)s, coalesce(max(step), 0) + 1, %(state)s, %(at)s, %(who)s, %(why)s, %(request_id)s, %(verdict)s, %(reasons)s
FROM observation_events WHERE observation = %(observation)s
"""


class PostgresObservations:
    """`ObservationBook` and `ObservationReader` on a connection source. Raises LedgerError as described in `errors.py`."""

    def __init__(self, source: ConnectionSource) -> None:
        self._source = source

    def is_recorded(self, rules: ObservationRules) -> bool:
        with self._source.snapshot() as connection:
            return _read(connection, rules.observation) is not None

    def start(self, rules: ObservationRules, step: ObservationStep) -> RecordedObservation:
        with self._source.transaction() as connection:
            _lock(connection)
            found = _read(connection, rules.observation)
            if found is not None:
                if found.state is ObservationState.ENDED:
                    raise ObservationStateError(f"observation {rules.observation} has ended; other rules are another observation")
                return found
            running = connection.execute(_OF_DEPLOYMENT, (rules.model.deployment,)).fetchone()
            if running is not None:
                raise ObservationStateError(
                    f"deployment {rules.model.deployment} is observed by {running[0]}; end that with `signalbox observe stop`"
                )
            model = rules.model
            row = (rules.observation, rules.sha256, rules.text, model.deployment, model.bundle_sha256, rules.starts_at)
            connection.execute(_INSERT, row)
            _log(connection, rules.observation, step)
        return RecordedObservation(rules, (step,))

    def end(self, observation: str, step: ObservationStep) -> RecordedObservation:
        with self._source.transaction() as connection:
            _lock(connection)
            found = _require(connection, observation)
            last = found.steps[-1]
            if last.state is ObservationState.ENDED:
                if last.request_id != step.request_id:
                    raise ObservationStateError(f"observation {observation} ended at {last.at.isoformat()} by {last.who}")
                return found
            _log(connection, observation, step)
        return RecordedObservation(found.rules, (*found.steps, step))

    def observations(self, limit: int) -> tuple[RecordedObservation, ...]:
        with self._source.snapshot() as connection:
            return _each(connection, connection.execute(_NEWEST, (limit,)).fetchall())

    def observation(self, observation: str | None) -> RecordedObservation:
        if observation is not None:
            with self._source.snapshot() as connection:
                return _require(connection, observation)
        newest = self.observations(1)
        if not newest:
            raise UnknownObservationError("nothing was ever observed; `signalbox observe start` begins an observation")
        return newest[0]

    def earlier(self, rules: ObservationRules) -> tuple[RecordedObservation, ...]:
        with self._source.snapshot() as connection:
            names = connection.execute(_EARLIER, (rules.model.bundle_sha256, rules.starts_at)).fetchall()
            return _each(connection, names)


def _each(connection: Connection, names: list[tuple[str]]) -> tuple[RecordedObservation, ...]:
    return tuple(_require(connection, name) for (name,) in names)


def _require(connection: Connection, observation: str) -> RecordedObservation:
    found = _read(connection, observation)
    if found is None:
        raise UnknownObservationError(f"no observation {observation}; `signalbox observe list` shows them")
    return found


def _read(connection: Connection, observation: str) -> RecordedObservation | None:
    row = connection.execute(_OBSERVATION, (observation,)).fetchone()
    if row is None:
        return None
    steps = tuple(_step(one) for one in connection.execute(_STEPS, (observation,)).fetchall())
    return RecordedObservation(parse_rules(row[0]), steps)


def _step(row: Sequence[Any]) -> ObservationStep:
    state, at, who, why, request_id, verdict, reasons = row
    found = None if verdict is None else ObservationVerdict(verdict)
    return ObservationStep(ObservationState(state), at, who, why, request_id, found, tuple(reasons))


def _log(connection: Connection, observation: str, step: ObservationStep) -> None:
    row = {
        "observation": observation,
        "state": step.state.value,
        "at": step.at,
        "who": step.who,
        "why": step.why,
        "request_id": step.request_id,
        "verdict": None if step.verdict is None else step.verdict.value,
        "reasons": list(step.reasons),
    }
    connection.execute(_EVENT, row)


def _lock(connection: Connection) -> None:
    connection.execute("SELECT pg_advisory_xact_lock(hashtextextended('signalbox observations', 0))")
