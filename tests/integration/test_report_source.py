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
from signalbox.ledger_errors import LedgerBusyError
from signalbox.orders.terms import Leg, Side
from signalbox.reports.build import build
from signalbox.reports.errors import PeriodError
from signalbox.reports.period import ReportPeriod, parse_period
from signalbox.reports.pnl import profit_and_loss
from signalbox.reports.publishing import PublishRun, publish
from signalbox.reports.report import ReportKind
from signalbox.risk.ftmo.state import AccountDay
from signalbox.trading import halts
from signalbox.trading.account import TradingMode
from signalbox.trading.changes import ChangeSet
from signalbox.trading.errors import AccountError
from signalbox.trading.state import TradeState
from tests.builders import BTC, NOON, candle, minutes
from tests.csv_text import read_csv
from tests.fakes.postgres_server import PostgresServer, app_source
from tests.integration.samples import VENUE
from tests.integration.trading_samples import ACCOUNT, OTHER, equity, filled, halted, sent, stepped, terms, trade_of

pytestmark = pytest.mark.integration

NIGHT = datetime(2024, 3, 2, 1, 40, tzinfo=UTC)
LATER = NOON + minutes(30)


class MemoryStore:
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
        bought = bought + ChangeSet(trades=(made,)) + equity(after, NOON + minutes(1), {BTC: Decimal(101)})
        tx.save(before, replace(after, trades={BTC: made}), bought)
    with ledger.transaction(ACCOUNT.account) as tx:
        before = tx.load(LATER)
        after, sold = stepped(before, LATER, *sent(leave, LATER), filled(leave, "t-2", LATER, price="110"))
        closed = replace(
            made, state=TradeState.CLOSED, exit=leave.client_order_id, exit_leg=Leg.EXIT, closed_at=LATER, realised=Decimal("4.8")
        )
        day = AccountDay(NOON.date(), Decimal(100_000), Decimal(95_000), Decimal("100004.8"), Decimal(99_999))
        halt_account, halting = halted(after, LATER)
        changes = sold + ChangeSet(trades=(closed,), days=(day,)) + equity(after, LATER, {}) + halting
        tx.save(before, replace(halt_account, trades={}), changes)
    return PostgresReports(source)


def day(name: str = "2024-03-01") -> ReportPeriod:
    return parse_period(name, "UTC")


def night(reports: PostgresReports, store: MemoryStore, at: datetime = NIGHT) -> PublishRun:
    return publish(at, source=reports, quality=reports, store=store, log=reports)


def test_a_period_is_what_was_written(reports: PostgresReports) -> None:
    data = reports.period(ACCOUNT.account, day(), NIGHT)
    total = profit_and_loss(data).total.statement
    assert (total.opening_equity, total.realised, total.fees) == (
        Decimal(100000),
        Decimal(5),
        Decimal("0.2"),
    )  # 0.5 * (110 - 100)
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


def test_a_period_that_ends_after_a_resume_is_not_halted(reports: PostgresReports, source: ConnectionSource) -> None:
    at, number = LATER + minutes(30), reports.settled()
    with PostgresTradingLedger(source).transaction(ACCOUNT.account) as tx:
        before = tx.load(at)
        tx.save(before, *halts.resume(before, "anna", "looked at the fills", at))
    assert reports.period(ACCOUNT.account, day(), at).halt is not None  # of an instant before it
    for later in (day(), day("2024-03-02")):
        data = reports.period(ACCOUNT.account, later, NIGHT)
        assert data.halt is None
        assert build(ReportKind.COMPLIANCE, data).figures["kill switch at the end"] == "NONE"
    (booked,) = reports.booked(ACCOUNT.account, "UTC", number, NIGHT)
    assert (booked.since, booked.until) == (at, None)  # a resume that is booked late changes every report after it


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
    assert (mark.price, mark.at) == (Decimal(109), LATER + minutes(1))
    assert profit_and_loss(data).total.statement.unrealised_change == Decimal("4.5")  # 0.5 * 9


