"""Statements that travel together: what an error stops, what stays prepared, what a lost server means."""

from __future__ import annotations

from contextlib import suppress

import psycopg
import pytest

from signalbox.adapters.postgres.connection import ConnectionSource
from signalbox.adapters.postgres.exchange import MOST_PREPARED
from signalbox.ledger_errors import LedgerError, LedgerRefusedError, LedgerUnavailableError
from tests.fakes.postgres_server import PostgresServer

pytestmark = pytest.mark.integration


def test_rows_come_in_the_order_of_the_statements(source: ConnectionSource) -> None:
    with source.unit() as unit:
        assert not unit.is_begun
        found = unit.begin([(b"SELECT $1::int + 1, NULL", (b"1",)), (b"SELECT unnest($1::text[])", (b"{a,b}",))])
        assert found == [[(b"2", None)], [(b"a",), (b"b",)]]
        assert unit.send([(b"SELECT 1 WHERE false", ())]) == [[]]


def test_statement_that_fails_stops_those_after_it_and_the_connection_goes_on(source: ConnectionSource) -> None:
    with pytest.raises(LedgerRefusedError, match="division by zero"), source.unit() as unit:
        unit.send(
            [(b"SELECT set_config('signalbox.seen', 'first', false)", ()), (b"SELECT 1 / $1::int", (b"0",)), (b"SELECT 2", ())]
        )
    with source.unit() as unit:
        assert unit.send([(b"SELECT 1 / $1::int", (b"1",)), (b"SELECT 2", ())]) == [[(b"1",)], [(b"2",)]]
        assert unit.send([(b"SELECT current_setting('signalbox.seen', true)", ())]) != [[(b"first",)]]


def test_last_statements_that_fail_commit_nothing(source: ConnectionSource) -> None:
    insert = (
        b"INSERT INTO outbox (event_id, event_type, detail, created_at) VALUES ('TradeOpened:' || $1, 'TradeOpened', '{}', now())"
    )
    with pytest.raises(LedgerRefusedError), source.unit() as unit:
        unit.commit_with([(insert, (b"a",)), (insert, (b"a",))])
    with source.unit() as unit:
        assert unit.send([(b"SELECT count(*) FROM outbox", ())]) == [[(b"0",)]]
        unit.commit_with([(insert, (b"a",))])
        assert not unit.is_open
    with source.unit() as unit:
        assert unit.send([(b"SELECT count(*) FROM outbox", ())]) == [[(b"1",)]]


def test_block_that_swallows_a_failed_statement_cannot_commit(source: ConnectionSource) -> None:
    def swallow() -> None:
        with source.unit() as unit:
            with suppress(psycopg.errors.DivisionByZero):
                unit.send([(b"SELECT 1 / 0", ())])
            unit.commit_with([(b"SELECT 1", ())])

    with pytest.raises(LedgerError, match="status INERROR"):
        swallow()


def test_server_forgets_statements_that_were_not_used_for_long(source: ConnectionSource) -> None:
    with source.unit() as unit:
        for number in range(3 * MOST_PREPARED):
            kept, found = unit.send([(b"SELECT 1", ()), (b"SELECT %d" % number, ())])
            assert (kept, found) == ([(b"1",)], [(b"%d" % number,)])
        ((count,),) = unit.send([(b"SELECT count(*) FROM pg_prepared_statements", ())])[0]
        assert count is not None
        assert MOST_PREPARED // 2 < int(count) <= MOST_PREPARED + 3


def test_server_killed_inside_a_unit_of_work_is_unavailable_and_the_next_one_works(
    postgres: PostgresServer, source: ConnectionSource
) -> None:
    def killed() -> None:
        with source.unit() as unit:
            ((pid,),) = unit.begin([(b"SELECT pg_backend_pid()", ())])[0]
            assert pid is not None
            postgres.execute(f"SELECT pg_terminate_backend({int(pid)}, 5000)")
            unit.send([(b"SELECT 1", ())])

    with pytest.raises(LedgerUnavailableError):
        killed()
    with source.unit() as unit:
        assert unit.send([(b"SELECT 1", ())]) == [[(b"1",)]]
