"""Values of an account: open positions, days, breaches, and the whole state that is stored between two runs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum

from signalbox.market.candles import Symbol
from signalbox.risk.snapshot import LossRule


class AccountStatus(StrEnum):
    """State of an evaluation. A breach is final. TARGET_REACHED stays unless a breach ends the account."""

    ACTIVE = "active"
    TARGET_REACHED = "target_reached"
    BREACHED = "breached"


@dataclass(frozen=True, slots=True)
class OpenPosition:
    """One open position: signed quantity, entry price, and swaps booked so far."""

    symbol: Symbol
    quantity: Decimal
    price: Decimal
    swap: Decimal


@dataclass(frozen=True, slots=True)
class SymbolTotals:
    """All open positions of one symbol as two sums, so that marking them takes the same time however many there are."""

    quantity: Decimal  # signed
    cost: Decimal  # sum of quantity x entry
    mark: Decimal

    @property
    def floating(self) -> Decimal:
        """Profit of the open positions at the mark."""
        return self.quantity * self.mark - self.cost


@dataclass(frozen=True, slots=True)
class AccountBreach:
    """The first time a rule was broken: equity fell below the limit."""

    rule: LossRule
    time: datetime
    limit: Decimal
    equity: Decimal


@dataclass(frozen=True, slots=True)
class AccountDay:
    """One day in the rules' time zone. daily_limit: the equity below which that day's loss breaks the rule."""

    date: date
    baseline: Decimal
    daily_limit: Decimal
    closing_balance: Decimal
    worst_equity: Decimal