def test_a_night_measures_and_publishes_every_account(reports: PostgresReports) -> None:
    store = MemoryStore()
    run = night(reports, store)
    assert (run.failures, run.unmeasured, run.measured) == ((), (), 2)
    assert len(store.files) == run.changed == 20  # two accounts, five kinds, two files
    columns, rows = read_csv(store.files[f"reports/account={ACCOUNT.account}/period=2024-03-01/kind=quality.csv"].decode())
    named = [dict(zip(columns, row, strict=True)) for row in rows]
    assert [row["row"] for row in named] == ["order", "order", "day", "venue", "symbol", "total"]
    assert named[0]["arrival_slippage_bps"] == "0"  # bought at 100, the open of the minute
    assert named[0]["effective_spread_bps"] == "0"
    assert named[1]["arrival_slippage_bps"] == "-91.7431"  # sold at 110 against 109: saved 1 of 109
    prague = store.files[f"reports/account={OTHER.account}/period=2024-03-01/kind=pnl.html"].decode()
    assert "days are those of Europe/Prague" in prague
    assert "Nothing happened in this period" in prague


def test_a_repeated_night_gives_the_same_bytes_and_records_nothing_new(reports: PostgresReports) -> None:
    first, second = MemoryStore(), MemoryStore()
    night(reports, first)
    recorded = reports.published(ACCOUNT.account)
    again = night(reports, second)
    assert second.files == first.files
    assert (again.changed, again.measured) == (0, 0)
    assert [replace(one, made_from=0) for one in reports.published(ACCOUNT.account)] == [
        replace(one, made_from=0) for one in recorded
    ]
    assert len(recorded) == 10


def test_a_late_candle_measures_an_order_again(reports: PostgresReports, source: ConnectionSource) -> None:
    night(reports, MemoryStore())
    with PostgresLedger(source).transaction() as tx:
        tx.add_candles(VENUE, [candle(BTC, LATER + minutes(5), "111")])
    run = night(reports, MemoryStore())
    assert (run.measured, run.changed) == (1, 2)
    data = reports.period(ACCOUNT.account, day(), NIGHT)
    # sold at 110, five minutes later the mid was 111: 2 * 0.5 * (111 - 110) = 1 of 0.5 * 109
    assert data.quality[1].quality.realised_spread.cost == 1
    assert data.quality[1].quality.realised_spread.base == Decimal("54.5")


def late_fill(source: ConnectionSource, at: datetime) -> None:
    """0.5 BTC bought at `at` for 100, which the venue tells only now."""
    held = terms(at)
    with PostgresTradingLedger(source).transaction(ACCOUNT.account) as tx:
        before = tx.load(at)
        tx.save(before, *stepped(before, at, *sent(held), filled(held, "t-late", at, price="100")))


def periods_put(store: MemoryStore, account: str = ACCOUNT.account) -> set[str]:
    return {path.split("/")[2].removeprefix("period=") for path in store.files if f"account={account}/" in path}


def test_a_fill_booked_after_publication_rewrites_its_day_month_and_what_follows(
    reports: PostgresReports, source: ConnectionSource
) -> None:
    nights = [NIGHT + timedelta(days=days) for days in range(31)]
    for at in nights[:5]:
        night(reports, MemoryStore(), at)
    for at in nights[29:]:  # 31 March and 1 April: days that no run wrote, and the month
        night(reports, MemoryStore(), at)
    path = f"reports/account={ACCOUNT.account}/period=2024-03-01/kind=blotter.csv"
    of_day = {one.path: one for one in reports.published(ACCOUNT.account)}
    late_fill(source, NOON + timedelta(days=1))
    store = MemoryStore()
    run = night(reports, store, nights[30] + timedelta(days=1))
    assert run.failures == ()
    assert {f"2024-03-{day:02}" for day in range(2, 32)} | {"2024-03", "2024-04-01"} == periods_put(store)
    assert periods_put(store, OTHER.account) == {"2024-04-01"}
    assert "t-late" in store.files[f"reports/account={ACCOUNT.account}/period=2024-03-02/kind=blotter.csv"].decode()
    assert {one.path: one for one in reports.published(ACCOUNT.account)}[path].published_at == of_day[path].published_at
    again = MemoryStore()
    assert night(reports, again, nights[30] + timedelta(days=1)).changed == 0
    assert periods_put(again) == {"2024-04-01"}  # yesterday's are put whatever was there


