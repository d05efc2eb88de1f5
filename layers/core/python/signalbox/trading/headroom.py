"""Whether any entry of an account's policy can pass the loss limits: what is left above our own stop, against the least of them.

An entry is sized to lose `risk_fraction` of equity at its stop, with at most `max_notional_fraction` of equity. With d the
distance to the stop as a fraction of the price, and c = slippages + fees of both ways, it may lose at the worst
  max_notional_fraction * equity * (d + c)     while the notional binds: least at the nearest stop,
  risk_fraction * equity * (1 + c / d)         beyond that: least at the farthest stop.
So whatever the market does, no entry risks less than the smaller of the two ends. Once less is left above the level at
which new risk is blocked, every signal would be refused: for the day by the daily limit, for good by the overall one,
because a flat account's balance does not move and that limit's level never falls.

Entries are those made at the price they were decided on. Orders that people send are not of the policy: each is judged.
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
from signalbox.trading.snapshot import moved, rule_monitor_of
from signalbox.trading.state import AccountState
from signalbox.trading.warnings import DepletionWarning

_PLACES: Final = 18  # of what a figure is rounded to; nothing is booked with it


@dataclass(frozen=True, slots=True)
class EntryReach:
    """What is known of the entries to come: their stops are this far, and a step of quantity is worth this much at most.

    nearest, farthest: fractions of the price. step_value: in quote currency; None: the dearest step at the newest prices.
    """

    nearest: Decimal = ZERO
    farthest: Decimal = Decimal(1)
    step_value: Decimal | None = None


ANY: Final = EntryReach()  # what may always come: from a market that stands still to a stop at nothing


@dataclass(frozen=True, slots=True)
class HeadroomDepleted:
    """No entry can pass. left: equity above the level at which new risk is blocked. until: None is for good.

    warning: what stands once it was told.
    """

    rule: LossRule
    left: Decimal
    least_loss: Decimal  # of any entry, at the worst
    until: datetime | None
    warning: DepletionWarning


def depleted_headroom(state: AccountState, at: datetime, reach: EntryReach = ANY) -> HeadroomDepleted | None:
    """Return why no entry can pass at `at`, None while one may, or while something is open or working.

    None also for an account without rules, before its first day, and once a rule is broken: that is told otherwise.
    """
    monitor = rule_monitor_of(state.account, state.loss_rules)
    if monitor is None or monitor.day is None or monitor.status is AccountStatus.BREACHED or not state.is_idle:
        return None
    step_value = _step_value(state) if reach.step_value is None else reach.step_value
    if step_value is None:
        return None  # without a price every order is refused for that
    equity = state.books.balance
    least = least_loss(state.account, equity, EntryReach(reach.nearest, reach.farthest, step_value))
    return next((found for rule in _FOR_GOOD_FIRST if (found := _depleted_by(monitor, state, rule, least, at)) is not None), None)


_FOR_GOOD_FIRST: Final = (LossRule.MAX_LOSS, LossRule.MAX_DAILY_LOSS)


@exactly
def _depleted_by(
    monitor: FtmoRuleMonitor, state: AccountState, rule: LossRule, least: Decimal, at: datetime
) -> HeadroomDepleted | None:
    """As `risk.checks.check_headroom` chooses the level: the highest of those in force now, or within the guard."""
    ahead = timedelta(minutes=state.account.limits.midnight_guard_minutes)
    floors = [f for f in monitor.headroom().floors if f.rule is rule and f.blocks(at, ahead)]
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
    """Return what any entry of the policy within reach risks at the least, in account currency; 0 at the lowest."""
    policy, limits = account.policy, account.limits
    fee = min((instrument.fee_fraction for instrument in INSTRUMENTS.values()), default=ZERO)
    costs = limits.market_slippage_fraction + limits.stop_slippage_fraction + 2 * fee * (1 - limits.market_slippage_fraction)
    kept = 1 - limits.stop_slippage_fraction  # a long position's stop slips by a share of a price that is lower by d
    lacks = reach.step_value or ZERO  # a quantity is rounded down
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
