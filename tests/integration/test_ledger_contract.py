"""What every ledger promises (`signals.ports`): the same tests on memory and on PostgreSQL."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime

import pytest

from signalbox.events import MarketDataStale, parse_event
from signalbox.ledger_errors import LedgerError, LedgerRefusedError
from signalbox.limits import MAX_EVENT_BYTES
from signalbox.signals.model import DeployedModel
from signalbox.signals.ports import (
    CycleState,
    IssuedSignal,
    Ledger,
    LedgerTransaction,
    Outbox,
    OutboxEvent,
    PartlyPublishedError,
    SymbolRefusal,
    SymbolStatus,
)
from signalbox.signals.publishing import BATCH, publish_pending
from signalbox.signals.signal import DeploymentStage, Direction, Signal, Thresholds, Tier
from tests.builders import BTC, ETH, NOON, SOL, candles, minutes
from tests.integration.conftest import World
from tests.integration.samples import SIGNAL, VENUE, DeliberateError, stale
from tests.unit.signals.test_cycle import FixedScorer

pytestmark = pytest.mark.integration


def test_committed_block_is_visible_to_another_worker(world: World) -> None:
    with world.ledger().transaction() as tx:
        tx.add_candles(VENUE, candles(BTC, NOON, 3))
        tx.mark_decided(VENUE, NOON)
    with world.ledger().transaction() as tx:
        assert len(tx.bars(VENUE, BTC, NOON, 10)) == 3
        assert tx.newest_decided_cycle(VENUE) == NOON


def test_open_block_is_visible_to_itself_and_to_nobody_else(world: World) -> None:
    other = world.ledger()
    with world.ledger().transaction() as tx:
        tx.add_candles(VENUE, candles(BTC, NOON, 3))
        tx.set_symbol_status(SymbolStatus(BTC, NOON, "STALE_DATA"))
        tx.add_event(stale(), NOON)
        assert len(tx.bars(VENUE, BTC, NOON, 10)) == 3
        assert tx.symbol_status(BTC).stale_since == NOON
        with other.transaction() as seen:
            assert len(seen.bars(VENUE, BTC, NOON, 10)) == 0
            assert seen.symbol_status(BTC) == SymbolStatus(BTC, None, None)
        assert world.outbox().oldest_unpublished() is None


def test_model_is_recorded_once_for_each_bundle_stage_and_verdict(ledger: Ledger) -> None:
    first = DeployedModel(
        "m1", DeploymentStage.SHADOW, FixedScorer(), Thresholds(0.03, 0.08), 60, "b1", {"G0": "pass", "G1": "fail"}
    )
    others = [
        replace(first, deployment="m2"),
        replace(first, stage=DeploymentStage.ACTIVE),
        replace(first, bundle="b2"),
        replace(first, gates={"G0": "pass", "G1": "pass"}),
    ]
    for expected in (True, False):
        with ledger.transaction() as tx:
            assert [tx.add_deployed_model(model, NOON) for model in (first, *others)] == [expected] * 5
            assert not tx.add_deployed_model(replace(first, gates={"G1": "fail", "G0": "pass"}), NOON + minutes(5))


def write_everything_then_fail(ledger: Ledger) -> None:
    with ledger.transaction() as tx:
        tx.lock_cycle(VENUE)
        tx.add_candles(VENUE, candles(BTC, NOON, 3))
        tx.record_part(VENUE, NOON, 1, 1)
        tx.mark_decided(VENUE, NOON)
        tx.add_signal(SIGNAL)
        tx.add_refusal(VENUE, SymbolRefusal(ETH, NOON, "STALE_DATA", ""))
        tx.set_symbol_status(SymbolStatus(ETH, NOON, "STALE_DATA"))
        tx.add_event(stale(ETH), NOON)
        raise DeliberateError


def test_block_that_raises_undoes_all_of_it(world: World) -> None:
    ledger = world.ledger()
    with pytest.raises(DeliberateError):
        write_everything_then_fail(ledger)
    assert world.outbox().oldest_unpublished() is None
    with ledger.transaction() as tx:
        assert len(tx.bars(VENUE, BTC, NOON, 10)) == 0
        assert tx.newest_decided_cycle(VENUE) is None
        assert tx.symbol_status(ETH) == SymbolStatus(ETH, None, None)
        assert tx.record_part(VENUE, NOON, 1, 2) is CycleState.WAITING
        assert tx.add_signal(SIGNAL)
        assert tx.add_refusal(VENUE, SymbolRefusal(ETH, NOON, "STALE_DATA", ""))
        assert tx.add_event(stale(ETH), NOON)


def test_unit_of_work_inside_another_of_the_same_ledger_is_refused(world: World) -> None:
    ledger = world.ledger()
    with pytest.raises(LedgerError, match="transaction is already open"), ledger.transaction(), ledger.transaction():
        pass
    with ledger.transaction() as tx:
        assert tx.newest_decided_cycle(VENUE) is None


def test_only_part_makes_the_cycle_ready(world: World) -> None:
    with world.ledger().transaction() as tx:
        assert tx.record_part(VENUE, NOON, 1, 1) is CycleState.READY


def test_parts_in_any_order_make_the_cycle_ready_with_the_last(world: World) -> None:
    ledger = world.ledger()
    states = []
    for part in (3, 1, 2):
        with ledger.transaction() as tx:
            states.append(tx.record_part(VENUE, NOON, part, 3))
    assert states == [CycleState.WAITING, CycleState.WAITING, CycleState.READY]


def test_same_part_three_times_counts_once(world: World) -> None:
    ledger = world.ledger()
    for _ in range(3):
        with ledger.transaction() as tx:
            assert tx.record_part(VENUE, NOON, 1, 2) is CycleState.WAITING


def test_part_of_a_decided_cycle_is_a_duplicate(world: World) -> None:
    with world.ledger().transaction() as tx:
        tx.record_part(VENUE, NOON, 1, 1)
        tx.mark_decided(VENUE, NOON)
        tx.mark_decided(VENUE, NOON)
    with world.ledger().transaction() as tx:
        assert tx.record_part(VENUE, NOON, 1, 1) is CycleState.DECIDED


def test_complete_but_undecided_cycle_is_ready_again_at_redelivery(world: World) -> None:
    for _ in range(2):
        with world.ledger().transaction() as tx:
            assert tx.record_part(VENUE, NOON, 1, 1) is CycleState.READY


def test_cycle_collected_again_in_another_split_needs_one_whole_split(world: World) -> None:
    with world.ledger().transaction() as tx:
        assert tx.record_part(VENUE, NOON, 1, 2) is CycleState.WAITING
        assert tx.record_part(VENUE, NOON, 3, 3) is CycleState.WAITING
        assert tx.record_part(VENUE, NOON, 2, 2) is CycleState.READY


def test_cycles_of_two_venues_and_instants_are_apart(world: World) -> None:
    with world.ledger().transaction() as tx:
        tx.record_part(VENUE, NOON, 1, 2)
        assert tx.record_part("kraken", NOON, 2, 2) is CycleState.WAITING
        assert tx.record_part(VENUE, NOON + minutes(5), 2, 2) is CycleState.WAITING
        tx.mark_decided("kraken", NOON)
        assert tx.newest_decided_cycle(VENUE) is None


@pytest.mark.parametrize(("part", "parts"), [(0, 1), (2, 1), (-1, 0)])
def test_part_outside_its_range_is_refused(world: World, part: int, parts: int) -> None:
    ledger = world.ledger()
    with pytest.raises(LedgerRefusedError), ledger.transaction() as tx:
        tx.record_part(VENUE, NOON, part, parts)


def test_newest_decided_cycle_is_the_newest_not_the_last_marked(world: World) -> None:
    with world.ledger().transaction() as tx:
        tx.mark_decided(VENUE, NOON)
        tx.mark_decided(VENUE, NOON - minutes(5))
        tx.record_part(VENUE, NOON + minutes(5), 1, 2)
        assert tx.newest_decided_cycle(VENUE) == NOON


def test_signal_of_the_same_key_is_recorded_once_and_the_first_stays(world: World) -> None:
    ledger = world.ledger()
    with ledger.transaction() as tx:
        assert tx.add_signal(SIGNAL)
        assert not tx.add_signal(replace(SIGNAL, probability_up=0.9))
    with ledger.transaction() as tx:
        assert not tx.add_signal(SIGNAL)
        assert tx.add_signal(replace(SIGNAL, deployment="next"))
        assert tx.add_signal(replace(SIGNAL, symbol=ETH))
        assert tx.add_signal(replace(SIGNAL, decided_at=NOON + minutes(5)))


def test_issued_signals_of_a_deployment_are_the_windows_that_were_not_skipped(world: World) -> None:
    ledger, early = world.ledger(), NOON - minutes(60)
    with ledger.transaction() as tx:
        tx.add_signal(replace(SIGNAL, decided_at=early))
        tx.add_signal(SIGNAL)
        tx.add_signal(replace(SIGNAL, symbol=ETH, held_back="RATE"))
        tx.add_signal(replace(SIGNAL, symbol=SOL, direction=Direction.HOLD, tier=Tier.LOW))
        tx.add_signal(replace(SIGNAL, symbol=SOL, deployment="other"))
        tx.add_signal(replace(SIGNAL, decided_at=NOON + minutes(5)))
    with ledger.transaction() as tx:
        (found,) = tx.issued_signals(SIGNAL.deployment, early, NOON)
    assert (found.symbol, found.decided_at, found.tier) == (SIGNAL.symbol, NOON, SIGNAL.tier)


def test_signals_to_resolve_are_those_issued_in_time_with_what_judges_them(world: World) -> None:
    ledger, early = world.ledger(), NOON - minutes(60)
    with ledger.transaction() as tx:
        tx.add_signal(replace(SIGNAL, decided_at=early))
        tx.add_signal(SIGNAL)
        tx.add_signal(replace(SIGNAL, symbol=ETH, late=True))
        tx.add_signal(replace(SIGNAL, symbol=SOL, held_back="RATE"))
        tx.add_signal(replace(SIGNAL, symbol=SOL, deployment="other"))
        tx.add_signal(replace(SIGNAL, symbol=ETH, decided_at=NOON - minutes(5), direction=Direction.HOLD, tier=Tier.LOW))
        tx.add_signal(replace(SIGNAL, decided_at=NOON + minutes(5)))
    with ledger.transaction() as tx:
        found = tx.signals_to_resolve(SIGNAL.deployment, early, NOON)
    assert list(found) == [IssuedSignal(SIGNAL.symbol, NOON, SIGNAL.stage, SIGNAL.direction, SIGNAL.tier, SIGNAL.price)]


@pytest.mark.parametrize(
    "wrong",
    [
        replace(SIGNAL, direction=Direction.HOLD, tier=Tier.LOW, held_back="RATE"),
        replace(SIGNAL, probability_up=1.5),
        replace(SIGNAL, probability_up=float("nan")),
        replace(SIGNAL, tier=Tier.LOW),
        replace(SIGNAL, direction=Direction.HOLD),
        replace(SIGNAL, direction=Direction.SELL),
    ],
)
def test_signal_that_contradicts_itself_is_refused(world: World, wrong: Signal) -> None:
    ledger = world.ledger()
    with pytest.raises(LedgerRefusedError), ledger.transaction() as tx:
        tx.add_signal(wrong)
    with ledger.transaction() as tx:
        assert tx.add_signal(SIGNAL)


def test_refusal_of_the_same_key_is_recorded_once(world: World) -> None:
    with world.ledger().transaction() as tx:
        assert tx.add_refusal(VENUE, SymbolRefusal(BTC, NOON, "STALE_DATA", "a"))
        assert not tx.add_refusal(VENUE, SymbolRefusal(BTC, NOON, "NO_MODEL", "b"))
        assert tx.add_refusal("kraken", SymbolRefusal(BTC, NOON, "STALE_DATA", "a"))


def test_symbol_status_is_healthy_until_set_and_then_replaced(world: World) -> None:
    with world.ledger().transaction() as tx:
        assert tx.symbol_status(BTC) == SymbolStatus(BTC, None, None)
        tx.set_symbol_status(SymbolStatus(BTC, NOON, "STALE_DATA"))
        assert tx.symbol_status(BTC) == SymbolStatus(BTC, NOON, "STALE_DATA")
    with world.ledger().transaction() as tx:
        assert tx.symbol_status(BTC) == SymbolStatus(BTC, NOON, "STALE_DATA")
        tx.set_symbol_status(SymbolStatus(BTC, None, None))
        assert tx.symbol_status(BTC) == SymbolStatus(BTC, None, None)


def test_stale_status_without_a_reason_is_refused(world: World) -> None:
    ledger = world.ledger()
    with pytest.raises(LedgerRefusedError), ledger.transaction() as tx:
        tx.set_symbol_status(SymbolStatus(BTC, NOON, None))


def test_event_delivered_three_times_leaves_one_row_that_parses_back(world: World) -> None:
    ledger = world.ledger()
    added = []
    for _ in range(3):
        with ledger.transaction() as tx:
            added.append(tx.add_event(stale(), NOON))
    with world.outbox().claim(10) as events:
        (found,) = events
    assert added == [True, False, False]
    assert (found.event_id, found.event_type, found.created_at) == (stale().event_id, "MarketDataStale", NOON)
    assert parse_event(found.event_type, json.loads(found.detail)) == stale()


def test_events_are_claimed_in_order_up_to_the_limit_and_once(world: World) -> None:
    with world.ledger().transaction() as tx:
        for symbol in (BTC, ETH, SOL):
            tx.add_event(stale(symbol), NOON)
    outbox = world.outbox()
    claimed = []
    for _ in range(3):
        with outbox.claim(2) as events:
            claimed.append([event.event_id for event in events])
    assert claimed == [[stale(BTC).event_id, stale(ETH).event_id], [stale(SOL).event_id], []]


def test_what_the_bus_took_of_a_batch_is_published_and_the_rest_stays(world: World) -> None:
    with world.ledger().transaction() as tx:
        for symbol in (BTC, ETH, SOL):
            tx.add_event(stale(symbol), NOON)
    outbox = world.outbox()

    def some() -> None:
        with outbox.claim(10) as events:
            raise PartlyPublishedError("one was refused", [events[0], events[2]])

    with pytest.raises(PartlyPublishedError):
        some()
    with outbox.claim(10) as left:
        assert [event.event_id for event in left] == [stale(ETH).event_id]


class PickyBus:
    """Takes every event but those of ETH."""

    def __init__(self) -> None:
        self.taken: list[str] = []

    def publish(self, events: Sequence[OutboxEvent]) -> None:
        accepted = [event for event in events if "ETH" not in event.event_id]
        self.taken += [event.event_id for event in accepted]
        if len(accepted) < len(events):
            raise PartlyPublishedError("some were refused", accepted)


def test_events_that_the_bus_refuses_however_many_keep_none_behind_them_back(world: World) -> None:
    at = [NOON + minutes(number) for number in range(2 * BATCH + 5)]
    with world.ledger().transaction() as tx:
        for since in at:
            tx.add_event(stale(ETH).model_copy(update={"since": since}), NOON)
        tx.add_event(stale(BTC), NOON)
    bus = PickyBus()
    with pytest.raises(PartlyPublishedError) as caught:
        publish_pending(outbox=world.outbox(), publisher=bus)
    assert bus.taken == [event.event_id for event in caught.value.published] == [stale(BTC).event_id]
    with world.outbox().claim(1000) as left:
        assert len(left) == len(at)


def test_an_event_larger_than_the_bus_takes_is_named_and_blocks_nobody(world: World) -> None:
    large = MarketDataStale(symbol=ETH, since=NOON, reason="x" * MAX_EVENT_BYTES, newest_close=None)
    with world.ledger().transaction() as tx:
        tx.add_event(large, NOON)
        tx.add_event(stale(BTC), NOON + minutes(1))
    bus = PickyBus()
    outbox = world.outbox()
    assert list(outbox.too_large()) == [large.event_id]
    assert publish_pending(outbox=outbox, publisher=bus) == 1
    assert bus.taken == [stale(BTC).event_id]
    assert outbox.oldest_unpublished() == NOON  # so that the alarm of its age rings


def test_an_event_that_is_put_alone_is_there_once(world: World) -> None:
    outbox = world.outbox()
    assert (outbox.put(stale(), NOON), outbox.put(stale(), NOON)) == (True, False)
    with outbox.claim(10) as events:
        assert [event.event_id for event in events] == [stale().event_id]


def claim_then_fail(outbox: Outbox) -> None:
    with outbox.claim(10) as events:
        assert len(events) == 1
        raise DeliberateError


def test_claim_that_raises_publishes_nothing(world: World) -> None:
    with world.ledger().transaction() as tx:
        tx.add_event(stale(), NOON)
    outbox = world.outbox()
    with pytest.raises(DeliberateError):
        claim_then_fail(outbox)
    assert outbox.oldest_unpublished() == NOON
    with outbox.claim(10) as events:
        assert len(events) == 1
    assert outbox.oldest_unpublished() is None


def test_two_claimers_never_get_the_same_event(world: World) -> None:
    with world.ledger().transaction() as tx:
        for symbol in (BTC, ETH, SOL):
            tx.add_event(stale(symbol), NOON)
    with world.outbox().claim(2) as first, world.outbox().claim(2) as second:
        assert [e.event_id for e in first] == [stale(BTC).event_id, stale(ETH).event_id]
        assert [e.event_id for e in second] == [stale(SOL).event_id]


def test_oldest_unpublished_is_the_oldest_instant(world: World) -> None:
    with world.ledger().transaction() as tx:
        tx.add_event(stale(BTC), NOON)
        tx.add_event(stale(ETH), NOON - minutes(5))
    assert world.outbox().oldest_unpublished() == NOON - minutes(5)


def decide(tx: LedgerTransaction, cycle_at: datetime, part: int) -> CycleState:
    tx.lock_cycle(VENUE)
    state = tx.record_part(VENUE, cycle_at, part, 2)
    if state is CycleState.READY:
        tx.mark_decided(VENUE, cycle_at)
    return state


def test_last_two_parts_at_once_make_exactly_one_of_them_ready(world: World) -> None:
    ledgers = (world.ledger(), world.ledger())
    barrier = threading.Barrier(2)

    def deliver(part: int) -> list[CycleState]:
        states = []
        for i in range(20):
            with ledgers[part - 1].transaction() as tx:
                barrier.wait(10)
                states.append(decide(tx, NOON + minutes(5 * i), part))
        return states

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(deliver, (1, 2))
    assert {tuple(sorted(pair)) for pair in zip(first, second, strict=True)} == {(CycleState.READY, CycleState.WAITING)}


def test_locked_venue_makes_only_its_own_cycles_wait(world: World) -> None:
    finished = threading.Event()

    def other_delivery() -> CycleState:
        with world.ledger().transaction() as tx:
            state = decide(tx, NOON, 2)
        finished.set()
        return state

    with ThreadPoolExecutor(1) as pool:
        with world.ledger().transaction() as tx:
            tx.lock_cycle(VENUE)
            waiting = pool.submit(other_delivery)
            with world.ledger().transaction() as elsewhere:
                elsewhere.lock_cycle("kraken")
            assert not finished.wait(0.2)
            assert decide(tx, NOON, 1) is CycleState.WAITING
        assert waiting.result(10) is CycleState.READY
