"""The profit and loss of a period: two equity snapshots of one account and what explains the difference. Exact.

net = realised - fees + funding + change of unrealised = equity at the end - equity at the start - transfers between.
Both sides are computed on their own, and a statement that does not close is an error, never a "rounding difference".
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from signalbox.exact import exactly
from signalbox.portfolio.account import EquitySnapshot
from signalbox.portfolio.errors import PortfolioError


@dataclass(frozen=True, slots=True)
class Statement:
    """One account from `start` (its snapshot excluded) to `end`; all of it in the account's currency."""

    account: str
    start: datetime
    end: datetime
    opening_equity: Decimal
    transfers: Decimal  # in (positive) or out
    realised: Decimal  # before fees and funding
    fees: Decimal  # paid
    funding: Decimal  # received
    unrealised_change: Decimal
    net: Decimal
    closing_equity: Decimal


@exactly
def statement(start: EquitySnapshot, end: EquitySnapshot) -> Statement:
    """Return the statement between two snapshots. Raises PortfolioError for two accounts, reversed times, or no closure."""
    if start.account != end.account or start.at >= end.at:
        raise PortfolioError(f"expected one account and a period, was {start.account} {start.at} to {end.account} {end.at}")
    realised, fees, funding = end.realised - start.realised, end.fees - start.fees, end.funding - start.funding
    transfers, unrealised = end.transfers - start.transfers, end.unrealised - start.unrealised
    net = realised - fees + funding + unrealised
    if start.equity + transfers + net != end.equity:
        raise PortfolioError(
            f"{end.account} {end.at}: expected equity {start.equity + transfers + net} of its parts, was {end.equity}"
        )
    return Statement(
        account=end.account,
        start=start.at,
        end=end.at,
        opening_equity=start.equity,
        transfers=transfers,
        realised=realised,
        fees=fees,
        funding=funding,
        unrealised_change=unrealised,
        net=net,
        closing_equity=end.equity,
    )
