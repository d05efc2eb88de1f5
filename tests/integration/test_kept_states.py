"""A worker that keeps the state it saved always has the state that the rows make, whoever stepped the account last."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import datetime, timedelta

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from local.bench.submission import BEGIN, MARKET, bench_account, flat_candles, numbered, open_bench_account, parse_roomy, step
from signalbox.adapters.postgres.arrays import text_array
from signalbox.adapters.postgres.connection import ConnectionSource
from signalbox.adapters.postgres.ledger import PostgresLedger
from signalbox.adapters.postgres.trading import PostgresTradingLedger
from signalbox.adapters.postgres.trading_rebuild import rebuild
from signalbox.contracts import ADMIN_DATABASE_USER
from signalbox.trading import operator_orders
from signalbox.trading.state import AccountState
from tests.fakes.postgres_server import PostgresServer, app_source

pytestmark = pytest.mark.integration
NAME = bench_account(0).account
LATER = BEGIN + timedelta(seconds=1)


class DeliberateError(Exception):
    """Ends a unit of work."""


@pytest.fixture
def source(postgres: PostgresServer, database: str) -> Iterator[ConnectionSource]:
    with app_source(postgres, database) as found:
        with PostgresLedger(found).transaction() as tx:
            tx.add_candles(MARKET, flat_candles(4))
        open_bench_account(PostgresTradingLedger(found, parse_roomy), 0)
        yield found


def loaded(ledger: PostgresTradingLedger, at: datetime, named: Collection[str] = ()) -> tuple[AccountState, bool]:
    """Return the account state, and whether it is the one that the worker kept."""
    with ledger.transaction(NAME) as tx:
        return tx.load(at, named), tx.was_kept


def submitted(ledger: PostgresTradingLedger, at: datetime, numbers: range, *, fails: bool = False) -> None:
    batch = numbered(numbers, NAME)
    with ledger.transaction(NAME) as tx:
        state = tx.load(at, batch)
        after, changes = step(state, batch, at)
        tx.save(state, after, changes)
        if fails:
            raise DeliberateError


@pytest.mark.parametrize("seed", range(4))
def test_kept_desk_is_the_desk_that_the_rows_make(source: ConnectionSource, seed: int) -> None:
    rng, at, served = np.random.default_rng(seed), BEGIN, 0
    workers = [PostgresTradingLedger(source, parse_roomy) for _ in range(2)]
    for turn in range(12):
        at += timedelta(milliseconds=int(rng.choice((10, 400, 70_000 if turn == 9 else 900))))
        first = turn * 5 - int(rng.choice((0, 0, 3)))  # some orders come again
        worker = workers[rng.integers(2)]
        if rng.random() < 0.2:
            with pytest.raises(DeliberateError):
                submitted(worker, at, range(max(first, 0), turn * 5 + 5), fails=True)
        else:
            submitted(worker, at, range(max(first, 0), turn * 5 + int(rng.integers(1, 6))))
        named = list(numbered(range(0, turn * 5 + 8, 4), NAME))
        for instant in (
            at,
            at + timedelta(milliseconds=int(rng.integers(3000))),
            at - timedelta(milliseconds=int(rng.integers(3000))),
        ):
            expected, _ = loaded(PostgresTradingLedger(source, parse_roomy), instant, named)
            for one in workers:
                found, was_kept = loaded(one, instant, named)
                assert found == expected, (turn, instant)
                served += was_kept
    assert served > 12  # otherwise nothing was looked at


def test_kept_desk_is_not_used_once_somebody_else_wrote_the_account(
    source: ConnectionSource, postgres: PostgresServer, database: str
) -> None:
    mine, other = (PostgresTradingLedger(source, parse_roomy) for _ in range(2))
    submitted(mine, BEGIN, range(3))
    assert loaded(mine, BEGIN)[1]
    submitted(other, LATER, range(3, 6))
    state, was_kept = loaded(mine, LATER)
    assert (was_kept, len(state.orders)) == (False, 3)
    submitted(mine, LATER + (LATER - BEGIN), range(6, 7))
    with app_source(postgres, database, user=ADMIN_DATABASE_USER) as owner:
        rebuild(owner, NAME)
    assert not loaded(mine, LATER + (LATER - BEGIN))[1]


def test_save_that_writes_no_more_than_a_fact_still_changes_the_version(source: ConnectionSource) -> None:
    mine, other = (PostgresTradingLedger(source, parse_roomy) for _ in range(2))
    submitted(mine, BEGIN, range(2))
    batch = numbered(range(2, 3), NAME)
    with other.transaction(NAME) as tx:
        state = tx.load(BEGIN)
        _, changes = operator_orders.submit(state, tuple(batch.values()), BEGIN)
        tx.save(state, state, changes)  # facts of an order that the account state does not hold
    for worker in (mine, other):
        found, was_kept = loaded(worker, BEGIN)
        assert not was_kept
        assert batch.keys() <= found.orders.keys()


def test_desk_of_an_earlier_unit_of_work_is_saved_but_not_kept(source: ConnectionSource) -> None:
    mine, other = (PostgresTradingLedger(source, parse_roomy) for _ in range(2))
    with mine.transaction(NAME) as tx:
        before = tx.load(BEGIN)
    submitted(other, BEGIN, range(2))
    after, changes = step(before, numbered(range(2, 3), NAME), LATER)
    with mine.transaction(NAME) as tx:
        tx.save(before, after, changes)
    state, was_kept = loaded(mine, LATER)
    assert (was_kept, len(state.orders)) == (False, 3)


@given(
    texts=st.lists(
        st.none() | st.text(st.characters(codec="utf-8", exclude_characters="\x00")) | st.sampled_from(["NULL", "", "{}"])
    )
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_array_of_texts_is_read_as_it_was_written(source: ConnectionSource, texts: list[str | None]) -> None:
    with source.transaction() as connection:
        row = connection.execute("SELECT %s::text[]", (text_array(texts),)).fetchone()
    assert row == (texts,)