def test_a_fill_at_night_belongs_to_the_day_of_the_accounts_zone(reports: PostgresReports, source: ConnectionSource) -> None:
    for days in range(6):
        night(reports, MemoryStore(), NIGHT + timedelta(days=days))
    at = datetime(2024, 3, 2, 23, 30, tzinfo=UTC)  # half past midnight in Prague
    held = terms(at, account=OTHER)
    with PostgresTradingLedger(source).transaction(OTHER.account) as tx:
        before = tx.load(at)
        tx.save(before, *stepped(before, at, *sent(held), filled(held, "t-late", at, price="100")))
    store = MemoryStore()
    night(reports, store, NIGHT + timedelta(days=6))
    assert periods_put(store, OTHER.account) == {f"2024-03-0{day}" for day in range(3, 8)}
    of_day = store.files[f"reports/account={OTHER.account}/period=2024-03-03/kind=blotter.csv"].decode()
    assert "t-late" in of_day
    assert periods_put(store) == {"2024-03-07"}


def test_a_late_fill_of_the_taxpayers_other_account_rewrites_only_its_wash_sales(
    reports: PostgresReports, source: ConnectionSource
) -> None:
    one, other = (
        ACCOUNT.model_copy(update={"account": name, "mode": TradingMode.LIVE, "venue": "coinbase"})
        for name in ("live-1", "live-2")
    )
    ledger = PostgresTradingLedger(source)
    for account in (one, other):
        ledger.open_account(account, NOON - timedelta(days=1), "anna")
    number, before = reports.settled(), NOON + timedelta(days=100)
    held = terms(NOON + timedelta(days=1), account=other)
    with ledger.transaction(other.account) as tx:
        state = tx.load(held.decided_at)
        tx.save(state, *stepped(state, held.decided_at, *sent(held), filled(held, "t-late", held.decided_at, price="100")))
    (facts,) = reports.booked(one.account, "UTC", number, before)
    assert (facts.since, facts.until) == (held.decided_at - timedelta(days=32), held.decided_at + timedelta(days=32))
    assert reports.booked(ACCOUNT.account, "UTC", number, before) == ()  # a paper account stands by itself
    assert any(found.until is None for found in reports.booked(other.account, "UTC", number, before))


def test_what_a_still_stand_over_midnight_left_out_is_told_the_next_night(
    reports: PostgresReports, source: ConnectionSource
) -> None:
    for days in range(6):
        night(reports, MemoryStore(), NIGHT + timedelta(days=days))
    at = NOON + timedelta(days=1)
    with PostgresTradingLedger(source).transaction(ACCOUNT.account) as tx:
        before = tx.load(at)
        state, halting = halted(before, at)
        ended = AccountDay(at.date(), Decimal(100_000), Decimal(95_000), Decimal("100004.8"), Decimal(99_000))
        tx.save(before, state, equity(state, at, {}) + halting + ChangeSet(days=(ended,)))
    store = MemoryStore()
    night(reports, store, NIGHT + timedelta(days=6))
    day_after = store.files[f"reports/account={ACCOUNT.account}/period=2024-03-02/kind=compliance.csv"].decode()
    assert "HALTED" in day_after
    assert "2024-03-01" not in periods_put(store)


def test_each_kind_of_fact_that_a_report_tells_of_is_found_by_its_number(
    reports: PostgresReports, source: ConnectionSource
) -> None:
    night(reports, MemoryStore())
    reported = ("fills", "account_entries", "order_events", "equity_snapshots", "day_baselines", "risk_events", "halts")
    with source.transaction() as connection:
        newest = {}
        for table in (*reported, "execution_quality"):
            (newest[table],) = connection.execute(f"SELECT max(booked) FROM {table}".encode()).fetchone() or (None,)
    assert all(newest.values()), newest
    found = {facts.booked for facts in reports.booked(ACCOUNT.account, "UTC", 0, NIGHT)}
    numbers = sorted(number for table, number in newest.items() if table != "account_entries")
    assert found >= set(numbers)  # of the capital transfers the newest is the other account's
    assert reports.booked(ACCOUNT.account, "UTC", max(numbers), NIGHT) == ()
    assert reports.settled() >= max(numbers)


