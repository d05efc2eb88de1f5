"""EventBridge as the bus: entries in order, within its limits, and an error when any of them was not accepted."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from signalbox.contracts import EVENT_SOURCE
from signalbox.errors import SignalboxError
from signalbox.events import Event
from signalbox.signals.ports import OutboxEvent

if TYPE_CHECKING:
    from mypy_boto3_events import EventBridgeClient

MAX_ENTRIES: Final = 10
MAX_BYTES: Final = 240_000  # of 256 kB a request, the envelope included


class BusError(SignalboxError):
    """The bus did not accept an event; the caller still has it."""


class EventBridgeBus:
    """Announcer and EventPublisher over one event bus."""

    def __init__(self, client: EventBridgeClient, bus_name: str) -> None:
        self._client = client
        self._bus_name = bus_name

    def announce(self, events: Sequence[Event]) -> None:
        """Publish events of an edge function."""
        self._put([(event.type.value, json.dumps(event.to_detail(), separators=(",", ":"))) for event in events])

    def publish(self, events: Sequence[OutboxEvent]) -> None:
        """Publish events of the outbox."""
        self._put([(event.event_type, event.detail) for event in events])

    def _put(self, items: Sequence[tuple[str, str]]) -> None:
        for batch in _batches(items):
            entries: list[Any] = [
                {"Source": EVENT_SOURCE, "DetailType": kind, "Detail": detail, "EventBusName": self._bus_name}
                for kind, detail in batch
            ]
            answer = self._client.put_events(Entries=entries)
            failed = [e for e in answer["Entries"] if "ErrorCode" in e]
            if failed or answer["FailedEntryCount"]:
                first = failed[0] if failed else {}
                raise BusError(
                    f"{self._bus_name}: {answer['FailedEntryCount']} of {len(batch)} events were not accepted, "
                    f"first {first.get('ErrorCode')}: {first.get('ErrorMessage')}"
                )


def _batches(items: Sequence[tuple[str, str]]) -> Iterator[list[tuple[str, str]]]:
    batch: list[tuple[str, str]] = []
    size = 0
    for kind, detail in items:
        weight = len(detail.encode()) + len(kind) + 64
        if batch and (len(batch) == MAX_ENTRIES or size + weight > MAX_BYTES):
            yield batch
            batch, size = [], 0
        batch.append((kind, detail))
        size += weight
    if batch:
        yield batch
