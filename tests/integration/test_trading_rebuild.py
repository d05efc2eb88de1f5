"""Any history of an account: what was saved is loaded, and the facts alone make every projection again."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, TypeAlias

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings

from signalbox.adapters.postgres.connection import ConnectionSource
from signalbox.adapters.postgres.trading import PostgresTradingLedger
from signalbox.adapters.postgres.trading_reading import TradingReader
from signalbox.adapters.postgres.trading_rebuild import rebuild, verify
from signalbox.contracts import ADMIN_DATABASE_USER
from signalbox.orders.events import (
    OrderCanceled,
    OrderCancelRequested,
    OrderEvent,
    OrderUnconfirmed,
    OrderUpdated,
    OrderUpdateRequested,
)
from signalbox.orders.terms import Leg, OrderTerms, Side
from signalbox.portfolio.entries import Entry, FundingPayment, Transfer
from signalbox.portfolio.lots import LotMethod, StandingOrder
from signalbox.risk.ftmo.state import AccountDay
from signalbox.risk.snapshot import canonical_text
from signalbox.trading.account import TradingAccount, account_named
from signalbox.trading.changes import ChangeSet
from signalbox.trading.errors import AccountError
from signalbox.trading.state import AccountState, opened
from tests.builders import BTC, ETH, NOON, minutes
from tests.examples import examples
from tests.fakes.postgres_server import PostgresServer, app_source
from tests.integration.samples import VENUE
from tests.integration.test_trading_ledger_contract import everything
from tests.integration.trading_samples import ACCOUNT, SECOND, countable, denied, filled, sent, stepped, terms

pytestmark = pytest.mark.integration

AMOUNTS = st.decimals(min_value="0.000000000000000001", max_value=10**9, places=18, allow_nan=False) | st.sampled_from(
    [Decimal("1E+3"), Decimal("0.10"), Decimal("100.000"), Decimal(1)]
)
MONEY = st.decimals(min_value=-(10**9), max_value=10**9, places=18, allow_nan=False)
PROJECTIONS = {"orders": "client_order_id", "positions": "symbol", "lots": "lot_id", "disposals": "fill_id, place"}


def amount(draw: st.DrawFn, most: Decimal | None = None) -> str:
    found = draw(AMOUNTS)
    return str(found if most is None else min(found, most))


def an_order(draw: st.DrawFn, account: TradingAccount, at: Any, number: int) -> tuple[list[OrderEvent], OrderTerms]:
    """The events of one order: denied, or sent and then filled in parts, replaced, cancelled, in doubt, or left open."""
    of = terms(
        at + timedelta(microseconds=number),
        account=account,
        symbol=draw(st.sampled_from([BTC, ETH])),
        leg=draw(st.sampled_from(list(Leg))),
        side=draw(st.sampled_from(list(Side))),
        quantity=amount(draw),
        limit=draw(st.none() | AMOUNTS.map(str)),
    )
    if draw(st.integers(0, 5)) == 0:
        return list(denied(of)), of
    key, when = of.client_order_id, at + SECOND
    events: list[OrderEvent] = list(sent(of, at))
    left = of.quantity
    for part in range(draw(st.integers(0, 2))):
        quantity = Decimal(amount(draw, left))
        if not left:
            break
        left -= quantity
        fee = str(draw(MONEY))
        events.append(filled(of, f"{key[:8]}-{part}", when, quantity=str(quantity), price=amount(draw), fee=fee))
    if not left:
        return events, of
    match draw(st.integers(0, 4)):
        case 0:
            events += [
                OrderCancelRequested(client_order_id=key, at=when, request_id="c"),
                OrderUnconfirmed(client_order_id=key, at=when, attempt="c"),
            ]
        case 1:
            events.append(OrderCanceled(client_order_id=key, at=when, reason="asked"))
        case 2 if of.limit_price is not None:
            events.append(OrderUpdateRequested(client_order_id=key, at=when, request_id="u", limit_price=Decimal("5.50")))
            if draw(st.booleans()):
                events.append(OrderUpdated(client_order_id=key, at=when, request_id="u", venue_order_id="w"))
        case _:
            pass
    return events, of


Step: TypeAlias = tuple[datetime, list[OrderEvent], list[Entry], LotMethod | None]


@st.composite
def histories(draw: st.DrawFn) -> list[Step]:
    """Steps of an account, each a batch of orders and money."""
    account = account_named("ftmo-2step-100k", market=VENUE)
    number = 0
    steps: list[Step] = []
    for index in range(draw(st.integers(1, 4))):
        at = NOON + minutes(10 * index)
        events: list[OrderEvent] = []
        for _ in range(draw(st.integers(0, 4))):
            number += 1
            events += an_order(draw, account, at, number)[0]
        entries: list[Entry] = []
        if draw(st.booleans()):
            entries.append(Transfer(account=account.account, key=f"w{index}", at=at, amount=draw(MONEY)))
        if draw(st.booleans()):
            entries.append(FundingPayment(account=account.account, key=f"f{index}", at=at, symbol="SOL-USD", amount=draw(MONEY)))
        method = draw(st.none() | st.sampled_from(list(LotMethod)))
        steps.append((at, events, entries, method))
    return steps


def projections(postgres: PostgresServer, database: str) -> dict[str, list[Any]]:
    """Every row of every projection, numbers as numbers: 1.0 is 1."""
    return {
        name: [
            json.loads(text, parse_float=Decimal, parse_int=Decimal)
            for (text,) in postgres.execute(f"SELECT to_jsonb(t)::text FROM {name} AS t ORDER BY {key}", database)
        ]
        for name, key in PROJECTIONS.items()
    }


def differences(source: ConnectionSource, account: str) -> list[str]:
    return [str(difference) for difference in verify(source, account)]


@settings(max_examples=examples(25), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=histories())
def test_any_history_is_loaded_as_saved_and_made_again_from_its_facts(
    postgres: PostgresServer, history: list[tuple[Any, list[OrderEvent], list[Entry], LotMethod | None]]
) -> None:
    database = postgres.create_database()
    account = account_named("ftmo-2step-100k", market=VENUE)
    try:
        with app_source(postgres, database) as source, app_source(postgres, database) as other:
            ledger, reader = PostgresTradingLedger(source), PostgresTradingLedger(other)
            ledger.open_account(account, NOON - minutes(60), "anna")
            at, expected = NOON, None
            for at, events, entries, method in history:
                with ledger.transaction(account.account) as tx:
                    before = tx.load(at)
                    if method is not None:
                        given_ = (*before.books.standing_orders, StandingOrder(method, at, at))
                        before = replace(before, books=replace(before.books, standing_orders=given_))
                    after, changes = stepped(before, at + minutes(1), *events, entries=entries)
                    unordered = replace(before, books=replace(before.books, standing_orders=before.books.standing_orders[:-1]))
                    tx.save(unordered if method is not None else before, after, changes)
                with reader.transaction(account.account) as tx:
                    found = tx.load(at + minutes(1))
                expected = countable(after, at + minutes(1))
                assert found == expected
                assert canonical_text(found.books.cash) == canonical_text(expected.books.cash)
            assert differences(source, account.account) == []
            kept = projections(postgres, database)
            postgres.execute("UPDATE orders SET fees = fees + 1, reason = 'wrong'", database)
            postgres.execute("UPDATE accounts SET cash = cash + 1, newest_entry = NULL", database)
            for name in list(PROJECTIONS)[1:]:
                postgres.execute(f"DELETE FROM {name}", database)
            assert differences(source, account.account)
            with app_source(postgres, database, user=ADMIN_DATABASE_USER) as owner:
                rebuild(owner, account.account)
            assert differences(source, account.account) == []
            assert projections(postgres, database) == kept
            assert with_(reader, account.account, at + minutes(1)) == expected
    finally:
        postgres.drop_database(database)


def with_(ledger: PostgresTradingLedger, account: str, at: Any) -> AccountState:
    with ledger.transaction(account) as tx:
        return tx.load(at)


@pytest.fixture
def ledger(source: ConnectionSource) -> PostgresTradingLedger:
    found = PostgresTradingLedger(source)
    found.open_account(ACCOUNT, NOON - minutes(60), "anna")
    with found.transaction(ACCOUNT.account) as tx:
        before = tx.load(NOON)
        after, changes = everything(before)
        day = AccountDay(NOON.date(), Decimal(100_000), Decimal(95_000), Decimal("100000.50"), Decimal("99999.1"))
        tx.save(before, after, changes + ChangeSet(days=(day,)))
    return found


@pytest.mark.parametrize(
    ("statement", "reported"),
    [
        ("UPDATE orders SET filled = 0.25 WHERE type = 'LIMIT'", "filled: expected 0.1, got 0.25"),
        ("UPDATE orders SET state = 'ACCEPTED' WHERE type = 'LIMIT'", "state: expected PARTIALLY_FILLED, got ACCEPTED"),
        ("DELETE FROM orders WHERE type = 'LIMIT'", "row: expected there, got None"),
        ("UPDATE positions SET cost = cost + 0.000000000000000001 WHERE symbol = 'BTC-USD'", "positions paper-100k BTC-USD cost"),
        ("DELETE FROM positions WHERE symbol = 'ETH-USD'", "positions paper-100k ETH-USD row: expected there"),
        ("UPDATE lots SET opened_at = opened_at + interval '1 us'", "opened_at: expected 2024-03-01T12:00:0"),
        ("UPDATE disposals SET method = 'HIFO'", "method: expected FIFO, got HIFO"),
        ("UPDATE accounts SET cash = cash - 1", "accounts paper-100k cash"),
        ("DELETE FROM fills WHERE trade_id = 't4'", "fills BTC-USD t4 client_order_id"),
    ],
)
def test_projection_that_says_otherwise_is_told_with_both_values(
    postgres: PostgresServer,
    database: str,
    source: ConnectionSource,
    ledger: PostgresTradingLedger,
    statement: str,
    reported: str,
) -> None:
    assert verify(source, ACCOUNT.account) == ()
    postgres.execute(statement, database)
    assert any(reported in text for text in differences(source, ACCOUNT.account)), differences(source, ACCOUNT.account)


def test_reader_gives_a_period_as_it_was_written(source: ConnectionSource, ledger: PostgresTradingLedger) -> None:
    reader = TradingReader(source)
    facts = reader.period(ACCOUNT.account, NOON - minutes(90), NOON + minutes(60))
    after, changes = everything(opened(ACCOUNT, NOON - minutes(60)))
    assert facts.account == ACCOUNT
    assert facts.order_events == changes.order_events
    assert {order.client_order_id: order for order in facts.orders} == after.orders
    assert sorted(facts.entries[1:], key=lambda e: e.entry_id) == sorted(changes.entries, key=lambda e: e.entry_id)
    assert len(facts.fills) == 4
    assert facts.trades == reader.open_trades(ACCOUNT.account) == tuple(after.trades.values())
    assert facts.disposals == changes.disposals
    assert facts.equity == changes.equity
    assert facts.equity_before is None
    assert [day.date for day in facts.days] == [NOON.date()]
    assert facts.risk_events == changes.risk
    assert facts.halts == changes.halts
    assert reader.locks(ACCOUNT.account, NOON + minutes(30)) == after.locks[1:]
    assert reader.overview(ACCOUNT.account).halt == after.halt
    assert reader.overview(ACCOUNT.account).opened_by == "anna"
    assert reader.accounts() == (ACCOUNT,)


def test_periods_are_open_at_their_start_and_closed_at_their_end(source: ConnectionSource, ledger: PostgresTradingLedger) -> None:
    reader, moment = TradingReader(source), NOON + 10 * SECOND
    name = ACCOUNT.account
    assert len(reader.equity(name, moment - SECOND, moment)) == len(reader.halts(name, moment - SECOND, moment)) == 1
    assert reader.equity(name, moment, moment + SECOND) == ()
    assert reader.halts(name, moment, moment + SECOND) == ()
    assert reader.period(name, moment, moment + SECOND).equity_before == reader.equity(name, NOON, moment)[0]
    assert len(reader.orders(name, NOON, NOON + SECOND)) == 2
    assert [e.key for e in reader.entries(name, NOON + 4 * SECOND, NOON + 6 * SECOND)] == ["t3", "t4"]
    assert len(reader.trades(name, NOON - SECOND, NOON)) == 1
    assert len(reader.days(name, NOON.date(), NOON.date())) == 1
    assert reader.standing_orders(name) == ()
    with pytest.raises(AccountError, match="nobody"):
        reader.overview("nobody")