def test_a_number_is_settled_only_when_who_was_given_it_has_committed(
    reports: PostgresReports, source: ConnectionSource, postgres: PostgresServer, database: str
) -> None:
    before = reports.settled()
    with app_source(postgres, database) as other, PostgresTradingLedger(source).transaction(ACCOUNT.account):
        with other.transaction() as connection:
            connection.execute("SET SESSION lock_timeout = '50ms'")
        with pytest.raises(LedgerBusyError):
            PostgresReports(other).settled()
    assert reports.settled() == before > 0


def test_the_first_of_a_month_brings_the_month_and_of_a_year_the_year(reports: PostgresReports) -> None:
    store = MemoryStore()
    night(reports, store, datetime(2024, 4, 1, 1, 40, tzinfo=UTC))
    assert {path.split("/")[2] for path in store.files} == {"period=2024-03-31", "period=2024-03"}
    for last in (datetime(2024, 12, 31, 1, 40, tzinfo=UTC), datetime(2025, 1, 1, 1, 40, tzinfo=UTC)):
        store = MemoryStore()
        night(reports, store, last)
    assert {path.split("/")[2] for path in store.files} == {"period=2024-12-31", "period=2024-12", "period=2024"}


def test_nights_that_did_not_run_are_made_up_for(reports: PostgresReports) -> None:
    night(reports, MemoryStore())
    store = MemoryStore()
    night(reports, store, NIGHT + timedelta(days=40))
    days = {f"2024-03-{day:02}" for day in range(2, 32)} | {f"2024-04-{day:02}" for day in range(1, 11)}
    assert periods_put(store) == periods_put(store, OTHER.account) == days | {"2024-03"}


def test_a_report_that_would_be_untrue_fails_alone(reports: PostgresReports, source: ConnectionSource) -> None:
    with source.transaction() as connection:
        connection.execute("DELETE FROM disposals WHERE account = %s", (ACCOUNT.account,))
    store = MemoryStore()
    (failure,) = night(reports, store).failures
    assert (failure.account, failure.what) == (ACCOUNT.account, "tax of 2024-03-01")
    assert "(0 and 1)" in failure.reason
    assert len(store.files) == 18


def test_what_is_not_there_is_said(reports: PostgresReports) -> None:
    with pytest.raises(AccountError, match=f"'nobody' does not exist; existing accounts: {OTHER.account}, {ACCOUNT.account}"):
        reports.period("nobody", day(), NIGHT)
    with pytest.raises(PeriodError, match="was opened on 2024-02-29"):
        reports.period(ACCOUNT.account, day("2023-03-01"), NIGHT)
    with pytest.raises(PeriodError, match="has not begun"):
        reports.period(ACCOUNT.account, day("2024-03-03"), NIGHT)


def test_quality_comes_back_to_the_last_digit(reports: PostgresReports) -> None:
    night(reports, MemoryStore())
    kept = reports.period(ACCOUNT.account, day(), NIGHT).quality
    assert reports.save_quality(kept) == 0
    changed = replace(kept[0], quality=replace(kept[0].quality, fees=Decimal("0.123456789012345678")))
    assert reports.save_quality([changed]) == 1
    assert reports.period(ACCOUNT.account, day(), NIGHT).quality[0] == changed


def test_every_report_of_real_rows_can_be_built(reports: PostgresReports) -> None:
    data = reports.period(ACCOUNT.account, day("2024-03"), NIGHT)
    made: Mapping[ReportKind, str] = {kind: build(kind, data).html() for kind in ReportKind}
    assert all(ACCOUNT.account in page for page in made.values())
