"""Who may do what with an account: the role that each command and question needs, checked in one place beforehand.

Without a role nothing is allowed, and an account you may not see looks like one that does not exist. Roles are rows of the
ledger that an owner wrote. Opening an account takes an owner of the stage: those whom its
deployment names, who become owners of every account of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal, Protocol

from pydantic import field_validator

from signalbox.access import Principal, Refusal, Role, names_of
from signalbox.trading.commands import AnyCommand, Command
from signalbox.trading.errors import AccessRefusedError, CommandError

DEPLOYMENT: Final = "deployment"  # as `who` of the owners that the stage names
LOOK: Final = "look"
LIST: Final = "list"
NEEDED: Final[Mapping[str, Role]] = {  # by the kind of a command, or by what is asked
    LIST: Role.VIEWER,
    LOOK: Role.VIEWER,
    "submit": Role.OPERATOR,
    "cancel": Role.OPERATOR,
    "replace": Role.OPERATOR,
    "halt": Role.OPERATOR,
    "resume": Role.OPERATOR,
    "confirm": Role.OPERATOR,
    "lots": Role.OPERATOR,
    "adopt": Role.OPERATOR,
    "deposit": Role.OPERATOR,
    "withdraw": Role.OPERATOR,
    "open": Role.OWNER,
    "grant": Role.OWNER,
    "revoke": Role.OWNER,
}


class _AccessChange(Command):
    principal: Principal

    @field_validator("request_id")
    @classmethod
    def _not_the_deployments(cls, request_id: str) -> str:
        if request_id == DEPLOYMENT:  # under which name_owners names each owner once
            raise ValueError(f"expected another id than {DEPLOYMENT!r}, which is the deployment's own")
        return request_id


class GrantAccess(_AccessChange):
    """Grant a role on an account, or change it."""

    kind: Literal["grant"] = "grant"
    role: Role


class RevokeAccess(_AccessChange):
    """Revoke a role on an account. It takes effect on arrival, whatever was granted before."""

    kind: Literal["revoke"] = "revoke"


@dataclass(frozen=True, slots=True)
class Access:
    """The role of a principal on an account. `role` None: it was revoked."""

    principal: str
    role: Role | None
    who: str
    at: datetime
    request_id: str


class AccessBook(Protocol):
    """The ledger's rows about access. Implementations: adapters.postgres.access, and a memory twin in tests/fakes."""

    def roles(self, account: str, principals: Sequence[str]) -> Sequence[Access]:
        """Return the newest row of each of these principals on an account."""

    def access(self, account: str) -> Sequence[Access]:
        """Return who has a role on an account, by name. Raises AccountError."""

    def visible(self, principals: Sequence[str]) -> frozenset[str]:
        """Return the accounts on which any of these principals has a role."""

    def change(self, account: str, change: Access) -> None:
        """Append a row, by `decide` on what is there, while the account is held. Raises AccountError, CommandError."""

    def name_owners(self, principals: Sequence[str], at: datetime) -> None:
        """Make these owners of every account on which the deployment has not named them before."""

    def record(self, refusal: Refusal) -> None:
        """Keep a refusal, once a minute of the ledger's own clock."""


def strongest(found: Sequence[Access]) -> Role | None:
    """Return the highest role among these rows."""
    held = [one.role for one in found if one.role is not None]
    return next((role for role in reversed(Role) if role in held), None)


def decide(change: Access, newest: Sequence[Access], same_request: Access | None) -> Access | None:
    """Return the row to append, None for a repeated request. Raises CommandError.

    newest: of every principal of the account. A grant counts from when it was given, so that a delayed one restores nothing
    that was revoked since; a revocation counts at once. An account always keeps an owner.
    """
    if same_request is not None:
        if same_request.role != change.role:
            raise CommandError(f"request_id {change.request_id}: it was used for another role; take another")
        return None
    before = next((one for one in newest if one.principal == change.principal), None)
    held = None if before is None else before.role
    if change.role is None and held is None:
        raise CommandError(f"expected somebody with a role, was {change.principal}")
    takes = held is not None and (change.role is None or not change.role.includes(held))
    if takes and held is Role.OWNER and not any(one.role is Role.OWNER for one in newest if one is not before):
        raise CommandError(f"{change.principal} is the only owner: make somebody else one first")
    at = max(change.at, before.at) if takes and before is not None else change.at
    return Access(change.principal, change.role, change.who, at, change.request_id)


class Nobody:
    """The access book of a service without one: every command is refused."""

    def roles(self, account: str, principals: Sequence[str]) -> Sequence[Access]:  # noqa: ARG002 - of the port
        return ()

    def access(self, account: str) -> Sequence[Access]:  # noqa: ARG002 - of the port
        return ()

    def visible(self, principals: Sequence[str]) -> frozenset[str]:  # noqa: ARG002 - of the port
        return frozenset()

    def change(self, account: str, change: Access) -> None:
        raise CommandError(f"nobody keeps who may do what with {account}: {change.principal} has no role")

    def name_owners(self, principals: Sequence[str], at: datetime) -> None:
        """Nobody is named."""

    def record(self, refusal: Refusal) -> None:
        """Nobody keeps it."""


@dataclass(frozen=True, slots=True)
class AccessControl:
    """Checks the role behind every command and question. `owners`: of the stage, as its deployment names them."""

    book: AccessBook
    owners: tuple[str, ...] = ()

    def require(self, who: str, account: str, action: str) -> None:
        """Pass, or raise AccessRefusedError with what is recorded of it. Anything that is not named in NEEDED is refused."""
        names = names_of(who)
        found = self.book.roles(account, names) if names else ()
        held, needed = strongest(found), NEEDED[action]
        if held is not None and held.includes(needed):
            return
        if not found and self._owns_stage(who):
            return  # there is no such account, or the next start of the function names them its owner
        self._refuse(Refusal(account, who[:300], action, needed, held))

    def require_command(self, who: str, command: AnyCommand | GrantAccess | RevokeAccess) -> None:
        """Pass a command. Raises AccessRefusedError."""
        self.require(who, command.account, command.kind)

    def visible(self, who: str) -> frozenset[str]:
        """Return the accounts that somebody may see. Raises AccessRefusedError for who may see none and open none."""
        found = self.book.visible(names_of(who))
        if not found and not self._owns_stage(who):
            self._refuse(Refusal("", who[:300], LIST, NEEDED[LIST], None))
        return found

    def _owns_stage(self, who: str) -> bool:
        return any(name in self.owners for name in names_of(who))

    def _refuse(self, refusal: Refusal) -> None:
        self.book.record(refusal)
        raise AccessRefusedError(refusal)
