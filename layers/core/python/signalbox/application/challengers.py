"""The models that decide beside the one that serves: loaded, confirmed by what they decided, taken back by what they failed.

They have their turn after the cycle is committed and its events are published, each by itself, so none delays or breaks it, and
none breaks another. A bundle at fault, a model that does not score and one that scores too slowly are taken back at once: a
challenger is an experiment, and whoever asked for it reads the reason. S3 or a ledger that does not answer is nobody's fault:
it is tried again, as long as for what serves.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from signalbox.application.model_loading import AT_FAULT, REASON_LENGTH, ModelLoader, reason_of
from signalbox.library.deployments import DECIDER, DeploymentState, LibraryDeployment
from signalbox.library.errors import DeploymentStateError
from signalbox.library.ports import SlotBook
from signalbox.limits import MAX_SCORING_SECONDS, MAX_TRIAL_SECONDS
from signalbox.signals.model import DeployedModel, ModelProblem

MAX_CHALLENGER_SECONDS: Final = 2.0  # of one decision; the starter takes 0.002 s
LOADING_SECONDS: Final = MAX_TRIAL_SECONDS + 10.0  # that have to be left before a bundle is loaded
DECIDING_SECONDS: Final = MAX_SCORING_SECONDS + 5.0  # that have to be left before a model decides


@dataclass(frozen=True, slots=True)
class ReadyChallengers:
    """Those that can decide a cycle, and why others cannot. waiting: whose turn comes at a later cycle, for lack of time."""

    models: tuple[DeployedModel, ...]
    problems: tuple[ModelProblem, ...]
    waiting: tuple[str, ...] = ()


class Challengers:
    """The challengers of a slot. `wanted`: what the ledger says of them, set at the begin of each cycle."""

    def __init__(self, book: SlotBook, loader: ModelLoader) -> None:
        self._book, self._loader = book, loader
        self.wanted: tuple[LibraryDeployment, ...] = ()
        self._loaded: dict[str, DeployedModel] = {}

    def ready(self, at: datetime, seconds: float) -> ReadyChallengers:
        """Return the models for the cycle at `at`. At most one bundle is loaded a cycle. Never raises.

        seconds: how long the function may still run.
        """
        self._loaded = {one.name: self._loaded[one.name] for one in self.wanted if one.name in self._loaded}
        problems: list[ModelProblem] = []
        waiting: list[str] = []
        may_load = seconds >= LOADING_SECONDS
        for one in self.wanted:
            if one.name in self._loaded:
                continue
            if not may_load:
                waiting.append(one.name)
                continue
            may_load = False
            if (problem := self._load(one, at)) is not None:
                problems.append(problem)
        models = tuple(self._loaded[one.name] for one in self.wanted if one.name in self._loaded)
        return ReadyChallengers(models, tuple(problems), tuple(waiting))

    def _load(self, one: LibraryDeployment, at: datetime) -> ModelProblem | None:
        try:
            if one.state is DeploymentState.PENDING:
                one = self._book.move(one.name, DeploymentState.VALIDATING, at, DECIDER, "fetching and verifying the bundle")
            model = self._loader.model(one)
            if one.state is DeploymentState.VALIDATING:
                self._book.move(one.name, DeploymentState.WARMING, at, DECIDER, "verified and warm; decides its first cycle")
        except AT_FAULT as error:
            return self.failed(one.name, at, reason_of(error))
        except DeploymentStateError:
            return None  # another function was faster, or somebody took it back: the next cycle sees what the ledger says
        except Exception as error:  # noqa: BLE001 - S3 or the ledger did not answer, or the disk is full: tried again
            return self._missed(one, at, reason_of(error))
        self._loaded[one.name] = model
        return None

    def _missed(self, one: LibraryDeployment, at: datetime, reason: str) -> ModelProblem:
        if one.is_incoming:
            try:
                reason = self._book.miss(one.name, at, reason).reason or reason
            except Exception as error:  # noqa: BLE001 - the ledger is silent too: the next cycle counts
                reason = f"{reason}; {reason_of(error)}"[:REASON_LENGTH]
        return ModelProblem(one.name, reason, None)

    def decided(self, name: str, at: datetime) -> None:
        """Record that a challenger decided a cycle, which confirms one on its way. Raises LedgerError."""
        if any(one.name == name and one.is_incoming for one in self.wanted):
            with suppress(DeploymentStateError):  # somebody took it back meanwhile
                self._book.confirm(name, at, f"decided the cycle of {at.isoformat()}")

    def failed(self, name: str, at: datetime, reason: str) -> ModelProblem:
        """Take a challenger back, so that the next cycle leaves it out, and return why. Never raises."""
        self._loaded.pop(name, None)
        self.wanted = tuple(one for one in self.wanted if one.name != name)
        try:
            self._book.end(name, at, DECIDER, reason)
        except Exception as error:  # noqa: BLE001 - it is left out of this cycle anyway; the next one meets the same fault
            reason = f"{reason}; it could not be taken back: {reason_of(error)}"[:REASON_LENGTH]
        return ModelProblem(name, reason, None)
