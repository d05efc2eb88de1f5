"""The exchange misbehaves for one symbol: that one is refused or unharmed, the others never notice, and it recovers."""

from __future__ import annotations

from datetime import timedelta

import pytest

from local.settings import VENUE
from local.stand_ins.faults import Fault, VenueFault
from signalbox.market.clock import CYCLE
from tests.e2e.conftest import Market

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]
VICTIM = "BTC-USD"
OTHERS = {"ETH-USD", "SOL-USD"}


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (VenueFault.SERVER_ERROR, "VENUE_UNAVAILABLE"),
        (VenueFault.RATE_LIMITED, "VENUE_RATE_LIMITED"),
        (VenueFault.EMPTY, "NO_CANDLES"),
        (VenueFault.MALFORMED, "ANSWER_MALFORMED"),
        (VenueFault.NEGATIVE, "STALE_DATA"),
        (VenueFault.NAN, "STALE_DATA"),
    ],
)
def test_unusable_answer_refuses_the_symbol_alone_and_it_recovers(market: Market, kind: VenueFault, reason: str) -> None:
    fault = market.cloud.exchange.faults.add(Fault(kind, VICTIM))
    sent = len(market.texts())
    at = market.cycle()
    assert fault.hits > 0
    assert market.refusals(at)[VICTIM].reason == reason
    assert set(market.signals(at)) == OTHERS
    market.await_text(f"{VICTIM} has no signals since", sent)
    market.cloud.exchange.faults.clear()
    after = market.cycle()
    assert set(market.signals(after)) == {VICTIM, *OTHERS}
    market.await_text(f"{VICTIM} has signals again", sent)
    recorded = market.cloud.ledger.bars(VENUE, market.cloud.symbols[0], at - CYCLE, after)
    assert len(recorded) == 10  # the bars of the outage came with the recovery


def test_timeout_refuses_the_symbol_alone(market: Market) -> None:
    market.cloud.exchange.faults.add(Fault(VenueFault.TIMEOUT, VICTIM))
    at = market.cycle()
    assert market.refusals(at)[VICTIM].reason == "VENUE_TIMEOUT"
    assert set(market.signals(at)) == OTHERS


def test_failure_that_passes_within_the_retries_is_not_noticed(market: Market) -> None:
    market.cloud.exchange.faults.add(Fault(VenueFault.SERVER_ERROR, VICTIM, times=1))
    at = market.cycle()
    assert set(market.signals(at)) == {VICTIM, *OTHERS}


@pytest.mark.parametrize(
    "kind", [VenueFault.UNSORTED, VenueFault.DUPLICATE, VenueFault.OVERLAPPING, VenueFault.FUTURE, VenueFault.UNFINISHED]
)
def test_untidy_answer_changes_no_signal_and_no_recorded_bar(market: Market, kind: VenueFault) -> None:
    before = market.now
    fault = market.cloud.exchange.faults.add(Fault(kind, VICTIM))
    at = market.cycle()
    assert fault.hits > 0
    assert set(market.signals(at)) == {VICTIM, *OTHERS}
    symbol = market.cloud.symbols[0]
    window = (before - timedelta(minutes=30), at)
    expected = market.cloud.exchange._feed.bars(symbol, *window)
    recorded = market.cloud.ledger.bars(VENUE, symbol, *window)
    assert recorded.open_time_ms.tolist() == expected.open_time_ms.tolist()
    assert recorded.close.tolist() == expected.close.tolist()
    assert len(market.cloud.ledger.bars(VENUE, symbol, at, at + timedelta(minutes=10))) == 0


def test_a_bar_that_is_withheld_is_an_empty_minute_until_it_is_published(market: Market) -> None:
    missing = market.now + timedelta(minutes=2)
    minute = (VENUE, market.cloud.symbols[0], missing, missing + timedelta(minutes=1))
    market.cloud.exchange.faults.add(Fault(VenueFault.DROPPED, VICTIM, since=missing, until=minute[-1]))
    at = market.cycle()
    assert set(market.signals(at)) == {VICTIM, *OTHERS}
    empty = market.cloud.ledger.bars(*minute)
    before = market.cloud.ledger.bars(*minute[:2], missing - timedelta(minutes=1), missing)
    assert (empty.close.tolist(), empty.volume.tolist()) == (before.close.tolist(), [0.0])
    market.cloud.exchange.faults.clear()
    market.cycle()
    published = market.cloud.exchange._feed.bars(*minute[1:])
    assert market.cloud.ledger.bars(*minute).volume.tolist() == published.volume.tolist()
    (revision,) = market.cloud.ledger.revisions(VENUE, *minute[2:])
    assert (revision.close, revision.volume, revision.replaced_at) == (empty.close[0], 0.0, at + CYCLE)


def test_outage_of_two_hours_is_told_once_and_leaves_no_invented_bar(market: Market) -> None:
    begun = market.now
    market.cloud.exchange.faults.add(Fault(VenueFault.DROPPED, VICTIM, since=begun, until=begun + timedelta(hours=2)))
    sent = len(market.texts())
    cycles = [market.cycle() for _ in range(24)]
    market.quiet()
    assert all(set(market.signals(at)) == OTHERS for at in cycles)
    assert sum(f"{VICTIM} has no signals since" in text for text in market.texts()[sent:]) == 1
    assert len(market.cloud.ledger.bars(VENUE, market.cloud.symbols[0], begun, cycles[-1])) == 0
