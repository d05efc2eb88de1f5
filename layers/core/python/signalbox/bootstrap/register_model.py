"""register_model, composed: the library in the ledger, its outbox, the bus, the models bucket."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

import boto3

from signalbox.adapters.aws.artifacts import S3Artifacts
from signalbox.adapters.aws.bus import EventBridgeBus
from signalbox.adapters.aws.clients import QUICK
from signalbox.adapters.postgres.errors import LedgerBusyError, LedgerUnavailableError
from signalbox.adapters.postgres.library import PostgresLibrary
from signalbox.adapters.postgres.outbox import PostgresOutbox
from signalbox.bootstrap.ledger import connect_ledger
from signalbox.bootstrap.settings import RegisterModelSettings
from signalbox.contracts import TRAINING_PREFIX, Function, emitted_by
from signalbox.library.evaluations import EvaluationOutcome, FinishedEvaluation, record_evaluation
from signalbox.library.ports import ArtifactStore, Library
from signalbox.library.registration import FinishedJob, RegistrationOutcome, register
from signalbox.signals.ports import EventPublisher, Outbox
from signalbox.signals.publishing import publish_pending

T = TypeVar("T")
RETRY_PAUSES_SECONDS: Final = (0.5, 2.0, 5.0)  # a failover of the database, within the function's timeout


@dataclass(frozen=True, slots=True)
class RegisterModel:
    """One finished job: record what it became, then publish what the ledger holds."""

    library: Library
    artifacts: ArtifactStore
    outbox: Outbox
    bus: EventPublisher
    pause: Callable[[float], None] = time.sleep

    def register(self, job: FinishedJob) -> RegistrationOutcome:
        """Record a training; a lost connection is tried again, harmless because the job's name is the key."""
        return self._tried(
            lambda folder: register(job, artifacts=self.artifacts, library=self.library, workspace=folder),
        )

    def judge(self, job: FinishedEvaluation) -> EvaluationOutcome:
        """Record an evaluation; a lost connection as above."""
        return self._tried(
            lambda folder: record_evaluation(job, artifacts=self.artifacts, library=self.library, workspace=folder),
        )

    def publish(self) -> int:
        """Publish what is committed; what this misses is the relay's."""
        return publish_pending(outbox=self.outbox, publisher=self.bus)

    def _tried(self, unit: Callable[[Path], T]) -> T:
        for wait in RETRY_PAUSES_SECONDS:
            try:
                return _in_a_folder(unit)
            except (LedgerUnavailableError, LedgerBusyError):
                self.pause(wait)
        return _in_a_folder(unit)


def _in_a_folder(unit: Callable[[Path], T]) -> T:
    with tempfile.TemporaryDirectory(prefix="model-") as workspace:
        return unit(Path(workspace))


def compose(settings: RegisterModelSettings | None = None) -> RegisterModel:
    """Return the function's application from its environment."""
    found = settings or RegisterModelSettings.read()
    connection = connect_ledger(found, application="register_model")
    return RegisterModel(
        library=PostgresLibrary(connection),
        artifacts=S3Artifacts(boto3.client("s3", config=QUICK), bucket=found.models_bucket, prefix=TRAINING_PREFIX),
        outbox=PostgresOutbox(connection, emitted_by(Function.REGISTER_MODEL)),
        bus=EventBridgeBus(boto3.client("events", config=QUICK), found.event_bus_name),
    )
