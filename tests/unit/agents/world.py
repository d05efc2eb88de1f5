"""The cloud's side of the mailbox, an agent, and a stand-in terminal, with a clock that moves only when a test says so."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from local.stand_ins.mt5 import TerminalStandIn
from signalbox.adapters.venues.mt5_mailbox import Keys, MailboxDirection, open_envelope, seal
from signalbox.events import BusEvent
from signalbox.orders.agent_answers import AgentAnswer, CommandRefused, CommandTaken
from signalbox.orders.events import OrderReleased
from signalbox.orders.messages import (
    ExecutionReported,
    ExecutionRequested,
    OrderInstruction,
    RestingExit,
    VenueViewReported,
    VenueViewRequested,
)
from signalbox.orders.order import Order
from signalbox.orders.terms import Leg, OrderTerms, OrderType
from signalbox.orders.venue_view import VenueView
from signalbox_mt5.agent import Agent
from signalbox_mt5.journal import Journal
from signalbox_mt5.mailbox import MailboxMessage
from signalbox_mt5.venue import TerminalVenue
from tests.builders import BTC, NOON
from tests.fakes.venues import Clock
from tests.unit.orders.samples import applied, new, terms
from tests.unit.orders.samples import asked as request_of

ACCOUNT, KEY, NEXT_KEY = "ftmo-1", b"k" * 32, b"n" * 32
NAMES = {BTC: "BTCUSD"}


def of_account(**changes: Any) -> OrderTerms:
    return terms(**{"account": ACCOUNT, "quantity": "0.1"} | changes)


def entry(**changes: Any) -> OrderTerms:
    """A market buy of 0.1."""
    return of_account(**changes)


def stop_of(of: OrderTerms, stop: str = "49000", **changes: Any) -> OrderTerms:
    """The protective stop of an entry."""
    facts = {"leg": Leg.STOP_LOSS, "side": of.side.opposite, "stop": stop, "reduce_only": True}
    return _leg_of(of, facts | changes)


def target_of(of: OrderTerms, price: str = "52000", **changes: Any) -> OrderTerms:
    facts = {"leg": Leg.TAKE_PROFIT, "side": of.side.opposite, "price": price, "reduce_only": True}
    return _leg_of(of, facts | changes)


def exit_of(of: OrderTerms, **changes: Any) -> OrderTerms:
    """A market order that leaves an entry's position."""
    return _leg_of(of, {"leg": Leg.EXIT, "side": of.side.opposite, "reduce_only": True} | changes)


def _leg_of(of: OrderTerms, changes: dict[str, Any]) -> OrderTerms:
    return of_account(**{"strategy": of.strategy, "decided_at": of.decided_at, "quantity": of.quantity} | changes)


def asked(of: OrderTerms, instruction: OrderInstruction = OrderInstruction.SUBMIT, **changes: Any) -> ExecutionRequested:
    """A request; of an exit with the entry of its decision."""
    is_trades = of.reduce_only and of.leg is not Leg.FLATTEN and "entry" not in changes
    facts = {"entry": of.entry_id} | changes if is_trades else changes
    return request_of(of, instruction, venue="mt5", **facts)


def viewed(*orders: OrderTerms, since: datetime = NOON - timedelta(hours=1), **changes: Any) -> VenueViewRequested:
    resting = [of for of in orders if of.reduce_only and of.type is not OrderType.MARKET]
    facts: dict[str, Any] = {
        "account": ACCOUNT,
        "venue": "mt5",
        "at": NOON,
        "since": since,
        "orders": tuple(of.client_order_id for of in orders),
        "symbols": (BTC,),
        "exits": tuple(RestingExit.of(released(of)) for of in resting),
    }
    return VenueViewRequested(**facts | changes)


def released(of: OrderTerms) -> Order:
    return applied(new(of), OrderReleased(client_order_id=of.client_order_id, at=NOON))


