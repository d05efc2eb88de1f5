"""Who may do what with the library, by the roles on accounts (`application.manage_library.LibraryRoles`).

What is deployed trades every account of the stage, so a change needs its role on every one of them. Reading needs a role on any.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from signalbox.access import Refusal, Role
from signalbox.adapters.postgres.access import RECORD_REFUSAL
from signalbox.adapters.postgres.connection import ConnectionSource

# of each account the highest role that any of these names has now
_ROLES: Final = """
SELECT a.account, array_remove(array_agg(newest.role), NULL)
FROM accounts AS a LEFT JOIN (
    SELECT DISTINCT ON (account, principal) account, principal, role FROM account_access
    WHERE principal = ANY(%s) ORDER BY account, principal, at DESC, sequence DESC
) AS newest USING (account)
GROUP BY a.account
"""


class PostgresLibraryRoles:
    """Roles on a connection source. Raises LedgerError as described in `errors.py`."""

    def __init__(self, source: ConnectionSource) -> None:
        self._source = source

    def role(self, principals: Sequence[str]) -> Role | None:
        with self._source.snapshot() as connection:
            rows = connection.execute(_ROLES, (list(principals),)).fetchall()
        held = [_highest([Role(text) for text in roles]) for _, roles in rows]
        least = None if not held or None in held else min((one for one in held if one is not None), key=list(Role).index)
        return least or (Role.VIEWER if any(one is not None for one in held) else None)

    def record(self, refusal: Refusal) -> None:
        with self._source.transaction() as connection:
            values = (refusal.account, refusal.principal, refusal.action, refusal.needed, refusal.held)
            connection.execute(RECORD_REFUSAL, values)


def _highest(roles: Sequence[Role]) -> Role | None:
    return max(roles, key=list(Role).index, default=None)
