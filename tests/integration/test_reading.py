"""The operator's questions to the ledger."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from local.cli.data.report.command import run_data_report
from local.cli.signals.page import chart_around, write_signal
from signalbox.adapters.lake.lake import Lake
from signalbox.adapters.lake.stores import FolderStore
from signalbox.adapters.postgres.connection import ConnectionSource
from signalbox.adapters.postgres.ledger import PostgresLedger
from signalbox.adapters.postgres.outbox import PostgresOutbox
from signalbox.adapters.postgres.reading import DecidedCycles, FallbackDecisions, LedgerReader
from signalbox.contracts import ADMIN_DATABASE_USER
from signalbox.market.candles import Bars
from signalbox.market.lake import DayKey, SeriesKey
from signalbox.signals.ports import SymbolRefusal
from signalbox.signals.signal import DeploymentStage, Direction, Tier
from tests.builders import BTC, ETH, NOON, candles, minutes
from tests.fakes.postgres_server import PostgresServer, app_source
from tests.integration.samples import SIGNAL, VENUE, stale

pytestmark = pytest.mark.integration


@pytest.fixture
def reader(postgres: PostgresServer, database: str) -> Iterator[LedgerReader]:
    with app_source(postgres, database, user=ADMIN_DATABASE_USER) as owner:  # as the local cloud asks
        yield LedgerReader(owner)


@pytest.fixture
def ledger(source: ConnectionSource) -> PostgresLedger:
    return PostgresLedger(source)


def test_empty_ledger_answers_with_nothing(reader: LedgerReader) -> None:
    assert reader.signals(NOON, NOON + minutes(5)) == ()
    assert reader.refusals(VENUE, NOON, NOON + minutes(5)) == ()
    assert reader.decided_cycles(VENUE, NOON, NOON + minutes(5)) == DecidedCycles(0, None)
    assert len(reader.bars(VENUE, BTC, NOON, NOON + minutes(5))) == 0
    assert reader.pending_events() == 0


def test_signals_come_back_as_they_were_recorded_after_the_start_and_up_to_the_end(
    reader: LedgerReader, ledger: PostgresLedger
) -> None:
    hold = replace(SIGNAL, symbol=ETH, direction=Direction.HOLD, tier=Tier.LOW, probability_up=0.5)
    active = replace(SIGNAL, deployment="next", stage=DeploymentStage.ACTIVE, late=True, held_back="RATE", market="kraken")
    later = replace(SIGNAL, decided_at=NOON + minutes(5), features=())
    with ledger.transaction() as tx:
        for signal in (later, hold, active, SIGNAL):
            tx.add_signal(signal)
    assert reader.signals(NOON - minutes(5), NOON) == (active, SIGNAL, hold)
    assert reader.signals(NOON, NOON + minutes(5)) == (later,)
    assert reader.fallback_decisions(NOON - minutes(5), NOON) == (FallbackDecisions("kraken", BTC, 1, NOON, NOON),)
    assert reader.fallback_decisions(NOON, NOON + minutes(5)) == ()


def test_page_of_a_signal_shows_its_market_and_what_was_odd_about_its_bars(
    postgres: PostgresServer, database: str, ledger: PostgresLedger, tmp_path: Path
) -> None:
    signal = replace(SIGNAL, market="kraken", late=True, known_at=NOON + timedelta(seconds=21))
    theirs = [
        replace(c, open=c.open + 900, high=c.high + 900, low=c.low + 900, close=c.close + 900) for c in candles(BTC, NOON, 60)
    ]
    for i in (0, 20, 40):
        theirs[i] = replace(theirs[i], open=theirs[i].close, high=theirs[i].close, low=theirs[i].close, volume=Decimal(0))
    with ledger.transaction() as tx:
        tx.add_candles(VENUE, candles(BTC, NOON, 30))
        tx.add_candles("kraken", theirs)
        tx.add_signal(signal)
    with app_source(postgres, database, user=ADMIN_DATABASE_USER) as owner:
        shown = chart_around(owner, signal)
        write_signal(owner, signal, tmp_path)
    assert shown.candles[0].prices.min() > 900
    page = (tmp_path / "signal.html").read_text()
    for words in ("kraken, a fallback venue", "late, at 12:00:21 UTC", "after a newer cycle"):
        assert words in page
    assert re.search(r"minutes without a trade in the hour before</t[dh]>\s*<td[^>]*>3<", page)


def test_a_report_on_candles_says_where_a_fallback_decided(
    postgres: PostgresServer, database: str, ledger: PostgresLedger, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key = DayKey(SeriesKey(VENUE, BTC), NOON.date())
    Lake(FolderStore(tmp_path)).write_day(key, candles(BTC, key.end, 1440), asked_until=key.end)
    with ledger.transaction() as tx:
        for signal in (SIGNAL, replace(SIGNAL, symbol=ETH, market="kraken")):
            tx.add_signal(signal)

    def owner() -> AbstractContextManager[ConnectionSource]:
        return app_source(postgres, database, user=ADMIN_DATABASE_USER)

    assert run_data_report(tmp_path, None, json_output=True, now=key.end, ledger_of=owner) == 0
    captured = capsys.readouterr()
    at = NOON.isoformat()
    decided = [{"market": "kraken", "symbol": ETH, "count": 1, "first": at, "last": at}]
    assert json.loads(captured.out)["decided_on_fallbacks"] == decided
    assert "ETH-USD: 1 decisions on kraken" in captured.err


def test_refusals_and_cycles_are_those_of_the_venue_and_the_window(reader: LedgerReader, ledger: PostgresLedger) -> None:
    refusal = SymbolRefusal(BTC, NOON, "STALE_DATA", "newest is none")
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


def test_pending_events_are_those_not_published(reader: LedgerReader, ledger: PostgresLedger, source: ConnectionSource) -> None:
    with ledger.transaction() as tx:
        tx.add_event(stale(BTC), NOON)
        tx.add_event(stale(ETH), NOON)
    with PostgresOutbox(source).claim(1):
        pass
    assert reader.pending_events() == 1


def test_bars_of_a_window_come_back_as_they_are_and_missing_ones_stay_missing(
    reader: LedgerReader, ledger: PostgresLedger
) -> None:
    midnight = datetime(2024, 3, 1, tzinfo=UTC)  # across the end of a month, where another partition begins
    missing = midnight - minutes(2)
    written = candles(BTC, midnight + minutes(5), 10, missing=(missing,))
    with ledger.transaction() as tx:
        tx.add_candles(VENUE, written)
        tx.add_candles(VENUE, candles(ETH, midnight + minutes(5), 10))
        tx.add_candles("kraken", candles(BTC, midnight + minutes(5), 10))
    found = reader.bars(VENUE, BTC, midnight - minutes(3), midnight + minutes(2))
    expected = Bars.from_candles(BTC, [c for c in written if -3 <= (c.open_time - midnight) / minutes(1) < 2])
    assert found.open_time_ms.tolist() == expected.open_time_ms.tolist()
    assert found.close.tolist() == expected.close.tolist()
    assert len(found) == 4
