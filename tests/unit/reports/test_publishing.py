"""A night's run: what is wrong with one report or one account is told, and every other one is written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import DivisionByZero, Inexact

import pytest

from signalbox.ledger_errors import LedgerUnavailableError
from signalbox.market.candles import Candle
from signalbox.orders.order import Order
from signalbox.portfolio.errors import PortfolioError
from signalbox.reports import publishing
from signalbox.reports.build import BUILDERS
from signalbox.reports.errors import PeriodError, ReportSourceError
from signalbox.reports.measurement import MeasuredOrder
from signalbox.reports.period import ReportPeriod
from signalbox.reports.publishing import PublishRun, publish
from signalbox.reports.report import ReportKind
from signalbox.reports.source import AccountPeriod, FactsBooked, Publication, ReportMark
from signalbox.trading.account import TradingAccount
from tests.unit.reports.samples import CAPITAL, FTMO, PAPER, at, period_of

NIGHT = at(3, 2, 1)


@dataclass
class Ledger:
    """Every port of a run, over two accounts; `facts` and `orders` raise what they hold for an account."""

    facts: dict[str, Exception] = field(default_factory=dict)
    orders: dict[str, Exception] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    recorded: dict[str, Publication] = field(default_factory=dict)
    late: list[FactsBooked] = field(default_factory=list)
    marks: dict[str, ReportMark] = field(default_factory=dict)
    read: list[tuple[str, str]] = field(default_factory=list)
    number: int = 1

    def accounts(self) -> Sequence[TradingAccount]:
        return FTMO, PAPER

    def period(self, account: str, period: ReportPeriod, until: datetime) -> AccountPeriod:
        if account in self.facts:
            raise self.facts[account]
        self.read.append((account, period.name))
        of = {one.account: one for one in self.accounts()}[account]
        paid_in = CAPITAL.model_copy(update={"account": account})
        return replace(period_of(period.name, [CAPITAL]), account=of, period=period, entries=(paid_in,))

    def closed_orders(self, account: str, since: datetime, until: datetime) -> Sequence[Order]:
        if account in self.orders:
            raise self.orders[account]
        return ()

    def bars(self, market: str, symbol: str, start: datetime, end: datetime) -> Sequence[Candle]:
        return ()

    def save_quality(self, rows: Sequence[MeasuredOrder]) -> int:
        return len(rows)

    def put(self, path: str, content: bytes, content_type: str) -> None:
        self.files[path] = content

    def settled(self) -> int:
        return self.number

    def published(self, account: str) -> Sequence[Publication]:
        return [one for one in self.recorded.values() if one.account == account]

    def booked(self, account: str, zone: str, after: int, before: datetime) -> Sequence[FactsBooked]:
        return [one for one in self.late if one.booked > after and one.since < before] if account == PAPER.account else []

    def record(self, publications: Sequence[Publication]) -> int:
        kept = {path: one.sha256 for path, one in self.recorded.items()}
        self.recorded |= {one.path: one for one in publications}
        return sum(kept.get(one.path) != one.sha256 for one in publications)

    def mark(self, account: str) -> ReportMark | None:
        return self.marks.get(account)

    def set_mark(self, account: str, mark: ReportMark) -> None:
        self.marks[account] = mark

    def night(self, scheduled_at: datetime = NIGHT) -> PublishRun:
        self.read.clear()
        return publish(scheduled_at, source=self, quality=self, store=self, log=self)

    def days_of(self, account: TradingAccount) -> list[str]:
        return [period for of, period in self.read if of == account.account]


def of_account(ledger: Ledger, account: TradingAccount) -> int:
    return sum(f"account={account.account}/" in path for path in ledger.files)


def test_every_kind_of_every_account_is_written_and_recorded() -> None:
    ledger = Ledger()
    run = ledger.night()
    assert (run.failures, len(ledger.files), len(ledger.recorded)) == ((), 20, 20)


@pytest.mark.parametrize("error", [ReportSourceError("no candle"), PortfolioError("does not close"), Inexact(), DivisionByZero()])
def test_an_account_whose_facts_contradict_each_other_leaves_the_others_alone(error: Exception) -> None:
    ledger = Ledger(facts={FTMO.account: error})
    (failure,) = ledger.night().failures
    assert (failure.account, failure.what) == (FTMO.account, "facts of 2024-03-01")
    assert failure.reason
    assert (of_account(ledger, FTMO), of_account(ledger, PAPER), len(ledger.recorded)) == (0, 10, 10)


def test_orders_that_cannot_be_measured_stop_no_report() -> None:
    ledger = Ledger(orders={FTMO.account: Inexact()})
    (failure,) = ledger.night().failures
    assert (failure.account, failure.what, len(ledger.files)) == (FTMO.account, "measurement of its orders", 20)
    assert "Inexact" in failure.reason


@pytest.mark.parametrize("error", [Inexact(), DivisionByZero(), PortfolioError("does not close")])
def test_a_report_whose_arithmetic_fails_leaves_the_others_alone(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def fails(_data: AccountPeriod) -> object:
        raise error

    builders = {ReportKind.TAX: fails, ReportKind.PNL: BUILDERS[ReportKind.PNL]}
    monkeypatch.setattr(publishing, "BUILDERS", builders)
    monkeypatch.setattr(publishing, "build", lambda kind, data: builders[kind](data))
    ledger = Ledger()
    run = ledger.night()
    assert [failure.what for failure in run.failures] == ["tax of 2024-03-01", "tax of 2024-03-01"]
    assert len(ledger.files) == 4


def test_an_account_opened_after_the_period_has_no_reports_and_does_not_fail() -> None:
    ledger = Ledger(facts={FTMO.account: PeriodError("opened later")})
    assert (ledger.night().failures, of_account(ledger, FTMO)) == ((), 0)


def test_a_ledger_that_is_away_fails_the_run_at_once() -> None:
    with pytest.raises(LedgerUnavailableError):
        Ledger(orders={FTMO.account: LedgerUnavailableError("away")}).night()


def after_a_late_fact(*, nights: range, happened: datetime) -> Ledger:
    """Return the ledger after these nights of March, to which a fact of an earlier instant was then added."""
    ledger = Ledger()
    for day in nights:
        ledger.night(at(3, day, 1))
    ledger.number = 7
    ledger.late.append(FactsBooked(happened, None, 6))
    return ledger


def test_a_fact_booked_late_has_its_day_and_every_later_period_written_again_once() -> None:
    ledger = after_a_late_fact(nights=range(2, 10), happened=at(3, 3, 15))
    ledger.night(at(3, 10, 1))
    assert ledger.days_of(PAPER) == ["2024-03-09", *(f"2024-03-0{day}" for day in range(3, 9))]
    assert ledger.days_of(FTMO) == ["2024-03-09", "2024-03-06", "2024-03-07", "2024-03-08"]  # whose candles may have come
    ledger.night(at(3, 11, 1))
    assert ledger.days_of(PAPER) == ["2024-03-10", "2024-03-07", "2024-03-08", "2024-03-09"]


def test_a_run_that_ended_early_goes_on_where_it_was() -> None:
    ledger = after_a_late_fact(nights=range(2, 12), happened=at(3, 2, 15))
    kept = dict(ledger.marks)
    ledger.night(at(3, 12, 1))
    assert len(ledger.days_of(PAPER)) == 10
    ledger.marks = kept  # as if it had been stopped before its end
    ledger.night(at(3, 12, 1))
    assert ledger.days_of(PAPER) == ["2024-03-11"]


def test_what_failed_is_owed_until_it_is_there() -> None:
    ledger = Ledger()
    ledger.night(at(3, 2, 1))
    ledger.facts[PAPER.account] = ReportSourceError("no candle")
    assert [failure.what for failure in ledger.night(at(3, 3, 1)).failures] == ["facts of 2024-03-02", "facts of 2024-03-01"]
    ledger.facts.clear()
    ledger.night(at(3, 9, 1))  # and nights that never ran
    assert ledger.days_of(PAPER) == ["2024-03-08", *(f"2024-03-0{day}" for day in range(1, 8))]
    ledger.night(at(3, 14, 1))
    assert set(ledger.days_of(FTMO)) == {f"2024-03-{day:02}" for day in range(6, 14)}  # missed, or made before three days


def test_a_file_that_holds_these_bytes_is_not_put_again() -> None:
    ledger = Ledger()
    ledger.night(at(3, 2, 1))
    ledger.files.clear()
    run = ledger.night(at(3, 3, 1))
    assert {path.split("/")[2] for path in ledger.files} == {"period=2024-03-02"}
    assert (run.changed, len(run.published)) == (20, 40)


def test_a_night_of_long_ago_amends_nothing_and_leaves_the_mark() -> None:
    ledger = Ledger()
    for day in (2, 3, 4):
        ledger.night(at(3, day, 1))
    mark = ledger.marks[PAPER.account]
    ledger.night(at(3, 3, 1))
    assert (ledger.days_of(PAPER), ledger.marks[PAPER.account]) == (["2024-03-02"], mark)
