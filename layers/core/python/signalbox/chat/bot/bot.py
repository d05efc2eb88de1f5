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
from signalbox.chat.bot import answers, figures, models
from signalbox.chat.bot.confirmation import Confirmations, expired
from signalbox.chat.bot.conversation import MAX_DATA, Answer, Button, ButtonPress, ChatMessage, answer_of, parts_of
from signalbox.chat.bot.help_texts import help_text
from signalbox.chat.bot.paging import RUN, Listing, ListPage, is_current, page_answer, page_of, too_old
from signalbox.chat.bot.ports import (
    BotLedger,
    BotLedgerError,
    ChartUnavailableError,
    PaintPrices,
    RecentPrices,
)
from signalbox.chat.bot.registry import BotInputError, Invocation, parse
from signalbox.chat.bot.words import ENGLISH, BotWords
from signalbox.chat.words import in_zone
from signalbox.signals.signal import Signal

DEFAULT_PERIOD: Final = timedelta(hours=24)
STATS_DAYS: Final = 30
CHART_HOURS: Final = 24
CALENDAR_DAYS: Final = 30


@dataclass
class Bot:
    """The bot of one installation. role_of: the role of a person; ledger_for: the ledger in a person's name."""

    role_of: Callable[[int], Role | None]
    ledger_for: Callable[[int], BotLedger]
    confirmations: Confirmations
    name: str = "signalbox_bot"
    zone: str = "UTC"  # of the times in answers
    language: str = ENGLISH  # of answers
    stage: str = "local"  # whose bot it is
    choose_zone: Callable[[str], None] | None = None  # keeps another; None: nobody does
    alerts_of: Callable[[int, BotWords], str] | None = None  # which alerts a chat gets, in words; None: nobody knows here
    paint: PaintPrices | None = None  # None: there are no charts here

    @property
    def words(self) -> BotWords:
        """The texts of its language."""
        return BotWords(self.language)

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
            return self.words.say("zone.is", zone=self.zone)
        if self.choose_zone is None:
            return self.words.say("zone.none")
        self.choose_zone(chosen)
        return self.words.say("zone.chosen", zone=chosen)

    def _pressed(self, press: ButtonPress) -> Answer | None:
        role = self.role_of(press.user)
        if role is None:
            return None
        kind, data = press.data[:2], press.data[2:]
        if len(press.data.encode(errors="surrogatepass")) > MAX_DATA:
            return expired(self.words)
        match kind:
            case "y:" | "n:":
                return self._guarded(lambda: self.confirmations.press(press, role, self.words))
            case "r:":
                found = self._guarded(lambda: self._typed(ChatMessage(press.user, press.chat, data, press.at), role))
            case "p:":
                found = self._guarded(lambda: self._turned(press, role))
            case _:
                return expired(self.words)
        return None if found is None else replace(found, replaces=found.picture is None)

    def _guarded(self, work: Callable[[], Answer | None]) -> Answer | None:
        try:
            return work()
        except BotInputError as error:
            return answer_of(error.text(self.words))
        except BotLedgerError as error:
            return answer_of(f"⛔ {answers.refusal_text(error, self.words)}")

    def _turned(self, press: ButtonPress, role: Role) -> Answer | None:
        """Return another page of a list."""
        place = page_of(press.data[2:])
        if place is None:
            return expired(self.words)
        if not is_current(place, press.at):
            return too_old(place, self.words)
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
                return _which(message.text, accounts, self.words)
            found = replace(found, account=accounts[0])
        return self._reply(found, ledger, message, role, place)

    def _reply(
        self, found: Invocation, ledger: BotLedger, message: ChatMessage, role: Role, place: ListPage | None
    ) -> Answer | None:
        name = found.command.name
        if name in _LISTED:
            at = message.at.replace(microsecond=0)
            return page_answer(_LISTED[name](found, ledger, at, self.words), place or ListPage(_retyped(found), at), self.words)
        if place is not None:  # no list has this button
            return expired(self.words)
        if found.command.asks:
            return self.confirmations.ask(found, ledger, message, self.words)
        own: dict[str, Callable[[], Answer]] = {
            "start": lambda: answer_of(help_text(role, self.language)),
            "help": lambda: answer_of(help_text(role, self.language)),
            "approve": lambda: self.confirmations.show(found.code, message, self.words),
            "timezone": lambda: answer_of(self._zone_of(found.zone)),
            "alerts": lambda: answer_of(
                self.words.say("chat.no_alerts") if self.alerts_of is None else self.alerts_of(message.chat, self.words)
            ),
            "version": lambda: answer_of(models.version_text(ledger, self.stage, self.words)),
            "chart": lambda: self._chart(found, ledger, message.at),
        }
        if name in own:
            return own[name]()
        return answer_of(_READ[name](found, ledger, message.at, self.words), buttons=_refresh(found, self.words))

    def _chart(self, found: Invocation, ledger: BotLedger, at: datetime) -> Answer:
        """Return the candles of the last hours as a picture; without one, the words alone, which say so."""
        symbol, hours = str(found.symbol), found.hours or CHART_HOURS
        bars = ledger.bars(symbol, at - timedelta(hours=hours), at)
        text = figures.bars_text(symbol, hours, bars, self.words)
        if not bars:
            return answer_of(text)
        if self.paint is None:
            return answer_of(f"{text}\n{self.words.say('chart.not_here')}")
        try:
            picture = self.paint(RecentPrices(f"{symbol}, {hours} h", self.zone, tuple(bars)))
        except ChartUnavailableError as error:
            return answer_of(f"{text}\n{self.words.say('chart.failed', reason=str(error))}")
        return replace(answer_of(text), picture=picture)


