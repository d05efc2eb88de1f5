"""What only a real database can show of accounts: constraints, roles, workers that wait, crashes, restarts."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from decimal import Decimal
from types import MappingProxyType
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from signalbox.adapters.postgres.connection import ConnectionSource, Unit
from signalbox.adapters.postgres.outbox import PostgresOutbox
from signalbox.adapters.postgres.trading import PostgresTradingLedger
from signalbox.adapters.postgres.trading_reading import TradingReader
from signalbox.adapters.postgres.trading_rebuild import verify
from signalbox.adapters.postgres.trading_save import _numbered
from signalbox.adapters.postgres.trading_tables import RISK_EVENTS
from signalbox.ledger_errors import LedgerRefusedError, LedgerUnavailableError
from signalbox.orders.events import parse_order_events
from signalbox.orders.lifecycle import replay
from signalbox.risk.snapshot import LossRule
from signalbox.trading.changes import ChangeSet
from signalbox.trading.state import AccountState, TradeState
from signalbox.trading.warnings import DepletionWarning
from tests.builders import BTC, NOON, minutes
from tests.examples import examples
from tests.fakes.postgres_server import FUNCTIONS_USER, PostgresServer, app_source
from tests.integration.samples import DeliberateError
from tests.integration.test_trading_ledger_contract import everything
from tests.integration.trading_samples import ACCOUNT, OTHER, SECOND, countable, filled, sent, stepped, terms, trade_of

pytestmark = pytest.mark.integration

TABLES = (
    "accounts", "order_events", "orders", "fills", "account_entries", "positions", "lots", "disposals", "standing_orders",
    "trades", "equity_snapshots", "day_baselines", "risk_events", "halts", "locks", "outbox",
)  # fmt: skip
EVENTS_ONE_BY_ONE = "order_events, jsonb_array_elements(('[' || payload || ']')::jsonb) AS one"


@pytest.fixture
def ledger(source: ConnectionSource) -> PostgresTradingLedger:
    found = PostgresTradingLedger(source)
    found.open_account(ACCOUNT, NOON - minutes(60), "anna")
    return found


def loaded(ledger: PostgresTradingLedger, at: Any = NOON, *named: str) -> AccountState:
    with ledger.transaction(ACCOUNT.account) as tx:
        return tx.load(at, named)


def content(postgres: PostgresServer, database: str) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table, in one order."""
    return {name: postgres.execute(f"SELECT to_jsonb(t)::text FROM {name} AS t ORDER BY 1", database) for name in TABLES}


def full(ledger: PostgresTradingLedger) -> AccountState:
    before = loaded(ledger)
    after, changes = everything(before)
    with ledger.transaction(ACCOUNT.account) as tx:
        tx.save(before, after, changes)
    return after


def test_save_again_leaves_every_row_as_it_was(postgres: PostgresServer, database: str, ledger: PostgresTradingLedger) -> None:
    before = loaded(ledger)
    after, changes = everything(before)
    with ledger.transaction(ACCOUNT.account) as tx:
        tx.save(before, after, changes)
    once = content(postgres, database)
    assert all(rows or name in {"day_baselines", "standing_orders"} for name, rows in once.items())
    with ledger.transaction(ACCOUNT.account) as tx:
        tx.save(before, after, changes)
    assert content(postgres, database) == once


def test_events_of_a_step_are_in_the_outbox_once_and_in_order(source: ConnectionSource, ledger: PostgresTradingLedger) -> None:
    before = loaded(ledger)
    after, changes = everything(before)
    for _ in range(2):
        with ledger.transaction(ACCOUNT.account) as tx:
            tx.save(before, after, changes)
    with PostgresOutbox(source).claim(10) as events:
        assert [event.event_id for event in events] == [event.event_id for event in changes.events]


def test_fact_that_comes_again_with_other_data_is_refused(ledger: PostgresTradingLedger) -> None:
    before = loaded(ledger)
    bought = terms()
    after, changes = stepped(before, NOON, *sent(bought), filled(bought, "t1", NOON))
    with ledger.transaction(ACCOUNT.account) as tx:
        tx.save(before, after, changes)
    lying, other = stepped(before, NOON, *sent(bought), filled(bought, "t1", NOON, price="101"))
    with pytest.raises(LedgerRefusedError, match=r"conflicting duplicate of .* t1"), ledger.transaction(ACCOUNT.account) as tx:
        tx.save(before, lying, other)
    assert loaded(ledger, NOON, bought.client_order_id) == replace(countable(after, NOON), orders=after.orders)


