"""The bot: one message or one pressed button in, one answer out. A person without a role gets no answer.

A command that changes something is confirmed by a button (confirmation.py). A list comes in pages (paging.py). Every question to
the ledger is asked in the name of the person who typed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from signalbox.access import Role
from signalbox.chat.bot import answers, figures
from signalbox.chat.bot.confirmation import Confirmations, expired
from signalbox.chat.bot.conversation import MAX_DATA, Answer, Button, ButtonPress, ChatMessage, answer_of, parts_of
from signalbox.chat.bot.help_texts import ENGLISH, help_text
from signalbox.chat.bot.paging import RUN, Listing, ListPage, is_current, page_answer, page_of, too_old
from signalbox.chat.bot.ports import BotLedger, BotLedgerError, ChartUnavailableError, PaintPrices, RecentPrices
from signalbox.chat.bot.registry import BotInputError, Invocation, parse
from signalbox.chat.words import in_zone
from signalbox.signals.signal import Signal

DEFAULT_PERIOD: Final = timedelta(hours=24)
STATS_DAYS: Final = 30
CHART_HOURS: Final = 24
NO_ALERTS: Final = "This is no chat of the messenger: it gets no alerts."


@dataclass
class Bot:
    """The bot of one installation. role_of: the role of a person; ledger_for: the ledger in a person's name."""

    role_of: Callable[[int], Role | None]
    ledger_for: Callable[[int], BotLedger]
    confirmations: Confirmations
    name: str = "signalbox_bot"
    zone: str = "UTC"  # of the times in answers
    language: str = ENGLISH  # of /help
    choose_zone: Callable[[str], None] | None = None  # keeps another; None: nobody does
    alerts_of: Callable[[int], str] | None = None  # which alerts a chat gets, in words; None: nobody knows here
    paint: PaintPrices | None = None  # None: there are no charts here

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
        return replace(answer, parts=parts_of(text))

    def _zone_of(self, chosen: str) -> str:
        if not chosen:
            return f"Times are in {self.zone}. For another zone: /timezone Europe/Prague"
        if self.choose_zone is None:
            return "No zone is kept here: times are in UTC."
        self.choose_zone(chosen)
        return f"Times are in {chosen} from now on."

    def _pressed(self, press: ButtonPress) -> Answer | None:
        role = self.role_of(press.user)
        if role is None:
            return None
        kind, data = press.data[:2], press.data[2:]
        if len(press.data.encode(errors="surrogatepass")) > MAX_DATA:
            return expired()
        match kind:
            case "y:" | "n:":
                return self._guarded(lambda: self.confirmations.press(press, role))
            case "r:":
                found = self._guarded(lambda: self._typed(ChatMessage(press.user, press.chat, data, press.at), role))
            case "p:":
                found = self._guarded(lambda: self._turned(press, role))
            case _:
                return expired()
        return None if found is None else replace(found, replaces=found.picture is None)

    def _guarded(self, work: Callable[[], Answer | None]) -> Answer | None:
        try:
            return work()
        except BotInputError as error:
            return answer_of(str(error))
        except BotLedgerError as error:
            return answer_of(f"⛔ {error}")

    def _turned(self, press: ButtonPress, role: Role) -> Answer | None:
        """Return another page of a list."""
        place = page_of(press.data[2:])
        if place is None:
            return expired()
        if not is_current(place, press.at):
            return too_old(place)
        return self._typed(ChatMessage(press.user, press.chat, place.typed, place.at), role, place)

    def _typed(self, message: ChatMessage, role: Role, place: ListPage | None = None) -> Answer | None:
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
        return self._reply(found, ledger, message, role, place)

    def _reply(
        self, found: Invocation, ledger: BotLedger, message: ChatMessage, role: Role, place: ListPage | None
    ) -> Answer | None:
        name = found.command.name
        if name in _LISTED:
            at = message.at.replace(microsecond=0)
            return page_answer(_LISTED[name](found, ledger, at), place or ListPage(_retyped(found), at))
        if place is not None:  # no list has this button
            return expired()
        if found.command.asks:
            return self.confirmations.ask(found, ledger, message)
        own: dict[str, Callable[[], Answer]] = {
            "start": lambda: answer_of(help_text(role, self.language)),
            "help": lambda: answer_of(help_text(role, self.language)),
            "approve": lambda: self.confirmations.show(found.code, message),
            "timezone": lambda: answer_of(self._zone_of(found.zone)),
            "alerts": lambda: answer_of(NO_ALERTS if self.alerts_of is None else self.alerts_of(message.chat)),
            "chart": lambda: self._chart(found, ledger, message.at),
        }
        if name in own:
            return own[name]()
        return answer_of(_READ[name](found, ledger, message.at), buttons=_refresh(found))

    def _chart(self, found: Invocation, ledger: BotLedger, at: datetime) -> Answer:
        """Return the candles of the last hours as a picture; without one, the words alone, which say so."""
        symbol, hours = str(found.symbol), found.hours or CHART_HOURS
        bars = ledger.bars(symbol, at - timedelta(hours=hours), at)
        words = figures.bars_text(symbol, hours, bars)
        if not bars:
            return answer_of(words)
        if self.paint is None:
            return answer_of(f"{words}\nThere are no pictures here.")
        try:
            picture = self.paint(RecentPrices(f"{symbol}, {hours} h", self.zone, tuple(bars)))
        except ChartUnavailableError as error:
            return answer_of(f"{words}\nThe chart cannot be drawn: {error}")
        return replace(answer_of(words), picture=picture)


def _newest(ledger: BotLedger, at: datetime) -> list[Signal]:
    """Return the newest signal of each symbol of the last day, sorted by symbol."""
    newest = {one.symbol: one for one in ledger.signals(at - timedelta(days=1), at)}
    return [newest[symbol] for symbol in sorted(newest)]


