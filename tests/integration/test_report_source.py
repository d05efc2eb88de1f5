"""Reports from a real PostgreSQL: what was written is told, execution quality is kept, publishing twice changes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from signalbox.adapters.postgres.connection import ConnectionSource
from signalbox.adapters.postgres.ledger import PostgresLedger
from signalbox.adapters.postgres.report_source import PostgresReports
from signalbox.adapters.postgres.trading import PostgresTradingLedger
from signalbox.orders.terms import Leg, Side
from signalbox.reports.build import build
from signalbox.reports.csv_text import read_csv
from signalbox.reports.errors import PeriodError
from signalbox.reports.period import Period, parse_period
from signalbox.reports.pnl import profit_and_loss
from signalbox.reports.publishing import PublishRun, publish
from signalbox.reports.report import ReportKind
from signalbox.risk.ftmo.state import AccountDay
from signalbox.trading.changes import Changes
from signalbox.trading.errors import AccountError
from signalbox.trading.state import TradeState
from tests.builders import BTC, NOON, candle, minutes
from tests.integration.samples import VENUE
from tests.integration.trading_samples import ACCOUNT, OTHER, equity, filled, halted, sent, stepped, terms, trade_of

pytestmark = pytest.mark.integration

NIGHT = datetime(2024, 3, 2, 1, 40, tzinfo=UTC)
LATER = NOON + minutes(30)


class Shelf:
    """What was put where."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}

    def put(self, path: str, content: bytes, content_type: str) -> None:
        self.files[path] = content


@pytest.fixture
def reports(source: ConnectionSource) -> PostgresReports:
    """0.5 BTC bought at noon for 100 and sold half an hour later for 110; a halt; an account that never traded."""
    with PostgresLedger(source).transaction() as tx:
        tx.add_candles(
            VENUE,
            [
                candle(BTC, NOON - minutes(1), "99"),
                candle(BTC, NOON, "101", open="100", high="102", low="99", volume="3"),
                candle(BTC, LATER - minutes(1), "108"),
                candle(BTC, LATER, "109"),
            ],
        )
    ledger = PostgresTradingLedger(source)
    ledger.open_account(ACCOUNT, NOON - timedelta(days=1), "anna")
    ledger.open_account(OTHER, NOON - timedelta(days=1), "anna")
    entry, leave = terms(), terms(leg=Leg.EXIT, side=Side.SELL)
    with ledger.transaction(ACCOUNT.account) as tx:
        before = tx.load(NOON)
        after, bought = stepped(before, NOON, *sent(entry), filled(entry, "t-1", NOON + minutes(0.1)))
        made = trade_of(entry, TradeState.OPEN, opened_at=NOON)
        bought = bought + Changes(trades=(made,)) + equity(after, NOON + minutes(1), {BTC: Decimal(101)})
        tx.save(before, replace(after, trades={BTC: made}), bought)
    with ledger.transaction(ACCOUNT.account) as tx:
        before = tx.load(LATER)
        after, sold = stepped(before, LATER, *sent(leave, LATER), filled(leave, "t-2", LATER, price="110"))
        closed = replace(
            made, state=TradeState.CLOSED, exit=leave.client_order_id, exit_leg=Leg.EXIT, closed_at=LATER, realised=Decimal("4.8")
        )
        day = AccountDay(NOON.date(), Decimal(100_000), Decimal(95_000), Decimal("100004.8"), Decimal(99_999))
        halt_desk, halting = halted(after, LATER)
        changes = sold + Changes(trades=(closed,), days=(day,)) + equity(after, LATER, {}) + halting
        tx.save(before, replace(halt_desk, trades={}), changes)
    return PostgresReports(source)


def day(name: str = "2024-03-01") -> Period:
    return parse_period(name, "UTC")


def night(reports: PostgresReports, shelf: Shelf, at: datetime = NIGHT) -> PublishRun:
    return publish(at, source=reports, quality=reports, shelf=shelf, log=reports)


def test_a_period_is_what_was_written(reports: PostgresReports) -> None:
    data = reports.period(ACCOUNT.account, day(), NIGHT)
    total = profit_and_loss(data).total.statement
    assert (total.opening_equity, total.realised, total.fees) == (100_000, 5, Decimal("0.2"))  # 0.5 * (110 - 100)
    assert total.closing_equity == Decimal("100004.8")
    assert [d.realised for d in data.disposals] == [5]
    assert data.disposals == data.booked_disposals
    assert (len(data.orders), len(data.trades), data.curve.count) == (2, 1, 2)
    assert (data.halt and data.halt.who, [e.kind.value for e in data.risk_events]) == ("anna", ["HALTED"])
    assert data.days[0].worst_equity == 99_999


def test_the_next_day_holds_nothing_and_values_what_is_left(reports: PostgresReports) -> None:
    data = reports.period(ACCOUNT.account, day("2024-03-02"), NIGHT)
    assert data.is_running
    assert (data.inside, data.orders, data.trades, data.disposals, data.risk_events) == ((), (), (), (), ())
    assert data.opening.snapshot.equity == Decimal("100004.8")
    assert data.halt is not None  # it was set before and still holds


