"""Access control: three roles, and the names that identify a caller. A person has only the roles that an owner granted.

The same roles hold for accounts, for the library and for the bot. Pure: the ledger stores who has which role.
Decision: docs/decisions/0073-roles-of-people.md.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Final

from pydantic import AfterValidator


class Role(StrEnum):
    """The roles. Each one includes the rights of those before it."""

    VIEWER = "viewer"  # reads
    OPERATOR = "operator"  # commands: orders, halts, resumes, confirmations
    OWNER = "owner"  # grants roles

    def includes(self, needed: Role) -> bool:
        """Return whether this role includes the rights of `needed`."""
        return _RANK[self] >= _RANK[needed]


@dataclass(frozen=True, slots=True)
class Refusal:
    """A request that was refused because the caller lacks the role for it. `account` is empty if it is about no single one."""

    account: str
    principal: str
    action: str
    needed: Role
    held: Role | None


_RANK: Final = {role: rank for rank, role in enumerate(Role)}
_SSO: Final = "AWSReservedSSO_"  # prefix of roles whose sessions IAM Identity Center names, not the person who assumes them
_NAME: Final = r"[\w+=,.@-]{1,128}"
_ARN: Final = r"arn:(?P<partition>aws[a-z-]*)"
_USER: Final = re.compile(rf"{_ARN}:iam::\d{{12}}:(user/(?:[\x21-\x7e]{{1,510}}/)?{_NAME}|root)", re.ASCII)
_ROLE: Final = re.compile(rf"{_ARN}:iam::(?P<account>\d{{12}}):role/(?:[\x21-\x7e]{{1,510}}/)?(?P<name>{_NAME})", re.ASCII)
_SESSION: Final = re.compile(rf"{_ARN}:sts::(?P<account>\d{{12}}):assumed-role/(?P<name>{_NAME})/(?P<session>{_NAME})", re.ASCII)
_UNIQUE_ID: Final = re.compile(r"A[A-Z0-9]{15,127}", re.ASCII)  # of a user or role; a queue reports it as the sender
_ID_SESSION: Final = re.compile(rf"(?P<id>A[A-Z0-9]{{15,127}}):{_NAME}", re.ASCII)
_AWS_ACCOUNT: Final = re.compile(r"\d{12}", re.ASCII)
_CHAT_USER: Final = re.compile(r"telegram:\d{1,20}", re.ASCII)


def principal_of(text: str) -> str:
    """Return the name under which a caller may be granted a role.

    Raises ValueError for a text that does not identify one for certain.

    A role is named without its path, because its sessions do not show the path. A session of a role is refused, because the
    person who assumes the role chooses the session's name, unless IAM Identity Center does.
    """
    if match := _ROLE.fullmatch(text):
        return _role(match)
    if match := _SESSION.fullmatch(text):
        if match["name"].startswith(_SSO):
            return text
        raise ValueError(
            f"expected the role {_role(match)}, got its session {text!r}: name the role, because whoever assumes it chooses the"
            " session's name"
        )
    if _USER.fullmatch(text) or _UNIQUE_ID.fullmatch(text) or _CHAT_USER.fullmatch(text):
        return text
    raise ValueError(
        "expected the ARN of an IAM user or role, of a session of IAM Identity Center, the unique id of a user or role (AIDA…,"
        f" AROA…), or telegram: and a number; got {text[:200]!r}"
    )


def names_of(caller: str) -> tuple[str, ...]:
    """Return the names under which a caller may have a role, the narrowest first; empty for a caller without such a name.

    `caller` is verified by AWS: an ARN from the API's gateway, or the sender of a message in a queue.
    """
    if match := _SESSION.fullmatch(caller):
        role = _role(match)
        return (caller, role) if match["name"].startswith(_SSO) else (role,)
    if match := _ID_SESSION.fullmatch(caller):
        return (match["id"],)
    if _AWS_ACCOUNT.fullmatch(caller):
        return (f"arn:aws:iam::{caller}:root",)
    try:
        return (principal_of(caller),)
    except ValueError:
        return ()


def _role(match: re.Match[str]) -> str:
    return f"arn:{match['partition']}:iam::{match['account']}:role/{match['name']}"


Principal = Annotated[str, AfterValidator(principal_of)]