def _newest(ledger: BotLedger, at: datetime) -> list[Signal]:
    """Return the newest signal of each symbol of the last day, sorted by symbol."""
    newest = {one.symbol: one for one in ledger.signals(at - timedelta(days=1), at)}
    return [newest[symbol] for symbol in sorted(newest)]


def _one_signal(found: Invocation, ledger: BotLedger, at: datetime, words: BotWords) -> str:
    of = next((one for one in _newest(ledger, at) if one.symbol == found.symbol), None)
    return words.say("signal.none", symbol=str(found.symbol)) if of is None else answers.signal_text(of, words)


def _signals(found: Invocation, ledger: BotLedger, at: datetime, words: BotWords) -> Listing:
    period = found.period or DEFAULT_PERIOD
    rows = [one for one in ledger.signals(at - period, at) if found.symbol in {None, one.symbol}]
    return answers.signals_listing(rows, period, words)


def _trades(found: Invocation, ledger: BotLedger, at: datetime, words: BotWords) -> Listing:
    period, account = found.period or DEFAULT_PERIOD, str(found.account)
    return answers.trades_listing(account, ledger.trades(account, at - period, at), period, words)


def _orders(found: Invocation, ledger: BotLedger, _at: datetime, words: BotWords) -> Listing:
    return answers.orders_listing(ledger.account(str(found.account)), words)


_LISTED: Final[dict[str, Callable[[Invocation, BotLedger, datetime, BotWords], Listing]]] = {
    "signals": _signals,
    "trades": _trades,
    "orders": _orders,
}


def _stats(found: Invocation, ledger: BotLedger, at: datetime, words: BotWords) -> str:
    period, account = found.period or timedelta(days=STATS_DAYS), str(found.account)
    trades, equity = ledger.trades(account, at - period, at), ledger.equity(account, at - period, at)
    return figures.stats_text(account, trades, equity, period, words)


def _costs(found: Invocation, ledger: BotLedger, at: datetime, words: BotWords) -> str:
    period, account = found.period or timedelta(days=STATS_DAYS), str(found.account)
    return figures.costs_text(account, ledger.equity(account, at - period, at), period, words)


def _performance(found: Invocation, ledger: BotLedger, at: datetime, words: BotWords) -> str:
    period, account = found.period or timedelta(days=STATS_DAYS), str(found.account)
    return figures.performance_text(account, ledger.trades(account, at - period, at), period, words)


def _calendar(found: Invocation, ledger: BotLedger, at: datetime, words: BotWords) -> str:
    period, account = found.period or timedelta(days=CALENDAR_DAYS), str(found.account)
    return figures.calendar_text(account, ledger.trades(account, at - period, at), period, words)


