"""What only a real database can show: roles, constraints, partitions, concurrent writers."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from decimal import Decimal

import psycopg
import pytest

from signalbox.adapters.postgres.connection import ConnectionSource
from signalbox.adapters.postgres.ledger import PostgresLedger
from signalbox.adapters.postgres.migrate import migrate
from signalbox.contracts import ADMIN_DATABASE_USER
from signalbox.ledger_errors import LedgerRefusedError
from signalbox.market.candles import ONE_MINUTE
from tests.builders import BTC, ETH, NOON, candle, candles, minutes
from tests.fakes.postgres_server import FUNCTIONS_USER, PostgresServer, app_source
from tests.integration.samples import VENUE

pytestmark = pytest.mark.integration

MARCH = datetime(2024, 3, 1, tzinfo=UTC)
PARTITIONS = "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'candles'::regclass ORDER BY 1"


@pytest.fixture
def ledger(source: ConnectionSource) -> PostgresLedger:
    return PostgresLedger(source)


def partitions(postgres: PostgresServer, database: str) -> list[str]:
    return [name for (name,) in postgres.execute(PARTITIONS, database)]


def test_bars_across_a_months_and_a_years_end_lie_in_their_months_and_read_as_one(
    postgres: PostgresServer, database: str, ledger: PostgresLedger
) -> None:
    new_year = datetime(2024, 1, 1, tzinfo=UTC)
    with ledger.transaction() as tx:
        tx.add_candles(VENUE, candles(BTC, MARCH + minutes(2), 4) + candles(BTC, new_year + minutes(2), 4))
        assert len(tx.bars(VENUE, BTC, MARCH + minutes(2), 100)) == 8
        assert len(tx.bars(VENUE, BTC, MARCH, 100)) == 6
    counts = postgres.execute("SELECT tableoid::regclass::text, count(*) FROM candles GROUP BY 1 ORDER BY 1", database)
    assert counts == [("candles_202312", 2), ("candles_202401", 2), ("candles_202402", 2), ("candles_202403", 2)]


def test_month_created_by_a_block_that_failed_is_created_again(
    postgres: PostgresServer, database: str, ledger: PostgresLedger
) -> None:
    def add_then_fail() -> None:
        with ledger.transaction() as tx:
            tx.add_candles(VENUE, [candle()])
            raise KeyError

    with pytest.raises(KeyError):
        add_then_fail()
    assert partitions(postgres, database) == []
    with ledger.transaction() as tx:
        assert tx.add_candles(VENUE, [candle()]).inserted == 1
    assert partitions(postgres, database) == ["candles_202403"]


def test_workers_that_need_the_same_new_months_at_once_all_succeed(postgres: PostgresServer, database: str) -> None:
    barrier = threading.Barrier(3)
    offered = candles(BTC, MARCH + minutes(30), 60)

    def deliver(_: int) -> int:
        with app_source(postgres, database) as source, PostgresLedger(source).transaction() as tx:
            barrier.wait(10)
            return tx.add_candles(VENUE, offered).inserted

    with ThreadPoolExecutor(3) as pool:
        inserted = list(pool.map(deliver, range(3)))
    assert sorted(inserted) == [0, 0, 60]
    assert partitions(postgres, database) == ["candles_202402", "candles_202403"]


def test_month_being_created_stops_neither_readers_nor_writers_of_others(postgres: PostgresServer, database: str) -> None:
    with app_source(postgres, database) as one, app_source(postgres, database, lock_timeout_ms=200) as two:
        with PostgresLedger(one).transaction() as tx:
            tx.add_candles(VENUE, [candle(BTC, NOON)])
        with PostgresLedger(one).transaction() as creating:
            creating.add_candles(VENUE, [candle(BTC, NOON + minutes(60 * 24 * 40))])
            with PostgresLedger(two).transaction() as tx:
                assert len(tx.bars(VENUE, BTC, NOON + ONE_MINUTE, 10)) == 1
                assert tx.add_candles(VENUE, [candle(BTC, NOON + ONE_MINUTE)]).inserted == 1


@pytest.mark.parametrize("year", [1999, 2100])
def test_bar_of_an_absurd_year_is_refused(ledger: PostgresLedger, year: int) -> None:
    with pytest.raises(LedgerRefusedError, match=f"was {year}"), ledger.transaction() as tx:
        tx.add_candles(VENUE, [candle(BTC, NOON.replace(year=year))])


def test_candle_that_another_worker_commits_meanwhile_is_compared_with_not_lost(postgres: PostgresServer, database: str) -> None:
    started = threading.Event()
    other = candle(close="101")

    def offer_other() -> tuple[int, int, int]:
        with app_source(postgres, database) as source, PostgresLedger(source).transaction() as tx:
            started.set()
            writes = tx.add_candles(VENUE, [other, candle(ETH)])  # waits for the first worker's row
            return writes.inserted, writes.unchanged, len(writes.conflicting)

    with ThreadPoolExecutor(1) as pool, app_source(postgres, database) as source:
        with PostgresLedger(source).transaction() as tx:
            tx.add_candles(VENUE, [candle(close="100")])
            waiting = pool.submit(offer_other)
            assert started.wait(10)
        assert waiting.result(10) == (1, 0, 1)
        with PostgresLedger(source).transaction() as tx:
            assert tx.close_price(VENUE, BTC, NOON - ONE_MINUTE) == Decimal(100)


CANDLE = "INSERT INTO candles VALUES ('coinbase', 'BTC-USD', '2024-03-01 {time}+00', {prices}, {volume})"
SIGNAL_ROW = (
    "INSERT INTO signals (symbol, decided_at, deployment, stage, direction, tier, probability_up, price, late, schema_name,"
    " schema_hash, features) VALUES ('BTC-USD', '2024-03-01 12:00+00', 'd', '{stage}', '{direction}', '{tier}', {probability},"
    " {price}, false, 'v31', 'abc', '{{}}')"
)
GOOD_CANDLE = {"time": "12:00", "prices": "10, 12, 9, 11", "volume": "1"}
GOOD_SIGNAL = {"stage": "shadow", "direction": "BUY", "tier": "HIGH", "probability": "0.7", "price": "1"}


@pytest.mark.parametrize(
    "statement",
    [
        CANDLE.format(**GOOD_CANDLE | {"time": "12:00:01"}),
        CANDLE.format(**GOOD_CANDLE | {"prices": "10, 9, 9, 9"}),  # high below open
        CANDLE.format(**GOOD_CANDLE | {"prices": "10, 12, 10.5, 11"}),  # low above open
        CANDLE.format(**GOOD_CANDLE | {"prices": "10, 12, 0, 11"}),
        CANDLE.format(**GOOD_CANDLE | {"prices": "10, 'NaN', 9, 11"}),
        CANDLE.format(**GOOD_CANDLE | {"prices": "10, 'Infinity', 9, 11"}),
        CANDLE.format(**GOOD_CANDLE | {"volume": "-1"}),
        CANDLE.format(**GOOD_CANDLE | {"volume": "'NaN'"}),
        CANDLE.format(**GOOD_CANDLE).replace("BTC-USD", "btcusd"),
        SIGNAL_ROW.format(**GOOD_SIGNAL | {"stage": "live"}),
        SIGNAL_ROW.format(**GOOD_SIGNAL | {"probability": "1.01"}),
        SIGNAL_ROW.format(**GOOD_SIGNAL | {"probability": "'NaN'"}),
        SIGNAL_ROW.format(**GOOD_SIGNAL | {"probability": "0.4"}),
        SIGNAL_ROW.format(**GOOD_SIGNAL | {"tier": "LOW"}),
        SIGNAL_ROW.format(**GOOD_SIGNAL | {"price": "0"}),
        "INSERT INTO cycles VALUES ('coinbase', '2024-03-01 12:00:30+00')",
        "INSERT INTO outbox (event_id, event_type, detail, created_at) VALUES ('b:a', 'b', '[1]', now())",
        "INSERT INTO outbox (event_id, event_type, detail, created_at) VALUES ('b:a', 'b', '{', now())",
        "INSERT INTO outbox (event_id, event_type, detail, created_at) VALUES ('c:a', 'b', '{}', now())",
        "INSERT INTO symbol_status VALUES ('BTC-USD', now(), NULL)",
    ],
)
def test_row_that_cannot_be_true_is_refused_whoever_writes_it(postgres: PostgresServer, database: str, statement: str) -> None:
    postgres.execute("SELECT ensure_candle_partitions(ARRAY[date '2024-03-01'])", database)
    with pytest.raises(psycopg.errors.CheckViolation):
        postgres.execute(statement, database)


def test_rows_the_bad_ones_were_made_from_are_accepted(postgres: PostgresServer, database: str) -> None:
    postgres.execute("SELECT ensure_candle_partitions(ARRAY[date '2024-03-01'])", database, FUNCTIONS_USER)
    for statement in (CANDLE.format(**GOOD_CANDLE), SIGNAL_ROW.format(**GOOD_SIGNAL)):
        postgres.execute(statement, database, FUNCTIONS_USER)
    assert postgres.execute("SELECT confidence FROM signals", database) == [(0.7,)]


@pytest.mark.parametrize(
    "statement",
    [
        "DROP TABLE signals",
        "ALTER TABLE signals ADD COLUMN note text",
        "TRUNCATE signals",
        "DELETE FROM signals",
        "DELETE FROM candles_202403",
        "DELETE FROM outbox",
        "UPDATE signals SET direction = 'SELL'",
        "UPDATE outbox SET detail = '{}'",
        "UPDATE candles SET open_time = now()",
        "UPDATE candle_revisions SET close = 1",
        "UPDATE cycles SET cycle_at = now()",
        "UPDATE schema_migrations SET sha256 = repeat('0', 64)",
        "CREATE TABLE mine (a int)",
        "CREATE TEMPORARY TABLE mine (a int)",
        "CREATE SCHEMA mine",
        "CREATE FUNCTION mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE ROLE mine",
        "SET ROLE signalbox_admin",
    ],
)
def test_application_role_cannot(postgres: PostgresServer, empty_database: str, statement: str) -> None:
    migrate(postgres.settings(empty_database, ADMIN_DATABASE_USER), "")
    postgres.execute("SELECT ensure_candle_partitions(ARRAY[date '2024-03-01'])", empty_database, FUNCTIONS_USER)
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        postgres.execute(statement, empty_database, FUNCTIONS_USER)


def test_owner_of_the_schema_is_no_superuser_and_others_may_not_even_log_in(
    postgres: PostgresServer, empty_database: str
) -> None:
    migrate(postgres.settings(empty_database, ADMIN_DATABASE_USER), "")
    postgres.execute("CREATE ROLE stranger LOGIN")
    try:
        with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
            postgres.execute("SELECT 1", empty_database, "stranger")
    finally:
        postgres.execute("DROP ROLE stranger")
    assert postgres.execute(f"SELECT rolsuper FROM pg_roles WHERE rolname = '{ADMIN_DATABASE_USER}'") == [(False,)]


def test_newest_bars_are_read_from_the_newest_months_alone(
    postgres: PostgresServer, database: str, ledger: PostgresLedger
) -> None:
    with ledger.transaction() as tx:
        for month in range(1, 7):
            tx.add_candles(VENUE, candles(BTC, datetime(2024, month, 2, tzinfo=UTC), 60))
    plan = postgres.execute(
        "EXPLAIN (ANALYZE, COSTS off, TIMING off) SELECT close FROM candles WHERE venue = 'coinbase' AND symbol = 'BTC-USD'"
        " AND open_time <= '2024-06-15 00:00+00' ORDER BY open_time DESC LIMIT 10",
        database,
    )
    text = "\n".join(line for (line,) in plan)
    assert "Sort" not in text
    assert text.count("never executed") == 5