def bought(before: AccountState) -> tuple[AccountState, ChangeSet]:
    """A step that writes nothing but new rows."""
    order = terms()
    return stepped(before, NOON, *sent(order), filled(order, "t1", NOON))


def test_new_rows_travel_with_the_commit_and_those_that_come_again_are_left(
    postgres: PostgresServer, database: str, ledger: PostgresTradingLedger
) -> None:
    before = loaded(ledger)
    after, changes = bought(before)
    with failing_after(10_000, lambda: None) as statements, ledger.transaction(ACCOUNT.account) as tx:
        tx.save(before, after, changes)
    assert statements == []
    once = content(postgres, database)
    assert len(changes.order_events) == 5
    assert len(once["order_events"]) == 2  # what was decided, and what the venue said
    with failing_after(10_000, lambda: None) as statements, ledger.transaction(ACCOUNT.account) as tx:
        tx.save(before, after, changes)
    assert len(statements) == 4  # back to before the save, once more with care, and events and fills compared
    assert content(postgres, database) == once
    assert loaded(PostgresTradingLedger(ledger._source)) == loaded(ledger)


def test_release_before_reads_and_writes_beside_this_one(
    postgres: PostgresServer, database: str, source: ConnectionSource, ledger: PostgresTradingLedger
) -> None:
    """Its own statements: it wrote a row an event, and joins what it reads into one array."""
    before, order, late = loaded(ledger), terms(), terms(NOON + SECOND)
    after, changes = stepped(before, NOON, *sent(order))
    with ledger.transaction(ACCOUNT.account) as tx:
        tx.save(before, after, changes)
    read = "SELECT payload FROM order_events WHERE client_order_id = ANY(%s::text[]) AND account = %s ORDER BY sequence"
    released = "SELECT at FROM order_events WHERE account = %s AND kind = 'OrderReleased' AND at > %s AND at <= %s"
    write = (
        "INSERT INTO order_events (event_id, client_order_id, account, kind, payload, at) SELECT * FROM unnest(%s::text[],"
        " %s::text[], %s::text[], %s::text[], %s::text[], %s::timestamptz[]) ON CONFLICT (event_id) DO NOTHING"
    )
    new = sent(late)
    columns = [[e.event_id for e in new], [e.client_order_id for e in new], [ACCOUNT.account] * len(new), [e.kind for e in new]]
    with source.transaction() as connection:
        payloads = [text for (text,) in connection.execute(read, ([order.client_order_id], ACCOUNT.account)).fetchall()]
        assert len(payloads) == 2
        assert parse_order_events(payloads) == list(changes.order_events)
        window = (ACCOUNT.account, NOON - SECOND, NOON)
        assert connection.execute(released, window).fetchall() == [(NOON,)]
        connection.execute(write, (*columns, [e.to_text() for e in new], [e.at for e in new]))
    with ledger.transaction(ACCOUNT.account) as tx:
        found = tx.order(late.client_order_id)
    assert found == replay(new)


def test_row_of_several_events_gives_a_period_its_own_alone(source: ConnectionSource, ledger: PostgresTradingLedger) -> None:
    before, order = loaded(ledger), terms()
    after, changes = stepped(before, NOON, *sent(order), filled(order, "t1", NOON + minutes(2)))
    with ledger.transaction(ACCOUNT.account) as tx:
        tx.save(before, after, changes)
    reader = TradingReader(source)
    instants = sorted({event.at for event in changes.order_events})
    assert len(instants) == 3
    for start in (NOON - SECOND, *instants):
        for end in (*instants, NOON + minutes(9)):
            found = reader.order_events(ACCOUNT.account, start, end)
            assert found == tuple(event for event in changes.order_events if start < event.at <= end)


@pytest.mark.parametrize("trade_id", ["t\0001", "\000", "t\000"])
def test_text_that_a_message_would_cut_off_is_refused(
    postgres: PostgresServer, database: str, ledger: PostgresTradingLedger, trade_id: str
) -> None:
    untouched = content(postgres, database)
    before = loaded(ledger)
    order = terms()
    after, changes = stepped(before, NOON, *sent(order), filled(order, trade_id, NOON))
    with pytest.raises(LedgerRefusedError, match="a NUL character"), ledger.transaction(ACCOUNT.account) as tx:
        tx.save(before, after, changes)
    assert content(postgres, database) == untouched
    assert loaded(ledger) == before


