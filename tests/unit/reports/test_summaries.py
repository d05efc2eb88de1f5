"""Summaries: the days and weeks that ended, the figures of the profit and loss report, one for each account and day."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox.events import parse_event
from signalbox.portfolio.entries import Entry
from signalbox.portfolio.errors import PortfolioError
from signalbox.reports.curve import CurvePoint, EquityCurve
from signalbox.reports.errors import PeriodError
from signalbox.reports.period import PeriodKind, ReportPeriod, finished_week, zone_of
from signalbox.reports.pnl import profit_and_loss
from signalbox.reports.source import AccountPeriod
from signalbox.reports.summaries import SummaryRun, curve_of, due_summaries, summarise, summary_of
from signalbox.trading.account import TradingAccount
from signalbox.trading.events import MAX_CURVE_POINTS, AccountSummarised
from tests.unit.reports.samples import CAPITAL, FTMO, PAPER, at, fill, period_of, prices

D = Decimal
MORNING = at(3, 4, 6)  # a Monday


@dataclass
class Ledger:
    """Two accounts and an outbox; `facts` raises what it holds for an account."""

    facts: dict[str, Exception] = field(default_factory=dict)
    kept: dict[str, AccountSummarised] = field(default_factory=dict)

    def accounts(self) -> Sequence[TradingAccount]:
        return FTMO, PAPER

    def period(self, account: str, period: ReportPeriod, until: datetime) -> AccountPeriod:
        if account in self.facts:
            raise self.facts[account]
        of = {one.account: one for one in self.accounts()}[account]
        paid_in = CAPITAL.model_copy(update={"account": account})
        found = period_of(period.first.isoformat(), [CAPITAL])
        return replace(found, account=of, period=period, until=period.end, entries=(paid_in,))

    def put(self, event: AccountSummarised, at: datetime) -> bool:
        return self.kept.setdefault(event.event_id, event) is event

    def morning(self, scheduled_at: datetime = MORNING) -> SummaryRun:
        return summarise(scheduled_at, source=self, put=self.put)


def test_a_monday_tells_the_days_and_the_week_of_every_account_once() -> None:
    ledger = Ledger()
    assert ledger.morning() == SummaryRun(6, ())
    assert ledger.morning(MORNING + timedelta(hours=2)) == SummaryRun(0, ())  # the same day, delivered again
    assert ledger.morning(MORNING + timedelta(days=1)) == SummaryRun(2, ())
    assert [name.removeprefix("AccountSummarised:") for name in ledger.kept if PAPER.account in name] == [
        "paper-100k:day:2024-03-02", "paper-100k:day:2024-03-03", "paper-100k:week:2024-02-26", "paper-100k:day:2024-03-04",
    ]  # fmt: skip


def test_a_morning_without_a_run_is_made_good_on_the_next() -> None:
    ledger = Ledger()
    ledger.morning(MORNING - timedelta(days=1))
    ledger.morning(MORNING + timedelta(days=1))  # none on the Monday
    names = [name.removeprefix("AccountSummarised:") for name in ledger.kept if PAPER.account in name]
    assert {"paper-100k:day:2024-03-03", "paper-100k:week:2024-02-26", "paper-100k:day:2024-03-04"} <= set(names)


@given(
    clock=st.times(), of_stage=st.sampled_from(["UTC", "Europe/Prague", "America/New_York", "Australia/Lord_Howe"]),
    account=st.sampled_from([FTMO, PAPER]), start=st.dates(date(2023, 1, 1), date(2027, 1, 1)), missed=st.integers(0, 6),
)  # fmt: skip
def test_no_day_is_left_out_whatever_the_clocks_do_and_with_one_run_missing(
    clock: time, of_stage: str, account: TradingAccount, start: date, missed: int
) -> None:
    mornings = [datetime.combine(start + timedelta(days=place), clock, ZoneInfo(of_stage)) for place in range(7)]
    runs = [one.astimezone(UTC) for place, one in enumerate(mornings) if place != missed]
    days = [one.first for run in runs for one in due_summaries(account, run) if one.kind is PeriodKind.DAY]
    assert sorted(set(days)) == [min(days) + timedelta(days=place) for place in range(len(set(days)))]
    if missed != 6:
        assert max(days) == runs[-1].astimezone(ZoneInfo(zone_of(account))).date() - timedelta(days=1)


def test_an_account_whose_facts_contradict_each_other_leaves_the_others_alone() -> None:
    ledger = Ledger(facts={FTMO.account: PortfolioError("0 and 1 differ")})
    run = ledger.morning()
    assert run.new == 3
    assert [(one.account, one.what, one.reason) for one in run.failures] == [
        (FTMO.account, "summary of 2024-03-02", "0 and 1 differ"),
        (FTMO.account, "summary of 2024-03-03", "0 and 1 differ"), (FTMO.account, "summary of 2024-W09", "0 and 1 differ"),
    ]  # fmt: skip


def test_an_account_that_did_not_exist_yet_has_no_summary() -> None:
    assert Ledger(facts={FTMO.account: PeriodError("opened later")}).morning() == SummaryRun(3, ())


@pytest.mark.parametrize("instant", [at(3, 4, 0), at(3, 4, 23) - timedelta(seconds=1)])
def test_the_day_is_that_of_the_accounts_zone(instant: datetime) -> None:
    of_rules = due_summaries(FTMO, at(3, 3, 23))  # 00:00 in Prague
    assert [(one.name, one.zone) for one in of_rules][1:] == [("2024-03-03", "Europe/Prague"), ("2024-W09", "Europe/Prague")]
    assert [one.name for one in due_summaries(PAPER, instant)][-2:] == ["2024-03-03", "2024-W09"]
    assert [one.name for one in due_summaries(PAPER, at(3, 3, 23))] == ["2024-03-01", "2024-03-02"]


@given(days=st.integers(0, 4000), hour=st.integers(0, 23), zone=st.sampled_from(["UTC", "Europe/Prague", "America/New_York"]))
def test_a_week_is_seven_days_from_monday_and_ends_before_the_run(days: int, hour: int, zone: str) -> None:
    now = at(1, 1, hour) + timedelta(days=days)
    week = finished_week(now, zone)
    if week is None:
        return
    assert (week.after - week.first, week.first.isoweekday(), week.after - timedelta(days=7)) == (timedelta(7), 1, week.first)
    assert week.end <= now < week.end + timedelta(days=1, hours=1)
    assert [part.end for part in week.parts()][-1] == week.end
    assert len(week.parts()) == 7


def test_the_figures_are_those_of_the_report_and_survive_the_bus() -> None:
    entries: list[Entry] = [CAPITAL, fill(at(3, 1, 9), "BUY", "10", "900", "5"), fill(at(3, 1, 15), "SELL", "10", "880", "5")]
    data = period_of("2024-03-01", entries, prices())
    found, report = summary_of(data), profit_and_loss(data).total.statement
    assert (found.net, found.opening_equity, found.equity, found.fees) == (D(-210), D(100_000), D(99_790), D(10))
    assert found.net == report.net
    assert (found.span, found.first, found.start, found.end) == ("day", date(2024, 3, 1), at(3, 1, 0), at(3, 2, 0))
    assert (found.fall, found.curve[0], found.curve[-1]) == (D(210), (0, 0.0), (1440, -210.0))
    assert parse_event(found.type.value, found.to_detail()) == found


@given(profits=st.lists(st.integers(-1000, 1000), max_size=900))
def test_a_curve_keeps_its_ends_and_fits_its_event(profits: list[int]) -> None:
    start, peak = at(3, 1, 0), 0
    points = []
    for place, profit in enumerate(profits):
        peak = max(peak, profit)
        points.append(CurvePoint(start + timedelta(minutes=place), D(profit), D(peak)))
    found = curve_of(EquityCurve(tuple(points)).points, start)
    assert len(found) <= MAX_CURVE_POINTS
    assert [minute for minute, _ in found] == sorted({minute for minute, _ in found})
    if profits:
        assert (found[0], found[-1]) == ((0, 0.0), (len(profits) - 1, float(profits[-1] - profits[0])))
