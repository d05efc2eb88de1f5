"""Who may speak to the bot: people and chats by their numbers, and codes that let somebody in once.

Both lists count: a person speaks in their own chat, or in a group that is listed too. Empty lists let nobody in. A code is stored
as its hash only, and is used once within ten minutes.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Protocol

from signalbox.access import Role

CODE_VALID: Final = timedelta(minutes=10)
_ALPHABET: Final = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"  # without what looks alike


def principal_of(user: int) -> str:
    """Return the name under which the ledger knows a person of the bot."""
    return f"telegram:{user}"


@dataclass(frozen=True, slots=True)
class ChatPerson:
    """A person of the bot. name: as the messenger showed it when they came. zone: of their times."""

    user: int
    role: Role
    name: str
    since: datetime
    zone: str = "UTC"

    @property
    def principal(self) -> str:
        """The name under which the ledger knows them."""
        return principal_of(self.user)


@dataclass(frozen=True, slots=True)
class Invitation:
    """A code that lets one person in. redeemed_by: None until it is used."""

    code_hash: str
    role: Role
    expires_at: datetime
    redeemed_by: int | None = None


class People(Protocol):
    """Who may speak to the bot."""

    def person(self, user: int) -> ChatPerson | None:
        """Return a person, None for a stranger."""

    def lists_chat(self, chat: int) -> bool:
        """Return whether a group may use the bot."""


class PeopleBook(People, Protocol):
    """The people, and those who come."""

    def redeem(self, code_hash: str, user: int, name: str, now: datetime) -> ChatPerson | None:
        """Use a code for a person and list them. None if it is unknown, used or expired. The same person may repeat it."""

    def choose_zone(self, user: int, zone: str) -> None:
        """Set the zone of a person's times."""


def new_code() -> str:
    """Return a code of 16 characters: 80 random bits."""
    letters = [secrets.choice(_ALPHABET) for _ in range(16)]
    return "-".join("".join(letters[i : i + 4]) for i in range(0, 16, 4))


def hash_of(code: str) -> str:
    """Return what is stored of a code."""
    return hashlib.sha256(f"signalbox invitation\n{code}".encode()).hexdigest()


def may_speak(people: People, user: int, chat: int, *, is_private: bool) -> ChatPerson | None:
    """Return the person who speaks if they may do so in this chat, None for a stranger."""
    person = people.person(user)
    return person if person is not None and (is_private or people.lists_chat(chat)) else None
