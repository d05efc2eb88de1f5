"""The operator's questions to the ledger."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from signalbox.adapters.postgres.connection import ConnectionSource
from signalbox.adapters.postgres.ledger import PostgresLedger
from signalbox.adapters.postgres.outbox import PostgresOutbox
from signalbox.adapters.postgres.reading import Coverage, DecidedCycles, LedgerReader, SignalCount, SymbolGap
from signalbox.market.candles import ONE_MINUTE
from signalbox.signals.ports import Refusal
from signalbox.signals.signal import DeploymentStage, Direction, Tier
from tests.builders import BTC, ETH, NOON, SOL, candles, minutes
from tests.integration.samples import SIGNAL, VENUE, stale

pytestmark = pytest.mark.integration


@pytest.fixture
def reader(source: ConnectionSource) -> LedgerReader:
    return LedgerReader(source)


@pytest.fixture
def ledger(source: ConnectionSource) -> PostgresLedger:
    return PostgresLedger(source)


def test_empty_ledger_answers_with_nothing(reader: LedgerReader) -> None:
    assert reader.signals(NOON, NOON + minutes(5)) == ()
    assert reader.signal_counts(NOON, NOON + minutes(5)) == ()
    assert reader.refusals(VENUE, NOON, NOON + minutes(5)) == ()
    assert reader.decided_cycles(VENUE, NOON, NOON + minutes(5)) == DecidedCycles(0, None)
    assert reader.coverage(VENUE) == ()
    assert reader.pending_events() == 0


def test_signals_come_back_as_they_were_recorded_after_the_start_and_up_to_the_end(
    reader: LedgerReader, ledger: PostgresLedger
) -> None:
    hold = replace(SIGNAL, symbol=ETH, direction=Direction.HOLD, tier=Tier.LOW, probability_up=0.5)
    active = replace(SIGNAL, deployment="next", stage=DeploymentStage.ACTIVE, late=True)
    later = replace(SIGNAL, decided_at=NOON + minutes(5), features=())
    with ledger.transaction() as tx:
        for signal in (later, hold, active, SIGNAL):
            tx.add_signal(signal)
    assert reader.signals(NOON - minutes(5), NOON) == (active, SIGNAL, hold)
    assert reader.signals(NOON, NOON + minutes(5)) == (later,)


def test_signals_are_counted_by_stage_direction_and_tier(reader: LedgerReader, ledger: PostgresLedger) -> None:
    with ledger.transaction() as tx:
        tx.add_signal(SIGNAL)
        tx.add_signal(replace(SIGNAL, symbol=ETH))
        tx.add_signal(replace(SIGNAL, symbol=SOL, direction=Direction.HOLD, tier=Tier.LOW))
    assert reader.signal_counts(NOON - minutes(5), NOON) == (
        SignalCount(DeploymentStage.SHADOW, Direction.BUY, Tier.HIGH, 2),
        SignalCount(DeploymentStage.SHADOW, Direction.HOLD, Tier.LOW, 1),
    )


def test_refusals_and_cycles_are_those_of_the_venue_and_the_window(reader: LedgerReader, ledger: PostgresLedger) -> None:
    refusal = Refusal(BTC, NOON, "STALE_DATA", "newest is none")
    with ledger.transaction() as tx:
        tx.add_refusal(VENUE, refusal)
        tx.add_refusal("kraken", replace(refusal, symbol=ETH))
        for cycle_at in (NOON, NOON + minutes(5), NOON + minutes(10)):
            tx.mark_decided(VENUE, cycle_at)
        tx.record_part(VENUE, NOON + minutes(15), 1, 2)
        tx.mark_decided("kraken", NOON + minutes(5))
    assert reader.refusals(VENUE, NOON - minutes(5), NOON) == (refusal,)
    assert reader.refusals(VENUE, NOON, NOON + minutes(5)) == ()
    assert reader.decided_cycles(VENUE, NOON, NOON + minutes(60)) == DecidedCycles(2, NOON + minutes(10))


def test_coverage_tells_how_many_bars_from_when_to_when(reader: LedgerReader, ledger: PostgresLedger) -> None:
    with ledger.transaction() as tx:
        tx.add_candles(VENUE, candles(ETH, NOON, 3) + candles(BTC, NOON, 5, missing=(NOON - minutes(2),)))
    assert reader.coverage(VENUE) == (
        Coverage(BTC, 4, NOON - minutes(5), NOON - ONE_MINUTE),
        Coverage(ETH, 3, NOON - minutes(3), NOON - ONE_MINUTE),
    )


def test_gaps_of_one_bar_of_two_hours_and_at_the_edges_are_found(reader: LedgerReader, ledger: PostgresLedger) -> None:
    midnight = datetime(2024, 3, 1, tzinfo=UTC)  # the two hours lie across the end of a month
    start, end = midnight - minutes(120), midnight + minutes(120)
    with ledger.transaction() as tx:
        tx.add_candles(VENUE, candles(BTC, midnight - minutes(60), 60, missing=(midnight - minutes(90),)))
        tx.add_candles(VENUE, candles(BTC, end - minutes(3), 57))
        tx.add_candles(VENUE, candles(ETH, end + minutes(10), 300))
    assert reader.gaps(VENUE, (BTC, ETH, SOL), start, end) == (
        SymbolGap(BTC, midnight - minutes(90), midnight - minutes(90)),
        SymbolGap(BTC, midnight - minutes(60), midnight + minutes(59)),
        SymbolGap(BTC, end - minutes(3), end - ONE_MINUTE),
        SymbolGap(SOL, start, end - ONE_MINUTE),
    )
    assert [gap.minutes for gap in reader.gaps(VENUE, (BTC,), start, end)] == [1, 120, 3]


def test_pending_events_are_those_not_published(reader: LedgerReader, ledger: PostgresLedger, source: ConnectionSource) -> None:
    with ledger.transaction() as tx:
        tx.add_event(stale(BTC), NOON)
        tx.add_event(stale(ETH), NOON)
    with PostgresOutbox(source).claim(1):
        pass
    assert reader.pending_events() == 1
