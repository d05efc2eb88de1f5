"""What concerns every account, when one of them cannot take it: the others have had their turn, and it gets its own again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from typing_extensions import override

from signalbox.application.manage_orders import ManageOrders
from signalbox.events import CycleDecided, read_event
from signalbox.ledger_errors import LedgerBusyError, LedgerRefusedError, LedgerUnavailableError
from signalbox.signals.ports import OutboxEvent
from signalbox.trading.access import AccessControl
from signalbox.trading.commands import HaltTrading
from signalbox.trading.errors import AccountError, RowRefusedError, UnpricedError
from signalbox.trading.events import TurnMissed
from signalbox.trading.service import TradingService
from tests.builders import BTC
from tests.fakes.memory_access import MemoryAccessBook
from tests.fakes.memory_ledger import MemoryDatabase, MemoryOutbox
from tests.fakes.memory_trading import MemoryTradingLedger, MemoryTradingTransaction
from tests.unit.trading.market import ETH, SOL, START, signal

ACCOUNTS = ("paper-10k", "paper-20k", "paper-30k")
CYCLE = CycleDecided(venue="coinbase", cycle_at=START, symbols=(BTC, ETH, SOL), late=False)


OWNER = "arn:aws:iam::123456789012:user/owner"


class TroubledLedger(MemoryTradingLedger):
    """One account of it fails; the turns are counted."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error: Exception | None = error
        self.turns: list[str] = []

    @override
    @contextmanager
    def transaction(self, account: str) -> Iterator[MemoryTradingTransaction]:
        self.turns.append(account)
        if account == "paper-20k" and self.error is not None:
            raise self.error
        with super().transaction(account) as tx:
            yield tx


class Stage:
    def __init__(self, error: Exception) -> None:
        self.ledger = TroubledLedger(error)
        self.database, self.pauses = MemoryDatabase(), list[float]()
        self.app = ManageOrders(
            TradingService(self.ledger, "coinbase"), MemoryOutbox(self.database), self, accounts=ACCOUNTS,
            pause=self.pauses.append,
            gate=AccessControl(MemoryAccessBook(self.ledger.database.accounts), (OWNER,)),
        )  # fmt: skip
        self.app._open_accounts(START)
        self.ledger.turns.clear()

    def publish(self, _events: object) -> None:
        raise AssertionError("expected no look at the bus")

    def queued(self) -> list[TurnMissed]:
        found = [read_event(_envelope(event)) for event in self.database.events]
        assert all(isinstance(event, TurnMissed) for event in found)
        return found  # type: ignore[return-value]


def _envelope(event: OutboxEvent) -> str:
    return f'{{"source": "signalbox", "detail-type": "{event.event_type}", "detail": {event.detail}}}'


PASSING = (UnpricedError("no price"), LedgerBusyError("locked"), ZeroDivisionError("a bug"))


@pytest.mark.parametrize("error", PASSING)
@pytest.mark.parametrize("event", [CYCLE, signal(BTC)])
def test_the_others_have_their_turn_once_and_one_that_failed_gets_it_again_alone(error: Exception, event: CycleDecided) -> None:
    stage = Stage(error)
    handled = stage.app.handle(event)
    assert [one.account.account for one in handled] == ["paper-10k", "paper-30k"]
    assert (stage.ledger.turns, stage.pauses) == (list(ACCOUNTS), [])  # nobody waits for it
    (missed,) = stage.queued()
    assert (missed.account, missed.missed) == ("paper-20k", event)
    assert [(one.account, one.is_final) for one in stage.app.take_missed()] == [("paper-20k", False)]

    stage.ledger.turns.clear()
    stage.ledger.error = None
    assert [one.account.account for one in stage.app.handle(missed)] == ["paper-20k"]
    assert stage.ledger.turns == ["paper-20k"]


def test_a_missed_turn_that_fails_again_waits_in_its_own_group() -> None:
    stage = Stage(UnpricedError("no price"))
    stage.app.handle(CYCLE)
    with pytest.raises(UnpricedError):
        stage.app.handle(stage.queued()[0])


def test_the_same_turn_missed_twice_is_queued_once() -> None:
    stage = Stage(UnpricedError("no price"))
    stage.app.handle(CYCLE)
    stage.app.handle(CYCLE)
    assert len(stage.queued()) == 1


@pytest.mark.parametrize("error", [AccountError("gone"), LedgerRefusedError("NUL")])
def test_what_an_account_never_takes_is_told_and_not_queued(error: Exception) -> None:
    stage = Stage(error)
    assert len(stage.app.handle(CYCLE)) == 2
    assert stage.queued() == []
    assert [(one.account, one.is_final) for one in stage.app.take_missed()] == [("paper-20k", True)]
    assert stage.app.take_missed() == ()


def test_the_monitor_watches_the_others_and_says_whom_it_could_not() -> None:
    stage = Stage(LedgerBusyError("locked"))
    assert [one.account.account for one in stage.app.on_minute(START)] == ["paper-10k", "paper-30k"]
    assert [one.account for one in stage.app.take_missed()] == ["paper-20k"]
    assert stage.queued() == []  # the next minute makes up for it


@pytest.mark.parametrize("call", [lambda app: app.handle(CYCLE), lambda app: app.on_minute(START)])
def test_a_ledger_that_is_away_is_everybodys_trouble(call: Callable[[ManageOrders], object]) -> None:
    stage = Stage(LedgerUnavailableError("no connection"))
    with pytest.raises(LedgerUnavailableError):
        call(stage.app)
    assert len(stage.pauses) == 5


def test_a_row_that_the_ledger_refuses_is_refused_for_good() -> None:
    stage = Stage(LedgerRefusedError("a NUL"))
    halt = HaltTrading(account="paper-20k", request_id="req-1", requested_at=START, why="news")
    with pytest.raises(RowRefusedError, match="NUL"):
        stage.app.command(halt, OWNER)
    assert stage.pauses == []