def test_what_was_saved_is_read_by_the_same_unit_of_work(ledger: PostgresTradingLedger) -> None:
    before = loaded(ledger)
    after, changes = bought(before)
    with ledger.transaction(ACCOUNT.account) as tx:
        tx.save(before, after, changes)
        assert len(tx.entries()) == 2
        assert tx.load(NOON) == countable(after, NOON)
    assert loaded(PostgresTradingLedger(ledger._source)) == countable(after, NOON)


def test_backend_killed_before_the_last_message_leaves_nothing(
    postgres: PostgresServer, database: str, ledger: PostgresTradingLedger
) -> None:
    untouched = content(postgres, database)

    def step(*, killed: bool) -> None:
        with ledger.transaction(ACCOUNT.account) as tx:
            before = tx.load(NOON)
            tx.save(before, *bought(before))
            if killed:
                postgres.execute(
                    f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '{database}'"
                    f" AND usename = '{FUNCTIONS_USER}'"
                )

    with pytest.raises(LedgerUnavailableError, match="outcome is unknown"):
        step(killed=True)
    assert content(postgres, database) == untouched
    step(killed=False)
    assert len(content(postgres, database)["fills"]) == 1


def test_warm_worker_whose_connection_died_while_idle_steps_on(
    postgres: PostgresServer, database: str, ledger: PostgresTradingLedger
) -> None:
    before = loaded(ledger)
    with ledger.transaction(ACCOUNT.account) as tx:
        tx.save(tx.load(NOON), *bought(before))
    postgres.execute(
        f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '{database}'"
        f" AND usename = '{FUNCTIONS_USER}'"
    )
    with ledger.transaction(ACCOUNT.account) as tx:
        state = tx.load(NOON)
        assert tx.was_kept
    assert state == loaded(PostgresTradingLedger(ledger._source))


def test_warm_worker_steps_on_when_a_migration_changed_the_type_of_a_column(
    postgres: PostgresServer, database: str, ledger: PostgresTradingLedger
) -> None:
    for _ in range(2):
        loaded(ledger)  # what reads an account is prepared from now on
    warning = {
        "text": DepletionWarning(LossRule.MAX_LOSS, None),
        "json_object_text": DepletionWarning(LossRule.MAX_DAILY_LOSS, NOON.date()),
    }
    for kind in ("text", "json_object_text"):
        postgres.execute(f"ALTER TABLE accounts ALTER COLUMN configuration TYPE {kind}", database)
        with suppress(LedgerUnavailableError):  # delivered again
            loaded(ledger)
        assert loaded(ledger).account == ACCOUNT
        with ledger.transaction(ACCOUNT.account) as tx:
            state = tx.load(NOON)
            tx.save(state, replace(state, warned=frozenset({warning[kind]})), ChangeSet())
    assert loaded(ledger).warned == frozenset({warning["json_object_text"]})


def test_two_workers_on_one_account_take_turns(postgres: PostgresServer, database: str, ledger: PostgresTradingLedger) -> None:
    workers, orders = 4, 12
    barrier = threading.Barrier(workers)

    def work(number: int) -> None:
        with app_source(postgres, database) as source:
            mine = PostgresTradingLedger(source)
            barrier.wait(10)
            for index in range(orders):
                with mine.transaction(ACCOUNT.account) as tx:
                    state = tx.load(NOON)
                    # every fill books on what the fills before it left: a lost update would lose money
                    count = len(tx.entries())
                    bought = terms(NOON + SECOND * (number * orders + index), quantity="1")
                    at = NOON + SECOND * count
                    after, changes = stepped(state, NOON, *sent(bought), filled(bought, f"t{count}", at, price="1.000001"))
                    tx.save(state, after, changes)

    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(work, range(workers)))
    books = loaded(ledger).books
    assert books.position(BTC).quantity == workers * orders
    assert books.cash == ACCOUNT.capital - workers * orders * (Decimal("1.000001") + Decimal("0.1"))
    with app_source(postgres, database) as source:
        assert verify(source, ACCOUNT.account) == ()


