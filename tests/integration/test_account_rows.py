"""`signalbox accounts trades|orders|equity|history|lots` and `signalbox signals` over a real ledger."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from typer.testing import CliRunner

from local.cli.command import app
from signalbox.adapters.postgres.connection import ConnectionSource
from signalbox.adapters.postgres.ledger import PostgresLedger
from signalbox.adapters.postgres.trading import PostgresTradingLedger
from signalbox.orders.terms import Leg, Side
from signalbox.signals.signal import DeploymentStage, Direction, Signal, Tier
from signalbox.trading import halts
from signalbox.trading.changes import ChangeSet
from signalbox.trading.state import TradeState
from tests.builders import BTC, NOON, candle, minutes
from tests.fakes.postgres_server import PostgresServer
from tests.integration.trading_samples import ACCOUNT, equity, filled, halted, sent, stepped, terms, trade_of

pytestmark = pytest.mark.integration

BEFORE, AFTER = (f"{NOON + minutes(m):%Y-%m-%dT%H:%M}" for m in (-30, 600))
NAME = ACCOUNT.account


@pytest.fixture
def dsn(postgres: PostgresServer, database: str) -> str:
    return f"host={postgres.socket_folder} dbname={database} user=signalbox_reader sslmode=disable"


@pytest.fixture
def traded(source: ConnectionSource) -> None:
    """0.5 BTC bought at 100, half of it sold at 110; a halt and a resume."""
    ledger = PostgresTradingLedger(source)
    ledger.open_account(ACCOUNT, NOON - timedelta(days=1), "anna")
    entry, leave = terms(), terms(leg=Leg.EXIT, side=Side.SELL, quantity="0.2")
    with ledger.transaction(NAME) as tx:
        before = tx.load(NOON)
        after, bought = stepped(before, NOON, *sent(entry), filled(entry, "t-1", NOON + minutes(0.1)))
        made = trade_of(entry, TradeState.OPEN, opened_at=NOON)
        tx.save(
            before,
            replace(after, trades={BTC: made}),
            bought + ChangeSet(trades=(made,)) + equity(after, NOON, {BTC: Decimal(101)}),
        )
    later = NOON + minutes(30)
    with ledger.transaction(NAME) as tx:
        before = tx.load(later)
        after, sold = stepped(before, later, *sent(leave, later), filled(leave, "t-2", later, price="110", quantity="0.2"))
        state, halting = halted(after, later)
        tx.save(before, state, sold + halting)
    with ledger.transaction(NAME) as tx:
        before = tx.load(later + minutes(5))
        tx.save(before, *halts.resume(before, "anna", "looked", later + minutes(5)))


def rows(dsn: str, *words: str) -> dict[str, Any]:
    done = CliRunner().invoke(app, [*words, "--database", dsn, "--json"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def text(dsn: str, *words: str) -> str:
    done = CliRunner().invoke(app, [*words, "--database", dsn], env={"COLUMNS": "240"}, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_what_an_account_did_is_listed_from_its_ledger(traded: None, dsn: str) -> None:
    period = ("--start", BEFORE, "--end", AFTER)
    (trade,) = rows(dsn, "accounts", "trades", NAME, *period)["trades"]
    assert (trade["symbol"], trade["side"], trade["state"], trade["quantity"], trade["entry_price"]) == (
        "BTC-USD",
        "BUY",
        "OPEN",
        "0.5",
        "100",
    )
    assert [one["leg"] for one in rows(dsn, "accounts", "orders", NAME, *period)["orders"]] == ["ENTRY", "EXIT"]
    assert [one["at"] for one in rows(dsn, "accounts", "equity", NAME, *period)["equity"]] == [NOON.isoformat()]
    found = rows(dsn, "accounts", "history", NAME, *period)
    assert [one["what"] for one in found["history"]] == ["HALTED", "RESUMED"]
    assert found["account"] == NAME
    shown = text(dsn, "accounts", "history", NAME, *period)
    assert "RESUMED" in shown
    assert "looked" in shown
    assert "RiskEventKind" not in shown
    assert text(dsn, "accounts", "trades", NAME, "--start", AFTER).startswith("no trades: account ")


def test_lots_are_what_is_left_of_each_opening_fill(traded: None, dsn: str) -> None:
    found = rows(dsn, "accounts", "lots", NAME)
    assert found["method"] == "FIFO"
    ((lot,),) = (found["lots"],)
    assert (lot["quantity"], lot["price"], lot["cost"]) == ("0.3", "100", "30")
    assert "no account" not in text(dsn, "accounts", "lots", NAME)


def test_an_account_that_is_not_there_is_an_error_and_no_empty_list(traded: None, dsn: str) -> None:
    for what in ("trades", "orders", "equity", "history", "lots"):
        done = CliRunner().invoke(app, ["accounts", what, "nobody-1k", "--database", dsn])
        assert "nobody-1k" in str(done.exception), what


def test_a_signal_is_right_wrong_or_unknown_before_costs(source: ConnectionSource, dsn: str) -> None:
    made = Signal(
        symbol=BTC, decided_at=NOON, deployment="starter", stage=DeploymentStage.SHADOW, direction=Direction.BUY, tier=Tier.HIGH,
        probability_up=0.7, price=Decimal(100), late=False, schema_name="v31", schema_hash="ab", features=(0.5,),
    )  # fmt: skip
    with PostgresLedger(source).transaction() as tx:
        tx.add_candles("coinbase", [candle(BTC, NOON + minutes(59), "101"), candle(BTC, NOON + minutes(64), "99")])
        for shift, direction in ((0, Direction.BUY), (5, Direction.BUY), (10, Direction.SELL)):
            up = 0.3 if direction is Direction.SELL else 0.7
            tx.add_signal(replace(made, decided_at=NOON + minutes(shift), direction=direction, probability_up=up))
    found = rows(dsn, "signals", "outcome", "--start", BEFORE, "--end", AFTER)
    assert [one["outcome"] for one in found["outcomes"]] == ["right", "wrong", "unknown"]
    assert [one["move_bps"] for one in found["outcomes"]] == ["100", "-100", None]
    assert (found["right"], found["wrong"], found["unknown"]) == (1, 1, 1)
    assert len(rows(dsn, "signals", "list", "--start", BEFORE, "--end", AFTER, "--symbol", "btc-usd")["signals"]) == 3
    (shown,) = rows(dsn, "signals", "show", "btc-usd", f"{NOON:%Y-%m-%dT%H:%M}")["signals"]
    assert shown["features"] == {"1": 0.5}
    assert "1 right, 1 wrong, 1 unknown" in text(dsn, "signals", "outcome", "--start", BEFORE, "--end", AFTER)
    lost = CliRunner().invoke(app, ["signals", "show", "BTC-USD", "2020-01-01", "--database", dsn])
    assert "no signal of BTC-USD" in str(lost.exception)
