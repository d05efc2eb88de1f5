"""The bot: one message or one pressed button in, one answer out. A person without a role gets no answer.

A command that changes something is shown with its effect first, and carried out when the same person presses its button in the
same chat within a minute. Each is carried out once: its request id is made from the button.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final
from zoneinfo import ZoneInfo

from pydantic import ValidationError

from signalbox.access import Role
from signalbox.chat.bot import answers
from signalbox.chat.bot.ports import BotLedger, BotLedgerError, BotLedgerSilentError, PendingCommand, PendingCommands
from signalbox.chat.bot.registry import BotInputError, Invocation, parse
from signalbox.chat.words import in_zone
from signalbox.problems import wrong_in_words
from signalbox.risk.snapshot import HaltLevel
from signalbox.signals.signal import Signal
from signalbox.trading.commands import COMMANDS, AnyCommand, ConfirmAccount
from signalbox.trading.documents import AccountDocument

CONFIRM_WITHIN: Final = timedelta(seconds=60)
DEFAULT_PERIOD: Final = timedelta(hours=24)
_LEVELS: Final = {"halt": HaltLevel.HALT, "reduceonly": HaltLevel.REDUCE_ONLY, "flatten": HaltLevel.FLATTEN}
_YES, _NO, _RUN = "y:", "n:", "r:"
MAX_DATA: Final = 64  # bytes of a button's data, as Telegram limits them


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """A text that somebody sent. user, chat: Telegram's numbers."""

    user: int
    chat: int
    text: str
    at: datetime


@dataclass(frozen=True, slots=True)
class ButtonPress:
    """A pressed button. data: the button's data; untrusted, because a message can be forged."""

    user: int
    chat: int
    data: str
    at: datetime
    update: int = 0  # the messenger's number of this press, the same when it is delivered again


@dataclass(frozen=True, slots=True)
class Button:
    """A button below an answer."""

    label: str
    data: str


@dataclass(frozen=True, slots=True)
class Answer:
    """A text in parts that each fit a message, and the buttons below the last. replaces: the message whose button was pressed.

    picture: a PNG; then the text is its caption.
    """

    parts: tuple[str, ...]
    buttons: tuple[Button, ...] = ()
    replaces: bool = False
    picture: bytes | None = None


def _token() -> str:
    return secrets.token_hex(8)