def test_workers_on_two_accounts_do_not_wait_for_each_other(
    postgres: PostgresServer, database: str, ledger: PostgresTradingLedger
) -> None:
    ledger.open_account(OTHER, NOON, "anna")
    with (
        app_source(postgres, database, lock_timeout_ms=200) as source,
        ledger.transaction(ACCOUNT.account),
        PostgresTradingLedger(source).transaction(OTHER.account) as tx,
    ):
        assert tx.load(NOON).account == OTHER


@contextmanager
def failing_after(statements: int, then: Any) -> Iterator[list[str]]:
    """Let `then` happen once so many statements of saves were sent; the list tells which."""
    sent_so_far: list[str] = []
    original = Unit.send

    def failing(self: Unit, sent: Any) -> Any:
        if len(sent_so_far) == statements:
            then()
        sent_so_far.extend(str(statement) for statement, _ in sent)
        return original(self, sent)

    Unit.send = failing  # type: ignore[method-assign, assignment]
    try:
        yield sent_so_far
    finally:
        Unit.send = original  # type: ignore[method-assign]


def statements_of_a_full_save(ledger: PostgresTradingLedger) -> int:
    before = loaded(ledger)
    after, changes = everything(before)
    with (
        suppress(DeliberateError),
        failing_after(10_000, lambda: None) as statements,
        ledger.transaction(ACCOUNT.account) as tx,
    ):
        tx.save(before, after, changes)
        raise DeliberateError
    return len(statements)


def raise_deliberately() -> None:
    raise DeliberateError


def kill_backends(postgres: PostgresServer, database: str) -> None:
    postgres.execute(
        f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '{database}'"
        f" AND usename = '{FUNCTIONS_USER}'"
    )


@pytest.mark.parametrize(("kills", "expected"), [(False, DeliberateError), (True, LedgerUnavailableError)])
def test_error_or_killed_backend_in_any_statement_of_a_save_leaves_nothing(
    postgres: PostgresServer, database: str, ledger: PostgresTradingLedger, kills: bool, expected: type[Exception]
) -> None:
    before = loaded(ledger)
    untouched = content(postgres, database)
    count = statements_of_a_full_save(ledger)
    assert count == 2  # locks make room for the new ones; everything else is one statement
    after, changes = everything(before)

    def fail() -> None:
        kill_backends(postgres, database) if kills else raise_deliberately()

    for statements in range(count):
        with pytest.raises(expected), failing_after(statements, fail), ledger.transaction(ACCOUNT.account) as tx:
            tx.save(before, after, changes)
        assert content(postgres, database) == untouched, f"after {statements} statements"

    def save_and_fail() -> None:
        with ledger.transaction(ACCOUNT.account) as tx:
            tx.save(before, after, changes)
            fail()

    with pytest.raises(expected):
        save_and_fail()
    assert content(postgres, database) == untouched
    with ledger.transaction(ACCOUNT.account) as tx:
        tx.save(before, after, changes)
    assert loaded(ledger, NOON + minutes(1)) == countable(after, NOON + minutes(1))


def test_server_restarted_under_load_loses_and_doubles_nothing(
    postgres: PostgresServer, database: str, ledger: PostgresTradingLedger
) -> None:
    """Each worker redelivers a batch until it was committed; an answer that was lost makes some of them twice delivered."""
    workers, batches, size = 2, 25, 4
    under_way = threading.Semaphore(0)

    def deliver(mine: PostgresTradingLedger, number: int, batch: int) -> None:
        orders = [terms(NOON + SECOND * (1000 * number + batch * size + i), quantity="1", limit="99.5") for i in range(size)]
        with mine.transaction(ACCOUNT.account) as tx:
            state = tx.load(NOON, [order.client_order_id for order in orders])
            fresh = [order for order in orders if order.client_order_id not in state.orders]
            events = [event for order in fresh for event in sent(order)]
            events += [filled(o, f"t-{o.client_order_id[:12]}", o.decided_at, price="99.5") for o in fresh]
            entries = len(tx.entries())
            events = [e.model_copy(update={"at": NOON + SECOND * entries}) if e.kind == "OrderFilled" else e for e in events]
            after, changes = stepped(state, NOON, *events)
            tx.save(state, after, changes)

    def deliver_until_committed(mine: PostgresTradingLedger, number: int, batch: int) -> None:
        while True:
            with suppress(LedgerUnavailableError):
                deliver(mine, number, batch)
                return

    def work(number: int) -> None:
        with app_source(postgres, database) as source:
            mine = PostgresTradingLedger(source)
            for batch in range(batches):
                for _ in range(2):  # queues deliver again now and then, whatever became of the first time
                    deliver_until_committed(mine, number, batch)
                under_way.release()

    with ThreadPoolExecutor(workers) as pool:
        running = [pool.submit(work, number) for number in range(workers)]
        for _ in range(2):
            for _ in range(8):
                assert under_way.acquire(timeout=30)
            postgres.restart()
        for future in running:
            future.result(60)
    total = workers * batches * size
    assert postgres.execute("SELECT count(*), count(DISTINCT client_order_id) FROM orders", database) == [(total, total)]
    assert postgres.execute("SELECT count(*) FROM fills", database) == [(total,)]
    assert postgres.execute(f"SELECT count(*) FROM {EVENTS_ONE_BY_ONE}", database) == [(total * 5,)]
    assert loaded(ledger).books.position(BTC).quantity == total
    with app_source(postgres, database) as source:
        assert verify(source, ACCOUNT.account) == ()


