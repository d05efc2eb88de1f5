"""A backtest of a period says what the deployed functions said and did in it: signal by signal, trade by trade."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from local.cloud.accounts import AccountRecord, summarise_account
from local.cloud.local_cloud import LocalCloud, default_symbols
from local.market.choice import choose_source
from local.market.simulator import SimulatedSource
from local.replay.replay import HISTORY, CycleReplay, Stopwatch, load_feed
from local.replay.summary import OK, ReplayRecord
from local.replay.view import choose_view
from local.settings import REPOSITORY, load_settings
from signalbox.market.candles import ONE_MINUTE, Bars, Symbol, to_ms
from signalbox.market.empty_minutes import LONGEST_RUN
from signalbox.signals.signal import Direction
from signalbox.trading.state import TradeState
from training.backtest.backtest import BacktestRequest, BacktestResult, backtest
from training.progress import NoProgress

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]
STARTER = REPOSITORY / "training" / "starter_bundle"
START = datetime(2026, 2, 14, 20, 30, tzinfo=UTC)  # 23:00 UTC is midnight in Prague
END = START + timedelta(hours=4)
LOST = START - timedelta(minutes=45)  # a minute of SOL-USD: the symbol is refused well into the period
SAME_PROBABILITY = 1e-6  # float32 of the models, in batches of other sizes


@pytest.fixture(scope="module")
def candles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of recorded candles with half an hour lost."""
    folder, source = tmp_path_factory.mktemp("candles"), SimulatedSource(11)
    for symbol in default_symbols():
        bars = source.bars(symbol, START - HISTORY - timedelta(days=4), END + timedelta(hours=2))
        if symbol == "SOL-USD":
            bars = _without(bars, LOST)
        times = pa.array(bars.open_time_ms, pa.int64()).cast(pa.timestamp("ms", tz="UTC"))
        names = ("open", "high", "low", "close", "volume")
        table = pa.table({"open_time": times, **{name: pa.array(getattr(bars, name), pa.float64()) for name in names}})
        pq.write_table(table, folder / f"{symbol.removesuffix('-USD')}-USDT-1m.parquet")
    return folder


def _without(bars: Bars, minute: datetime) -> Bars:
    first = int(np.searchsorted(bars.open_time_ms, to_ms(minute)))
    at = slice(first, first + LONGEST_RUN // ONE_MINUTE + 1)  # one more than could be minutes without a trade
    columns = {name: np.delete(getattr(bars, name), at) for name in ("open", "high", "low", "close", "volume")}
    return Bars(bars.symbol, np.delete(bars.open_time_ms, at), **columns)


@pytest.fixture(scope="module")
def replayed(candles: Path) -> Iterator[ReplayRecord]:
    """What `signalbox demo` records of the period."""
    settings, symbols = load_settings(), default_symbols()
    source = choose_source(candles, settings, symbols)
    folder = settings.state / "e2e" / f"backtest-{os.getpid()}"
    try:
        with (
            choose_view(symbols, plain=True) as view,
            LocalCloud(settings, folder, load_feed(source, symbols, START, END), now=START) as cloud,
        ):
            cloud.deploy_bundle(STARTER)
            replay = CycleReplay(cloud, view, source=source.name, start=START, end=END)
            view.begin("a period", (END - START) // timedelta(minutes=5))
            replay.run()
            yield replay.record(exit_=OK, error=None, watch=Stopwatch())
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def result(candles: Path) -> BacktestResult:
    return backtest(BacktestRequest(STARTER, candles, start=START, end=END, starts=0), NoProgress())


def test_backtest_decides_what_the_cycle_decided_signal_by_signal(replayed: ReplayRecord, result: BacktestResult) -> None:
    decisions = result.decisions
    keys = [(decisions.symbols[s], int(at)) for s, at in zip(decisions.symbol.tolist(), decisions.at_ms.tolist(), strict=True)]
    probability = dict(zip(keys, decisions.probability_up.tolist(), strict=True))
    deployed = {(signal.symbol, to_ms(signal.decided_at)): signal for signal in replayed.signals}
    assert probability.keys() == deployed.keys()
    assert replayed.refusals, "a symbol is refused while lost minutes are in its windows"
    assert all(abs(probability[key] - signal.probability_up) <= SAME_PROBABILITY for key, signal in deployed.items())
    output = {(Symbol(signal.symbol), to_ms(signal.decided_at)): signal for signal in decisions.signals}
    assert output.keys() == {key for key, signal in deployed.items() if signal.direction is not Direction.HOLD}
    for key, mine in output.items():
        theirs = deployed[key]
        assert (mine.direction, mine.tier, mine.held_back, mine.issued) == (
            theirs.direction.value,
            theirs.tier.value,
            theirs.held_back,
            theirs.issued,
        )
        assert (mine.price, mine.stage) == (theirs.price, theirs.stage.value)
    (serving,) = {signal.deployment for signal in replayed.signals}  # a deployment of the library; a backtest has none
    assert serving.startswith(f"{result.manifest.name}-v1")
    assert any(signal.held_back for signal in output.values())


def test_backtest_trades_what_the_account_traded_trade_by_trade(replayed: ReplayRecord, result: BacktestResult) -> None:
    (account,) = replayed.accounts
    mine = {trade.entry: trade for trade in result.run.record.trades}
    theirs = {trade.entry: trade for trade in account.facts.trades if trade.state is TradeState.CLOSED}
    assert len(theirs) >= 3
    assert mine.keys() == theirs.keys()
    for key, trade in theirs.items():
        entry, leaving = account.orders[trade.entry], account.orders[trade.exit or trade.entry]
        own = mine[key]
        assert (own.symbol, own.side, own.decided_at, own.leg) == (trade.symbol, trade.side, trade.decided_at, trade.exit_leg)
        assert (own.opened_at, own.closed_at) == (trade.opened_at, trade.closed_at)
        assert (own.quantity, own.entry_price, own.exit_price) == (entry.filled, entry.average_price, leaving.average_price)
        assert (own.fees, own.realised, own.stop_loss) == (entry.fees + leaving.fees, trade.realised, trade.stop_loss)
    assert {trade.entry for trade in result.run.state.trades.values()} == {t.entry for t in account.state.trades.values()}


def test_account_ends_with_the_same_money_the_same_days_and_the_same_reasons(
    replayed: ReplayRecord, result: BacktestResult
) -> None:
    (account,) = replayed.accounts
    summary = summarise_account(account)
    assert Decimal(summary["balance"]) == result.run.state.books.balance
    assert account.state.books == result.run.state.books
    assert Decimal(summary["equity"]) == result.run.record.equity[-1].equity
    assert account.facts.days == tuple(result.run.record.days)
    assert len(result.run.record.days) == 1
    assert summary["refused"] == _codes(result, "ORDER_REFUSED")
    assert summary["held_back"] == _codes(result, "SIGNAL_HELD_BACK")
    assert _equity_at_cycles(account).items() >= _equity_at_cycles_of(result).items()


def _codes(result: BacktestResult, kind: str) -> dict[str, int]:
    return dict(Counter(str(line.code) for line in result.run.record.risk if line.kind == kind))


def _equity_at_cycles(account: AccountRecord) -> dict[datetime, Decimal]:
    return {row.at: row.equity for row in account.facts.equity}


def _equity_at_cycles_of(result: BacktestResult) -> dict[datetime, Decimal]:
    rows = {row.at: row.equity for row in result.run.record.equity}
    return {at: equity for at, equity in rows.items() if (at - START) % timedelta(minutes=5) < ONE_MINUTE}
