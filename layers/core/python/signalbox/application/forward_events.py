"""Puts events from the stream of outgoing events on the bus, and then removes them from the table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from signalbox.signals.ports import EventPublisher, OutboxEvent, PartlyPublishedError


@dataclass(frozen=True, slots=True)
class ForwardEvents:
    """Puts the events of the outgoing table on the bus and deletes those that the bus accepted.

    publisher: returns a publisher for the events of one trace. remove: deletes events from the table.
    """

    publisher: Callable[[str], EventPublisher]
    remove: Callable[[Sequence[OutboxEvent]], None]

    def forward(self, events: Sequence[tuple[OutboxEvent, str]]) -> Forwarded:
        """Put events, each with its trace, on the bus in order.

        An error of an unreachable bus is raised, and all events are delivered again.

        An event that the bus refuses stays on the table, blocks no other, and is sent again by the relay.
        """
        done = Forwarded()
        for trace, group in _by_trace(events):
            try:
                self.publisher(trace).publish(group)
                accepted: Sequence[OutboxEvent] = group
            except PartlyPublishedError as error:
                accepted = error.published
                done.refusals.append(str(error))
            self.remove(accepted)
            done.events.extend(accepted)
        return done


@dataclass(frozen=True, slots=True)
class Forwarded:
    """The result of a batch: the events that are on the bus, and why others are not."""

    events: list[OutboxEvent] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)


def _by_trace(events: Sequence[tuple[OutboxEvent, str]]) -> list[tuple[str, list[OutboxEvent]]]:
    """Return runs of events with the same trace; together they are the events in their order."""
    groups: list[tuple[str, list[OutboxEvent]]] = []
    for event, trace in events:
        if groups and groups[-1][0] == trace:
            groups[-1][1].append(event)
        else:
            groups.append((trace, [event]))
    return groups