@pytest.mark.parametrize("known", ["analysed", "never analysed"])
def test_pre_trade_reading_uses_indexes_alone(
    postgres: PostgresServer, database: str, ledger: PostgresTradingLedger, known: str
) -> None:
    postgres.execute(
        "INSERT INTO order_events (event_id, client_order_id, account, kind, at, payload)"
        " SELECT 'e' || n, md5(n::text), 'paper-100k', 'OrderReleased', timestamptz '2024-01-01' + n * interval '1 s', '{}'"
        " FROM generate_series(1, 20000) AS n",
        database,
    )
    postgres.execute(
        "INSERT INTO orders (client_order_id, account, strategy, symbol, decided_at, leg, side, type, time_in_force, reduce_only,"
        " send_before, state, quantity, filled, filled_value, fees, closed_at) SELECT md5(n::text), 'paper-100k', 's', 'BTC-USD',"
        " timestamptz '2024-01-01' + n * interval '1 s', 'ENTRY', 'BUY', 'MARKET', 'GTC', false, '2025-01-01', 'FILLED', 1, 1, 1,"
        " 0, '2024-02-01' FROM generate_series(1, 20000) AS n",
        database,
    )
    postgres.execute(
        "INSERT INTO fills SELECT 'paper-100k', 'BTC-USD', 'old-' || n, md5(n::text),"
        " timestamptz '2024-01-01' + n * interval '1 s', 'BUY', 1, 100, 0 FROM generate_series(1, 20000) AS n",
        database,
    )
    if known == "analysed":
        postgres.execute("ANALYZE", database)
    after = full(ledger)
    wanted = countable(after, NOON + minutes(1)).orders.keys()
    reads = (
        "SELECT relname, seq_tup_read FROM pg_stat_user_tables WHERE relname IN ('orders', 'order_events', 'fills') ORDER BY 1"
    )
    with ledger._source.transaction() as connection:
        connection.execute("SELECT pg_stat_force_next_flush()")
    before = postgres.execute(reads, database)
    for _ in range(8):  # more than the five times after which a prepared statement may keep its plan
        assert loaded(ledger, NOON + minutes(1)).orders.keys() == wanted
    with ledger._source.transaction() as connection:
        connection.execute("SELECT pg_stat_force_next_flush()")
    assert postgres.execute(reads, database) == before


GOOD = {
    "order_events": "'e', repeat('a', 32), 'paper-100k', 'OrderReleased', now(), '{}'",
    "positions": "'paper-100k', 'BTC-USD', 1, 100, 0, 0, 0, 100",
    "fills": "'paper-100k', 'BTC-USD', 't', NULL, now(), 'BUY', 1, 100, 0",
    "account_entries": "'paper-100k', 'Transfer', 'k', now(), NULL, -5",
    "lots": "'paper-100k', 'l', 'BTC-USD', now(), -1, 100, 0",
    "locks": "'paper-100k', 0, 'COOLDOWN_ACTIVE', NULL, now(), now() + interval '1 min', 1, 1",
    "halts": "'paper-100k', now(), 'HALT', 'anna', 'why', NULL",
    "equity_snapshots": "'paper-100k', now(), 100, 100, 5, 105, 5, 100, 0, 0, 0, '{}'",
    "day_baselines": "'paper-100k', '2024-03-01', 1, 1, 1, 1",
    "standing_orders": "'paper-100k', now(), 'HIFO', now()",
}
COLUMNS = {"order_events": " (event_id, client_order_id, account, kind, at, payload)"}


