"""Decides whether an account's policy can still make an entry that passes the loss limits, from the smallest possible entry.

An entry is sized to lose `risk_fraction` of equity at its stop, with at most `max_notional_fraction` of equity. With d the
distance to the stop as a fraction of the price, and c = slippage + fees of both sides, its worst-case loss is
  max_notional_fraction * equity * (d + c)     while the notional limit binds: smallest at the nearest stop,
  risk_fraction * equity * (1 + c / d)         beyond that: smallest at the farthest stop.
So whatever the market does, no entry risks less than the smaller of these two ends. Once less is left above the level at
which new risk is blocked, every signal would be refused. The daily limit refuses for the rest of the day. The overall limit
refuses permanently, because a flat account's balance does not move and that limit's level never falls.

This covers entries at the price they were decided on. Orders that people send do not follow the policy: each is checked alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from signalbox.exact import ZERO, exactly, ratio
from signalbox.risk.ftmo.monitor import FtmoRuleMonitor
from signalbox.risk.ftmo.state import AccountStatus
from signalbox.risk.snapshot import LossRule
from signalbox.trading.account import TradingAccount
from signalbox.trading.instruments import INSTRUMENTS
from signalbox.trading.snapshot import moved, rules_in_force
from signalbox.trading.state import AccountState
from signalbox.trading.warnings import DepletionWarning

_PLACES: Final = 18  # rounding of intermediate figures; never used in a booking


@dataclass(frozen=True, slots=True)
class EntryReach:
    """The range of stop distances that future entries may have, and the value of one quantity step.

    nearest, farthest: distance to the stop as a fraction of the price. step_value: the highest value of one step of quantity, in
    quote currency; None means taken from the newest prices.
    """

    nearest: Decimal = ZERO
    farthest: Decimal = Decimal(1)
    step_value: Decimal | None = None


ANY: Final = EntryReach()  # any entry: from a stop at the price to a stop at zero


@dataclass(frozen=True, slots=True)
class HeadroomDepleted:
    """No entry can pass. left: equity above the level at which new risk is blocked. until: None means permanently.

    warning: the issued warning that keeps this from being announced twice.
    """

    rule: LossRule
    left: Decimal
    least_loss: Decimal  # worst-case loss of the smallest entry
    until: datetime | None
    warning: DepletionWarning


def depleted_headroom(state: AccountState, at: datetime, reach: EntryReach = ANY) -> HeadroomDepleted | None:
    """Return why no entry can pass at `at`; None if one can, or if a position or order is open.

    None also for an account without loss rules, before its first day, and after a breach, which is announced as RuleBreached.
    """
    monitor = rules_in_force(state.account, state.loss_rules)
    if monitor is None or monitor.day is None or monitor.status is AccountStatus.BREACHED or not state.is_idle:
        return None
    step_value = _step_value(state) if reach.step_value is None else reach.step_value
    if step_value is None:
        return None  # every order is refused anyway while there is no price
    equity = state.books.balance
    least = least_loss(state.account, equity, EntryReach(reach.nearest, reach.farthest, step_value))
    return next((found for rule in _FOR_GOOD_FIRST if (found := _depleted_by(monitor, state, rule, least, at)) is not None), None)


_FOR_GOOD_FIRST: Final = (LossRule.MAX_LOSS, LossRule.MAX_DAILY_LOSS)


@exactly
def _depleted_by(
    monitor: FtmoRuleMonitor, state: AccountState, rule: LossRule, least: Decimal, at: datetime
) -> HeadroomDepleted | None:
    """Use the level that `risk.checks.check_headroom` uses: the highest floor in force now or within the midnight guard."""
    ahead = timedelta(minutes=state.account.limits.midnight_guard_minutes)
    floors = [f for f in monitor.floors if f.rule is rule and f.blocks(at, ahead)]
    day = monitor.day
    if not floors or day is None:
        return None
    left = state.books.balance - moved(state.account, state.books) - max(floor.block_below for floor in floors)
    if left >= least:
        return None
    is_daily = rule is LossRule.MAX_DAILY_LOSS
    warning = DepletionWarning(rule, day if is_daily else None)
    return HeadroomDepleted(rule, left, least, monitor.next_midnight if is_daily else None, warning)


@exactly
def least_loss(account: TradingAccount, equity: Decimal, reach: EntryReach) -> Decimal:
    """Return the least that any entry of the policy within `reach` can lose in the worst case; account currency, at least 0."""
    policy, limits = account.policy, account.limits
    fee = min((instrument.fee_fraction for instrument in INSTRUMENTS.values()), default=ZERO)
    costs = limits.market_slippage_fraction + limits.stop_slippage_fraction + 2 * fee * (1 - limits.market_slippage_fraction)
    kept = 1 - limits.stop_slippage_fraction  # a long position's stop is lower by d, so its slippage is too
    lacks = reach.step_value or ZERO  # quantities are rounded down by up to one step
    nearest, farthest = reach.nearest, max(reach.farthest, reach.nearest)
    found = []
    if nearest * policy.max_notional_fraction <= policy.risk_fraction:
        found.append((policy.max_notional_fraction * equity - lacks) * (nearest * kept + costs))
    if farthest * policy.max_notional_fraction >= policy.risk_fraction:
        at_risk = ratio(policy.risk_fraction * equity * (farthest * kept + costs), farthest, _PLACES)
        found.append(at_risk - lacks * (farthest * kept + costs))
    return max(min(found), ZERO)


@exactly
def _step_value(state: AccountState) -> Decimal | None:
    values = [found.step * state.marks[symbol].price for symbol, found in state.instruments.items() if symbol in state.marks]
    return max(values, default=None)
