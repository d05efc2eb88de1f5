"""What the ledger asks of venues lies sealed in the outbox, numbered an account, in the transaction that decided it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from signalbox.adapters.postgres.connection import ConnectionSource
from signalbox.adapters.postgres.outbox import PostgresOutbox
from signalbox.adapters.postgres.trading import PostgresTradingLedger
from signalbox.contracts import SIGNED_REQUESTS, EventType, Function, emitted_by
from signalbox.orders.messages import ExecutionRequested, OrderInstruction, VenueViewRequested
from signalbox.orders.sealing import REQUEST_LIFE, RequestSealer
from signalbox.signals.ports import OutboxEvent
from signalbox.signing import KeyUnavailableError, Seal, SigningKey, open_envelope
from signalbox.trading.changes import ChangeSet
from tests.builders import NOON, minutes
from tests.fakes.keys import REQUEST_KEY, REQUEST_KEYS
from tests.fakes.postgres_server import PostgresServer, app_source
from tests.integration.trading_samples import ACCOUNT, SECOND, terms

pytestmark = pytest.mark.integration
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def ledger(source: ConnectionSource) -> PostgresTradingLedger:
    found = PostgresTradingLedger(source, sealer=RequestSealer(lambda: REQUEST_KEY, lambda: NOW))
    found.open_account(ACCOUNT, NOON - minutes(60), "anna")
    return found


def asks(number: int) -> ChangeSet:
    """An order that leaves, and a look at the venue."""
    at, name = NOON + SECOND * number, ACCOUNT.account
    of = terms(at)
    order = ExecutionRequested(
        account=name, venue="coinbase", instruction=OrderInstruction.SUBMIT, client_order_id=of.client_order_id, terms=of, at=at
    )
    look = VenueViewRequested(account=name, venue="coinbase", at=at, since=at, orders=(), symbols=())
    return ChangeSet(events=(order, look))


def save(found: PostgresTradingLedger, number: int) -> None:
    with found.transaction(ACCOUNT.account) as tx:
        before = tx.load(NOON)
        tx.save(before, replace(before, at=max(before.at or NOON, NOON + SECOND * number)), asks(number))


def waiting(source: ConnectionSource) -> Iterator[OutboxEvent]:
    with PostgresOutbox(source).claim(1000) as events:
        yield from events


def seals(source: ConnectionSource) -> list[Seal]:
    envelopes = [{"source": "signalbox", "detail-type": e.event_type, "detail": json.loads(e.detail)} for e in waiting(source)]
    return [open_envelope(one, REQUEST_KEYS).seal for one in envelopes]


def test_requests_are_sealed_and_numbered_without_a_gap_whoever_saves(
    source: ConnectionSource, postgres: PostgresServer, database: str
) -> None:
    ledger(source)

    def worker(numbers: range) -> None:
        with app_source(postgres, database) as own:
            mine = ledger(own)
            for number in numbers:
                save(mine, number)

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(worker, (range(n, 12, 3) for n in range(3))))
    found = seals(source)
    assert sorted(seal.sequence or 0 for seal in found) == list(range(1, 25))
    assert {seal.expires_at for seal in found} == {NOW + REQUEST_LIFE}


def test_what_was_rolled_back_gave_out_no_number(source: ConnectionSource) -> None:
    found = ledger(source)

    def fails() -> None:
        with found.transaction(ACCOUNT.account) as tx:
            before = tx.load(NOON)
            tx.save(before, replace(before, at=NOON), asks(1))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails()
    save(found, 2)
    assert [seal.sequence for seal in seals(source)] == [1, 2]


def test_without_a_key_nothing_is_committed_and_what_asks_for_nothing_goes_on(source: ConnectionSource) -> None:
    def away() -> SigningKey:
        raise KeyUnavailableError("away")

    found = PostgresTradingLedger(source, sealer=RequestSealer(away, lambda: NOW))
    found.open_account(ACCOUNT, NOON - minutes(60), "anna")
    with pytest.raises(KeyUnavailableError):
        save(found, 1)
    assert seals(source) == []
    with found.transaction(ACCOUNT.account) as tx:
        before = tx.load(NOON)
        assert before.at is None
        tx.save(before, replace(before, at=NOON), ChangeSet())


@pytest.mark.parametrize("function", Function)
def test_a_function_publishes_what_it_may_and_leaves_the_rest(source: ConnectionSource, function: Function) -> None:
    save(ledger(source), 1)
    with PostgresOutbox(source, emitted_by(function)).claim(10) as events:
        found = {EventType(event.event_type) for event in events}
    assert found == set(SIGNED_REQUESTS) & set(emitted_by(function))
