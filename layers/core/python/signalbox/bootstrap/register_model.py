"""register_model, composed: the library in the ledger, its outbox, the bus, the models bucket."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import boto3

from signalbox.adapters.aws.artifacts import S3Artifacts
from signalbox.adapters.aws.bus import EventBridgeBus
from signalbox.adapters.postgres.errors import LedgerBusyError, LedgerUnavailableError
from signalbox.adapters.postgres.library import PostgresLibrary
from signalbox.adapters.postgres.outbox import PostgresOutbox
from signalbox.bootstrap.ledger import connect_ledger
from signalbox.bootstrap.settings import RegisterModelSettings
from signalbox.contracts import TRAINING_PREFIX
from signalbox.library.ports import ArtifactStore, Library
from signalbox.library.registration import FinishedJob, Registered, register
from signalbox.signals.ports import EventPublisher, Outbox
from signalbox.signals.publishing import publish_pending

RETRY_PAUSES_SECONDS: Final = (0.5, 2.0, 5.0)  # a failover of the database, within the function's timeout


@dataclass(frozen=True, slots=True)
class RegisterModel:
    """One finished job: record what it became, then publish what the ledger holds."""

    library: Library
    artifacts: ArtifactStore
    outbox: Outbox
    bus: EventPublisher
    pause: Callable[[float], None] = time.sleep

    def register(self, job: FinishedJob) -> Registered:
        """Record a job; a lost connection is tried again, harmless because the job's name is the key."""
        for wait in RETRY_PAUSES_SECONDS:
            try:
                return self._once(job)
            except (LedgerUnavailableError, LedgerBusyError):
                self.pause(wait)
        return self._once(job)

    def publish(self) -> int:
        """Publish what is committed; what this misses is the relay's."""
        return publish_pending(outbox=self.outbox, publisher=self.bus)

    def _once(self, job: FinishedJob) -> Registered:
        with tempfile.TemporaryDirectory(prefix="model-") as workspace:
            return register(job, artifacts=self.artifacts, library=self.library, workspace=Path(workspace))


def compose(settings: RegisterModelSettings | None = None) -> RegisterModel:
    """Return the function's application from its environment."""
    found = settings or RegisterModelSettings.read()
    connection = connect_ledger(found, application="register_model")
    return RegisterModel(
        library=PostgresLibrary(connection),
        artifacts=S3Artifacts(boto3.client("s3"), bucket=found.models_bucket, prefix=TRAINING_PREFIX),
        outbox=PostgresOutbox(connection),
        bus=EventBridgeBus(boto3.client("events"), found.event_bus_name),
    )
