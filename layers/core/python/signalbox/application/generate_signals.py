"""Decides a cycle on the ledger: chooses the model, retries lost connections, and publishes after the commit."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Protocol

from signalbox.application.retries import retried
from signalbox.events import CandlesClosed, ModelRefused
from signalbox.signals.cycle import CycleOutcome, run_cycle
from signalbox.signals.model import ModelChoice, ModelProblem
from signalbox.signals.ports import EventPublisher, Ledger, Outbox
from signalbox.signals.publishing import publish_pending
from signalbox.signals.rate_limit import SignalLimits


class Models(Protocol):
    """Source of the deployed model."""

    def choose(self, at: datetime) -> ModelChoice:
        """Return the model to use and any problem with a newer one. Never raises; without a model every symbol is refused.

        at: the time of the cycle.
        """

    def decided(self, outcome: CycleOutcome, choice: ModelChoice) -> ModelProblem | None:
        """Record what a committed cycle says about what is deployed; return what ended a deployment. Raises LedgerError."""


@dataclass(frozen=True, slots=True)
class GenerateSignals:
    """Processes one delivery: decides and commits, then publishes the committed events."""

    ledger: Ledger
    outbox: Outbox
    bus: EventPublisher
    models: Models
    limits: SignalLimits
    pause: Callable[[float], None] = time.sleep

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

    def publish(self) -> int:
        """Publish the committed events; return how many. Events that this misses are published by relay_outbox."""
        return publish_pending(outbox=self.outbox, publisher=self.bus)
