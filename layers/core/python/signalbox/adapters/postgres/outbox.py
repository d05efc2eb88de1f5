"""The outbox on PostgreSQL (`signals.ports.Outbox`): events are stored in the transaction of their facts, then published."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import lru_cache
from typing import Final

from signalbox.adapters.postgres.arrays import text_array
from signalbox.adapters.postgres.connection import Connection, ConnectionSource
from signalbox.contracts import EventType
from signalbox.events import Event
from signalbox.frozen import quoted_ascii
from signalbox.limits import MAX_EVENT_BYTES
from signalbox.signals.ports import OutboxEvent, PartlyPublishedError


def event_detail(event: Event) -> str:
    """Return the event as JSON text, as it travels on the bus."""
    if _has_floats(type(event)) or event.absent_by_default:
        return json.dumps(event.to_detail(), separators=(",", ":"), allow_nan=False)
    facts = event.model_dump_json(ensure_ascii=True)  # gives the same text, faster
    return f'{facts[:-1]},"event_id":{quoted_ascii(event.event_id)}}}'


@lru_cache(maxsize=256)
def _has_floats(kind: type[Event]) -> bool:
    """Whether the event may hold a float. pydantic writes 1e-05 differently, and NaN as null where json raises."""
    return "'type': 'float'" in repr(kind.__pydantic_core_schema__)


def insert_event(connection: Connection, event: Event, at: datetime) -> bool:
    """Put an event into the outbox inside an open transaction. Return False if its event_id exists."""
    row = (event.event_id, event.type.value, event_detail(event), at)
    return (
        connection.execute(
            "INSERT INTO outbox (event_id, event_type, detail, created_at) VALUES (%s, %s, %s, %s)"
            " ON CONFLICT (event_id) DO NOTHING",
            row,
        ).rowcount
        == 1
    )


# The arrays advance together, and rows are numbered in this order.
ADD_EVENTS: Final = (
    b"INSERT INTO outbox (event_id, event_type, detail, created_at) SELECT unnest(%s::text[]), unnest(%s::text[]),"
    b" unnest(string_to_array(%s, E'\\n')), %s::timestamptz"
)
INSERT_EVENTS: Final = ADD_EVENTS + b" ON CONFLICT (event_id) DO NOTHING"


def event_columns(
    events: Sequence[Event], at: datetime, detail: Callable[[Event], str] = event_detail
) -> tuple[bytes, bytes, bytes, bytes]:
    """Return the parameters of ADD_EVENTS, which fails if an event_id exists, and INSERT_EVENTS, which skips such events."""
    return (
        text_array([e.event_id for e in events]).encode(),
        text_array([e.type for e in events]).encode(),
        "\n".join([detail(e) for e in events]).encode(),  # JSON text has no line breaks
        at.isoformat().encode(),
    )


class PostgresOutbox:
    """Committed events, claimed by row locks: if a claimer dies, its connection closes and its events are free again.

    types: what the function may put on the bus (contracts.EMITTERS). It leaves the other types to their emitters or the relay.
    """

    def __init__(self, source: ConnectionSource, types: Collection[EventType] = tuple(EventType)) -> None:
        self._source = source
        self._types = text_array([kind.value for kind in types])

    def put(self, event: Event, at: datetime) -> bool:
        with self._source.transaction() as connection:
            return insert_event(connection, event, at)

    @contextmanager
    def claim(self, limit: int, after: int = 0) -> Iterator[Sequence[OutboxEvent]]:
        """Yield unpublished events in order, hidden from other claimers. They count as published when the block ends normally.

        Raises LedgerError as described in `errors.py`. After a lost COMMIT the events come again, which consumers expect.
        """
        partly: PartlyPublishedError | None = None
        with self._source.transaction() as connection:
            rows = connection.execute(
                "SELECT sequence, event_id, event_type, detail, created_at FROM outbox WHERE published_at IS NULL"
                " AND event_type = ANY(%s::text[]) AND sequence > %s AND octet_length(detail) <= %s"
                " ORDER BY sequence LIMIT %s FOR UPDATE SKIP LOCKED",
                (self._types, after, MAX_EVENT_BYTES, limit),
            ).fetchall()
            events = published = tuple(OutboxEvent(*row) for row in rows)
            try:
                yield events
            except PartlyPublishedError as error:
                partly, published = error, error.published
            if published:
                connection.execute(
                    "UPDATE outbox SET published_at = clock_timestamp() WHERE sequence = ANY(%s)",
                    ([event.sequence for event in published],),
                )
        if partly is not None:
            raise partly

    def too_large(self) -> Sequence[str]:
        with self._source.snapshot() as connection:
            rows = connection.execute(
                "SELECT event_id FROM outbox WHERE published_at IS NULL AND event_type = ANY(%s::text[])"
                " AND octet_length(detail) > %s ORDER BY sequence LIMIT 10",
                (self._types, MAX_EVENT_BYTES),
            ).fetchall()
        return tuple(event_id for (event_id,) in rows)

    def oldest_unpublished(self) -> datetime | None:
        with self._source.transaction() as connection:
            row = connection.execute("SELECT min(created_at) FROM outbox WHERE published_at IS NULL").fetchone()
        return None if row is None else row[0]
