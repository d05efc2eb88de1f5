"""What an account's row keeps as text comes back as the value it was."""

from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox.adapters.postgres.trading_rows import rule_state_of, rule_state_text, warning_texts, warnings_of
from signalbox.risk.ftmo.headroom import StopLevel
from signalbox.risk.ftmo.monitor import FtmoRuleMonitor
from signalbox.risk.ftmo.rules import RULES
from signalbox.risk.snapshot import LossRule
from signalbox.trading.warnings import DepletionWarning, LimitWarning, StandingWarning
from tests.builders import NOON, minutes

RULE = st.sampled_from(LossRule)
WARNINGS = st.one_of(
    st.builds(LimitWarning, RULE, st.sampled_from(StopLevel), st.dates()),
    st.builds(DepletionWarning, RULE, st.none() | st.dates()),
)


@given(warned=st.frozensets(WARNINGS))
def test_warnings_come_back_as_they_were_written(warned: frozenset[StandingWarning]) -> None:
    texts = warning_texts(warned)
    assert (warnings_of(texts), len(texts)) == (warned, len(warned))


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        ("max_loss:ALERT:2024-03-01", LimitWarning(LossRule.MAX_LOSS, StopLevel.ALERT, date(2024, 3, 1))),
        ("EXHAUSTED:max_daily_loss:2024-03-01", DepletionWarning(LossRule.MAX_DAILY_LOSS, date(2024, 3, 1))),
        ("EXHAUSTED:max_loss", DepletionWarning(LossRule.MAX_LOSS, None)),
    ],
)
def test_texts_of_rows_that_are_in_the_ledger_already_are_read(text: str, warning: StandingWarning) -> None:
    assert warnings_of([text]) == {warning}
    assert warning_texts([warning]) == [text]


@pytest.mark.parametrize("text", ["", "b", "max_loss:LOUD:2024-03-01", "EXHAUSTED:nothing", "max_loss:ALERT:soon", "a:b:c:d"])
def test_a_text_that_is_no_warning_is_left_out_so_that_it_is_told_again(text: str) -> None:
    assert warnings_of([text, "EXHAUSTED:max_loss"]) == {DepletionWarning(LossRule.MAX_LOSS, None)}


MONEY = st.decimals("-100000", "200000", places=8)


@given(
    name=st.sampled_from(sorted(RULES)),
    observed=st.lists(st.tuples(st.integers(0, 3_000), MONEY, MONEY, st.booleans()), max_size=5),
)
def test_rule_state_comes_back_to_the_last_digit(name: str, observed: list[tuple[int, Decimal, Decimal, bool]]) -> None:
    monitor, at = FtmoRuleMonitor(RULES[name], Decimal("100000.00")), NOON
    for later, balance, equity, opens in observed:
        at += minutes(later)
        monitor.observe(at, balance=balance, equity=equity, is_flat=not opens, opened_at=at if opens else None)
    state = monitor.state()
    text = rule_state_text(state)
    found = rule_state_of(text)
    assert found == state
    assert rule_state_text(found) == text
    assert found is not None
    assert FtmoRuleMonitor.restore(RULES[name], found).state() == state
