"""EventBridge as the bus. Sends events in order and within its limits; an event that it does not accept is an error."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError

from signalbox.contracts import EVENT_SOURCE
from signalbox.errors import SignalboxError
from signalbox.events import Event
from signalbox.limits import MAX_EVENT_BYTES
from signalbox.signals.ports import OutboxEvent, PartlyPublishedError

if TYPE_CHECKING:
    from mypy_boto3_events import EventBridgeClient

MAX_ENTRIES: Final = 10
_ENVELOPE: Final = 1024  # bytes of a request in addition to the details
MAX_BYTES: Final = MAX_EVENT_BYTES + _ENVELOPE


class BusError(SignalboxError):
    """The bus did not accept an event. The caller still has it and may send it again."""


def plain_detail(event: Event) -> str:
    """Return the JSON detail of an event without a seal."""
    return json.dumps(event.to_detail(), separators=(",", ":"))


class EventBridgeBus:
    """Announcer and EventPublisher for one event bus.

    detail: returns the JSON detail of an event to announce. trace: an X-Ray header for the events, else the invocation's own.
    """

    def __init__(
        self,
        client: EventBridgeClient,
        bus_name: str,
        detail: Callable[[Event], str] = plain_detail,
        trace: str = "",
    ) -> None:
        self._client, self._bus_name, self._detail = client, bus_name, detail
        self._trace = {"TraceHeader": trace} if trace else {}

    def announce(self, events: Sequence[Event]) -> None:
        """Publish events of a function without an outbox. After BusError the caller announces them again."""
        for batch in _batches([(event.type.value, self._detail(event)) for event in events]):
            if refused := self._put(batch):
                raise BusError(
                    f"{self._bus_name}: {len(refused)} of {len(batch)} events were not accepted, first {refused[0][1]}"
                )

    def publish(self, events: Sequence[OutboxEvent]) -> None:
        """Publish events of the outbox. Every batch is tried, whatever happened to earlier ones. Raises PartlyPublishedError.

        If a whole request is refused because one of its events is invalid or too large, its events are sent again one by one.
        """
        accepted: list[OutboxEvent] = []
        refused: list[str] = []
        waiting = iter(events)
        for batch in _batches([(event.event_type, event.detail) for event in events]):
            these = [next(waiting) for _ in batch]
            wrong = self._tried(batch)
            accepted += [event for place, event in enumerate(these) if place not in wrong]
            refused += [f"{these[place].event_id}: {why}" for place, why in wrong.items()]
        if refused:
            raise PartlyPublishedError(
                f"{self._bus_name}: {len(refused)} of {len(events)} events were not accepted, first {refused[0]}", accepted
            )

    def _tried(self, batch: Sequence[tuple[str, str]]) -> dict[int, str]:
        """Put a batch, or else its events one by one; return the index of each event that was not accepted, with the reason."""
        try:
            return dict(self._put(batch))
        except ClientError as error:
            if len(batch) == 1:
                return {0: str(error)[:300]}
        return {place: why for place, one in enumerate(batch) for why in self._tried([one]).values()}

    def _put(self, batch: Sequence[tuple[str, str]]) -> list[tuple[int, str]]:
        """Put a batch; return the index of each event that was not accepted, with the reason. Raises botocore's errors."""
        entries: list[Any] = [
            {"Source": EVENT_SOURCE, "DetailType": kind, "Detail": detail, "EventBusName": self._bus_name, **self._trace}
            for kind, detail in batch
        ]
        answer = self._client.put_events(Entries=entries)
        wrong = [
            (place, f"{entry['ErrorCode']}: {entry.get('ErrorMessage')}")
            for place, entry in enumerate(answer["Entries"])
            if "ErrorCode" in entry
        ]
        if answer["FailedEntryCount"] and not wrong:
            raise BusError(
                f"{self._bus_name}: {answer['FailedEntryCount']} of {len(batch)} events were not accepted; it is not known which"
            )
        return wrong


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
