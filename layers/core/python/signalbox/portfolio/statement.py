"""The profit and loss of a period: two equity snapshots of one account, and the parts that explain their difference. Exact.

net = realised - fees + funding + change of unrealised = closing equity - opening equity - transfers in between.
Both sides are computed independently. A statement that does not add up is an error, never a "rounding difference".
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
    """One account after the snapshot at `start`, up to and including `end`. All amounts are in the account's currency."""

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
    """Return the statement between two snapshots. Raises PortfolioError for two accounts, reversed times or a wrong sum."""
    if start.account != end.account or start.at >= end.at:
        raise PortfolioError(f"expected one account and start < end, got {start.account} {start.at} to {end.account} {end.at}")
    realised, fees, funding = end.realised - start.realised, end.fees - start.fees, end.funding - start.funding
    transfers, unrealised = end.transfers - start.transfers, end.unrealised - start.unrealised
    net = realised - fees + funding + unrealised
    if start.equity + transfers + net != end.equity:
        raise PortfolioError(
            f"{end.account} {end.at}: opening equity + transfers + net must equal the closing equity {end.equity}, "
            f"got {start.equity + transfers + net}"
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
