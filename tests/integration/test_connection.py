"""The connection under faults: a server that restarts, locks that do not come, blocks that are wrong."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest

from signalbox.adapters.postgres.connection import ConnectionSource, DatabaseSettings
from signalbox.adapters.postgres.ledger import PostgresLedger
from signalbox.adapters.postgres.outbox import PostgresOutbox
from signalbox.ledger_errors import LedgerBusyError, LedgerError, LedgerRefusedError, LedgerUnavailableError
from signalbox.signals.ports import CycleState, SymbolRefusal
from tests.builders import BTC, NOON, candles
from tests.fakes.postgres_server import PostgresServer, app_source
from tests.integration.samples import SIGNAL, VENUE, stale

pytestmark = pytest.mark.integration

BACKEND = "SELECT pg_backend_pid()"


def backend(source: ConnectionSource) -> int:
    with source.transaction() as connection:
        row = connection.execute(BACKEND).fetchone()
    assert row is not None
    return int(row[0])


def rows(postgres: PostgresServer, database: str) -> dict[str, int]:
    tables = ("candles", "cycles", "cycle_parts", "signals", "refusals", "symbol_status", "outbox")
    return {name: n for name in tables if (n := postgres.execute(f"SELECT count(*) FROM {name}", database)[0][0])}


def test_session_waits_a_bounded_time_and_speaks_utc(postgres: PostgresServer, database: str) -> None:
    names = ("timezone", "statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout", "application_name")
    with app_source(postgres, database, application_name="generate_signals") as source, source.transaction() as connection:
        found = [connection.execute(f"SHOW {name}".encode()).fetchone() for name in names]
    assert found == [("UTC",), ("10s",), ("5s",), ("1min",), ("generate_signals",)]


def test_units_of_work_share_one_connection_and_log_in_once(postgres: PostgresServer, database: str) -> None:
    logins: list[str] = []

    def password() -> str:
        logins.append("login")
        return ""

    with ConnectionSource(postgres.settings(database), password) as source:
        assert logins == []
        assert backend(source) == backend(source)
        source.close()
        backend(source)
    assert logins == ["login", "login"]


def test_server_restarted_between_units_of_work_goes_unseen(
    postgres: PostgresServer, database: str, source: ConnectionSource
) -> None:
    ledger = PostgresLedger(source)
    with ledger.transaction() as tx:
        tx.mark_decided(VENUE, NOON)
    before = backend(source)
    postgres.restart()
    with ledger.transaction() as tx:
        assert tx.newest_decided_cycle(VENUE) == NOON
    assert backend(source) != before


def test_connection_killed_while_idle_goes_unseen(postgres: PostgresServer, database: str, source: ConnectionSource) -> None:
    postgres.execute(f"SELECT pg_terminate_backend({backend(source)}, 5000)")
    assert backend(source) > 0


def write_and_restart(postgres: PostgresServer, ledger: PostgresLedger, *, then_write: bool) -> None:
    with ledger.transaction() as tx:
        tx.lock_cycle(VENUE)
        tx.add_candles(VENUE, candles(BTC, NOON, 5))
        tx.record_part(VENUE, NOON, 1, 1)
        tx.add_signal(SIGNAL)
        tx.add_event(stale(), NOON)
        postgres.restart()
        if then_write:
            tx.add_refusal(VENUE, SymbolRefusal(BTC, NOON, "STALE_DATA", ""))


@pytest.mark.parametrize("then_write", [True, False], ids=["before-a-statement", "before-the-commit"])
def test_server_restarted_inside_a_unit_of_work_undoes_it_and_the_next_one_works(
    postgres: PostgresServer, database: str, source: ConnectionSource, then_write: bool
) -> None:
    ledger = PostgresLedger(source)
    with pytest.raises(LedgerUnavailableError):
        write_and_restart(postgres, ledger, then_write=then_write)
    assert rows(postgres, database) == {}
    with ledger.transaction() as tx:
        tx.lock_cycle(VENUE)
        assert tx.add_candles(VENUE, candles(BTC, NOON, 5)).inserted == 5
        assert tx.record_part(VENUE, NOON, 1, 1) is CycleState.READY
    assert rows(postgres, database) == {"candles": 5, "cycles": 1, "cycle_parts": 1}


def test_server_restarted_while_events_are_published_leaves_them_unpublished(
    postgres: PostgresServer, database: str, source: ConnectionSource
) -> None:
    with PostgresLedger(source).transaction() as tx:
        tx.add_event(stale(), NOON)
    outbox = PostgresOutbox(source)
    with pytest.raises(LedgerUnavailableError), outbox.claim(10):
        postgres.restart()
    with outbox.claim(10) as events:
        assert [event.event_id for event in events] == [stale().event_id]
    assert outbox.oldest_unpublished() is None


def test_server_that_is_not_there_is_unavailable_and_names_itself(tmp_path: Path) -> None:
    settings = DatabaseSettings(host=str(tmp_path), port=5432, name="signalbox", user="signalbox_app", sslmode="disable")
    with (
        ConnectionSource(settings, lambda: "") as source,
        pytest.raises(LedgerUnavailableError, match="as signalbox_app"),
        source.transaction(),
    ):
        pass


def test_password_stays_out_of_the_error(tmp_path: Path) -> None:
    settings = DatabaseSettings(host=str(tmp_path), port=5432, name="signalbox", user="signalbox_app", sslmode="disable")
    with (
        ConnectionSource(settings, lambda: "hunter2") as source,
        pytest.raises(LedgerUnavailableError) as caught,
        source.transaction(),
    ):
        pass
    assert "hunter2" not in str(caught.value)


def test_lock_that_does_not_come_in_time_is_busy_not_unavailable(postgres: PostgresServer, database: str) -> None:
    with app_source(postgres, database) as one, app_source(postgres, database, lock_timeout_ms=100) as two:
        warm = backend(two)
        with PostgresLedger(one).transaction() as holder:
            holder.lock_cycle(VENUE)
            with pytest.raises(LedgerBusyError), PostgresLedger(two).transaction() as tx:
                tx.lock_cycle(VENUE)
        assert backend(two) == warm  # the connection was good and is kept


def test_statement_that_runs_too_long_is_busy(postgres: PostgresServer, database: str) -> None:
    with (
        app_source(postgres, database, statement_timeout_ms=50) as source,
        pytest.raises(LedgerBusyError),
        source.transaction() as connection,
    ):
        connection.execute("SELECT pg_sleep(5)")


def swallow_a_failure(ledger: PostgresLedger) -> None:
    with ledger.transaction() as tx:
        tx.add_signal(SIGNAL)
        with suppress(psycopg.Error):
            tx.record_part(VENUE, NOON, 2, 1)


def test_block_that_goes_on_after_a_failed_statement_is_not_taken_for_committed(
    postgres: PostgresServer, database: str, source: ConnectionSource
) -> None:
    ledger = PostgresLedger(source)
    with pytest.raises(LedgerError, match="INERROR"):
        swallow_a_failure(ledger)
    assert rows(postgres, database) == {}
    with ledger.transaction() as tx:
        assert tx.add_signal(SIGNAL)


def test_refused_row_leaves_the_connection_usable(source: ConnectionSource) -> None:
    warm = backend(source)
    with pytest.raises(LedgerRefusedError), PostgresLedger(source).transaction() as tx:
        tx.record_part(VENUE, NOON, 2, 1)
    assert backend(source) == warm


def test_snapshot_reads_one_instant_and_writes_nothing(postgres: PostgresServer, database: str, source: ConnectionSource) -> None:
    with source.snapshot() as connection:
        assert connection.execute("SELECT count(*) FROM signals").fetchone() == (0,)
        with app_source(postgres, database) as other, PostgresLedger(other).transaction() as tx:
            tx.add_signal(SIGNAL)
        assert connection.execute("SELECT count(*) FROM signals").fetchone() == (0,)
    with pytest.raises(LedgerError), source.snapshot() as connection:
        connection.execute("INSERT INTO cycles VALUES ('coinbase', '2024-03-01 12:00+00')")


def test_threads_take_turns_on_one_source(source: ConnectionSource) -> None:
    inside = threading.Event()
    overlaps = []

    def work(_: int) -> None:
        with source.transaction() as connection:
            overlaps.append(inside.is_set())
            inside.set()
            connection.execute("SELECT pg_sleep(0.01)")
            inside.clear()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(8)))
    assert overlaps == [False] * 8