@dataclass
class Bot:
    """The bot of one installation. role_of: the role of a person; ledger_for: the ledger in a person's name."""

    role_of: Callable[[int], Role | None]
    ledger_for: Callable[[int], BotLedger]
    pending: PendingCommands
    name: str = "signalbox_bot"
    zone: str = "UTC"  # of the times in answers
    choose_zone: Callable[[str], None] | None = None  # keeps another; None: nobody does
    new_token: Callable[[], str] = field(default=_token)

    def on_message(self, message: ChatMessage) -> Answer | None:
        """Return the answer to a message; None for a stranger, and for a message that is not a command of this bot."""
        role = self.role_of(message.user)
        if role is None:
            return None
        return self._in_zone(self._guarded(lambda: self._typed(message, role)))

    def on_button(self, press: ButtonPress) -> Answer | None:
        """Return the answer to a button, None for a stranger."""
        return self._in_zone(self._pressed(press))

    def _in_zone(self, answer: Answer | None) -> Answer | None:
        if answer is None or self.zone == "UTC":
            return answer
        zone = ZoneInfo(self.zone)
        text = "\n".join(in_zone(part, zone) for part in answer.parts)
        return replace(answer, parts=answers.parts_of(text))

    def _zone_of(self, chosen: str) -> str:
        if not chosen:
            return f"Times are in {self.zone}. For another zone: /timezone Europe/Prague"
        if self.choose_zone is None:
            return "No zone is kept here: times are in UTC."
        self.choose_zone(chosen)
        return f"Times are in {chosen} from now on."

    def _pressed(self, press: ButtonPress) -> Answer | None:  # noqa: PLR0911 - a guard a line
        role = self.role_of(press.user)
        if role is None:
            return None
        kind, data = press.data[:2], press.data[2:]
        if len(press.data.encode(errors="surrogatepass")) > MAX_DATA or kind not in {_RUN, _YES, _NO}:
            return _expired()
        if kind == _RUN:
            found = self._guarded(lambda: self._typed(ChatMessage(press.user, press.chat, data, press.at), role))
            return None if found is None else replace(found, replaces=True)
        waiting = self.pending.take(data, press.user, press.chat, press.update)
        if waiting is None or press.at > waiting.expires_at:
            return _expired()
        if kind == _NO:
            return _answer("Cancelled. Nothing was changed.", replaces=True)
        needed = Role.OWNER if isinstance(waiting.command, ConfirmAccount) else Role.OPERATOR
        if not role.includes(needed):  # it was taken from them meanwhile
            return _answer("You may not do this any more. Nothing was changed.", replaces=True)
        return self._carried_out(waiting)

    def _carried_out(self, waiting: PendingCommand) -> Answer:
        try:
            after = self.ledger_for(waiting.user).command(waiting.command)
        except BotLedgerSilentError as error:
            self.pending.put(waiting)  # the same button sends the same request id, so it is carried out once at most
            text = f"⚠️ {error}\nWhether it was done is unknown. Pressing Yes again is safe."
            return _answer(text, buttons=_choice(waiting.token), replaces=True)
        except BotLedgerError as error:
            return _answer(f"⛔ {error}", replaces=True)
        return _answer(answers.done_text(after), replaces=True)

    def _guarded(self, work: Callable[[], Answer | None]) -> Answer | None:
        try:
            return work()
        except BotInputError as error:
            return _answer(str(error))
        except BotLedgerError as error:
            return _answer(f"⛔ {error}")

    def _typed(self, message: ChatMessage, role: Role) -> Answer | None:
        if not message.text.lstrip().startswith("/"):
            return None
        ledger = self.ledger_for(message.user)
        accounts = [one["account"] for one in ledger.accounts()]
        found = parse(
            message.text,
            role=role,
            accounts=accounts,
            symbols=lambda: [one.symbol for one in _newest(ledger, message.at)],
            bot_name=self.name,
        )
        if found is None:
            return None
        if found.command.is_about_an_account and found.account is None:
            if len(accounts) != 1:
                return _which(message.text, accounts)
            found = replace(found, account=accounts[0])
        if found.command.name == "timezone":
            return _answer(self._zone_of(found.zone))
        if found.command.asks:
            return self._asked(found, ledger, message)
        return _answer(_READ[found.command.name](found, ledger, message.at, role), buttons=_refresh(found))

    def _asked(self, found: Invocation, ledger: BotLedger, message: ChatMessage) -> Answer:
        """Show the effect of a command with a button for it; nothing has happened yet."""
        account = ledger.account(str(found.account))
        token = self.new_token()
        command = _command(found, account, f"tg-{token}", message.at)
        self.pending.put(PendingCommand(token, message.user, message.chat, command, message.at + CONFIRM_WITHIN))
        effect = _effect(found, account)
        seconds = int(CONFIRM_WITHIN.total_seconds())
        return _answer(f"{effect}\nConfirm within {seconds} seconds.", buttons=_choice(token))


def _effect(found: Invocation, account: AccountDocument) -> str:
    match found.command.name:
        case "close":
            return answers.close_text(account, str(found.symbol))
        case "mode":
            return answers.mode_text(account, found.mode)
        case verb:
            return answers.effect_text(verb, account, reason=found.reason, order=found.order)


def _closing(account: AccountDocument, symbol: str) -> dict[str, object]:
    """Return the order that closes a position. Raises BotInputError without one."""
    held = next((one["quantity"] for one in account["positions"] if one["symbol"] == symbol), None)
    if held is None:
        raise BotInputError(f"{account['account']} holds no {symbol}: there is nothing to close.")
    side = "SELL" if Decimal(held) > 0 else "BUY"
    quantity = held.removeprefix("-")
    return {"kind": "submit", "symbol": symbol, "side": side, "type": "MARKET", "quantity": quantity, "reduce_only": True}


def _command(found: Invocation, account: AccountDocument, request_id: str, at: datetime) -> AnyCommand:
    facts: dict[str, object] = {"account": found.account, "request_id": request_id, "requested_at": at}
    match found.command.name:
        case "close":
            facts |= {**_closing(account, str(found.symbol)), "time_in_force": "IOC"}
        case "mode":
            facts |= {"kind": "confirm", "what": found.mode}
        case "cancel":
            facts |= {"kind": "cancel", "client_order_id": found.order}
        case "resume":
            facts |= {"kind": "resume", "why": found.reason}
        case verb:
            facts |= {"kind": "halt", "level": _LEVELS[verb], "why": found.reason}
    try:
        return COMMANDS.validate_python(facts)
    except ValidationError as error:
        first = error.errors()[0]
        raise BotInputError(f"{wrong_in_words(first)}. Nothing was changed.") from None


def _newest(ledger: BotLedger, at: datetime) -> list[Signal]:
    """Return the newest signal of each symbol of the last day, sorted by symbol."""
    newest = {one.symbol: one for one in ledger.signals(at - timedelta(days=1), at)}
    return [newest[symbol] for symbol in sorted(newest)]