def test_a_position_over_midnight_is_valued_at_the_newest_price_before(
    reports: PostgresReports, source: ConnectionSource
) -> None:
    held = terms(NOON + minutes(60))
    ledger = PostgresTradingLedger(source)
    with ledger.transaction(ACCOUNT.account) as tx:
        before = tx.load(NOON + minutes(60))
        tx.save(before, *stepped(before, NOON + minutes(60), *sent(held), filled(held, "t-3", NOON + minutes(60), price="100")))
    data = reports.period(ACCOUNT.account, day(), NIGHT)
    mark = data.closing.marks[BTC]
    assert (mark.price, mark.at) == (109, LATER + minutes(1))
    assert profit_and_loss(data).total.statement.unrealised_change == Decimal("4.5")  # 0.5 * 9


def test_a_night_measures_and_publishes_every_account(reports: PostgresReports) -> None:
    shelf = Shelf()
    run = night(reports, shelf)
    assert (run.failures, run.unmeasured, run.measured) == ((), (), 2)
    assert len(shelf.files) == run.changed == 20  # two accounts, five kinds, two files
    columns, rows = read_csv(shelf.files[f"reports/account={ACCOUNT.account}/period=2024-03-01/kind=quality.csv"].decode())
    named = [dict(zip(columns, row, strict=True)) for row in rows]
    assert [row["row"] for row in named] == ["order", "order", "day", "venue", "symbol", "total"]
    assert named[0]["arrival_slippage_bps"] == "0"  # bought at 100, the open of the minute
    assert named[0]["effective_spread_bps"] == "0"
    assert named[1]["arrival_slippage_bps"] == "-91.7431"  # sold at 110 against 109: saved 1 of 109
    prague = shelf.files[f"reports/account={OTHER.account}/period=2024-03-01/kind=pnl.html"].decode()
    assert "days are those of Europe/Prague" in prague
    assert "Nothing happened in this period" in prague


def test_a_repeated_night_gives_the_same_bytes_and_records_nothing_new(reports: PostgresReports) -> None:
    first, second = Shelf(), Shelf()
    night(reports, first)
    recorded = reports.published(ACCOUNT.account)
    again = night(reports, second)
    assert second.files == first.files
    assert (again.changed, again.measured) == (0, 0)
    assert reports.published(ACCOUNT.account) == recorded
    assert len(recorded) == 10


def test_a_late_candle_measures_an_order_again(reports: PostgresReports, source: ConnectionSource) -> None:
    night(reports, Shelf())
    with PostgresLedger(source).transaction() as tx:
        tx.add_candles(VENUE, [candle(BTC, LATER + minutes(5), "111")])
    run = night(reports, Shelf())
    assert (run.measured, run.changed) == (1, 2)
    data = reports.period(ACCOUNT.account, day(), NIGHT)
    # sold at 110, five minutes later the mid was 111: 2 * 0.5 * (111 - 110) = 1 of 0.5 * 109
    assert data.quality[1].quality.realised_spread.cost == 1
    assert data.quality[1].quality.realised_spread.base == Decimal("54.5")


def test_the_first_of_a_month_brings_the_month_and_of_a_year_the_year(reports: PostgresReports) -> None:
    shelf = Shelf()
    night(reports, shelf, datetime(2024, 4, 1, 1, 40, tzinfo=UTC))
    assert {path.split("/")[2] for path in shelf.files} == {"period=2024-03-31", "period=2024-03"}
    shelf = Shelf()
    night(reports, shelf, datetime(2025, 1, 1, 1, 40, tzinfo=UTC))
    assert {path.split("/")[2] for path in shelf.files} == {"period=2024-12-31", "period=2024-12", "period=2024"}


def test_a_report_that_would_be_untrue_fails_alone(reports: PostgresReports, source: ConnectionSource) -> None:
    with source.transaction() as connection:
        connection.execute("DELETE FROM disposals WHERE account = %s", (ACCOUNT.account,))
    shelf = Shelf()
    (failure,) = night(reports, shelf).failures
    assert (failure.account, failure.what) == (ACCOUNT.account, "tax of 2024-03-01")
    assert "0 and 1 differ" in failure.reason
    assert len(shelf.files) == 18


def test_what_is_not_there_is_said(reports: PostgresReports) -> None:
    with pytest.raises(AccountError, match=f"'nobody' does not exist; there is {OTHER.account}, {ACCOUNT.account}"):
        reports.period("nobody", day(), NIGHT)
    with pytest.raises(PeriodError, match="was opened on 2024-02-29"):
        reports.period(ACCOUNT.account, day("2023-03-01"), NIGHT)
    with pytest.raises(PeriodError, match="one that has begun"):
        reports.period(ACCOUNT.account, day("2024-03-03"), NIGHT)


def test_quality_comes_back_to_the_last_digit(reports: PostgresReports) -> None:
    night(reports, Shelf())
    kept = reports.period(ACCOUNT.account, day(), NIGHT).quality
    assert reports.save_quality(kept) == 0
    changed = replace(kept[0], quality=replace(kept[0].quality, fees=Decimal("0.123456789012345678")))
    assert reports.save_quality([changed]) == 1
    assert reports.period(ACCOUNT.account, day(), NIGHT).quality[0] == changed


def test_every_report_of_real_rows_can_be_built(reports: PostgresReports) -> None:
    data = reports.period(ACCOUNT.account, day("2024-03"), NIGHT)
    made: Mapping[ReportKind, str] = {kind: build(kind, data).html() for kind in ReportKind}
    assert all(ACCOUNT.account in page for page in made.values())