def _pnl(found: Invocation, ledger: BotLedger, at: datetime, words: BotWords, days: int = 1) -> str:
    period, account = found.period or timedelta(days=days), str(found.account)
    trades, equity = ledger.trades(account, at - period, at), ledger.equity(account, at - period, at)
    return figures.pnl_text(account, trades, equity, period, words)


def _status(_found: Invocation, ledger: BotLedger, at: datetime, words: BotWords) -> str:
    """Return what can be said now; a part that cannot be read is named and holds nothing else back."""
    accounts, unread = [], {}
    for one in ledger.accounts():
        try:
            accounts.append(ledger.account(one["account"]))
        except BotLedgerError as error:
            unread[one["account"]] = answers.refusal_text(error, words)
    try:
        newest: list[Signal] | None = _newest(ledger, at)
    except BotLedgerError as error:
        newest, unread[words.say("status.decisions")] = None, answers.refusal_text(error, words)
    return answers.status_text(accounts, newest, at, unread, words)


_Reading = Callable[[Invocation, BotLedger, datetime, BotWords], str]
_READ: Final[dict[str, _Reading]] = {
    "status": _status,
    "health": lambda _found, ledger, at, words: answers.health_text(_newest(ledger, at), at, words),
    "symbols": lambda _found, ledger, at, words: (
        "\n".join(one.symbol for one in _newest(ledger, at)) or words.say("health.no_symbol")
    ),
    "price": lambda found, ledger, at, words: answers.prices_text(
        [one for one in _newest(ledger, at) if found.symbol in {None, one.symbol}], at, words
    ),
    "signal": _one_signal,
    "risk": lambda found, ledger, _at, words: answers.risk_text(ledger.account(str(found.account)), words),
    "balance": lambda found, ledger, _at, words: answers.balance_text(ledger.account(str(found.account)), words),
    "positions": lambda found, ledger, _at, words: answers.positions_text(ledger.account(str(found.account)), words),
    "order": lambda found, ledger, _at, words: answers.order_text(ledger.order(str(found.account), found.order), words),
    "daily": _pnl,
    "weekly": lambda found, ledger, at, words: _pnl(found, ledger, at, words, 7),
    "monthly": lambda found, ledger, at, words: _pnl(found, ledger, at, words, 30),
    "pnl": _pnl,
    "calendar": _calendar,
    "stats": _stats,
    "performance": _performance,
    "costs": _costs,
    "models": lambda _found, ledger, at, words: figures.models_text(
        ledger.signals(at - DEFAULT_PERIOD, at), DEFAULT_PERIOD, words
    ),
    "model": lambda found, ledger, _at, words: models.model_text(ledger, found.model, words),
    "compare": lambda found, ledger, _at, words: models.compared_text(ledger, found.model, found.other, words),
    "readiness": lambda found, ledger, _at, words: answers.readiness_text(ledger.readiness(str(found.account)), words),
}


_REFRESHED: Final = frozenset({"status", "health", "price", "signal", "risk", "balance", "positions", "pnl", "stats"})


def _refresh(found: Invocation, words: BotWords) -> tuple[Button, ...]:
    """Return the button that asks again and edits the answer in place, where an answer ages within minutes."""
    data = RUN + _retyped(found)
    return (
        (Button(words.say("button.refresh"), data),)
        if found.command.name in _REFRESHED and len(data.encode()) <= MAX_DATA
        else ()
    )


def _retyped(found: Invocation) -> str:
    """Return a question as it could be typed, with the account that was meant."""
    hours = 0 if found.period is None else int(found.period.total_seconds() // 3600)
    period = "" if not hours else f"{hours // 24}d" if hours % 24 == 0 else f"{hours}h"
    return " ".join(["/" + found.command.name, *(one for one in (found.account, found.symbol, period) if one)])


def _which(text: str, accounts: list[str], words: BotWords) -> Answer:
    """Ask which account is meant: a button for each that fits into one."""
    if not accounts:
        return answer_of(words.say("which.none"))
    name, _, rest = text.strip().partition(" ")
    typed = {one: f"{name} {one} {rest}".strip() for one in accounts}
    buttons = tuple(Button(one, RUN + full) for one, full in typed.items() if len((RUN + full).encode()) <= MAX_DATA)
    return answer_of(words.say("which.one", accounts=", ".join(accounts)), buttons=buttons)
