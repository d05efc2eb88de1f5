"""The trading service on PostgreSQL: processes that die, two workers at once, an outbox that waits."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest

from signalbox.adapters.aws.trading_queue import handle_message
from signalbox.adapters.postgres.access import PostgresAccessBook
from signalbox.adapters.postgres.connection import ConnectionSource
from signalbox.adapters.postgres.ledger import PostgresLedger
from signalbox.adapters.postgres.outbox import PostgresOutbox
from signalbox.adapters.postgres.report_source import PostgresReports
from signalbox.adapters.postgres.trading import PostgresTradingLedger
from signalbox.adapters.postgres.trading_reading import AccountFacts, TradingReader
from signalbox.application.manage_orders import ManageOrders
from signalbox.events import CycleDecided, SignalGenerated
from signalbox.ledger_errors import LedgerUnavailableError
from signalbox.signals.ports import OutboxEvent
from signalbox.trading.access import AccessControl
from signalbox.trading.commands import HaltTrading
from signalbox.trading.errors import AccountUnreadableError
from signalbox.trading.service import TradingService
from tests.fakes.postgres_server import PostgresServer, app_source
from tests.unit.trading.market import BTC, ETH, SOL, START, signal, wave

ACCOUNT = "ftmo-2step-100k"
REPOSITORY = Path(__file__).parents[2]


class Bus:
    def __init__(self) -> None:
        self.published: list[str] = []
        self.is_away = False

    def publish(self, events: Sequence[OutboxEvent]) -> None:
        if self.is_away:
            raise ConnectionError("the bus is away")
        self.published += [event.event_id for event in events]


def application(source: ConnectionSource) -> ManageOrders:
    service = TradingService(PostgresTradingLedger(source), market="coinbase")
    return ManageOrders(service, PostgresOutbox(source), Bus(), accounts=(ACCOUNT,), pause=lambda _: None)


@pytest.fixture
def app(source: ConnectionSource) -> ManageOrders:
    with PostgresLedger(source).transaction() as tx:
        for symbol in (BTC, ETH, SOL):
            tx.add_candles("coinbase", wave(symbol, START - timedelta(hours=5), 8 * 60))
    return application(source)


def cycle(minutes: int) -> CycleDecided:
    return CycleDecided(venue="coinbase", cycle_at=START + timedelta(minutes=minutes), symbols=(BTC, ETH, SOL), late=False)


def facts(source: ConnectionSource) -> AccountFacts:
    return TradingReader(source).period(ACCOUNT, START - timedelta(days=1), START + timedelta(days=1))


def reported(app: ManageOrders, source: ConnectionSource, *events: CycleDecided | SignalGenerated) -> AccountFacts:
    for event in events:
        app.handle(event)
    return facts(source)


def test_a_signal_becomes_a_closed_trade_and_every_event_of_it_is_published_once(
    app: ManageOrders, source: ConnectionSource
) -> None:
    found = reported(app, source, signal(BTC), *(cycle(5 * i) for i in range(1, 15)))
    (trade,) = found.trades
    assert trade.closed_at is not None
    assert (app.publish(), app.publish()) == (2, 0)
    assert [event_id.split(":")[0] for event_id in app.bus.published] == ["TradeOpened", "TradeClosed"]  # type: ignore[attr-defined]


def test_every_event_twice_and_the_monitor_between_leave_the_same_facts(app: ManageOrders, source: ConnectionSource) -> None:
    once = reported(app, source, signal(BTC), cycle(5), cycle(10))
    for event in (signal(BTC), cycle(5), cycle(10)):
        app.handle(event)
    app.on_minute(START + timedelta(minutes=10))
    assert facts(source) == once


CRASHING = """
import os, sys
from signalbox.adapters.postgres.connection import ConnectionSource, DatabaseSettings
from tests.integration.test_service_on_postgres import application, cycle
from tests.unit.trading.market import BTC, signal
host, port, name, user = sys.argv[1:]
source = ConnectionSource(DatabaseSettings(host=host, port=int(port), name=name, user=user, sslmode="disable"), lambda: "")
app = application(source)
app.handle(signal(BTC))
app.handle(cycle(5))
os.kill(os.getpid(), 9)  # committed, not published
"""


def test_a_function_killed_between_commit_and_publish_leaves_its_events_to_the_relay(
    app: ManageOrders, source: ConnectionSource, postgres: PostgresServer, database: str
) -> None:
    with app_source(postgres, database) as other:
        settings = other._settings
    where = [settings.host, str(settings.port), settings.name, settings.user]
    killed = subprocess.run([sys.executable, "-c", CRASHING, *where], cwd=REPOSITORY, capture_output=True, check=False)
    assert killed.returncode == -9, killed.stderr.decode()
    before = facts(source)
    assert len(before.fills) == 1
    assert reported(app, source, signal(BTC), cycle(5)) == before  # the queue delivers both again
    assert app.publish() == 1
    assert app.bus.published[0].startswith("TradeOpened:")  # type: ignore[attr-defined]


def test_a_bus_that_is_away_keeps_the_events_and_the_account(app: ManageOrders, source: ConnectionSource) -> None:
    app.bus.is_away = True  # type: ignore[attr-defined]
    before = reported(app, source, signal(BTC), cycle(5))
    with pytest.raises(ConnectionError):
        app.publish()
    app.bus.is_away = False  # type: ignore[attr-defined]
    assert app.publish() == 1
    assert facts(source) == before


def test_two_workers_with_the_same_signal_enter_once(
    app: ManageOrders, source: ConnectionSource, postgres: PostgresServer, database: str
) -> None:
    with app_source(postgres, database) as other, ThreadPoolExecutor(2) as pool:
        workers = [pool.submit(worker.handle, signal(BTC)) for worker in (app, application(other))]
        for worker in workers:
            worker.result()
    found = facts(source)
    assert (len(found.orders), len(found.trades), len(found.entries)) == (1, 1, 1)


def test_a_database_restart_between_two_events_is_not_seen(
    app: ManageOrders, source: ConnectionSource, postgres: PostgresServer
) -> None:
    app.handle(signal(BTC))
    postgres.restart()
    assert len(reported(app, source, cycle(5)).fills) == 1


def test_a_database_that_stays_away_fails_the_delivery_so_that_the_queue_keeps_it(source: ConnectionSource) -> None:
    class Away:
        def __getattr__(self, _name: str) -> object:
            raise LedgerUnavailableError("no connection")

    pauses: list[float] = []
    app = ManageOrders(TradingService(Away(), "coinbase"), PostgresOutbox(source), Bus(), pause=pauses.append)  # type: ignore[arg-type]
    with pytest.raises(LedgerUnavailableError):
        app.handle(cycle(5))
    assert pauses == sorted(pauses)
    assert 5 < sum(pauses) < 10


def test_an_account_that_is_another_in_the_ledger_stays_and_is_named(app: ManageOrders, source: ConnectionSource) -> None:
    app.handle(cycle(0))
    kept = TradingReader(source).overview(ACCOUNT).account
    other = ManageOrders(
        TradingService(PostgresTradingLedger(source), market="kraken"), PostgresOutbox(source), Bus(), accounts=(ACCOUNT,)
    )
    other.handle(cycle(5))
    assert list(other.refused) == [ACCOUNT]
    assert TradingReader(source).overview(ACCOUNT).account == kept


def test_an_unreadable_account_stops_no_other_and_misses_its_turn_each_minute(
    app: ManageOrders, source: ConnectionSource, postgres: PostgresServer, database: str
) -> None:
    app.service.open("paper-50k", START, "ada")
    app.service.open("paper-70k", START, "ada")
    reported(app, source, signal(BTC), cycle(5))
    broken = '{"account": "paper-50k"}'
    postgres.execute(f"UPDATE accounts SET configuration = '{broken}' WHERE account = 'paper-50k' RETURNING account", database)
    assert len(reported(app, source, cycle(10)).fills) == 1
    assert app.take_missed() == ()
    watched = app.on_minute(START + timedelta(minutes=11))
    assert [one.account.account for one in watched] == [ACCOUNT, "paper-70k"]
    (missed,) = app.take_missed()
    assert (missed.account, missed.is_final) == ("paper-50k", True)
    assert "is invalid at" in str(missed.error)
    assert [one.account for one in TradingReader(source).accounts()] == [ACCOUNT, "paper-70k"]
    assert [one.account for one in PostgresReports(source).accounts()] == [ACCOUNT, "paper-70k"]
    halt = HaltTrading(account="paper-50k", request_id="req-1", requested_at=START, why="news").model_dump_json()
    who, book = "AIDAEXAMPLEEXAMPLE1", PostgresAccessBook(source)
    book.name_owners((who,), START)
    app.gate = AccessControl(book)
    with pytest.raises(AccountUnreadableError):  # no message about it is taken for done: it is tried again, then a dead letter
        handle_message(app, halt, sender=who, sent_ms=str(round(START.timestamp() * 1000)), keys=None)
