"""The results of the accounts in a replay, read from the ledger, as numbers for `summary.json`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from signalbox.adapters.postgres.connection import ConnectionSource
from signalbox.adapters.postgres.trading import PostgresTradingLedger
from signalbox.adapters.postgres.trading_reading import AccountFacts, TradingReader
from signalbox.exact import ZERO, exactly, plain, ratio
from signalbox.orders.identity import ClientOrderId
from signalbox.orders.order import Order
from signalbox.risk.ftmo.monitor import FtmoRuleMonitor
from signalbox.risk.ftmo.state import AccountDay
from signalbox.risk.snapshot import LossRule
from signalbox.trading.account import TradingAccount
from signalbox.trading.changes import RiskEventKind
from signalbox.trading.state import AccountState, Trade, TradeState

PLACES: Final = 6  # of a share that is shown
TRADED: Final = frozenset({TradeState.OPEN, TradeState.EXITING, TradeState.CLOSED})


@dataclass(frozen=True, slots=True)
class AccountRecord:
    """One account in a replay: its events in the period, and its state at the end."""

    facts: AccountFacts
    state: AccountState

    @property
    def account(self) -> TradingAccount:
        """The account's name."""
        return self.facts.account

    @property
    def orders(self) -> dict[ClientOrderId, Order]:
        """Its orders by id."""
        return {order.client_order_id: order for order in self.facts.orders}

    @property
    def trades(self) -> tuple[Trade, ...]:
        """Trades that were filled at all."""
        return tuple(trade for trade in self.facts.trades if trade.state in TRADED)

    @property
    def days(self) -> tuple[AccountDay, ...]:
        """Days in the rules' time zone, the current one last; empty without rules."""
        monitor = self.monitor
        return self.facts.days if monitor is None else (*self.facts.days, *monitor.days)

    @property
    def monitor(self) -> FtmoRuleMonitor | None:
        """The current state of its rule monitor."""
        rules = self.account.rules
        if rules is None or self.state.loss_rules is None:
            return None
        return FtmoRuleMonitor.restore(rules, self.state.loss_rules)


@dataclass(frozen=True, slots=True)
class AccountLine:
    """An account after a cycle, as shown to the operator."""

    account: str
    equity: Decimal
    profit: Decimal  # since it was opened
    open_trades: int
    closed_trades: int
    halted: bool


class Accounts:
    """Reads the accounts of the local cloud."""

    def __init__(self, source: ConnectionSource) -> None:
        self._reader, self._ledger = TradingReader(source), PostgresTradingLedger(source)

    def lines(self, start: datetime, at: datetime) -> tuple[AccountLine, ...]:
        """Return every account that was valued by `at`; trades are counted from `start` on."""
        return tuple(line for account in self._reader.accounts() if (line := self._line(account, start, at)) is not None)

    def _line(self, account: TradingAccount, start: datetime, at: datetime) -> AccountLine | None:
        name = account.account
        valued = self._reader.equity(name, at - timedelta(minutes=5), at)
        if not valued:
            return None
        trades = self._reader.trades(name, start - timedelta(days=1), at)
        halt = self._reader.overview(name).halt
        return AccountLine(
            account=name,
            equity=valued[-1].equity,
            profit=_profit(valued[-1].equity, valued[-1].transfers),
            open_trades=sum(trade.state in {TradeState.OPEN, TradeState.EXITING} for trade in trades),
            closed_trades=sum(trade.state is TradeState.CLOSED for trade in trades),
            halted=halt is not None and halt.level_at(at).value != "NONE",
        )

    def record(self, start: datetime, end: datetime) -> tuple[AccountRecord, ...]:
        """Return the record of every account in (start, end]."""
        return tuple(self._record(account.account, start, end) for account in self._reader.accounts())

    def state(self, name: str, at: datetime) -> AccountState:
        """Return an account's current state. Raises AccountError."""
        with self._ledger.transaction(name) as tx:
            return tx.load(at)

    def _record(self, name: str, start: datetime, end: datetime) -> AccountRecord:
        return AccountRecord(self._reader.period(name, start, end), self.state(name, end))


def summarise_account(record: AccountRecord) -> dict[str, Any]:
    """Return the JSON-ready numbers of one account. Amounts are decimal text in its currency."""
    facts = record.facts
    newest = facts.equity[-1] if facts.equity else None
    states = Counter(trade.state for trade in facts.trades)
    return {
        "account": record.account.account,
        "mode": record.account.mode.value,
        "currency": record.account.currency,
        "orders": len(facts.orders),
        "orders_by_state": dict(sorted(Counter(order.state.value for order in facts.orders).items())),
        "fills": len(facts.fills),
        "trades_opened": len(record.trades),
        "trades_closed": states[TradeState.CLOSED],
        "closed_by": dict(sorted(Counter(t.exit_leg.value for t in facts.trades if t.closed_at and t.exit_leg).items())),
        "realised": plain(_sum([trade.realised for trade in facts.trades if trade.realised is not None])),
        "fees": plain(newest.fees if newest else ZERO),
        "cash": plain(newest.cash if newest else record.state.books.cash),
        "balance": plain(newest.balance if newest else record.state.books.balance),
        "equity": plain(newest.equity if newest else record.state.books.cash),
        "worst_used": worst_used(record),
        "refused": _codes(record, RiskEventKind.ORDER_REFUSED),
        "held_back": _codes(record, RiskEventKind.SIGNAL_HELD_BACK),
        "halts": [{"level": h.level.value, "who": h.who, "why": h.why, "since": h.since.isoformat()} for h in facts.halts],
    }


def worst_used(record: AccountRecord) -> dict[str, dict[str, str]]:
    """Return, for each loss rule, how much of it was used at the worst moment, in money and as a share of the limit."""
    monitor, days = record.monitor, record.days
    if monitor is None or not days:
        return {}
    rules = monitor.headroom().rules
    total = next(item for item in rules if item.rule is LossRule.MAX_LOSS)
    lost = {
        LossRule.MAX_DAILY_LOSS: max((_minus(day.baseline, day.worst_equity) for day in days), default=ZERO),
        LossRule.MAX_LOSS: max((_minus(total.reference, day.worst_equity) for day in days), default=ZERO),
    }
    return {
        item.rule.value: {
            "used": plain(max(lost[item.rule], ZERO)),
            "limit": plain(item.amount),
            "share": plain(ratio(max(lost[item.rule], ZERO), item.amount, PLACES)),
        }
        for item in rules
    }


def _codes(record: AccountRecord, kind: RiskEventKind) -> dict[str, int]:
    return dict(sorted(Counter(event.code for event in record.facts.risk_events if event.kind is kind).items()))


@exactly
def _sum(values: Sequence[Decimal]) -> Decimal:
    return sum(values, ZERO)


@exactly
def _minus(one: Decimal, other: Decimal) -> Decimal:
    return one - other


@exactly
def _profit(equity: Decimal, transfers: Decimal) -> Decimal:
    return equity - transfers


def account_text(line: AccountLine) -> str:
    """Return an account in one line."""
    halted = "  HALTED" if line.halted else ""
    return (
        f"{line.account}  equity {line.equity:,.2f} ({line.profit:+,.2f})  "
        f"open {line.open_trades}  closed {line.closed_trades}{halted}"
    )
