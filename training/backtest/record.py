"""What a run of an account records, as rows. It can be cut back to a mark when an interval is run again."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from signalbox.exact import exactly
from signalbox.orders.identity import ClientOrderId
from signalbox.orders.terms import Leg, Side
from signalbox.risk.ftmo.state import AccountDay
from signalbox.trading.changes import ChangeSet, RiskEvent
from signalbox.trading.state import AccountState, Halt, Trade, TradeState


@dataclass(frozen=True, slots=True)
class TradeRow:
    """A closed trade. Prices are averages of the fills; amounts are in the account's currency."""

    entry: ClientOrderId
    symbol: str
    side: Side
    stage: str
    decided_at: datetime
    opened_at: datetime
    closed_at: datetime
    leg: Leg
    quantity: Decimal
    entry_price: Decimal
    exit_price: Decimal
    stop_loss: Decimal
    take_profit: Decimal | None
    fees: Decimal
    realised: Decimal  # after fees


@dataclass(frozen=True, slots=True)
class EquityRow:
    """The account at an instant, valued at the closes of the bars."""

    at: datetime
    balance: Decimal
    equity: Decimal


Mark = tuple[int, int, int, int, int]


@dataclass(slots=True)
class BacktestRecord:
    """Everything that a run recorded, in the order it happened."""

    trades: list[TradeRow] = field(default_factory=list)
    days: list[AccountDay] = field(default_factory=list)
    equity: list[EquityRow] = field(default_factory=list)
    risk: list[RiskEvent] = field(default_factory=list)
    halts: list[Halt] = field(default_factory=list)

    def take(self, before: AccountState, after: AccountState, changes: ChangeSet) -> None:
        """Record what a step changed."""
        for trade in changes.trades:
            if trade.state is TradeState.CLOSED:
                self.trades.append(closed_row(before, after, trade))
        self.days += changes.days
        self.equity += [EquityRow(one.at, one.balance, one.equity) for one in changes.equity]
        self.risk += changes.risk
        self.halts += changes.halts

    def mark(self) -> Mark:
        """Return the current length of each list."""
        return len(self.trades), len(self.days), len(self.equity), len(self.risk), len(self.halts)

    def cut(self, mark: Mark) -> None:
        """Remove what was recorded after a mark."""
        trades, days, equity, risk, halts = mark
        del self.trades[trades:], self.days[days:], self.equity[equity:], self.risk[risk:], self.halts[halts:]


@exactly
def closed_row(before: AccountState, after: AccountState, trade: Trade) -> TradeRow:
    """Return the row of a trade that a step closed."""
    orders = {**before.orders, **after.orders}
    entry = orders[trade.entry]
    leg = trade.exit_leg or Leg.EXIT
    if trade.exit is None:
        raise ValueError(f"{trade.entry}: expected a trade closed by its own exit order, got {trade}")
    leaving = orders[trade.exit]
    if trade.opened_at is None or trade.closed_at is None or entry.average_price is None or leaving.average_price is None:
        raise ValueError(f"{trade.entry}: expected a trade with filled entry and exit, got {trade}")
    return TradeRow(
        entry=trade.entry,
        symbol=trade.symbol,
        side=trade.side,
        stage=trade.stage,
        decided_at=trade.decided_at,
        opened_at=trade.opened_at,
        closed_at=trade.closed_at,
        leg=leg,
        quantity=entry.filled,
        entry_price=entry.average_price,
        exit_price=leaving.average_price,
        stop_loss=trade.stop_loss,
        take_profit=trade.take_profit,
        fees=entry.fees + leaving.fees,
        realised=trade.realised or Decimal(0),
    )
