"""What a replay tells about an account: its numbers and its part of the page, from an account that really traded."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from local.cloud.accounts import AccountLine, AccountRecord, account_text, summarise_account
from local.replay.chart import draw_chart
from local.replay.report import render_page
from local.replay.summary import OK, ReplayRecord, summarise
from signalbox.adapters.postgres.trading_reading import AccountFacts
from signalbox.events import CycleDecided
from signalbox.market.candles import Bars
from signalbox.orders.lifecycle import replay
from signalbox.portfolio.account import EquitySnapshot
from signalbox.trading.commands import COMMANDS
from signalbox.trading.service import TradingService
from signalbox.trading.state import Halt
from tests.fakes.memory_trading import MemoryTradingDatabase, MemoryTradingLedger
from tests.unit.trading.market import BTC, ETH, SOL, START, signal, wave

END = START + timedelta(minutes=90)
NAME = "ftmo-2step-100k"


@pytest.fixture(scope="module")
def record() -> AccountRecord:
    return traded_account()


def traded_account() -> AccountRecord:
    """Ninety minutes of an account: a trade that closes, one that is open, an order refused, a signal held back, a halt."""
    database = MemoryTradingDatabase()
    for symbol in (BTC, ETH, SOL):
        database.add_candles("coinbase", wave(symbol, START - timedelta(hours=5), 8 * 60))
    service = TradingService(MemoryTradingLedger(database), market="coinbase")
    service.open(NAME, START, "test")
    for i in range(19):
        at = START + timedelta(minutes=5 * i)
        if i in {0, 1}:
            service.on_event(signal(BTC, at))
        if i == 14:
            service.on_event(signal(ETH, at, "SELL"))
        service.on_event(CycleDecided(venue="coinbase", cycle_at=at, symbols=(BTC, ETH, SOL), late=False))
    about = {"account": NAME, "requested_at": END}
    wanted = {"symbol": "SOL-USD", "side": "BUY", "type": "MARKET", "quantity": "100000"}
    service.on_command(COMMANDS.validate_python({**about, **wanted, "kind": "submit", "request_id": "req-1"}), "me")
    service.on_command(COMMANDS.validate_python({**about, "kind": "halt", "request_id": "req-2", "why": "<b>look</b>"}), "me")
    rows = database.accounts[NAME]
    events = list(rows.order_events.values())
    keys = dict.fromkeys(event.client_order_id for event in events)
    equity = tuple(point for point in rows.equity.values() if isinstance(point, EquitySnapshot))
    assert isinstance(rows.state.halt, Halt)
    facts = AccountFacts(
        account=rows.state.account,
        start=START,
        end=END,
        orders=tuple(replay([event for event in events if event.client_order_id == key]) for key in keys),
        order_events=tuple(events),
        entries=tuple(rows.entries.values()),
        trades=tuple(rows.trades.values()),
        disposals=tuple(rows.disposals.values()),
        equity=equity,
        equity_before=None,
        days=(),
        risk_events=tuple(rows.risk.values()),
        halts=(rows.state.halt,),
        standing_orders=(),
    )
    return AccountRecord(facts, rows.state)


def replayed(*accounts: AccountRecord) -> ReplayRecord:
    return ReplayRecord(
        source="test",
        symbols=(BTC, ETH, SOL),
        start=START,
        end=END,
        timings=(),
        signals=(),
        refusals=(),
        bars={symbol: Bars.from_candles(symbol, wave(symbol, START, 90)) for symbol in (BTC, ETH, SOL)},
        alerts_sent=0,
        duplicates_injected=0,
        duplicates_ignored=0,
        warnings=(),
        wall_seconds=1.0,
        stages_seconds={},
        exit=OK,
        accounts=accounts,
    )


def test_numbers_agree_with_the_facts(record: AccountRecord) -> None:
    found = summarise_account(record)
    fills = record.facts.fills
    assert (found["account"], found["mode"], found["fills"]) == (NAME, "paper", len(fills))
    assert (found["trades_opened"], found["trades_closed"], found["closed_by"]) == (2, 1, {"TIMEOUT": 1})
    assert Decimal(found["fees"]) == sum(fill.fee for fill in fills)
    assert Decimal(found["cash"]) == 100_000 - sum(fill.signed_quantity * fill.price + fill.fee for fill in fills)
    assert found["held_back"] == {"POSITION_OPEN": 1}
    assert sum(found["refused"].values()) == 1
    assert [halt["who"] for halt in found["halts"]] == ["me"]
    assert found["orders"] == sum(found["orders_by_state"].values())


def test_the_worst_moment_is_at_least_as_bad_as_every_moment_that_was_valued(record: AccountRecord) -> None:
    used = summarise_account(record)["worst_used"]
    lowest = min(point.equity for point in record.facts.equity)
    for rule, limit in (("max_daily_loss", 5_000), ("max_loss", 10_000)):
        assert Decimal(used[rule]["limit"]) == limit
        assert Decimal(used[rule]["used"]) >= 100_000 - lowest > 0
        assert Decimal(used[rule]["share"]) == round(Decimal(used[rule]["used"]) / limit, 6)


def test_an_account_without_rules_uses_no_limit(record: AccountRecord) -> None:
    without = AccountRecord(record.facts, record.state.__class__(record.account, record.state.books))
    assert summarise_account(without)["worst_used"] == {}


def test_page_shows_the_account_its_trades_and_stops_as_text(record: AccountRecord) -> None:
    made = replayed(record)
    page = render_page(made, summarise(made))
    assert f"Account {NAME}" in page
    assert "paper: no money moved" in page
    assert page.count("<polyline") == 1
    assert "TIMEOUT" in page
    assert "POSITION_OPEN" in page
    assert "daily loss" in page
    assert "<b>look</b>" not in page
    assert "&lt;b&gt;look&lt;/b&gt;" in page


def test_page_and_chart_are_made_with_and_without_accounts(record: AccountRecord) -> None:
    for accounts in ((), (record,)):
        made = replayed(*accounts)
        picture = draw_chart(made)
        assert picture.startswith(b"\x89PNG")
        assert (f"Account {NAME}" in render_page(made, summarise(made))) is bool(accounts)


def test_fills_and_trades_change_the_chart(record: AccountRecord) -> None:
    assert draw_chart(replayed(record)) != draw_chart(replayed())


def test_a_line_says_equity_profit_trades_and_whether_it_is_stopped() -> None:
    line = AccountLine("a", Decimal("99990.5"), Decimal("-9.5"), 1, 3, halted=True)
    assert account_text(line) == "a  equity 99,990.50 (-9.50)  open 1  closed 3  HALTED"
