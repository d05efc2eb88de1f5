"""Which model decides a cycle: the deployment on its way to the slot if it loads, else what serves. One reference is swapped.

A deployment is looked up in the ledger at every cycle. A new one is fetched by address; its sha256, schema hash and golden rows
are verified, it scores once, and only then is the reference replaced; a cycle that runs meanwhile keeps the model it began with.
Whatever fails leaves the old model at work, is recorded with its reason, and is announced by the cycle. If S3 or the ledger
does not answer, that is not the bundle's fault: it is tried again, but not beyond two cycles. A function that starts while the
bundle that serves is at fault goes back to the previous healthy deployment by itself. Who decides beside it: challengers.py.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from signalbox.application.challengers import Challengers
from signalbox.application.model_loading import AT_FAULT, REASON_LENGTH, ModelLoader, reason_of
from signalbox.contracts import CYCLE_MINUTES
from signalbox.inference import Ensemble, load_bundle
from signalbox.library.deployments import (
    ALL_SYMBOLS,
    DECIDER,
    RATE_WINDOW,
    DeploymentState,
    LibraryDeployment,
    Slot,
    signal_rate_fault,
)
from signalbox.library.errors import LibraryError
from signalbox.library.ports import BundleStore, SlotBook
from signalbox.signals.cycle import CycleOutcome, RefusalReason
from signalbox.signals.model import DeployedModel, ModelChoice, ModelProblem
from signalbox.signals.ports import CycleState

_NOTHING: Final = "none"
_FALL_BACKS: Final = 3  # earlier bundles that one cycle tries
_INSTANT: Final = timedelta(microseconds=1)  # periods begin after their start, and the first cycle belongs to this one


class ServingModels:
    """Gives each cycle the model to use, and records what became of it. Safe to use from several threads."""

    def __init__(
        self,
        book: SlotBook,
        bundles: BundleStore,
        *,
        load: Callable[[Path], Ensemble] = load_bundle,
        group: str = ALL_SYMBOLS,
    ) -> None:
        self._book, self._group = book, group
        self._loader = ModelLoader(bundles, load)
        self.challengers = Challengers(book, self._loader)
        self._model: DeployedModel | None = None
        self._slot = Slot(None, None)
        self._loaded: Mapping[str, DeployedModel] = {}  # at most two: what serves and what is on its way
        self._refused: dict[str, ModelProblem] = {}  # bundles at fault, which are not fetched again
        self._swapping = threading.Lock()
        self._rate_reported: str | None = None

    @property
    def model(self) -> DeployedModel | None:
        """The model at work: one reference, read without a lock."""
        return self._model

    def choose(self, at: datetime) -> ModelChoice:
        """Return the model for the cycle at `at`, and why a newer one is not used. Never raises."""
        with self._swapping:
            try:
                slot = self._book.slot(self._group)
            except Exception as error:  # noqa: BLE001 - the cycle meets the same ledger, and says what is wrong with it
                return ModelChoice(self._model, self._problem(self._group, error))
            problem = self._swap(slot, at)
            return ModelChoice(self._model, problem)

    def _swap(self, slot: Slot, at: datetime) -> ModelProblem | None:
        """Bring what is in memory to what the ledger says; return why it is not. Here alone the reference is replaced."""
        model = problem = None
        if slot.incoming is not None:
            slot, model, problem = self._prepared(slot, slot.incoming, at)
        if model is None and slot.current is not None:
            model, fault = self._current(slot.current)
            if model is None and slot.incoming is None and slot.current.name in self._refused:
                slot, model, fault = self._fallen_back(slot, slot.current, at)
            problem = problem or fault
        if model is None and slot.current is None and slot.incoming is None:
            problem = problem or ModelProblem(_NOTHING, "nothing is deployed; run `signalbox library deploy`", None)
        elif model is None:
            model = self._model  # what serves by the ledger cannot be loaded: whatever is at work stays at work
        wanted = {one.name for one in (slot.current, slot.incoming) if one is not None}
        self._slot, self._model = slot, model
        self._loaded = {name: one for name, one in self._loaded.items() if name in wanted}
        self.challengers.wanted = slot.challengers
        if problem is not None:
            kept = None if model is None or model.deployment == problem.deployment else model.deployment
            return replace(problem, kept=kept)
        return None

    def _fallen_back(
        self, slot: Slot, one: LibraryDeployment, at: datetime
    ) -> tuple[Slot, DeployedModel | None, ModelProblem | None]:
        """Ask for the previous healthy deployment in place of one whose bundle is at fault, and load it for this very cycle.

        A function that is warm has what serves in memory and never comes here.
        """
        fault, kept = self._refused[one.name], slot
        for _ in range(_FALL_BACKS):
            try:
                why = f"its bundle cannot be used: {fault.reason}"[:REASON_LENGTH]
                back = self._book.fall_back(one.name, at, DECIDER, why)
            except Exception as error:  # noqa: BLE001 - nothing to go back to, or the ledger is silent: the fault says what is wrong
                return kept, None, replace(fault, reason=f"{fault.reason}; nothing takes its place: {error}"[:REASON_LENGTH])
            if back is None:
                return kept, None, fault  # another function was faster: the next cycle sees what the ledger says
            found, model, problem = self._prepared(replace(kept, incoming=back), back, at)
            if found.incoming is not None:
                return found, model, problem if model is None else replace(fault, kept=model.deployment)
        return kept, None, fault

    def _prepared(
        self, slot: Slot, one: LibraryDeployment, at: datetime
    ) -> tuple[Slot, DeployedModel | None, ModelProblem | None]:
        """Return the deployment on its way, verified and warm; or the slot without it, if its bundle is at fault."""
        try:
            if one.state is DeploymentState.PENDING:
                one = self._book.move(one.name, DeploymentState.VALIDATING, at, DECIDER, "fetching and verifying the bundle")
            model, problem = self._current(one)
            if problem is not None and one.name in self._refused:
                self._book.move(one.name, DeploymentState.FAILED, at, DECIDER, problem.reason)
                return replace(slot, incoming=None), None, problem
            if model is not None and one.state is DeploymentState.VALIDATING:
                one = self._book.move(
                    one.name, DeploymentState.WARMING, at, DECIDER, "verified and warm; decides its first cycle"
                )
        except Exception as error:  # noqa: BLE001 - the ledger did not answer, or another function was faster: tried again
            return slot, None, self._problem(one.name, error)
        return replace(slot, incoming=one), model, problem

    def _current(self, one: LibraryDeployment) -> tuple[DeployedModel | None, ModelProblem | None]:
        """Return a deployment's model from memory or from its bundle, or why there is none."""
        if one.name in self._loaded:
            return self._loaded[one.name], None
        if one.name in self._refused:
            return None, self._refused[one.name]
        try:
            model = self._loader.model(one)
        except AT_FAULT as error:
            self._refused[one.name] = self._problem(one.name, error)
            return None, self._refused[one.name]
        except Exception as error:  # noqa: BLE001 - S3 did not answer, or the disk is full: not the bundle's fault, so tried again
            return None, self._problem(one.name, error)
        self._loaded = {**self._loaded, one.name: model}
        return model, None

    def decided(self, outcome: CycleOutcome, choice: ModelChoice) -> ModelProblem | None:
        """Record what a decided cycle says of the slot; return what ended a deployment because of it.

        Raises LedgerError: the cycle is committed already, and the next one says it again.
        """
        if outcome.state is not CycleState.READY:
            return None
        if self._slot.incoming is not None:
            try:
                return self._judge_incoming(self._slot.incoming, outcome, choice)
            except LibraryError:
                return None  # another function was faster, or a person took it back: the next cycle sees what the ledger says
        return self._watch_rate(self._slot.current, choice.model, outcome.cycle_at)

    def _judge_incoming(self, one: LibraryDeployment, outcome: CycleOutcome, choice: ModelChoice) -> ModelProblem | None:
        at, model = outcome.cycle_at, choice.model
        if model is not None and model.deployment == one.name:
            if outcome.signals:
                self._book.confirm(one.name, at, f"decided the cycle of {at.isoformat()}")
                return None
            failed = [refusal for refusal in outcome.refusals if refusal.reason == RefusalReason.MODEL_FAILED]
            if not failed:
                return None  # no symbol had its bars: that says nothing about the model
            reason = f"it cannot score: {failed[0].symbol}: {failed[0].detail}"[:REASON_LENGTH]
        else:
            reason = "it was not loaded" if choice.problem is None else choice.problem.reason
        found = self._book.miss(one.name, at, reason)
        if found.state is not DeploymentState.FAILED:
            return None
        kept = None if self._slot.current is None else self._slot.current.name
        return ModelProblem(one.name, found.reason or reason, kept)

    def _watch_rate(self, one: LibraryDeployment | None, model: DeployedModel | None, at: datetime) -> ModelProblem | None:
        if one is None or model is None or model.deployment != one.name or self._rate_reported == one.name:
            return None
        if one.evaluated_rate is None:
            return None
        since = max(one.changed_at - _INSTANT, at - RATE_WINDOW)
        overlap = max(1, model.horizon_minutes // CYCLE_MINUTES)
        fault = signal_rate_fault(self._book.count(one.name, since, at), one.evaluated_rate, overlap)
        return None if fault is None else self._taken_back(one, at, fault)

    def _taken_back(self, one: LibraryDeployment, at: datetime, fault: str) -> ModelProblem | None:
        """Ask for the previous healthy deployment in place of one whose signals are not as evaluated; return what came of it."""
        request = f"rate-{one.name}"  # the same each cycle, so what a person took back is not asked for again
        try:
            back = self._book.roll_back(self._group, to=None, at=at, who=DECIDER, why=fault, request_id=request)
            if back.state is DeploymentState.FAILED and not back.is_withdrawn:  # its bundle could not be used: further back
                further = self._book.fall_back(one.name, at, DECIDER, fault)
                if further is None:
                    return None  # another function was faster: the next cycle sees what the ledger says
                back = further
        except LibraryError as error:
            self._rate_reported = one.name
            return ModelProblem(one.name, f"{fault}; it stays in use: {error}"[:REASON_LENGTH], one.name)
        if back.is_withdrawn:
            self._rate_reported = one.name
            reason = f"{fault}; it stays in use, because somebody took back {back.name}, which was to take its place"
            return ModelProblem(one.name, reason[:REASON_LENGTH], one.name)
        if back.restores is None:
            return None  # somebody asked for it meanwhile: it may be the remedy
        return ModelProblem(one.name, f"rolled back: {fault}"[:REASON_LENGTH], back.name)

    def _problem(self, deployment: str, error: Exception) -> ModelProblem:
        kept = None if self._model is None else self._model.deployment
        return ModelProblem(deployment, reason_of(error), kept)
