"""Records a finished job on the ledger, with retries while PostgreSQL is unavailable, then publishes the committed events."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from signalbox.application.retries import retried
from signalbox.library.evaluations import EvaluationOutcome, FinishedEvaluation, record_evaluation
from signalbox.library.ports import ArtifactStore, Library
from signalbox.library.registration import FinishedJob, RegistrationOutcome, register
from signalbox.signals.ports import EventPublisher, Outbox
from signalbox.signals.publishing import publish_pending

T = TypeVar("T")
RETRY_PAUSES_SECONDS: Final = (0.5, 2.0, 5.0)  # covers a failover of the database, within the function's timeout


@dataclass(frozen=True, slots=True)
class RegisterModel:
    """Processes one finished job: records its result, then publishes the committed events."""

    library: Library
    artifacts: ArtifactStore
    outbox: Outbox
    bus: EventPublisher
    pause: Callable[[float], None] = time.sleep

    def register(self, job: FinishedJob) -> RegistrationOutcome:
        """Record a training job. A lost connection is retried, which is harmless because the job's name is the key."""
        return self._tried(
            lambda folder: register(job, artifacts=self.artifacts, library=self.library, workspace=folder),
        )

    def judge(self, job: FinishedEvaluation) -> EvaluationOutcome:
        """Record an evaluation job. A lost connection is retried in the same way."""
        return self._tried(
            lambda folder: record_evaluation(job, artifacts=self.artifacts, library=self.library, workspace=folder),
        )

    def publish(self) -> int:
        """Publish the committed events; return how many. Events that this misses are published by relay_outbox."""
        return publish_pending(outbox=self.outbox, publisher=self.bus)

    def _tried(self, unit: Callable[[Path], T]) -> T:
        return retried(partial(_in_a_folder, unit), self.pause, pauses=RETRY_PAUSES_SECONDS)


def _in_a_folder(unit: Callable[[Path], T]) -> T:
    with tempfile.TemporaryDirectory(prefix="model-") as workspace:
        return unit(Path(workspace))
