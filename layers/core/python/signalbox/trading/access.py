"""Access control: which role each command and each question needs. Every caller checks here before anything else happens.

A person without a role may do nothing, and an account that a person may not see looks like an account that does not exist.
Owners grant roles; the ledger stores them. To open an account a person must be an owner of the stage: the deployment names the
stage owners, and they become owners of every account of the stage.
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

DEPLOYMENT: Final = "deployment"  # stored as `who` for the owners that the deployment names
SHOW: Final = "show"
LIST: Final = "list"
NEEDED: Final[Mapping[str, Role]] = {  # key: the kind of a command, or LIST or SHOW
    LIST: Role.VIEWER,
    SHOW: Role.VIEWER,
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
        if request_id == DEPLOYMENT:  # name_owners stores each owner once under this id
            raise ValueError(f"request_id {DEPLOYMENT!r} is reserved for the deployment; use another one")
        return request_id


class GrantAccess(_AccessChange):
    """Grant a principal a role on an account, or change the role."""

    kind: Literal["grant"] = "grant"
    role: Role


class RevokeAccess(_AccessChange):
    """Revoke a principal's role on an account. It takes effect on arrival, even when the grant is newer."""

    kind: Literal["revoke"] = "revoke"


@dataclass(frozen=True, slots=True)
class Access:
    """The role of a principal on an account. `role` is None after a revocation."""

    principal: str
    role: Role | None
    who: str
    at: datetime
    request_id: str


class AccessBook(Protocol):
    """The access records in the ledger. Implemented by adapters.postgres.access and by a memory twin in tests/fakes."""

    def roles(self, account: str, principals: Sequence[str]) -> Sequence[Access]:
        """Return the newest access record of each of these principals on an account."""

    def access(self, account: str) -> Sequence[Access]:
        """Return the principals that have a role on an account, sorted by name. Raises AccountError."""

    def visible(self, principals: Sequence[str]) -> frozenset[str]:
        """Return the accounts on which any of these principals has a role."""

    def change(self, account: str, change: Access) -> None:
        """Lock the account and append the record that `decide` returns. Raises AccountError, CommandError."""

    def name_owners(self, principals: Sequence[str], at: datetime) -> None:
        """Grant these principals the owner role on every account where the deployment has not yet done so."""

    def record(self, refusal: Refusal) -> None:
        """Record a refusal, at most once a minute by the ledger's clock."""


def strongest(found: Sequence[Access]) -> Role | None:
    """Return the highest role in these access records, None when they hold no role."""
    held = [one.role for one in found if one.role is not None]
    return next((role for role in reversed(Role) if role in held), None)


def decide(change: Access, newest: Sequence[Access], same_request: Access | None) -> Access | None:
    """Return the access record to append, or None for a repeated request. Raises CommandError.

    newest: the newest record of every principal of the account. A grant counts from the time it was given, so a delayed grant
    cannot undo a later revocation. A revocation counts at once. The last owner of an account cannot be removed.
    """
    if same_request is not None:
        if same_request.role != change.role:
            raise CommandError(f"request_id {change.request_id} was already used for another role; use a new one")
        return None
    before = next((one for one in newest if one.principal == change.principal), None)
    held = None if before is None else before.role
    if change.role is None and held is None:
        raise CommandError(f"{change.principal} has no role on this account, so there is nothing to revoke")
    takes = held is not None and (change.role is None or not change.role.includes(held))
    if takes and held is Role.OWNER and not any(one.role is Role.OWNER for one in newest if one is not before):
        raise CommandError(f"{change.principal} is the only owner; make somebody else an owner first")
    at = max(change.at, before.at) if takes and before is not None else change.at
    return Access(change.principal, change.role, change.who, at, change.request_id)


class Nobody:
    """The access book of a service without access records. It knows no roles, so every command is refused."""

    def roles(self, account: str, principals: Sequence[str]) -> Sequence[Access]:  # noqa: ARG002 - of the port
        return ()

    def access(self, account: str) -> Sequence[Access]:  # noqa: ARG002 - of the port
        return ()

    def visible(self, principals: Sequence[str]) -> frozenset[str]:  # noqa: ARG002 - of the port
        return frozenset()

    def change(self, account: str, change: Access) -> None:
        raise CommandError(f"{account}: this service stores no access records, so {change.principal} cannot get a role")

    def name_owners(self, principals: Sequence[str], at: datetime) -> None:
        """Do nothing: there are no accounts to own."""

    def record(self, refusal: Refusal) -> None:
        """Do nothing: there is no ledger to record a refusal in."""


@dataclass(frozen=True, slots=True)
class AccessControl:
    """Checks the role behind every command and question. `owners` are the stage owners that the deployment names."""

    book: AccessBook
    owners: tuple[str, ...] = ()

    def require(self, who: str, account: str, action: str) -> None:
        """Check that `who` may do `action`, a key of NEEDED. If not, record a refusal and raise AccessRefusedError."""
        names = names_of(who)
        found = self.book.roles(account, names) if names else ()
        held, needed = strongest(found), NEEDED[action]
        if held is not None and held.includes(needed):
            return
        if not found and self._owns_stage(who):
            return  # the account does not exist, or the next start of the function makes this person its owner
        self._refuse(Refusal(account, who[:300], action, needed, held))

    def require_command(self, who: str, command: AnyCommand | GrantAccess | RevokeAccess) -> None:
        """Check that `who` may give this command. Raises AccessRefusedError."""
        self.require(who, command.account, command.kind)

    def visible(self, who: str) -> frozenset[str]:
        """Return the accounts that a person may see. Raises AccessRefusedError if there are none and the person may open none."""
        found = self.book.visible(names_of(who))
        if not found and not self._owns_stage(who):
            self._refuse(Refusal("", who[:300], LIST, NEEDED[LIST], None))
        return found

    def _owns_stage(self, who: str) -> bool:
        return any(name in self.owners for name in names_of(who))

    def _refuse(self, refusal: Refusal) -> None:
        self.book.record(refusal)
        raise AccessRefusedError(refusal)
