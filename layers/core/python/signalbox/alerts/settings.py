"""Which alerts one chat wants, and how: part of the Telegram secret, by chat id or `default`, validated when it is written.

A mistake never silences a chat: what cannot be read is reported, and the chat gets everything, in English and UTC.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from enum import StrEnum
from typing import Annotated, Any, Final, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, ValidationError, field_validator, model_validator

from signalbox.alerts.catalogue import Language, Words
from signalbox.alerts.kinds import CRITICAL, AlertKind
from signalbox.chat.bot.words import WORDS, BotWords
from signalbox.errors import SignalboxError
from signalbox.frozen import FrozenModel
from signalbox.trading.account import DIR60_STANDARD, POLICIES, EntryPolicy

DEFAULT: Final = "default"  # the settings of chats that have none of their own


class ChatSettingsError(SignalboxError, ValueError):
    """Settings of a chat that cannot be used; the message names the chat, the setting, and what is expected."""


class Telling(StrEnum):
    """How a kind of alert comes."""

    ON = "on"
    SILENT = "silent"  # without sound
    OFF = "off"


class QuietHours(FrozenModel):
    """A part of every day in the chat's zone, `end` not included; it may go over midnight."""

    start: time
    end: time

    @field_validator("start", "end")
    @classmethod
    def _to_the_minute(cls, value: time) -> time:
        if value.tzinfo is not None or value.second or value.microsecond:
            raise ValueError("expected a time such as 22:00, without seconds and zone")
        return value

    @model_validator(mode="after")
    def _apart(self) -> Self:
        if self.start == self.end:
            raise ValueError("expected different times: quiet hours of a whole day would delay everything")
        return self


class ChatSettings(FrozenModel):
    """The settings of one chat."""

    language: Language = Language.ENGLISH
    zone: str = "UTC"
    events: Mapping[AlertKind, Telling] = Field(default_factory=dict)  # a kind that is not named is on
    minimum_tier: Literal["HIGH", "MEDIUM"] = "MEDIUM"  # of signals
    quiet: QuietHours | None = None
    fold_from: Annotated[int, Field(ge=2, le=10)] = 3  # waiting alerts from which on they come in one message
    policy: str = DIR60_STANDARD.version  # of the levels that a signal shows

    @field_validator("zone")
    @classmethod
    def _known(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(f"expected a time zone such as Europe/Prague, got {value[:40]!r}") from None
        return value

    @field_validator("policy")
    @classmethod
    def _preset(cls, value: str) -> str:
        if value not in POLICIES:
            raise ValueError(f"expected one of {', '.join(POLICIES)}, got {value[:40]!r}")
        return value

    @field_validator("events")
    @classmethod
    def _critical_stay_on(cls, value: Mapping[AlertKind, Telling]) -> Mapping[AlertKind, Telling]:
        quietened = sorted(kind.value for kind, telling in value.items() if kind in CRITICAL and telling is not Telling.ON)
        if quietened:
            raise ValueError(f"expected critical alerts to stay on, got another setting for {', '.join(quietened)}")
        return value

    def telling(self, kind: AlertKind) -> Telling:
        """Return how a kind of alert comes to this chat."""
        return Telling.ON if kind in CRITICAL else self.events.get(kind, Telling.ON)

    def wants_tier(self, tier: str) -> bool:
        """Return whether signals of a tier come to this chat."""
        return self.minimum_tier == "MEDIUM" or tier == "HIGH"

    def words(self) -> Words:
        """Return the chat's language and zone."""
        return Words(self.language, ZoneInfo(self.zone))

    def levels_policy(self) -> EntryPolicy:
        """Return the policy whose stop and target a signal shows."""
        return POLICIES[self.policy]

    def released_at(self, at: datetime, kind: AlertKind) -> datetime:
        """Return when an alert of this instant may come: at once, or at the end of the quiet hours it falls into."""
        if self.quiet is None or kind in CRITICAL:
            return at
        zone = ZoneInfo(self.zone)
        local = at.astimezone(zone)
        start, end = self.quiet.start, self.quiet.end
        now = local.time().replace(tzinfo=None)
        inside = start <= now < end if start < end else now >= start or now < end
        if not inside:
            return at
        day = local.date() if now < end else local.date() + timedelta(days=1)
        release = datetime.combine(day, end, tzinfo=zone).astimezone(at.tzinfo)
        return max(release, at)  # where the clocks go back, the end is the first of the two


@dataclass(frozen=True, slots=True)
class SettingsBook:
    """The settings of every chat, and what was wrong with those that could not be used."""

    chats: Mapping[str, ChatSettings]
    problems: tuple[str, ...] = ()

    def of(self, chat_id: str) -> ChatSettings:
        """Return the settings of a chat: its own, or else the default ones."""
        return self.chats.get(chat_id) or self.chats.get(DEFAULT) or ChatSettings()


def read_settings(content: object) -> SettingsBook:
    """Return the settings in the secret. What cannot be used is replaced by settings that tell everything, and reported."""
    if content is None:
        return SettingsBook({})
    if not isinstance(content, dict):
        return SettingsBook({}, (f"alerts: expected an object by chat id, got {type(content).__name__}",))
    chats: dict[str, ChatSettings] = {}
    problems: list[str] = []
    for chat, raw in content.items():
        try:
            chats[str(chat)] = parse_settings(str(chat), raw)
        except ChatSettingsError as error:
            chats[str(chat)] = ChatSettings()
            problems.append(str(error))
    return SettingsBook(chats, tuple(problems))


def parse_settings(chat: str, raw: Any) -> ChatSettings:
    """Return the settings of one chat. Raises ChatSettingsError."""
    try:
        return ChatSettings.model_validate(raw)
    except ValidationError as error:
        found = "; ".join(
            f"{'.'.join(str(part) for part in one['loc']) or 'settings'}: {one['msg']}"
            for one in error.errors(include_input=False)
        )
        raise ChatSettingsError(f"alerts of chat {chat[:40]}: {found[:600]}") from None


def require_usable(content: object) -> None:
    """Raise ChatSettingsError if any settings in the secret cannot be used. For who writes them."""
    if problems := read_settings(content).problems:
        raise ChatSettingsError("; ".join(problems))


def settings_text(chat: str, chat_ids: Sequence[str], book: SettingsBook, words: BotWords = WORDS) -> str:
    """Return which alerts a chat gets and how, for the people in it."""
    if chat not in chat_ids:
        return words.say("alerts.none", chat=chat)
    found = book.of(chat)
    lines = [words.say("alerts.in", chat=chat, language=found.language.name.capitalize(), zone=found.zone)]
    for telling in Telling:
        kinds = [kind.value for kind in AlertKind if kind not in CRITICAL and found.telling(kind) is telling]
        lines += [f"{telling.value}: {', '.join(kinds)}"] if kinds else []
    lines.append(words.say("alerts.always", kinds=", ".join(kind.value for kind in AlertKind if kind in CRITICAL)))
    tiers = "HIGH" if found.minimum_tier == "HIGH" else "MEDIUM, HIGH"
    lines.append(words.say("alerts.tiers", tiers=tiers, policy=found.policy))
    if (quiet := found.quiet) is not None:
        lines.append(words.say("alerts.quiet", start=f"{quiet.start:%H:%M}", end=f"{quiet.end:%H:%M}"))
    lines.append(words.say("alerts.fold", number=str(found.fold_from)))
    lines += [words.say("alerts.wrong", reason=one) for one in book.problems]
    return "\n".join([*lines, words.say("alerts.change")])
