"""A night's run: what is wrong with one report or one account is told, and every other one is written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import DivisionByZero, Inexact

import pytest

from signalbox.adapters.postgres.errors import LedgerUnavailableError
from signalbox.market.candles import Candle
from signalbox.orders.order import Order
from signalbox.portfolio.errors import PortfolioError
from signalbox.reports import publishing
from signalbox.reports.errors import PeriodError, ReportSourceError
from signalbox.reports.measurement import MeasuredOrder
from signalbox.reports.period import Period
from signalbox.reports.publishing import PublishRun, publish
from signalbox.reports.report import ReportKind
from signalbox.reports.source import AccountPeriod, Publication
from signalbox.trading.account import TradingAccount
from tests.unit.reports.samples import CAPITAL, FTMO, PAPER, at, period_of

NIGHT = at(3, 2, 1)


@dataclass
class Ledger:
    """Every port of a run, over two accounts; `facts` and `orders` raise what they hold for an account."""

    facts: dict[str, Exception] = field(default_factory=dict)
    orders: dict[str, Exception] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    recorded: list[Publication] = field(default_factory=list)

    def accounts(self) -> Sequence[TradingAccount]:
        return FTMO, PAPER

    def period(self, account: str, period: Period, until: datetime) -> AccountPeriod:
        if account in self.facts:
            raise self.facts[account]
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

    def record(self, publications: Sequence[Publication]) -> int:
        self.recorded += publications
        return len(publications)

    def night(self) -> PublishRun:
        return publish(NIGHT, source=self, quality=self, shelf=self, log=self)


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

    monkeypatch.setattr(publishing, "BUILDERS", {ReportKind.TAX: fails, ReportKind.PNL: publishing.BUILDERS[ReportKind.PNL]})
    monkeypatch.setattr(publishing, "build", lambda kind, data: publishing.BUILDERS[kind](data))
    ledger = Ledger()
    run = ledger.night()
    assert [failure.what for failure in run.failures] == ["tax of 2024-03-01", "tax of 2024-03-01"]
    assert len(ledger.files) == 4


def test_an_account_that_was_opened_after_the_period_has_no_reports_and_is_no_failure() -> None:
    ledger = Ledger(facts={FTMO.account: PeriodError("opened later")})
    assert (ledger.night().failures, of_account(ledger, FTMO)) == ((), 0)


def test_a_ledger_that_is_away_fails_the_run_at_once() -> None:
    with pytest.raises(LedgerUnavailableError):
        Ledger(orders={FTMO.account: LedgerUnavailableError("away")}).night()
