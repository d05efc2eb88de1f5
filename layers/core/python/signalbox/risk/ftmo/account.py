"""FtmoAccount: one account under one rule set, event by event. It holds the open positions and the monitor of the rules.

* The balance changes with commissions (at once) and with closed profit and its swaps; equity = balance + floating + booked swaps.
* The price of an opening or closing marks its symbol; a symbol without any other price is valued at its entry.
* Days, midnights, limits and breaches belong to FtmoRuleMonitor (monitor.py). A refused event changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal, localcontext
from types import MappingProxyType
from typing import Final, assert_never

from signalbox.exact import CONTEXT, ZERO
from signalbox.market.candles import Symbol
from signalbox.orders.terms import Side
from signalbox.risk.errors import FtmoEventError
from signalbox.risk.ftmo.events import Closed, FtmoEvent, Marked, Opened, PositionId, Swapped
from signalbox.risk.ftmo.headroom import Headroom
from signalbox.risk.ftmo.monitor import FtmoRuleMonitor, FtmoRuleState
from signalbox.risk.ftmo.rules import FtmoRules
from signalbox.risk.ftmo.state import AccountBreach, AccountDay, AccountStatus, OpenPosition, SymbolTotals
from signalbox.risk.ftmo.trading_days import opens_position
from signalbox.risk.snapshot import LossRule

_NOTHING: Final = SymbolTotals(ZERO, ZERO, ZERO)


@dataclass(frozen=True, slots=True)
class FtmoAccountState:
    """Everything needed to continue. A restored account behaves exactly as the original would have.

    The caller stores finished days. This state keeps only what the rules need of them.
    """

    rules: FtmoRuleState
    positions: Mapping[PositionId, OpenPosition]
    totals: Mapping[Symbol, SymbolTotals]


class FtmoAccount:
    """An account with `capital` before its first event. Raises RiskError unless capital > 0, KeyError for an unknown phase."""

    def __init__(self, rules: FtmoRules, capital: Decimal, *, phase: str | None = None) -> None:
        self._monitor = FtmoRuleMonitor(rules, capital, phase=phase)
        self._balance = self._monitor.capital
        self._positions: dict[PositionId, OpenPosition] = {}
        self._totals: dict[Symbol, SymbolTotals] = {}
        self._floating = self._swaps = ZERO

    # Current state

    @property
    def balance(self) -> Decimal:
        """Closed balance after commissions."""
        return self._balance

    @property
    def equity(self) -> Decimal:
        """Balance plus floating profit and swaps of open positions."""
        with localcontext(CONTEXT):
            return self._equity()

    @property
    def positions(self) -> Mapping[PositionId, OpenPosition]:
        """The open positions (a view)."""
        return MappingProxyType(self._positions)

    @property
    def breaches(self) -> tuple[AccountBreach, ...]:
        """The first breach of each rule, in time order."""
        return tuple(self._monitor.breaches.values())

    @property
    def status(self) -> AccountStatus:
        """BREACHED once any rule broke; otherwise whether all objectives were ever met with no position open."""
        return self._monitor.status

    @property
    def trading_days(self) -> int:
        """Days on which a position was opened."""
        return self._monitor.trading_days

    @property
    def best_day_share(self) -> Decimal | None:
        """The closed profit of the best day as a share of the total profit; None while there is no profit."""
        return self._monitor.best_day_share

    @property
    def days(self) -> tuple[AccountDay, ...]:
        """All days so far, including those without events and the current one. After `restore`: from the restored day on."""
        return self._monitor.days

    def limit(self, rule: LossRule) -> Decimal:
        """Return the equity below which the rule is broken now."""
        return self._monitor.limit(rule)

    def headroom(self) -> Headroom:
        """Return how much of each limit is used, the action each use calls for, and the limits from the next midnight on."""
        return self._monitor.headroom()

    # Events

    def apply(self, event: FtmoEvent) -> tuple[AccountBreach, ...]:
        """Apply one event and return the breaches it caused, including those at midnights since the last event.

        Raises FtmoEventError if it cannot have happened: it is before the last event, opens a position that is already open, or
        refers to one that is not open. Nothing has changed then.
        """
        self._refuse_impossible(event)
        opens = False
        with localcontext(CONTEXT):
            match event:
                case Opened():
                    opens = opens_position(ZERO, event.quantity if event.side is Side.BUY else -event.quantity)
                    self._open(event)
                case Closed():
                    self._close(event)
                case Marked():
                    for symbol, price in event.prices.items():
                        self._set(symbol, replace(self._totals.get(symbol, _NOTHING), mark=price))
                case Swapped():
                    position = self._positions[event.position]
                    self._positions[event.position] = replace(position, swap=position.swap + event.amount)
                    self._swaps += event.amount
                case _:
                    assert_never(event)
            return self._monitor.observe(
                event.time,
                balance=self._balance,
                equity=self._equity(),
                is_flat=not self._positions,
                opened_at=event.time if opens else None,
            )

    def advance(self, time: datetime) -> tuple[AccountBreach, ...]:
        """Let time pass without events. Midnights move limits, which may break a rule. Raises FtmoEventError for the past."""
        return self._monitor.advance(time)

    # Storage

    def state(self) -> FtmoAccountState:
        """Return everything that `restore` needs. Finished days are not included; the caller keeps them."""
        return FtmoAccountState(
            rules=self._monitor.state(),
            positions=MappingProxyType(dict(self._positions)),
            totals=MappingProxyType(dict(self._totals)),
        )

    @classmethod
    def restore(cls, rules: FtmoRules, state: FtmoAccountState) -> FtmoAccount:
        """Return the account in that state. Raises FtmoEventError if the state belongs to other rules."""
        account = cls(rules, state.rules.capital, phase=state.rules.phase)
        account._monitor = FtmoRuleMonitor.restore(rules, state.rules)
        account._balance = state.rules.balance
        account._positions, account._totals = dict(state.positions), dict(state.totals)
        with localcontext(CONTEXT):
            account._floating = sum((t.floating for t in state.totals.values()), ZERO)
            account._swaps = sum((p.swap for p in state.positions.values()), ZERO)
        return account

    # Implementation

    def _refuse_impossible(self, event: FtmoEvent) -> None:
        self._monitor.refuse_time(event.time)
        match event:
            case Opened():
                if event.position in self._positions:
                    raise FtmoEventError(f"position {event.position}: cannot be opened, it is open already")
            case Closed() | Swapped():
                if event.position not in self._positions:
                    raise FtmoEventError(f"position {event.position}: expected an open position, it is not open")
            case Marked():
                pass
            case _:
                assert_never(event)

    def _open(self, event: Opened) -> None:
        quantity = event.quantity if event.side is Side.BUY else -event.quantity
        self._positions[event.position] = OpenPosition(event.symbol, quantity, event.price, ZERO)
        before = self._totals.get(event.symbol, _NOTHING)
        self._set(event.symbol, SymbolTotals(before.quantity + quantity, before.cost + quantity * event.price, event.price))
        self._balance -= event.commission

    def _close(self, event: Closed) -> None:
        position = self._positions.pop(event.position)
        before = self._totals[position.symbol]
        cost = before.cost - position.quantity * position.price
        self._set(position.symbol, SymbolTotals(before.quantity - position.quantity, cost, event.price))
        self._swaps -= position.swap
        self._balance += position.quantity * (event.price - position.price) + position.swap - event.commission

    def _set(self, symbol: Symbol, totals: SymbolTotals) -> None:
        before = self._totals.get(symbol)
        self._floating += totals.floating - (before.floating if before else ZERO)
        self._totals[symbol] = totals

    def _equity(self) -> Decimal:
        return self._balance + self._floating + self._swaps