@pytest.mark.parametrize("table", GOOD)
def test_row_the_bad_ones_are_made_from_is_accepted(
    postgres: PostgresServer, database: str, ledger: PostgresTradingLedger, table: str
) -> None:
    postgres.execute(f"INSERT INTO {table}{COLUMNS.get(table, '')} VALUES ({GOOD[table]})", database, FUNCTIONS_USER)


@pytest.mark.parametrize(
    ("table", "good", "bad"),
    [
        ("order_events", "'OrderReleased'", "'OrderEaten'"),
        ("order_events", "'{}'", "'[]'"),
        ("order_events", "'{}'", "'{}, 1'"),
        ("order_events", "'{}'", "'{},'"),
        ("order_events", "'{}'", "'{}{}'"),
        ("order_events", "repeat('a', 32)", "repeat('a', 31)"),
        ("order_events", "repeat('a', 32)", "repeat('A', 32)"),
        ("order_events", "'e'", "''"),
        ("order_events", "'paper-100k'", "'nobody'"),
        ("positions", "1, 100, 0", "0, 100, 0"),
        ("positions", "1, 100, 0", "1, 'NaN', 0"),
        ("positions", "1, 100, 0", "1, 'Infinity', 0"),
        ("positions", "'BTC-USD'", "'btcusd'"),
        ("positions", "'BTC-USD'", "'BTC-USD-USD'"),
        ("positions", "'BTC-USD'", "'BTC-USD '"),
        ("fills", "'BUY', 1, 100", "'HOLD', 1, 100"),
        ("fills", "'BUY', 1, 100", "'BUY', 0, 100"),
        ("fills", "'BUY', 1, 100", "'BUY', 1, -100"),
        ("account_entries", "'Transfer'", "'Gift'"),
        ("account_entries", "NULL, -5", "'BTC-USD', -5"),
        ("account_entries", "NULL, -5", "NULL, '-Infinity'"),
        ("lots", "-1, 100", "0, 100"),
        ("locks", "interval '1 min'", "interval '0 min'"),
        ("halts", "'HALT'", "'PAUSE'"),
        ("halts", "'anna'", "''"),
        ("equity_snapshots", "5, 105", "5, 106"),
        ("equity_snapshots", "100, 0, 0, 0, '{}'", "100, 1, 0, 0, '{}'"),
        ("equity_snapshots", "'{}'", "'1'"),
        ("day_baselines", "1, 1, 1, 1", "1, 1, 1, 'NaN'"),
        ("standing_orders", "'HIFO'", "'HIGHEST'"),
        ("standing_orders", "'HIFO', now()", "'HIFO', now() + interval '1 day'"),
    ],
)
def test_row_that_cannot_be_true_is_refused(
    postgres: PostgresServer, database: str, ledger: PostgresTradingLedger, table: str, good: str, bad: str
) -> None:
    assert good in GOOD[table]
    with pytest.raises((psycopg.errors.CheckViolation, psycopg.errors.ForeignKeyViolation)):
        postgres.execute(f"INSERT INTO {table}{COLUMNS.get(table, '')} VALUES ({GOOD[table].replace(good, bad, 1)})", database)


def test_order_key_of_other_characters_is_refused(postgres: PostgresServer, database: str, ledger: PostgresTradingLedger) -> None:
    other = GOOD["order_events"].replace("repeat('a', 32)", "repeat('g', 32)")
    with pytest.raises(psycopg.errors.InvalidParameterValue):
        postgres.execute(f"INSERT INTO order_events{COLUMNS['order_events']} VALUES ({other})", database)


def test_account_that_is_locked_vouches_for_its_own_rows_alone(source: ConnectionSource, ledger: PostgresTradingLedger) -> None:
    row = "'e', repeat('a', 32), '{}', 'OrderReleased', now(), '{{}}'"
    insert = f"INSERT INTO order_events{COLUMNS['order_events']} VALUES ({row})"
    with ledger.transaction(ACCOUNT.account) as tx:
        tx.connection.execute(insert.format(ACCOUNT.account).encode())
    ledger.open_account(OTHER, NOON, "anna")
    with ledger.transaction(ACCOUNT.account) as tx:  # of another account that exists, too
        tx.connection.execute(insert.format(OTHER.account).replace("'e'", "'f'").encode())
    with (
        pytest.raises(LedgerRefusedError, match="expected an account that exists, was nobody"),
        ledger.transaction(ACCOUNT.account) as tx,
    ):
        tx.connection.execute(insert.format("nobody").replace("'e'", "'g'").encode())
    with pytest.raises(LedgerRefusedError, match="was nobody"), source.transaction() as connection:
        connection.execute(insert.format("nobody").encode())


