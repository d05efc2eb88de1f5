"""The firm's own worked examples of its limits, as its pages give them, checked by our monitor."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from signalbox.risk.ftmo.monitor import FtmoRuleMonitor
from signalbox.risk.ftmo.rules import FTMO_1STEP, FTMO_2STEP
from signalbox.risk.snapshot import LossRule

FIRST = datetime(2026, 1, 14, 12, tzinfo=UTC)


def after(monitor: FtmoRuleMonitor, *balances: int) -> FtmoRuleMonitor:
    """The monitor on the day after these, each the balance of a day with nothing open."""
    for day, balance in enumerate(balances):
        monitor.observe(FIRST + timedelta(days=day), balance=Decimal(balance), equity=Decimal(balance), is_flat=True)
    monitor.advance(FIRST + timedelta(days=len(balances)))
    return monitor


def test_one_step_maximum_loss_follows_the_highest_midnight_balance_and_never_falls() -> None:
    capital = Decimal(100_000)
    assert after(FtmoRuleMonitor(FTMO_1STEP, capital)).limit(LossRule.MAX_LOSS) == 90_000
    assert after(FtmoRuleMonitor(FTMO_1STEP, capital), 104_000).limit(LossRule.MAX_LOSS) == 94_000
    assert after(FtmoRuleMonitor(FTMO_1STEP, capital), 104_000, 103_000).limit(LossRule.MAX_LOSS) == 94_000


def test_two_step_limits_are_shares_of_the_capital_whatever_the_balance_is() -> None:
    monitor = after(FtmoRuleMonitor(FTMO_2STEP, Decimal(200_000)), 204_000)
    assert monitor.limit(LossRule.MAX_DAILY_LOSS) == 194_000  # the balance of midnight less 5 % of the capital
    assert monitor.limit(LossRule.MAX_LOSS) == 180_000  # 90 % of the capital, for ever


def test_an_unchanged_price_may_break_the_next_days_limit_at_midnight() -> None:
    monitor = FtmoRuleMonitor(FTMO_2STEP, Decimal(200_000))
    monitor.observe(FIRST, balance=Decimal(204_000), equity=Decimal(204_000), is_flat=True)
    assert not monitor.observe(FIRST + timedelta(hours=1), balance=Decimal(204_000), equity=Decimal(191_000), is_flat=False)
    (broken,) = monitor.advance(FIRST + timedelta(days=1))
    assert (broken.rule, broken.limit, broken.equity) == (LossRule.MAX_DAILY_LOSS, Decimal(194000), Decimal(191000))
