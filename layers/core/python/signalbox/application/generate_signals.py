"""Decides a cycle on the ledger: chooses the model, retries lost connections, and publishes after the commit.

The challengers decide the same cycle afterwards, so the model that serves never waits for one.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Protocol

from signalbox.application.challengers import DECIDING_SECONDS, MAX_CHALLENGER_SECONDS, ReadyChallengers
from signalbox.application.model_loading import REASON_LENGTH, reason_of
from signalbox.application.retries import retried
from signalbox.events import CandlesClosed, ModelRefused
from signalbox.signals.beside import SharedRows, record_beside, scored_beside
from signalbox.signals.cycle import CycleOutcome, run_cycle
from signalbox.signals.model import DeployedModel, ModelChoice, ModelProblem
from signalbox.signals.ports import CycleState, EventPublisher, Ledger, Outbox
from signalbox.signals.publishing import publish_pending
from signalbox.signals.rate_limit import SignalLimits
from signalbox.signals.signal import Signal


class Models(Protocol):
    """Source of the deployed model."""

    def choose(self, at: datetime) -> ModelChoice:
        """Return the model to use and any problem with a newer one. Never raises; without a model every symbol is refused.

        at: the time of the cycle.
        """

    def decided(self, outcome: CycleOutcome, choice: ModelChoice) -> ModelProblem | None:
        """Record what a committed cycle says about what is deployed; return what ended a deployment. Raises LedgerError."""


class ChallengingModels(Protocol):
    """Source of the models that decide beside the one that serves. Implemented by application.challengers."""

    def ready(self, at: datetime, seconds: float) -> ReadyChallengers:
        """Return the models for a cycle, and why others cannot decide. Never raises. seconds: how long the function may run."""

    def decided(self, name: str, at: datetime) -> None:
        """Record that one decided a cycle. Raises LedgerError."""

    def failed(self, name: str, at: datetime, reason: str) -> ModelProblem:
        """Take one back. Never raises."""


@dataclass(frozen=True, slots=True)
class BesideOutcome:
    """What the challengers made of a cycle: their signals, what went wrong, and who waits for a later cycle for lack of time."""

    signals: tuple[Signal, ...] = ()
    problems: tuple[ModelProblem, ...] = ()
    waiting: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class GenerateSignals:
    """Processes one delivery: decides and commits, then publishes the committed events."""

    ledger: Ledger
    outbox: Outbox
    bus: EventPublisher
    models: Models
    limits: SignalLimits
    pause: Callable[[float], None] = time.sleep
    challengers: ChallengingModels | None = None
    clock: Callable[[], float] = time.perf_counter

    def decide(self, event: CandlesClosed) -> tuple[CycleOutcome, ModelChoice]:
        """Record the event's candles and decide its cycle when it is complete.

        A lost connection is retried here. The whole cycle is idempotent by natural keys, so that even a commit whose
        acknowledgement was lost becomes a mere duplicate.
        """
        choice = self.models.choose(event.cycle_at)
        run = partial(run_cycle, event, ledger=self.ledger, choice=choice, limits=self.limits)
        outcome = retried(run, self.pause)
        ended = retried(partial(self.models.decided, outcome, choice), self.pause)
        if ended is None:
            return outcome, choice
        refused = ModelRefused(deployment=ended.deployment, cycle_at=event.cycle_at, reason=ended.reason, kept=ended.kept)
        retried(partial(self.outbox.put, refused, event.cycle_at), self.pause)
        return outcome, ModelChoice(choice.model, ended)

    def decide_beside(self, event: CandlesClosed, outcome: CycleOutcome, kept: str | None, seconds: float) -> BesideOutcome:
        """Let the challengers decide a cycle that this delivery decided. Never raises.

        A cycle that came again is not decided by them again: what they missed is missing from both sides of a comparison.
        kept: the deployment that served. seconds: how long the function may still run.
        """
        if self.challengers is None or outcome.state is not CycleState.READY:
            return BesideOutcome()
        ends = self.clock() + seconds
        found = self.challengers.ready(event.cycle_at, seconds)
        problems, waiting, signals = list(found.problems), list(found.waiting), list[Signal]()
        rows = SharedRows(event, outcome, self.ledger)
        for model in found.models:
            if ends - self.clock() < DECIDING_SECONDS:
                waiting.append(model.deployment)
                continue
            decided = self._beside(event, rows, model, self.challengers)
            if isinstance(decided, ModelProblem):
                problems.append(decided)
            else:
                signals += decided
        known_problems = tuple(replace(one, kept=kept) for one in problems)
        for one in known_problems:
            self._announce(one, event)
        return BesideOutcome(tuple(signals), known_problems, tuple(waiting))

    def _beside(
        self, event: CandlesClosed, rows: SharedRows, model: DeployedModel, challengers: ChallengingModels
    ) -> tuple[Signal, ...] | ModelProblem:
        """Return the signals of one challenger, recorded, or its problem."""
        at, name = event.cycle_at, model.deployment
        try:
            ready = rows.of(model.scorer)
        except Exception as error:  # noqa: BLE001 - the ledger did not answer: no fault of the challenger, which misses this cycle
            return ModelProblem(name, reason_of(error), None)
        began = self.clock()
        signals, failed = scored_beside(rows, ready, at, model)
        took = self.clock() - began
        if failed is not None:
            return challengers.failed(name, at, f"it cannot score: {failed.symbol}: {failed.detail}"[:REASON_LENGTH])
        if took > MAX_CHALLENGER_SECONDS:
            reason = f"it is too slow: expected a decision within {MAX_CHALLENGER_SECONDS:g} s, got one after {took:.1f} s"
            return challengers.failed(name, at, reason)
        try:
            record = partial(record_beside, signals, event, model, ledger=self.ledger, limits=self.limits)
            recorded = retried(record, self.pause)
            if signals:
                retried(partial(challengers.decided, name, at), self.pause)
        except Exception as error:  # noqa: BLE001 - as above
            return ModelProblem(name, reason_of(error), None)
        return recorded

    def _announce(self, problem: ModelProblem, event: CandlesClosed) -> None:
        """Put a problem into the outbox; whatever becomes of that, it is logged and counted."""
        refused = ModelRefused(deployment=problem.deployment, cycle_at=event.cycle_at, reason=problem.reason, kept=problem.kept)
        with suppress(Exception):
            self.outbox.put(refused, event.cycle_at)

    def publish(self) -> int:
        """Publish the committed events; return how many. Events that this misses are published by relay_outbox."""
        return publish_pending(outbox=self.outbox, publisher=self.bus)