@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "detail": st.text(st.characters(codec="utf-8", exclude_characters="\x00")) | st.sampled_from(["NULL", "", "{}"]),
                "limit_text": st.none() | st.text(st.characters(codec="utf-8", exclude_characters="\x00")),
                "value_amount": st.none() | st.decimals(-(10**9), 10**9, places=9),
            }
        ),
        min_size=1,
        max_size=4,
    )
)
@settings(max_examples=examples(60), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_rows_are_read_as_they_were_offered(ledger: PostgresTradingLedger, given_rows: list[dict[str, Any]]) -> None:
    known = {"account": ACCOUNT.account, "kind": "TEST", "at": NOON.isoformat(), "code": "c", "who": "w"}
    rows = [{**dict.fromkeys(RISK_EVENTS.columns), **known, "key": str(place), **given} for place, given in enumerate(given_rows)]
    names, values = RISK_EVENTS.offered(rows)
    with suppress(DeliberateError), ledger._source.unit() as unit:
        unit.send([(_numbered(RISK_EVENTS.statement(names, None)), values)])
        read = "SELECT detail, limit_text, value_amount FROM risk_events WHERE kind = 'TEST' ORDER BY sequence"
        found = unit.connection.execute(read.encode()).fetchall()
        raise DeliberateError
    assert found == [(row["detail"], row["limit_text"], row["value_amount"]) for row in rows]


@pytest.mark.parametrize(
    "change",
    [
        "state = 'EATEN'", "state = 'FILLED', closed_at = NULL", "filled = -1", "filled = 0", "quantity = 0",
        "limit_price = NULL", "stop_price = 1", "expires_at = '2024-03-02'", "send_before = decided_at", "fees = 'NaN'",
        "leg = 'SIDE'", "pending = '1'",
    ],
)  # fmt: skip
def test_order_that_cannot_be_is_refused(
    postgres: PostgresServer, database: str, ledger: PostgresTradingLedger, change: str
) -> None:
    full(ledger)
    assert postgres.execute("SELECT count(*) FROM orders WHERE type = 'LIMIT' AND filled > 0", database) == [(1,)]
    with pytest.raises(psycopg.errors.CheckViolation):
        postgres.execute(f"UPDATE orders SET {change} WHERE type = 'LIMIT'", database)


def test_account_has_one_open_trade_a_symbol(ledger: PostgresTradingLedger) -> None:
    before = loaded(ledger)
    first, second = trade_of(terms()), trade_of(terms(NOON + SECOND))
    after = replace(before, trades=MappingProxyType({BTC: second}))
    with pytest.raises(LedgerRefusedError, match="trades_one_a_symbol"), ledger.transaction(ACCOUNT.account) as tx:
        tx.save(before, after, ChangeSet(trades=(first, second)))
    with ledger.transaction(ACCOUNT.account) as tx:
        tx.save(before, after, ChangeSet(trades=(replace(first, state=TradeState.ABANDONED), second)))
    assert loaded(ledger).trades == after.trades


@pytest.mark.parametrize(
    "statement",
    [
        *(f"DELETE FROM {table}" for table in TABLES if table not in {"positions", "lots", "disposals", "locks"}),
        *(f"TRUNCATE {table} CASCADE" for table in TABLES),
        "UPDATE order_events SET payload = '{}'",
        "UPDATE fills SET price = 1",
        "UPDATE account_entries SET amount = 1",
        "UPDATE equity_snapshots SET cash = 1",
        "UPDATE day_baselines SET baseline = 1",
        "UPDATE risk_events SET code = 'x'",
        "UPDATE halts SET level = 'NONE'",
        "UPDATE disposals SET quantity = 1",
        "UPDATE accounts SET configuration = '{}'",
        "UPDATE orders SET client_order_id = repeat('b', 32)",
        "UPDATE orders SET side = 'SELL'",
        "UPDATE trades SET symbol = 'ETH-USD'",
    ],
)
def test_application_role_cannot(postgres: PostgresServer, database: str, ledger: PostgresTradingLedger, statement: str) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        postgres.execute(statement, database, FUNCTIONS_USER)
