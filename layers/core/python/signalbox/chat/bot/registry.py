"""The commands of the bot, each with its role, arguments, help and example. Help, menus and documentation are made from them."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from signalbox.access import Role
from signalbox.errors import SignalboxError

MAX_TEXT: Final = 4096  # characters of a message, as Telegram limits them
_COMMAND: Final = re.compile(r"/([a-z_]{1,32})(?:@([A-Za-z0-9_]{3,64}))?", re.IGNORECASE)
_PERIOD: Final = re.compile(r"([1-9][0-9]{0,2})([hd])")
_PERIODS: Final = MappingProxyType({"day": 1, "week": 7, "month": 30, "year": 365})
_ZONE: Final = re.compile(r"[A-Za-z]{2,20}(?:/[A-Za-z0-9_+-]{1,30}){0,2}")
_ORDER: Final = re.compile(r"[0-9a-z]{32}")
_CODE: Final = re.compile(r"[0-9a-f]{16}")
_HOURS: Final = re.compile(r"([1-9][0-9]{0,2})h?", re.ASCII)
MOST_HOURS: Final = 168  # of a chart: what the ledger gives of bars in one answer
# controls, line breaks, marks of direction, and characters of no width: a name that looks like another must not pass for it
_HIDDEN: Final = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]"
)


class BotInputError(SignalboxError):
    """The typed command cannot be carried out. BotInputError > UnknownCommandError. The text says what to type instead."""


class UnknownCommandError(BotInputError):
    """No command has this name."""


class ArgumentKind(StrEnum):
    """What an argument names."""

    ACCOUNT = "ACCOUNT"
    SYMBOL = "SYMBOL"
    PERIOD = "PERIOD"
    ORDER = "ORDER"
    REASON = "REASON"  # the rest of the message
    MODE = "MODE"  # live or paper
    ZONE = "ZONE"  # of a person's times, as in Europe/Prague
    HOURS = "HOURS"  # of a chart, 1 to 168
    CODE = "CODE"  # of a command that waits for a second person


@dataclass(frozen=True, slots=True)
class Argument:
    """An argument of a command. An account may be left out by whoever sees only one."""

    kind: ArgumentKind
    is_required: bool = False


@dataclass(frozen=True, slots=True)
class BotCommand:
    """A command: the role it needs, and how it is typed. asks: it changes something, and so is confirmed by a button."""

    name: str
    role: Role
    arguments: tuple[Argument, ...]
    help: str
    example: str
    asks: bool = False

    @property
    def is_about_an_account(self) -> bool:
        """Whether it is about one account, which may be left out."""
        return _ACCOUNT in self.arguments

    @property
    def usage(self) -> str:
        """How the command is typed: `/trades [ACCOUNT] [PERIOD]`."""
        words = [one.kind.value if one.is_required else f"[{one.kind.value}]" for one in self.arguments]
        return " ".join([f"/{self.name}", *words])


_ACCOUNT: Final = Argument(ArgumentKind.ACCOUNT)
_SYMBOL: Final = Argument(ArgumentKind.SYMBOL)
_PERIOD_OF: Final = Argument(ArgumentKind.PERIOD)
_REASON: Final = Argument(ArgumentKind.REASON, is_required=True)
_VIEWER, _OPERATOR, _OWNER = Role.VIEWER, Role.OPERATOR, Role.OWNER
_MODES: Final = ("live", "paper")
COMMANDS: Final = (
    BotCommand("start", _VIEWER, (), "Say who you are to the bot, and what it can do.", "/start"),
    BotCommand("help", _VIEWER, (), "List the commands you may give.", "/help"),
    BotCommand(
        "timezone", _VIEWER, (Argument(ArgumentKind.ZONE),), "The zone of the times in your answers.", "/timezone Europe/Prague"
    ),
    BotCommand("status", _VIEWER, (), "Every account and every symbol in a line.", "/status"),
    BotCommand("health", _VIEWER, (), "When each symbol was last decided, and what is late.", "/health"),
    BotCommand("symbols", _VIEWER, (), "The symbols that are decided.", "/symbols"),
    BotCommand("price", _VIEWER, (_SYMBOL,), "The price each newest decision was made at.", "/price BTC"),
    BotCommand("signals", _VIEWER, (_SYMBOL, _PERIOD_OF), "The issued signals of a period, newest first.", "/signals 24h"),
    BotCommand(
        "signal", _VIEWER, (Argument(ArgumentKind.SYMBOL, is_required=True),), "The newest decision of a symbol.", "/signal BTC"
    ),
    BotCommand(
        "chart",
        _VIEWER,
        (Argument(ArgumentKind.SYMBOL, is_required=True), Argument(ArgumentKind.HOURS)),
        "The candles of the last hours as a picture.",
        "/chart BTC 48",
    ),
    BotCommand("models", _VIEWER, (), "The models that decided in the last 24 hours, and what they issued.", "/models"),
    BotCommand("risk", _VIEWER, (_ACCOUNT,), "How much of each loss limit is left, and what stops trading.", "/risk"),
    BotCommand("balance", _VIEWER, (_ACCOUNT,), "Cash, balance and equity.", "/balance"),
    BotCommand("positions", _VIEWER, (_ACCOUNT,), "What the account holds, with stops and targets.", "/positions"),
    BotCommand("orders", _VIEWER, (_ACCOUNT,), "The open orders.", "/orders"),
    BotCommand(
        "order",
        _VIEWER,
        (_ACCOUNT, Argument(ArgumentKind.ORDER, is_required=True)),
        "What became of an order.",
        "/order 3f2a9c01d4e5b6a7980c1d2e3f405162",
    ),
    BotCommand("trades", _VIEWER, (_ACCOUNT, _PERIOD_OF), "The trades of a period and how they ended.", "/trades 7d"),
    BotCommand("pnl", _VIEWER, (_ACCOUNT, _PERIOD_OF), "Profit and loss of a period, after fees.", "/pnl week"),
    BotCommand("daily", _VIEWER, (_ACCOUNT,), "Profit and loss of the last 24 hours.", "/daily"),
    BotCommand("weekly", _VIEWER, (_ACCOUNT,), "Profit and loss of the last 7 days.", "/weekly"),
    BotCommand("monthly", _VIEWER, (_ACCOUNT,), "Profit and loss of the last 30 days.", "/monthly"),
    BotCommand("stats", _VIEWER, (_ACCOUNT, _PERIOD_OF), "Hit rate, profit factor and largest fall of a period.", "/stats month"),
    BotCommand("performance", _VIEWER, (_ACCOUNT, _PERIOD_OF), "Profit and loss of each symbol.", "/performance month"),
    BotCommand("costs", _VIEWER, (_ACCOUNT, _PERIOD_OF), "Fees and funding of a period.", "/costs week"),
    BotCommand("alerts", _VIEWER, (), "Which alerts this chat gets, and how.", "/alerts"),
    BotCommand("readiness", _VIEWER, (_ACCOUNT,), "Whether the account may trade live, and what is missing.", "/readiness"),
    BotCommand("halt", _OPERATOR, (_ACCOUNT, _REASON), "Stop new orders. Positions keep their stops.", "/halt news", asks=True),
    BotCommand("reduceonly", _OPERATOR, (_ACCOUNT, _REASON), "Allow only what reduces.", "/reduceonly weekend", asks=True),
    BotCommand("flatten", _OPERATOR, (_ACCOUNT, _REASON), "Close everything and stop.", "/flatten leaving", asks=True),
    BotCommand("resume", _OPERATOR, (_ACCOUNT, _REASON), "Release the kill switch.", "/resume news is over", asks=True),
    BotCommand(
        "cancel",
        _OPERATOR,
        (_ACCOUNT, Argument(ArgumentKind.ORDER, is_required=True)),
        "Cancel an open order by its id.",
        "/cancel 3f2a9c01d4e5b6a7980c1d2e3f405162",
        asks=True,
    ),
    BotCommand(
        "close",
        _OPERATOR,
        (_ACCOUNT, Argument(ArgumentKind.SYMBOL, is_required=True)),
        "Close a position at the market.",
        "/close BTC",
        asks=True,
    ),
    BotCommand(
        "approve",
        _OPERATOR,
        (Argument(ArgumentKind.CODE, is_required=True),),
        "See what another person asked for, and approve it.",
        "/approve 3f2a9c01d4e5b6a7",
    ),
    BotCommand(
        "mode",
        _OWNER,
        (_ACCOUNT, Argument(ArgumentKind.MODE, is_required=True)),
        "Confirm that an account may trade live, or withdraw that.",
        "/mode paper",
        asks=True,
    ),
)
BY_NAME: Final[Mapping[str, BotCommand]] = MappingProxyType({one.name: one for one in COMMANDS})


@dataclass(frozen=True, slots=True)
class Invocation:
    """A command with its arguments. `account` None: it was left out."""

    command: BotCommand
    account: str | None = None
    symbol: str | None = None
    period: timedelta | None = None
    order: str = ""
    reason: str = ""
    mode: str = ""
    zone: str = ""
    hours: int = 0
    code: str = ""


def parse(
    text: str, *, role: Role, accounts: Sequence[str], symbols: Callable[[], Sequence[str]], bot_name: str = ""
) -> Invocation | None:
    """Return the command in a message, None for a message that is not for this bot. Raises BotInputError.

    accounts, symbols: those that the sender may see; other names are refused. symbols is called only for a command that names
    one: a halt must not wait for the signals of a day. A command above the sender's role does not exist for them: it is neither
    run nor suggested.
    """
    if len(text) > MAX_TEXT:
        raise BotInputError(f"That message has {len(text)} characters; at most {MAX_TEXT} are read.")
    if hidden := _HIDDEN.search(text):
        raise BotInputError(
            f"Character {hidden.start() + 1} is invisible (U+{ord(hidden[0]):04X}). Please type the command again."
        )
    words = text.split()
    if not words or not words[0].startswith("/"):
        return None
    named = _COMMAND.fullmatch(words[0])
    if named is None:
        raise UnknownCommandError("That is not a command. /help lists those there are.")
    if named[2] and named[2].lower() != bot_name.lower():
        return None  # of another bot in the same group
    name = named[1].lower()
    command = BY_NAME.get(name)
    if command is None or not role.includes(command.role):
        known = [one.name for one in COMMANDS if role.includes(one.role)]
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
        raise UnknownCommandError(
            f"There is no command /{name}. " + (f"Did you mean /{near[0]}?" if near else "/help lists all.")
        )
    names_symbol = any(one.kind is ArgumentKind.SYMBOL for one in command.arguments)
    return _filled(command, words[1:], accounts, symbols() if names_symbol else ())


def _filled(command: BotCommand, words: list[str], accounts: Sequence[str], symbols: Sequence[str]) -> Invocation:
    """Give each argument the word that fits it, in order; an optional one that the next word does not fit stays empty."""
    left = list(words)
    found: dict[str, Any] = {}
    for argument in command.arguments:
        if argument.kind is ArgumentKind.REASON:
            found["reason"], left = " ".join(left), []
            if not 3 <= len(found["reason"]) <= 200:
                raise BotInputError(f"Say why, in 3 to 200 characters: {command.usage}, for example {command.example}")
            continue
        value = _read(argument.kind, left[0], accounts, symbols) if left else None
        if value is not None:
            found[argument.kind.value.lower()] = value
            left.pop(0)
        elif argument.is_required:
            raise BotInputError(_missing(command, argument, left, symbols))
    if left:
        raise BotInputError(_not_understood(command, left[0], accounts, symbols))
    return Invocation(command, **found)


def _read(kind: ArgumentKind, word: str, accounts: Sequence[str], symbols: Sequence[str]) -> str | int | timedelta | None:  # noqa: PLR0911 - a kind a line
    """Return the value of a word for an argument, None if it does not fit."""
    match kind:
        case ArgumentKind.ACCOUNT:
            return word if word in accounts else None
        case ArgumentKind.SYMBOL:
            return next((one for one in symbols if word.upper() in {one, one.partition("-")[0]}), None)
        case ArgumentKind.PERIOD:
            if (days := _PERIODS.get(word.lower())) is not None:
                return timedelta(days=days)
            amount = _PERIOD.fullmatch(word.lower())
            return None if amount is None else timedelta(**{"hours" if amount[2] == "h" else "days": int(amount[1])})
        case ArgumentKind.ZONE:
            return _zone(word)
        case ArgumentKind.HOURS:
            hours = _HOURS.fullmatch(word.lower())
            return None if hours is None or int(hours[1]) > MOST_HOURS else int(hours[1])
        case ArgumentKind.CODE:
            return word if _CODE.fullmatch(word) else None
        case ArgumentKind.MODE:
            return word.lower() if word.lower() in _MODES else None
        case _:
            return word if _ORDER.fullmatch(word) else None


def _zone(word: str) -> str | None:
    """Return the name of a time zone, None if there is no such zone."""
    if _ZONE.fullmatch(word) is None:  # a path otherwise
        return None
    try:
        return ZoneInfo(word).key
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


def _missing(command: BotCommand, argument: Argument, left: list[str], symbols: Sequence[str]) -> str:
    if left:
        return _not_understood(command, left[0], (), symbols)
    return f"{argument.kind.value} is missing: {command.usage}, for example {command.example}"


def _not_understood(command: BotCommand, word: str, accounts: Sequence[str], symbols: Sequence[str]) -> str:
    """Return what a word could have been: the names there are, and how the command is typed."""
    kinds = {one.kind for one in command.arguments}
    choices = [
        *(accounts if ArgumentKind.ACCOUNT in kinds else ()),
        *(symbols if ArgumentKind.SYMBOL in kinds else ()),
        *(_MODES if ArgumentKind.MODE in kinds else ()),
        *((f"1 to {MOST_HOURS} hours",) if ArgumentKind.HOURS in kinds else ()),
        *(("24h", "7d", *_PERIODS) if ArgumentKind.PERIOD in kinds else ()),
    ]
    known = f" There is {', '.join(choices)}." if choices else ""
    return f"{word[:40]!r} is not understood.{known} Type {command.usage}, for example {command.example}"