def _one_signal(found: Invocation, ledger: BotLedger, at: datetime) -> str:
    of = next((one for one in _newest(ledger, at) if one.symbol == found.symbol), None)
    return f"{found.symbol} was not decided in the last 24 hours." if of is None else answers.signal_text(of)


def _signals(found: Invocation, ledger: BotLedger, at: datetime) -> str:
    period = found.period or DEFAULT_PERIOD
    rows = [one for one in ledger.signals(at - period, at) if found.symbol in {None, one.symbol}]
    return answers.signals_text(rows, period)


def _pnl(found: Invocation, ledger: BotLedger, at: datetime, days: int = 1) -> str:
    period, account = found.period or timedelta(days=days), str(found.account)
    return answers.pnl_text(account, ledger.trades(account, at - period, at), ledger.equity(account, at - period, at), period)


NOTHING_DECIDED: Final = "No symbol was decided in the last 24 hours."
_Reading = Callable[[Invocation, BotLedger, datetime, Role], str]
_READ: Final[dict[str, _Reading]] = {
    "start": lambda _found, _ledger, _at, role: answers.help_text(role),
    "help": lambda _found, _ledger, _at, role: answers.help_text(role),
    "status": lambda _found, ledger, at, _role: answers.status_text(
        [ledger.account(one["account"]) for one in ledger.accounts()], _newest(ledger, at), at
    ),
    "health": lambda _found, ledger, at, _role: answers.health_text(_newest(ledger, at), at),
    "symbols": lambda _found, ledger, at, _role: "\n".join(one.symbol for one in _newest(ledger, at)) or NOTHING_DECIDED,
    "price": lambda found, ledger, at, _role: answers.prices_text(
        [one for one in _newest(ledger, at) if found.symbol in {None, one.symbol}], at
    ),
    "signals": lambda found, ledger, at, _role: _signals(found, ledger, at),
    "signal": lambda found, ledger, at, _role: _one_signal(found, ledger, at),
    "risk": lambda found, ledger, _at, _role: answers.risk_text(ledger.account(str(found.account))),
    "balance": lambda found, ledger, _at, _role: answers.balance_text(ledger.account(str(found.account))),
    "positions": lambda found, ledger, _at, _role: answers.positions_text(ledger.account(str(found.account))),
    "orders": lambda found, ledger, _at, _role: answers.orders_text(ledger.account(str(found.account))),
    "trades": lambda found, ledger, at, _role: answers.trades_text(
        str(found.account),
        ledger.trades(str(found.account), at - (found.period or DEFAULT_PERIOD), at),
        found.period or DEFAULT_PERIOD,
    ),
    "order": lambda found, ledger, _at, _role: answers.order_text(ledger.order(str(found.account), found.order)),
    "daily": lambda found, ledger, at, _role: _pnl(found, ledger, at),
    "weekly": lambda found, ledger, at, _role: _pnl(found, ledger, at, 7),
    "monthly": lambda found, ledger, at, _role: _pnl(found, ledger, at, 30),
    "pnl": lambda found, ledger, at, _role: _pnl(found, ledger, at),
    "readiness": lambda found, ledger, _at, _role: answers.readiness_text(ledger.readiness(str(found.account))),
}


_REFRESHED: Final = frozenset({"status", "health", "price", "risk", "balance", "positions", "orders"})


def _refresh(found: Invocation) -> tuple[Button, ...]:
    """Return the button that asks again and edits the answer in place, where an answer ages within minutes."""
    if found.command.name not in _REFRESHED:
        return ()
    typed = " ".join(["/" + found.command.name, *(one for one in (found.account, found.symbol) if one)])
    data = _RUN + typed
    return (Button("Refresh", data),) if len(data.encode()) <= MAX_DATA else ()


def _which(text: str, accounts: list[str]) -> Answer:
    """Ask which account is meant: a button for each that fits into one."""
    if not accounts:
        return _answer("You may see no account.")
    name, _, rest = text.strip().partition(" ")
    typed = {one: f"{name} {one} {rest}".strip() for one in accounts}
    buttons = tuple(Button(one, _RUN + full) for one, full in typed.items() if len((_RUN + full).encode()) <= MAX_DATA)
    return _answer(f"Which account? {', '.join(accounts)}", buttons=buttons)


def _choice(token: str) -> tuple[Button, Button]:
    return Button("Yes", _YES + token), Button("No", _NO + token)


def _expired() -> Answer:
    return _answer("That button is used up or expired. Nothing was changed; give the command again.", replaces=True)


def _answer(text: str, *, buttons: tuple[Button, ...] = (), replaces: bool = False) -> Answer:
    return Answer(answers.parts_of(text), buttons, replaces)
