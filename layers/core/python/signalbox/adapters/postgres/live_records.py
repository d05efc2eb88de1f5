"""The decisions of deployments with the bars that end their horizons (`library.ports.LiveDecisions`)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final, LiteralString

from signalbox.adapters.postgres.connection import ConnectionSource
from signalbox.library.entries import VersionKey
from signalbox.library.live_record import LiveDecision

# the bar that ends a horizon opens a minute before the horizon's end, at the venue that the decision was made on
DECIDED: Final[LiteralString] = """
SELECT s.symbol, s.decided_at, s.deployment, s.probability_up, s.direction = 'BUY', s.direction <> 'HOLD' AND s.held_back IS NULL,
    s.price, c.close
FROM signals AS s LEFT JOIN candles AS c ON c.venue = coalesce(s.market, %(venue)s) AND c.symbol = s.symbol
    AND c.open_time = s.decided_at + %(horizon)s - interval '1 minute'
    AND c.open_time > %(since)s AND c.open_time <= %(until)s
WHERE s.deployment = ANY(%(deployments)s) AND s.decided_at > %(since)s AND s.decided_at <= %(until)s AND NOT s.late
ORDER BY s.decided_at, s.symbol, s.deployment
"""
BEGAN: Final[LiteralString] = "SELECT min(requested_at) FROM deployments WHERE (kind, name, number) = (%s, %s, %s)"
DEPLOYMENTS: Final[LiteralString] = "SELECT deployment FROM deployments WHERE (kind, name, number) = (%s, %s, %s)"


class PostgresLiveDecisions:
    """Decisions on a connection source. Raises LedgerError as described in `errors.py`. venue: the stage's."""

    def __init__(self, source: ConnectionSource, venue: str) -> None:
        self._source, self._venue = source, venue

    def began(self, version: VersionKey) -> datetime | None:
        with self._source.snapshot() as connection:
            rows = connection.execute(BEGAN, _key(version)).fetchall()
        found: datetime | None = rows[0][0]
        return found

    def of(self, version: VersionKey, *, horizon_minutes: int, since: datetime, until: datetime) -> Sequence[LiveDecision]:
        with self._source.snapshot() as connection:
            names = [name for (name,) in connection.execute(DEPLOYMENTS, _key(version)).fetchall()]
            facts = {
                "deployments": names, "venue": self._venue, "horizon": timedelta(minutes=horizon_minutes), "since": since,
                "until": until,
            }  # fmt: skip
            rows = connection.execute(DECIDED, facts).fetchall() if names else []
        return tuple(LiveDecision(*row) for row in rows)


def _key(version: VersionKey) -> tuple[str, str, int]:
    return version.entity.kind.value, version.entity.name, version.number
