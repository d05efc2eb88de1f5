"""Observations as the ledger keeps them, and the port that starts and ends them.

The rules are one row that never changes. What happens to it are rows beside it, so a state and its record commit together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from signalbox.observation.rules import ObservationRules
from signalbox.observation.verdicts import ObservationVerdict


class ObservationState(StrEnum):
    """Where an observation stands."""

    RUNNING = "running"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class ObservationStep:
    """One step: who made it, when and why. verdict and reasons: of the report that ended it."""

    state: ObservationState
    at: datetime
    who: str
    why: str
    request_id: str
    verdict: ObservationVerdict | None = None
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RecordedObservation:
    """The rules of an observation and its steps, oldest first; there is at least one."""

    rules: ObservationRules
    steps: tuple[ObservationStep, ...]

    @property
    def state(self) -> ObservationState:
        """Where it stands."""
        return self.steps[-1].state


class ObservationBook(Protocol):
    """Changes observations. The same request changes nothing a second time."""

    def is_recorded(self, rules: ObservationRules) -> bool:
        """Whether an observation has these rules, running or ended."""

    def start(self, rules: ObservationRules, step: ObservationStep) -> RecordedObservation:
        """Record the rules and the first step, in one transaction. The same rules are the same observation.

        Raises ObservationStateError if they were used and ended, or if the deployment is being observed under other rules.
        """

    def end(self, observation: str, step: ObservationStep) -> RecordedObservation:
        """Record the last step. Raises UnknownObservationError, and ObservationStateError if it ended with another request."""


class ObservationReader(Protocol):
    """Reads observations."""

    def observations(self, limit: int) -> Sequence[RecordedObservation]:
        """Return the newest observations, newest first."""

    def observation(self, observation: str | None) -> RecordedObservation:
        """Return one, or the newest. Raises UnknownObservationError."""

    def earlier(self, rules: ObservationRules) -> Sequence[RecordedObservation]:
        """Return the observations of the same bundle that began before, oldest first."""
