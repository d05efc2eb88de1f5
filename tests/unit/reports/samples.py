"""A small account and its periods; each argument is what the test is about."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from signalbox.orders.terms import Side
from signalbox.portfolio.account import book
from signalbox.portfolio.entries import Entry, Fill, Transfer
from signalbox.portfolio.lots import StandingOrder
from signalbox.reports.period import parse_period, zone_of
from signalbox.reports.source import AccountPeriod
from signalbox.risk.snapshot import Mark
from signalbox.trading.account import TradingAccount, account_named
from tests.builders import BTC, ETH

PAPER = account_named("paper-100k", market="coinbase")
FTMO = account_named("ftmo-2step-100k", market="coinbase")


def at(month: int, day: int, hour: int = 12, year: int = 2024) -> datetime:
    return datetime(year, month, day, hour, tzinfo=UTC)


def fill(
    when: datetime, side: str, quantity: str, price: str, fee: str = "0", *, symbol: str = BTC, key: str | None = None
) -> Fill:
    return Fill(
        account=PAPER.account,
        key=key or f"{when:%m%d%H%M}-{side}",
        at=when,
        symbol=symbol,
        side=Side(side),
        quantity=Decimal(quantity),
        price=Decimal(price),
        fee=Decimal(fee),
    )


def transfer(when: datetime, amount: str) -> Transfer:
    return Transfer(account=PAPER.account, key=f"m-{when:%m%d%H}", at=when, amount=Decimal(amount))


CAPITAL = transfer(at(2, 28, 0), "100000")


def prices(btc: str = "900", eth: str = "40", **by_day: str) -> Callable[[datetime], dict[str, Mark]]:
    """The same prices at every boundary; `by_day` ("d0301") has another one of BTC at the start of that day."""

    def marks(boundary: datetime) -> dict[str, Mark]:
        found = by_day.get(f"d{boundary:%m%d}", btc)
        return {BTC: Mark(Decimal(found), boundary), ETH: Mark(Decimal(eth), boundary)}

    return marks


def period_of(
    name: str,
    entries: Sequence[Entry],
    marks: Callable[[datetime], dict[str, Mark]] | None = None,
    *,
    account: TradingAccount = PAPER,
    until: datetime | None = None,
    standing_orders: tuple[StandingOrder, ...] = (),
    **changes: Any,
) -> AccountPeriod:
    """The facts of a period, its disposals as the books make them."""
    period = parse_period(name, zone_of(account))
    end = period.end if until is None else until
    known = tuple(entry for entry in entries if entry.at < end)
    disposals = tuple(d for d in book(PAPER.account, known, standing_orders).disposals if period.start <= d.closed_at < end)
    facts: dict[str, Any] = {
        "disposals": disposals,
        "window_fills": tuple(entry for entry in entries if isinstance(entry, Fill)),
    }
    of = marks or prices()
    return AccountPeriod(
        account=account,
        period=period,
        until=end,
        entries=known,
        marks={boundary: of(boundary) for boundary in period.boundaries(end)},
        standing_orders=standing_orders,
        **facts | changes,
    )
