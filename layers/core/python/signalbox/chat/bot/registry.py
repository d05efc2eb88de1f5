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
from signalbox.chat.bot.words import WORDS, BotWords
from signalbox.errors import SignalboxError

MAX_TEXT: Final = 4096  # characters of a message, as Telegram limits them
_COMMAND: Final = re.compile(r"/([a-z_]{1,32})(?:@([A-Za-z0-9_]{3,64}))?", re.IGNORECASE)
_PERIOD: Final = re.compile(r"([1-9][0-9]{0,2})([hd])")
_PERIODS: Final = MappingProxyType({"day": 1, "week": 7, "month": 30, "year": 365})
_ZONE: Final = re.compile(r"[A-Za-z]{2,20}(?:/[A-Za-z0-9_+-]{1,30}){0,2}")
_ORDER: Final = re.compile(r"[0-9a-z]{32}")
_MODEL: Final = re.compile(r"[a-z0-9][a-z0-9.-]{0,63}(@[0-9]{1,9}(\.[0-9]{1,9}\.[0-9]{1,9})?)?")  # as the library names it
_NUMBER: Final = re.compile(r"[1-9][0-9]{0,8}", re.ASCII)
_CODE: Final = re.compile(r"[0-9a-f]{16}")
_HOURS: Final = re.compile(r"([1-9][0-9]{0,2})h?", re.ASCII)
MOST_HOURS: Final = 168  # of a chart: what the ledger gives of bars in one answer
# controls, line breaks, marks of direction, and characters of no width: a name that looks like another must not pass for it
_HIDDEN: Final = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]"
)


class BotInputError(SignalboxError):
    """The typed command cannot be carried out. BotInputError > UnknownCommandError. The text says what to type instead.

    key, values: of the bot's texts.
    """

    def __init__(self, key: str, **values: str) -> None:
        super().__init__(WORDS.say(key, **values))
        self._key, self._values = key, values

    def text(self, words: BotWords) -> str:
        """Return the text in a language."""
        return words.say(self._key, **self._values)


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
    MODEL = "MODEL"  # a version of one: its newest, MODEL@NUMBER or MODEL@1.2.0
    OTHER = "OTHER"  # another version
    STAGE = "STAGE"  # of a deployment: shadow or active
    NUMBER = "NUMBER"  # of a deployment


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
_VERSION: Final = Argument(ArgumentKind.MODEL, is_required=True)
_MODES: Final = ("live", "paper")
_STAGES: Final = ("shadow", "active")
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
    BotCommand("model", _VIEWER, (_VERSION,), "A version of a model: its state, gates and decisions.", "/model dir60@3"),
    BotCommand(
        "compare",
        _VIEWER,
        (_VERSION, Argument(ArgumentKind.OTHER, is_required=True)),
        "What two versions of a model differ in.",
        "/compare dir60@2 dir60@3",
    ),
    BotCommand("version", _VIEWER, (), "The stage of this bot, and the model that decides.", "/version"),
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
    BotCommand("calendar", _VIEWER, (_ACCOUNT, _PERIOD_OF), "Profit and loss of each day.", "/calendar month"),
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
        "deploy",
        _OPERATOR,
        (_VERSION, Argument(ArgumentKind.STAGE), _REASON),
        "Deploy a version of a model, as shadow unless you say active.",
        "/deploy dir60@3 shadow better on the holdout",
        asks=True,
    ),
    BotCommand(
        "rollback",
        _OPERATOR,
        (Argument(ArgumentKind.NUMBER), _REASON),
        "Take back the model that decides, or one on its way.",
        "/rollback too many signals",
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
    model: str = ""
    other: str = ""
    stage: str = ""
    number: int | None = None


def parse(
    text: str, *, role: Role, accounts: Sequence[str], symbols: Callable[[], Sequence[str]], bot_name: str = ""
) -> Invocation | None:
    """Return the command in a message, None for a message that is not for this bot. Raises BotInputError.

    accounts, symbols: those that the sender may see; other names are refused. symbols is called only for a command that names
    one: a halt must not wait for the signals of a day. A command above the sender's role does not exist for them: it is neither
    run nor suggested.
    """
    if len(text) > MAX_TEXT:
        raise BotInputError("input.too_long", length=str(len(text)), most=str(MAX_TEXT))
    if hidden := _HIDDEN.search(text):
        raise BotInputError("input.hidden", place=str(hidden.start() + 1), code=f"U+{ord(hidden[0]):04X}")
    words = text.split()
    if not words or not words[0].startswith("/"):
        return None
    named = _COMMAND.fullmatch(words[0])
    if named is None:
        raise UnknownCommandError("input.no_command")
    if named[2] and named[2].lower() != bot_name.lower():
        return None  # of another bot in the same group
    name = named[1].lower()
    command = BY_NAME.get(name)
    if command is None or not role.includes(command.role):
        known = [one.name for one in COMMANDS if role.includes(one.role)]
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
        if near:
            raise UnknownCommandError("input.near", name=name, near=near[0])
        raise UnknownCommandError("input.unknown", name=name)
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
                raise BotInputError("input.say_why", usage=command.usage, example=command.example)
            continue
        value = _read(argument.kind, left[0], accounts, symbols) if left else None
        if value is not None:
            found[argument.kind.value.lower()] = value
            left.pop(0)
        elif argument.is_required:
            if not left:
                raise BotInputError("input.missing", what=argument.kind.value, usage=command.usage, example=command.example)
            raise _not_understood(command, left[0], (), symbols)
    if left:
        raise _not_understood(command, left[0], accounts, symbols)
    return Invocation(command, **found)


def _read(  # noqa: C901, PLR0911 - a kind a line
    kind: ArgumentKind, word: str, accounts: Sequence[str], symbols: Sequence[str]
) -> str | int | timedelta | None:
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
        case ArgumentKind.MODEL | ArgumentKind.OTHER:
            return word if _MODEL.fullmatch(word) else None
        case ArgumentKind.STAGE:
            return word.lower() if word.lower() in _STAGES else None
        case ArgumentKind.NUMBER:
            return int(word) if _NUMBER.fullmatch(word) else None
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


def _not_understood(command: BotCommand, word: str, accounts: Sequence[str], symbols: Sequence[str]) -> BotInputError:
    """Return the error that says what a word could have been: the names there are, and how the command is typed."""
    kinds = {one.kind for one in command.arguments}
    choices = [
        *(accounts if ArgumentKind.ACCOUNT in kinds else ()),
        *(symbols if ArgumentKind.SYMBOL in kinds else ()),
        *(_MODES if ArgumentKind.MODE in kinds else ()),
        *((f"1-{MOST_HOURS}h",) if ArgumentKind.HOURS in kinds else ()),
        *(("24h", "7d", *_PERIODS) if ArgumentKind.PERIOD in kinds else ()),
    ]
    facts = {"word": repr(word[:40]), "usage": command.usage, "example": command.example}
    return (
        BotInputError("input.choices", choices=", ".join(choices), **facts)
        if choices
        else BotInputError("input.not_understood", **facts)
    )
