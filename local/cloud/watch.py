"""Waits until the local cloud has finished a cycle, and says which stage is stuck if it does not finish in time."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from local.cloud.emulator import Emulator
from local.cloud.function_logs import FunctionLogs
from local.errors import StuckError
from local.settings import VENUE
from signalbox.adapters.postgres.reading import LedgerReader
from signalbox.contracts import Function, StackOutput
from signalbox.ledger_errors import LedgerUnavailableError
from signalbox.market.clock import CYCLE

POLL_SECONDS: Final = 0.004
QUEUES: Final = {
    "signals queue": StackOutput.SIGNALS_QUEUE_URL,
    "signals dead letters": StackOutput.SIGNALS_DLQ_URL,
    "routing queue": StackOutput.ROUTING_QUEUE_URL,
    "routing dead letters": StackOutput.ROUTING_DLQ_URL,
    "reviews queue": StackOutput.REVIEWS_QUEUE_URL,
    "reviews dead letters": StackOutput.REVIEWS_DLQ_URL,
    "kill switch queue": StackOutput.KILL_SWITCH_QUEUE_URL,
    "kill switch dead letters": StackOutput.KILL_SWITCH_DLQ_URL,
    "trading queue": StackOutput.TRADING_QUEUE_URL,
    "trading dead letters": StackOutput.TRADING_DLQ_URL,
    "execution queue": StackOutput.EXECUTION_QUEUE_URL,
    "execution dead letters": StackOutput.EXECUTION_DLQ_URL,
    "alerts queue": StackOutput.ALERTS_QUEUE_URL,
    "alerts dead letters": StackOutput.ALERTS_DLQ_URL,
    "deliveries queue": StackOutput.DELIVERIES_QUEUE_URL,
    "deliveries dead letters": StackOutput.DELIVERIES_DLQ_URL,
}
_FUNCTIONS: Final = (
    Function.COLLECT_CANDLES,
    Function.GENERATE_SIGNALS,
    Function.MANAGE_ORDERS,
    Function.MONITOR_RISK,
    Function.EXECUTE_ORDERS,
    Function.RELAY_OUTBOX,
    Function.FORWARD_EVENTS,
    Function.ROUTE_EVENTS,
    Function.SEND_ALERTS,
)
_COUNTS: Final = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible", "ApproximateNumberOfMessagesDelayed")


@dataclass(frozen=True, slots=True)
class QueueDepth:
    """The number of messages in one queue: waiting (including delayed ones) and being handled."""

    waiting: int
    in_flight: int

    @property
    def empty(self) -> bool:
        """Whether no message is left in the queue."""
        return self.waiting == 0 and self.in_flight == 0


class Watch:
    """Observes the stages of a cycle: collected, queued, decided, published, traded, alerted."""

    def __init__(self, emulator: Emulator, ledger: LedgerReader, outputs: Mapping[str, str]) -> None:
        self._sqs, self._tables = emulator.client("sqs"), emulator.client("dynamodb")
        self._outgoing = outputs[StackOutput.OUTGOING_EVENTS_TABLE]
        self._ledger, self._logs = ledger, FunctionLogs(emulator.client("logs"))
        self._urls = {name: outputs[key] for name, key in QUEUES.items()}
        self._schedule_dlqs: tuple[str, ...] = ()

    def watch_schedules(self, queue_arns: tuple[str, ...]) -> None:
        """Count the dead letters of the schedules too."""
        self._schedule_dlqs = tuple(self._sqs.get_queue_url(QueueName=arn.rsplit(":", 1)[1])["QueueUrl"] for arn in queue_arns)

    def depth(self, url: str) -> QueueDepth:
        """Return how many messages a queue holds."""
        facts = self._sqs.get_queue_attributes(QueueUrl=url, AttributeNames=list(_COUNTS))["Attributes"]
        waiting, in_flight, delayed = (int(facts.get(name, 0)) for name in _COUNTS)
        return QueueDepth(waiting + delayed, in_flight)

    def depths(self) -> dict[str, QueueDepth]:
        """Return the depth of every queue of the cycle."""
        return {name: self.depth(url) for name, url in self._urls.items()}

    def dead_letters(self) -> dict[str, int]:
        """Return the number of messages in each dead-letter queue that is not empty."""
        found = {name: self.depth(self._urls[name]).waiting for name in self._urls if name.endswith("dead letters")}
        found["schedules' dead letters"] = sum(self.depth(url).waiting for url in self._schedule_dlqs)
        return {name: count for name, count in found.items() if count}

    def until_decided(self, cycle_at: datetime, *, seconds: float) -> None:
        """Return once the cycle is decided. Raises StuckError that names the stage at which it stopped."""
        self._until(lambda: self._is_decided(cycle_at), f"the cycle of {cycle_at:%Y-%m-%d %H:%M} UTC was not decided", seconds)

    def on_their_way(self) -> int:
        """Return how many events are between the outbox and the bus."""
        return int(self._tables.scan(TableName=self._outgoing, Select="COUNT", ConsistentRead=True)["Count"])

    def _is_decided(self, cycle_at: datetime) -> bool:
        try:
            return self._ledger.decided_cycles(VENUE, cycle_at - CYCLE, cycle_at).count == 1
        except LedgerUnavailableError:
            return False  # the server is being restarted: ask again

    def until_traded(self, cycle_at: datetime, *, seconds: float) -> None:
        """Return once every account has handled the events of a decided cycle. Raises StuckError.

        An event is put on the queue before it is marked as published, and removed after its effects are committed. So when the
        outbox is published and the queue is empty, nothing of the cycle is still in progress.
        """

        def traded() -> bool:
            return self._published() and self.depth(self._urls["trading queue"]).empty

        self._until(traded, f"the accounts did not process the cycle of {cycle_at:%Y-%m-%d %H:%M} UTC", seconds)

    def _published(self) -> bool:
        """Whether every committed event is on the bus: an event is on its way before it leaves the outbox."""
        try:
            return self._ledger.pending_events() == 0 and self.on_their_way() == 0
        except LedgerUnavailableError:
            return False  # the server is being restarted: ask again

    def until_quiet(self, *, seconds: float) -> None:
        """Return once every queue is empty and the outbox is published. Raises StuckError."""
        # upstream first: what a stage hands on is in the next queue before it leaves its own; twice round, because what
        # accounts and venues tell each other goes in a circle
        stages = ("signals queue", "kill switch queue", "trading queue", "reviews queue", "routing queue", "execution queue")

        def round_is_quiet() -> bool:
            return all(self.depth(self._urls[name]).empty and self._published() for name in stages)

        def quiet() -> bool:
            names = ("trading queue", "alerts queue", "deliveries queue")
            return round_is_quiet() and round_is_quiet() and all(self.depth(self._urls[name]).empty for name in names)

        self._until(quiet, "the queues did not become empty", seconds, every=0.02)

    def _until(self, done: Callable[[], Any], what: str, seconds: float, *, every: float = POLL_SECONDS) -> None:
        deadline = time.monotonic() + seconds
        while not done():
            if time.monotonic() > deadline:
                raise StuckError(f"{what} within {seconds:.0f} s; {self.diagnosis()}")
            time.sleep(every)

    def diagnosis(self) -> str:
        """Return where messages are waiting and which errors the functions logged."""
        depths = ", ".join(f"{name}: {d.waiting} waiting, {d.in_flight} in flight" for name, d in self.depths().items())
        troubles = [f"{function.value} says {line}" for function in _FUNCTIONS for line in self._logs.troubles(function)]
        return "; ".join([depths, *troubles])
