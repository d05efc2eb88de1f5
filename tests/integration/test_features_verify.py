"""`signalbox features verify` over a real ledger and a lake on disk."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from local.cli.command import app
from local.cli.features.verification import run_verify
from local.errors import DataError
from local.settings import load_settings
from signalbox.adapters.lake.lake import Lake
from signalbox.adapters.lake.stores import FolderStore
from signalbox.adapters.postgres.candle_days import PostgresCandleDays
from signalbox.adapters.postgres.connection import ConnectionSource
from signalbox.adapters.postgres.ledger import PostgresLedger
from signalbox.features import SCHEMAS, compute_features
from signalbox.market.candles import Symbol
from signalbox.market.compaction import compact
from signalbox.market.lake import DayKey, SeriesKey
from signalbox.signals.signal import Direction, Signal, Tier
from tests.builders import BTC, ETH, candles, minutes
from tests.fakes.postgres_server import PostgresServer
from tests.integration.samples import SIGNAL

pytestmark = pytest.mark.integration

VENUE, SCHEMA = "coinbase", SCHEMAS["v31"]
MIDNIGHT = datetime(2024, 3, 6, tzinfo=UTC)
DAY = date(2024, 3, 5)


def decide(source: ConnectionSource, symbol: Symbol, at: datetime) -> Signal:
    """Store what the live cycle would: features of the ledger's newest bars."""
    with PostgresLedger(source).transaction() as tx:
        bars = tx.bars(VENUE, symbol, at, SCHEMA.history_bars)
        price = tx.close_price(VENUE, symbol, at - minutes(1))
        signal = replace(
            SIGNAL,
            symbol=symbol,
            decided_at=at,
            direction=Direction.HOLD,
            tier=Tier.LOW,
            probability_up=0.5,
            price=price or Decimal(1),
            schema_hash=SCHEMA.hash,
            features=tuple(compute_features(SCHEMA, bars).values[-1].tolist()),
        )
        tx.add_signal(signal)
    return signal


@pytest.fixture
def day(source: ConnectionSource, tmp_path: Path) -> Path:
    """Four days of candles, compacted, and signals at both ends and in the middle of the last one."""
    with PostgresLedger(source).transaction() as tx:
        for symbol in (BTC, ETH):
            tx.add_candles(VENUE, candles(symbol, MIDNIGHT, 3 * 1440, missing=(MIDNIGHT - minutes(1800),)))
    for symbol in (BTC, ETH):
        for at in (MIDNIGHT - timedelta(days=1), MIDNIGHT - minutes(700), MIDNIGHT - minutes(5), MIDNIGHT):
            decide(source, symbol, at)
    compact(MIDNIGHT + minutes(20), (VENUE,), (BTC, ETH), ledger=PostgresCandleDays(source), lake=Lake(FolderStore(tmp_path)))
    return tmp_path


@pytest.fixture
def dsn(postgres: PostgresServer, database: str) -> str:
    return f"host={postgres.socket_folder} dbname={database} user=signalbox_reader sslmode=disable"


def run(lake: Path, dsn: str, capsys: pytest.CaptureFixture[str], day: date = DAY) -> tuple[int, dict[str, Any]]:
    code = run_verify(day, str(lake), dsn, venue=VENUE, json_output=True, settings=load_settings({}))
    return code, json.loads(capsys.readouterr().out)


def test_a_day_that_was_compacted_agrees_to_the_last_bit(day: Path, dsn: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, reported = run(day, dsn, capsys)
    assert (code, reported["signals"], reported["agreeing"], reported["mismatches"]) == (0, 6, 6, [])
    assert reported["largest_relative_difference"] == 0.0


def test_a_bar_that_was_revised_after_the_decision_is_no_mismatch(
    day: Path, dsn: str, source: ConnectionSource, capsys: pytest.CaptureFixture[str]
) -> None:
    at = MIDNIGHT - minutes(60)
    with PostgresLedger(source).transaction() as tx:  # the venue mends two bars that the decisions of `day` saw
        revised = [replace(c, volume=c.volume + 5, high=c.high + 3) for c in candles(BTC, MIDNIGHT - minutes(695), 10)]
        assert len(tx.add_candles(VENUE, revised, at).revised) == 10
    decide(source, BTC, at)  # sees them as they are now
    compact(MIDNIGHT + minutes(30), (VENUE,), (BTC, ETH), ledger=PostgresCandleDays(source), lake=Lake(FolderStore(day)))
    code, reported = run(day, dsn, capsys)
    assert (code, reported["signals"], reported["agreeing"], reported["mismatches"]) == (0, 7, 7, [])


def test_a_tampered_signal_and_a_lost_day_are_told_by_signal_and_feature(
    day: Path, dsn: str, source: ConnectionSource, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    signal = decide(source, BTC, MIDNIGHT - minutes(60))
    with PostgresLedger(source).transaction() as tx:
        values = (signal.features[0] + 0.5, *signal.features[1:])
        tx.add_signal(replace(signal, deployment="other", features=values))
    (day / DayKey(SeriesKey(VENUE, ETH), DAY).path).write_bytes(b"no more")
    code, reported = run(day, dsn, capsys)
    assert (code, reported["signals"], reported["agreeing"]) == (1, 8, 5)
    assert reported["by_code"] == {"VALUE_DIFFERS": 1, "BARS_MISSING": 2}
    (wrong,) = (m for m in reported["mismatches"] if m["deployment"] == "other")
    assert wrong["mismatches"][0]["feature"] == SCHEMA.names[0]


def test_a_day_that_is_not_compacted_is_verified_by_the_ledgers_own_bars(
    day: Path, dsn: str, source: ConnectionSource, capsys: pytest.CaptureFixture[str]
) -> None:
    with PostgresLedger(source).transaction() as tx:
        tx.add_candles(VENUE, candles(BTC, MIDNIGHT + minutes(10), 10))
    decide(source, BTC, MIDNIGHT + minutes(10))
    today = DAY + timedelta(days=1)
    code, reported = run(day, dsn, capsys, today)
    assert (code, reported["signals"], reported["verified"]) == (3, 3, 0)
    assert "no bars of 2024-03-06" in reported["why"]
    code = run_verify(today, None, dsn, venue=VENUE, json_output=True, settings=load_settings({}))
    reported = json.loads(capsys.readouterr().out)
    assert (code, reported["signals"], reported["agreeing"]) == (0, 3, 3)


def test_a_day_without_signals_or_a_ledger_that_is_not_there_is_an_error(day: Path, dsn: str) -> None:
    settings = load_settings({})
    with pytest.raises(DataError, match="no signal was decided on 2020-01-01"):
        run_verify(date(2020, 1, 1), str(day), dsn, venue=VENUE, json_output=False, settings=settings)
    with pytest.raises(DataError, match="no ledger answers"):
        run_verify(DAY, str(day), "host=/nowhere dbname=x", venue=VENUE, json_output=False, settings=settings)
    with pytest.raises(DataError, match="expected a connection string"):
        run_verify(DAY, str(day), "postgres", venue=VENUE, json_output=False, settings=settings)


def test_the_command_takes_a_day_and_answers_with_its_code(day: Path, dsn: str) -> None:
    arguments = ["features", "verify", "--day", DAY.isoformat(), "--data", str(day), "--database", dsn]
    with pytest.raises(SystemExit) as left:
        app(arguments)
    assert left.value.code == 0