@dataclass
class Box:
    """Both queues in memory, answers apart from reports; `dies_at_…` stops the process as a power cut would."""

    waiting: list[str] = field(default_factory=list)
    reports: list[str] = field(default_factory=list)
    answers: list[AgentAnswer] = field(default_factory=list)
    postponed: list[int] = field(default_factory=list)
    patience: list[int] = field(default_factory=list)
    dies_at_report: bool = False
    dies_at_answer: bool = False

    def receive(self, seconds: int) -> list[MailboxMessage]:
        self.patience.append(seconds)
        return [MailboxMessage(self.waiting[0], "h")] if self.waiting else []

    def remove(self, delivery: MailboxMessage) -> None:
        self.waiting.remove(delivery.text)

    def put_back(self, delivery: MailboxMessage, seconds: int) -> None:
        self.postponed.append(seconds)

    def report(self, text: str, *, account: str, sequence: int) -> None:
        output = open_envelope(text, key=Keys(KEY, (NEXT_KEY,)), direction=MailboxDirection.REPORT, account=ACCOUNT).content()
        is_answer = isinstance(output, CommandTaken | CommandRefused)
        if self.dies_at_answer if is_answer else self.dies_at_report:
            raise SystemExit
        if isinstance(output, CommandTaken | CommandRefused):
            self.answers.append(output)
        else:
            self.reports.append(text)


class World:
    """A terminal, a mailbox, a journal file, and an agent that can be started again."""

    def __init__(self, folder: Path, *, margin_mode: int = 2) -> None:
        self.folder = folder
        self.terminal = TerminalStandIn(NOON, {"BTCUSD": (49_990.0, 50_010.5)}, margin_mode=margin_mode)
        self.box = Box()
        self.clock = Clock(NOON)
        self.sequence = 0
        self.journal = Journal(folder / "journal")
        self.restart()

    def restart(self, *, lose_journal: bool = False) -> None:
        path = self.folder / "journal"
        self.journal.close()
        if lose_journal:
            path.unlink()
        self.journal = Journal(path)
        venue = TerminalVenue(
            self.terminal,
            login=1,
            symbols={str(symbol): name for symbol, name in NAMES.items()},
            journal=self.journal,
            clock=self.clock,
        )
        self.agent = Agent(venue, self.journal, self.box, account=ACCOUNT, key=KEY, clock=self.clock)

    def pass_time(self, seconds: float, *, prices_move: bool = True) -> None:
        self.clock.now += timedelta(seconds=seconds)
        self.terminal.now = self.clock.now
        self.terminal.ticks_at = None if prices_move else (self.terminal.ticks_at or NOON)

    def command(self, event: BusEvent, *, key: bytes = KEY, account: str = ACCOUNT, sequence: int | None = None) -> str:
        self.sequence += 1
        text = seal(
            event,
            key=key,
            direction=MailboxDirection.COMMAND,
            account=account,
            sequence=sequence or self.sequence,
            sent_at=self.clock(),
        )
        self.box.waiting.append(text)
        return text

    def carry_out(self, event: BusEvent) -> BusEvent:
        """Send a command and return what was reported last; it must not have to wait."""
        count = len(self.box.reports)
        self.command(event)
        self.agent.step()
        assert len(self.box.reports) > count, f"it waits: {self.words()}"
        return self.last()

    def wait(self, event: BusEvent) -> None:
        """Send a command that has to wait."""
        count = len(self.box.reports)
        self.command(event)
        self.agent.step()
        assert (len(self.box.reports), self.box.waiting) == (count, [])
        assert self.journal.kept

    def words(self) -> list[str]:
        return [tried.words for tried in self.agent._tries.values()]

    def last(self) -> BusEvent:
        return self.reported()[-1]

    def reported(self) -> list[BusEvent]:
        return [
            open_envelope(text, key=Keys(KEY, (NEXT_KEY,)), direction=MailboxDirection.REPORT, account=ACCOUNT).event()
            for text in self.box.reports
        ]

    def submit(self, of: OrderTerms, **changes: Any) -> ExecutionReported:
        return self.report(asked(of, **changes))

    def cancel(self, of: OrderTerms) -> ExecutionReported:
        return self.report(asked(of, OrderInstruction.CANCEL))

    def report(self, event: BusEvent) -> ExecutionReported:
        found = self.carry_out(event)
        assert isinstance(found, ExecutionReported)
        return found

    def view(self, *orders: OrderTerms, **changes: Any) -> VenueView:
        found = self.carry_out(viewed(*orders, **changes))
        assert isinstance(found, VenueViewReported)
        return found.as_view()


def kinds(report: BusEvent) -> list[str]:
    assert isinstance(report, ExecutionReported)
    return [event.kind for event in report.events]


def reasons(report: ExecutionReported) -> list[Any]:
    return [getattr(event, "reason", None) for event in report.events]


def details(report: ExecutionReported) -> str:
    return " ".join(getattr(event, "detail", "") for event in report.events)