def _one_signal(found: Invocation, ledger: BotLedger, at: datetime) -> str:
    of = next((one for one in _newest(ledger, at) if one.symbol == found.symbol), None)
    return f"{found.symbol} was not decided in the last 24 hours." if of is None else answers.signal_text(of)


def _signals(found: Invocation, ledger: BotLedger, at: datetime) -> Listing:
    period = found.period or DEFAULT_PERIOD
    rows = [one for one in ledger.signals(at - period, at) if found.symbol in {None, one.symbol}]
    return answers.signals_listing(rows, period)


def _trades(found: Invocation, ledger: BotLedger, at: datetime) -> Listing:
    period, account = found.period or DEFAULT_PERIOD, str(found.account)
    return answers.trades_listing(account, ledger.trades(account, at - period, at), period)


def _orders(found: Invocation, ledger: BotLedger, _at: datetime) -> Listing:
    return answers.orders_listing(ledger.account(str(found.account)))


_LISTED: Final[dict[str, Callable[[Invocation, BotLedger, datetime], Listing]]] = {
    "signals": _signals,
    "trades": _trades,
    "orders": _orders,
}


def _stats(found: Invocation, ledger: BotLedger, at: datetime) -> str:
    period, account = found.period or timedelta(days=STATS_DAYS), str(found.account)
    return figures.stats_text(account, ledger.trades(account, at - period, at), ledger.equity(account, at - period, at), period)


def _costs(found: Invocation, ledger: BotLedger, at: datetime) -> str:
    period, account = found.period or timedelta(days=STATS_DAYS), str(found.account)
    return figures.costs_text(account, ledger.equity(account, at - period, at), period)


def _performance(found: Invocation, ledger: BotLedger, at: datetime) -> str:
    period, account = found.period or timedelta(days=STATS_DAYS), str(found.account)
    return figures.performance_text(account, ledger.trades(account, at - period, at), period)


def _pnl(found: Invocation, ledger: BotLedger, at: datetime, days: int = 1) -> str:
    period, account = found.period or timedelta(days=days), str(found.account)
    return figures.pnl_text(account, ledger.trades(account, at - period, at), ledger.equity(account, at - period, at), period)


NOTHING_DECIDED: Final = "No symbol was decided in the last 24 hours."


def _status(_found: Invocation, ledger: BotLedger, at: datetime) -> str:
    """Return what can be said now; a part that cannot be read is named and holds nothing else back."""
    accounts, unread = [], {}
    for one in ledger.accounts():
        try:
            accounts.append(ledger.account(one["account"]))
        except BotLedgerError as error:
            unread[one["account"]] = str(error)
    try:
        newest: list[Signal] | None = _newest(ledger, at)
    except BotLedgerError as error:
        newest, unread["decisions"] = None, str(error)
    return answers.status_text(accounts, newest, at, unread)


_Reading = Callable[[Invocation, BotLedger, datetime], str]
_READ: Final[dict[str, _Reading]] = {
    "status": _status,
    "health": lambda _found, ledger, at: answers.health_text(_newest(ledger, at), at),
    "symbols": lambda _found, ledger, at: "\n".join(one.symbol for one in _newest(ledger, at)) or NOTHING_DECIDED,
    "price": lambda found, ledger, at: answers.prices_text(
        [one for one in _newest(ledger, at) if found.symbol in {None, one.symbol}], at
    ),
    "signal": _one_signal,
    "risk": lambda found, ledger, _at: answers.risk_text(ledger.account(str(found.account))),
    "balance": lambda found, ledger, _at: answers.balance_text(ledger.account(str(found.account))),
    "positions": lambda found, ledger, _at: answers.positions_text(ledger.account(str(found.account))),
    "order": lambda found, ledger, _at: answers.order_text(ledger.order(str(found.account), found.order)),
    "daily": _pnl,
    "weekly": lambda found, ledger, at: _pnl(found, ledger, at, 7),
    "monthly": lambda found, ledger, at: _pnl(found, ledger, at, 30),
    "pnl": _pnl,
    "stats": _stats,
    "performance": _performance,
    "costs": _costs,
    "models": lambda _found, ledger, at: figures.models_text(ledger.signals(at - DEFAULT_PERIOD, at), DEFAULT_PERIOD),
    "readiness": lambda found, ledger, _at: answers.readiness_text(ledger.readiness(str(found.account))),
}


_REFRESHED: Final = frozenset({"status", "health", "price", "signal", "risk", "balance", "positions", "pnl", "stats"})


def _refresh(found: Invocation) -> tuple[Button, ...]:
    """Return the button that asks again and edits the answer in place, where an answer ages within minutes."""
    data = RUN + _retyped(found)
    return (Button("Refresh", data),) if found.command.name in _REFRESHED and len(data.encode()) <= MAX_DATA else ()


def _retyped(found: Invocation) -> str:
    """Return a question as it could be typed, with the account that was meant."""
    hours = 0 if found.period is None else int(found.period.total_seconds() // 3600)
    period = "" if not hours else f"{hours // 24}d" if hours % 24 == 0 else f"{hours}h"
    return " ".join(["/" + found.command.name, *(one for one in (found.account, found.symbol, period) if one)])


def _which(text: str, accounts: list[str]) -> Answer:
    """Ask which account is meant: a button for each that fits into one."""
    if not accounts:
        return answer_of("You may see no account.")
    name, _, rest = text.strip().partition(" ")
    typed = {one: f"{name} {one} {rest}".strip() for one in accounts}
    buttons = tuple(Button(one, RUN + full) for one, full in typed.items() if len((RUN + full).encode()) <= MAX_DATA)
    return answer_of(f"Which account? {', '.join(accounts)}", buttons=buttons)
