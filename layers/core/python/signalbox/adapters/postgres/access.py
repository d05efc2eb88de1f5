"""Access records on PostgreSQL (`trading.access.AccessBook`). Rows are only appended; the newest row of a principal counts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from signalbox.access import Refusal, Role
from signalbox.adapters.postgres.connection import ConnectionSource
from signalbox.adapters.postgres.trading import locked_row
from signalbox.trading.access import DEPLOYMENT, Access, decide
from signalbox.trading.errors import no_account

_NEWEST: Final = """
SELECT DISTINCT ON (principal) principal, role, who, at, request_id FROM account_access
WHERE account = %s AND (%s::text[] IS NULL OR principal = ANY(%s::text[])) ORDER BY principal, at DESC, sequence DESC
"""
_SAME_REQUEST: Final = """
SELECT principal, role, who, at, request_id FROM account_access WHERE account = %s AND principal = %s AND request_id = %s
"""
_VISIBLE: Final = """
SELECT DISTINCT account FROM (
    SELECT DISTINCT ON (account, principal) account, role FROM account_access WHERE principal = ANY(%s::text[])
    ORDER BY account, principal, at DESC, sequence DESC
) AS newest WHERE role IS NOT NULL
"""
_APPEND: Final = "INSERT INTO account_access (account, principal, request_id, role, who, at) VALUES (%s, %s, %s, %s, %s, %s)"
_NAME_OWNERS: Final = """
INSERT INTO account_access (account, principal, request_id, role, who, at)
SELECT account, principal, %s, 'owner', %s, %s FROM accounts CROSS JOIN unnest(%s::text[]) AS named (principal)
ON CONFLICT DO NOTHING
"""
# An unknown account is recorded without its name, because callers could send any number of invented names, each making a row.
# The minute comes from the server, because a caller chooses the instant of a message and could make a row for each.
RECORD_REFUSAL: Final = """
INSERT INTO access_refusals (account, principal, action, minute, needed, held)
SELECT coalesce((SELECT account FROM accounts WHERE account = %s), ''), %s, %s, date_trunc('minute', clock_timestamp()), %s, %s
ON CONFLICT DO NOTHING
"""


class PostgresAccessBook:
    """Access records on a connection source. Raises LedgerError as described in `errors.py`."""

    def __init__(self, source: ConnectionSource) -> None:
        self._source = source

    def roles(self, account: str, principals: Sequence[str]) -> Sequence[Access]:
        with self._source.snapshot() as connection:
            rows = connection.execute(_NEWEST, (account, list(principals), list(principals)), prepare=True).fetchall()
        return tuple(_access(row) for row in rows)

    def access(self, account: str) -> Sequence[Access]:
        with self._source.snapshot() as connection:
            if connection.execute("SELECT 1 FROM accounts WHERE account = %s", (account,)).fetchone() is None:
                raise no_account(account)
            rows = connection.execute(_NEWEST, (account, None, None)).fetchall()
        return tuple(one for one in map(_access, rows) if one.role is not None)

    def visible(self, principals: Sequence[str]) -> frozenset[str]:
        with self._source.snapshot() as connection:
            rows = connection.execute(_VISIBLE, (list(principals),)).fetchall()
        return frozenset(account for (account,) in rows)

    def change(self, account: str, change: Access) -> None:
        with self._source.transaction() as connection:
            locked_row(connection, account)
            newest = [_access(row) for row in connection.execute(_NEWEST, (account, None, None)).fetchall()]
            same = connection.execute(_SAME_REQUEST, (account, change.principal, change.request_id)).fetchone()
            row = decide(change, newest, None if same is None else _access(same))
            if row is not None:
                connection.execute(_APPEND, (account, row.principal, row.request_id, row.role, row.who, row.at))

    def name_owners(self, principals: Sequence[str], at: datetime) -> None:
        with self._source.transaction() as connection:
            connection.execute(_NAME_OWNERS, (DEPLOYMENT, DEPLOYMENT, at, list(principals)))

    def record(self, refusal: Refusal) -> None:
        with self._source.transaction() as connection:
            values = (refusal.account, refusal.principal, refusal.action, refusal.needed, refusal.held)
            connection.execute(RECORD_REFUSAL, values)


def _access(row: Sequence[Any]) -> Access:
    principal, role, who, at, request_id = row
    return Access(principal, None if role is None else Role(role), who, at, request_id)
