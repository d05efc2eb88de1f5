"""generate_signals, composed: the ledger, its outbox, the bus, the deployed model."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import boto3

from signalbox.adapters.aws.bus import EventBridgeBus
from signalbox.adapters.aws.clients import QUICK
from signalbox.adapters.aws.deployments import S3Deployments
from signalbox.adapters.postgres.ledger import PostgresLedger
from signalbox.adapters.postgres.outbox import PostgresOutbox
from signalbox.bootstrap.ledger import connect_ledger, retried
from signalbox.bootstrap.models import ModelProvider
from signalbox.bootstrap.settings import GenerateSignalsSettings
from signalbox.contracts import Function, emitted_by
from signalbox.events import CandlesClosed
from signalbox.signals.cycle import CycleOutcome, run_cycle
from signalbox.signals.model import ModelChoice
from signalbox.signals.ports import EventPublisher, Ledger, Outbox
from signalbox.signals.publishing import publish_pending
from signalbox.signals.rate_limit import SignalLimits


@dataclass(frozen=True, slots=True)
class GenerateSignals:
    """One delivery: decide and commit, then publish what the ledger holds."""

    ledger: Ledger
    outbox: Outbox
    bus: EventPublisher
    models: ModelProvider
    limits: SignalLimits
    pause: Callable[[float], None] = time.sleep

    def decide(self, event: CandlesClosed) -> tuple[CycleOutcome, ModelChoice]:
        """Record the event's candles and decide its cycle when it is complete.

        A lost connection is tried again here: the whole cycle is idempotent by natural keys, so even a commit whose
        acknowledgement was lost only turns into a duplicate.
        """
        choice = self.models.choose()
        run = partial(run_cycle, event, ledger=self.ledger, choice=choice, limits=self.limits)
        return retried(run, self.pause), choice

    def publish(self) -> int:
        """Publish what is committed; what this misses is the relay's."""
        return publish_pending(outbox=self.outbox, publisher=self.bus)


def compose(settings: GenerateSignalsSettings | None = None) -> GenerateSignals:
    """Return the function's application from its environment."""
    found = settings or GenerateSignalsSettings.read()
    connection = connect_ledger(found, application="generate_signals")
    deployments = S3Deployments(
        boto3.client("s3", config=QUICK),
        models_bucket=found.models_bucket,
        starter_bucket=found.starter_bucket,
        starter_key=found.starter_key,
    )
    return GenerateSignals(
        ledger=PostgresLedger(connection),
        outbox=PostgresOutbox(connection, emitted_by(Function.GENERATE_SIGNALS)),
        bus=EventBridgeBus(boto3.client("events", config=QUICK), found.event_bus_name),
        models=ModelProvider(deployments),
        limits=found.limits,
    )
