"""Who may do what, in memory, keeping the promises of `trading.access.AccessBook`."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

from signalbox.access import Refusal, Role
from signalbox.trading.access import DEPLOYMENT, Access, decide
from signalbox.trading.errors import no_account


class MemoryAccessBook:
    """Rows over the accounts of a ledger in memory."""

    def __init__(self, accounts: Collection[str]) -> None:
        self._accounts = accounts
        self.rows: list[tuple[str, Access]] = []
        self.refusals: list[Refusal] = []

    def _newest(self, account: str) -> dict[str, Access]:
        own = [access for name, access in self.rows if name == account]
        return {one.principal: one for one in sorted(own, key=lambda one: one.at)}

    def roles(self, account: str, principals: Sequence[str]) -> Sequence[Access]:
        return tuple(one for name, one in self._newest(account).items() if name in principals)

    def access(self, account: str) -> Sequence[Access]:
        if account not in self._accounts:
            raise no_account(account)
        return tuple(sorted((one for one in self._newest(account).values() if one.role), key=lambda one: one.principal))

    def visible(self, principals: Sequence[str]) -> frozenset[str]:
        return frozenset(name for name in self._accounts if any(one.role for one in self.roles(name, principals)))

    def change(self, account: str, change: Access) -> None:
        if account not in self._accounts:
            raise no_account(account)
        keys = (change.principal, change.request_id)
        same = next((o for name, o in self.rows if name == account and (o.principal, o.request_id) == keys), None)
        row = decide(change, tuple(self._newest(account).values()), same)
        if row is not None:
            self.rows.append((account, row))

    def name_owners(self, principals: Sequence[str], at: datetime) -> None:
        named = {(name, one.principal) for name, one in self.rows if one.request_id == DEPLOYMENT}
        for name in self._accounts:
            for principal in principals:
                if (name, principal) not in named:
                    self.rows.append((name, Access(principal, Role.OWNER, DEPLOYMENT, at, DEPLOYMENT)))

    def record(self, refusal: Refusal) -> None:
        self.refusals.append(refusal)
