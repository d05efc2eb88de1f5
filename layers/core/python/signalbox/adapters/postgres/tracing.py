"""Reads everything that the ledger holds about one decision: every row that a cycle or a person's command led to."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, LiteralString

from signalbox.adapters.postgres.connection import ConnectionSource

# For each table: the row's instant, its natural key, and the facts to show, for the decision of %(at)s.
_QUERIES: Final[dict[str, LiteralString]] = {
    "cycle_parts": """
SELECT cycle_at, venue || ' ' || part || '/' || parts, jsonb_build_object('part', part, 'parts', parts)
FROM cycle_parts WHERE cycle_at = %(at)s ORDER BY venue, parts, part""",
    "cycles": """
SELECT cycle_at, venue, jsonb_build_object('decided', decided) FROM cycles WHERE cycle_at = %(at)s ORDER BY venue""",
    "signals": """
SELECT decided_at, symbol || ' ' || deployment, jsonb_build_object('direction', direction, 'tier', tier, 'stage', stage,
    'confidence', round(confidence::numeric, 4), 'late', late, 'held_back', held_back, 'market', market)
FROM signals WHERE decided_at = %(at)s ORDER BY symbol, deployment""",
    "refusals": """
SELECT cycle_at, venue || ' ' || symbol, jsonb_build_object('reason', reason, 'detail', detail)
FROM refusals WHERE cycle_at = %(at)s ORDER BY venue, symbol""",
    "orders": """
SELECT decided_at, client_order_id::text, jsonb_build_object('account', account, 'symbol', symbol, 'leg', leg, 'side', side,
    'state', state, 'reason', reason)
FROM orders WHERE decided_at = %(at)s ORDER BY account, client_order_id""",
    "order_events": """
SELECT (one.event ->> 'at')::timestamptz, (one.event ->> 'kind') || ' ' || e.client_order_id,
    jsonb_build_object('account', e.account, 'kind', one.event -> 'kind', 'client_order_id', e.client_order_id)
FROM order_events e JOIN orders o USING (client_order_id)
CROSS JOIN LATERAL jsonb_array_elements(('[' || e.payload || ']')::jsonb) WITH ORDINALITY AS one (event, place)
WHERE o.decided_at = %(at)s ORDER BY e.sequence, one.place""",
    "fills": """
SELECT f.at, f.symbol || ' ' || f.trade_id, jsonb_build_object('account', f.account, 'client_order_id', f.client_order_id,
    'side', f.side, 'quantity', f.quantity::text, 'price', f.price::text)
FROM fills f JOIN orders o USING (client_order_id) WHERE o.decided_at = %(at)s ORDER BY f.booked""",
    "trades": """
SELECT decided_at, entry::text, jsonb_build_object('account', account, 'symbol', symbol, 'side', side, 'state', state,
    'exit_leg', exit_leg, 'realised', realised::text)
FROM trades WHERE decided_at = %(at)s ORDER BY account, entry""",
    "outbox": """
SELECT created_at, event_id, jsonb_build_object('event_type', event_type, 'published', published_at IS NOT NULL)
FROM outbox WHERE created_at >= %(at)s AND %(at)s IN ((detail::jsonb ->> 'cycle_at')::timestamptz,
    (detail::jsonb ->> 'decided_at')::timestamptz, (detail::jsonb #>> '{terms,decided_at}')::timestamptz,
    (detail::jsonb #>> '{missed,cycle_at}')::timestamptz, (detail::jsonb #>> '{missed,decided_at}')::timestamptz)
ORDER BY sequence""",
}
TRACED_TABLES: Final = tuple(_QUERIES)


@dataclass(frozen=True, slots=True)
class TracedRow:
    """A row of the ledger. `at` is market time."""

    table: str
    at: datetime
    key: str
    facts: dict[str, Any]


class DecisionReader:
    """Queries about one decision, in one snapshot. They scan whole tables, which suits a laptop; on AWS use Logs Insights."""

    def __init__(self, source: ConnectionSource) -> None:
        self._source = source

    def rows(self, at: datetime) -> tuple[TracedRow, ...]:
        """Return every row that the cycle or command of this instant led to, in the order in which a cycle writes them."""
        with self._source.snapshot() as connection:
            return tuple(
                TracedRow(table, instant, key, facts)
                for table, query in _QUERIES.items()
                for instant, key, facts in connection.execute(query, {"at": at}).fetchall()
            )

    def newest_cycle(self) -> datetime | None:
        """Return the newest decided cycle, None before the first one."""
        with self._source.snapshot() as connection:
            row = connection.execute("SELECT max(cycle_at) FROM cycles WHERE decided").fetchone()
        return None if row is None else row[0]
