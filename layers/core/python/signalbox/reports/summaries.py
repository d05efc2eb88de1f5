"""Summaries of accounts as events: of the days that ended, and of the week that ended with one. Pure but for its ports.

The figures are those of the profit and loss report of the same days (`pnl.py`). A summary has one name for each account and day,
so a run that is repeated puts nothing again, and each run looks back far enough to make good one that did not happen. If one
account's facts contradict each other, all others are still summarised, and the run fails at its end.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import DecimalException
from typing import Final, Literal

from signalbox.orders.errors import OrderError
from signalbox.portfolio.errors import PortfolioError
from signalbox.reports.curve import CurvePoint
from signalbox.reports.errors import PeriodError, ReportError
from signalbox.reports.period import PeriodKind, ReportPeriod, finished_week, periods_ended, zone_of
from signalbox.reports.pnl import profit_and_loss
from signalbox.reports.publishing import PublishFailure
from signalbox.reports.source import AccountPeriod, ReportSource
from signalbox.trading.account import TradingAccount
from signalbox.trading.events import MAX_CURVE_POINTS, AccountSummarised

_CONTRADICTIONS: Final = (ReportError, PortfolioError, OrderError, DecimalException)
# A run may be missing (an outage, an hour that the clocks skip), and where clocks change two runs may be 25 hours apart
LOOKS_BACK: Final = timedelta(days=2)
_SPANS: Final[dict[PeriodKind, Literal["day", "week"]]] = {PeriodKind.DAY: "day", PeriodKind.WEEK: "week"}


@dataclass(frozen=True, slots=True)
class SummaryRun:
    """The result of one run: how many summaries are new, and the accounts without one that should have it."""

    new: int
    failures: tuple[PublishFailure, ...]


def summarise(scheduled_at: datetime, *, source: ReportSource, put: Callable[[AccountSummarised, datetime], bool]) -> SummaryRun:
    """Put the summaries that are due. put: returns whether the event is new. Raises the ledger's errors."""
    new, failures = 0, []
    for account in source.accounts():
        for period in due_summaries(account, scheduled_at):
            try:
                data = source.period(account.account, period, scheduled_at)
                new += put(summary_of(data), scheduled_at)
            except PeriodError:
                continue  # the account was opened after the period
            except _CONTRADICTIONS as error:
                reason = f"{type(error).__name__}: {error}" if isinstance(error, DecimalException) else str(error)
                failures.append(PublishFailure(account.account, f"summary of {period.name}", reason))
    return SummaryRun(new, tuple(failures))


def due_summaries(account: TradingAccount, at: datetime) -> tuple[ReportPeriod, ...]:
    """Return the days of the account's zone that ended in LOOKS_BACK before `at`, each followed by its week if that ended too."""
    zone = zone_of(account)
    found: list[ReportPeriod] = []
    for day in periods_ended(at - LOOKS_BACK, at, zone):
        if day.kind is PeriodKind.DAY:
            week = finished_week(day.end, zone)
            found += [day] if week is None else [day, week]
    return tuple(found)


def summary_of(data: AccountPeriod) -> AccountSummarised:
    """Return the event of a day or a week. Raises ReportSourceError if a price is missing, PortfolioError."""
    found = profit_and_loss(data)
    total = found.total.statement
    deepest = found.deepest
    opened = sum(one.opened_at is not None and data.start <= one.opened_at < data.until for one in data.trades)
    return AccountSummarised(
        account=data.account.account,
        mode=data.account.mode.value,
        currency=data.account.currency,
        span=_SPANS[data.period.kind],
        first=data.period.first,
        start=data.start,
        end=data.until,
        opening_equity=total.opening_equity,
        equity=total.closing_equity,
        transfers=total.transfers,
        net=total.net,
        fees=total.fees,
        funding=total.funding,
        opened=opened,
        closed=found.trades_closed,
        won=found.trades_won,
        fall=None if deepest is None else deepest.drawdown,
        fall_at=None if deepest is None else deepest.at,
        halt=None if data.halt is None else data.halt.level,
        curve=curve_of(data.whole_curve.points, data.start),
    )


def curve_of(points: Sequence[CurvePoint], start: datetime) -> tuple[tuple[int, float], ...]:
    """Return the profit since the first point at no more instants than a summary carries, the first and the last among them."""
    if not points:
        return ()
    most = MAX_CURVE_POINTS - 1
    places = (
        range(len(points)) if len(points) <= most else sorted({round(i * (len(points) - 1) / (most - 1)) for i in range(most)})
    )
    first = points[0].profit
    return tuple((int((points[i].at - start) / timedelta(minutes=1)), float(points[i].profit - first)) for i in places)
