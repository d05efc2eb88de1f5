"""What the next midnight of Prague will break is known before it: it warns and flattens while something can be done."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox.market.candles import ONE_MINUTE
from signalbox.orders.terms import Side
from signalbox.risk.assess import assess
from signalbox.risk.decision import RiskApproved
from signalbox.risk.errors import FtmoEventError
from signalbox.risk.ftmo import FTMO_1STEP, FTMO_2STEP, FtmoJudge, FtmoRules, StopLevel
from signalbox.risk.ftmo.headroom import SEVERITY
from signalbox.risk.ftmo.judge import JudgeState
from signalbox.risk.limits import PRESETS, AccountKind
from signalbox.risk.snapshot import HaltLevel, LossRule, Mark
from signalbox.trading import steps
from signalbox.trading.events import RiskWarning, RuleBreached
from signalbox.trading.state import Desk
from tests.unit.risk.facts import PRICES, limits, order, snapshot
from tests.unit.trading.market import BTC, bar, desk_at, flat
from tests.unit.trading.test_protection import FTMO, person

D = Decimal
MIDNIGHT = datetime(2024, 3, 1, 23, 0, tzinfo=UTC)
BEGIN = datetime(2024, 3, 1, 20, 0, tzinfo=UTC)
INSTANT = timedelta(microseconds=1)


def without_guard(rules: FtmoRules) -> FtmoRules:
    return rules.model_copy(update={"stops": rules.stops.model_copy(update={"midnight_minutes": 0})})


# Case 9: 3 568 earned and closed, then half a coin bought at 67 196.71 falls to 56 690: equity 98 304, tomorrow's floor 98 557.


def fallen(at: datetime) -> tuple[Desk, list[object]]:
    """The account right after the fall, which takes one minute and ends at an instant; and all that was told since noon."""
    desk, told = desk_at(FTMO, BEGIN), list[object]()
    for number, (side, price) in enumerate(((Side.BUY, "60000"), (Side.SELL, "67190"), (Side.BUY, "67190"))):
        then = BEGIN + number * ONE_MINUTE
        desk, changes = person(desk, side, "0.5", then, str(number), reduce_only=side is Side.SELL)
        assert not changes.risk
        desk, changes = steps.watch(desk, {BTC: [bar(BTC, then, price)]}, then + ONE_MINUTE)
        told += changes.events
    assert desk.books.balance.quantize(D(1)) == 103_557
    then = BEGIN + 3 * ONE_MINUTE
    still = flat(BTC, then, (at - ONE_MINUTE - then) // ONE_MINUTE, "67190")
    desk, changes = steps.watch(desk, {BTC: [*still, bar(BTC, at - ONE_MINUTE, "67190", close="56690")]}, at)
    assert (desk.books.balance + desk.books.position(BTC).unrealised(D(56_690))).quantize(D(1)) == 98_304
    return desk, [*told, *changes.events]


def test_a_loss_that_midnight_will_break_is_closed_before_it() -> None:
    desk, told = fallen(MIDNIGHT - timedelta(minutes=26))  # 23:34 in Prague
    warnings = [event for event in told if isinstance(event, RiskWarning)]
    assert [(w.rule, w.level, w.day, w.limit.quantize(D(1))) for w in warnings] == [
        ("max_daily_loss", level, "2024-03-02", D(98_557)) for level in ("ALERT", "BLOCK", "FLATTEN")
    ]
    assert {w.counts_from for w in warnings} == {MIDNIGHT}
    assert desk.halt is not None
    assert (desk.halt.level, desk.halt.why) == (HaltLevel.FLATTEN, "max_daily_loss of 2024-03-02 used to 90%")
    desk, changes = steps.watch(desk, {BTC: flat(BTC, MIDNIGHT - timedelta(minutes=26), 40, "56690")}, MIDNIGHT + 14 * ONE_MINUTE)
    assert desk.is_idle
    assert not [event for event in changes.events if isinstance(event, RuleBreached | RiskWarning)]


def test_the_same_loss_earlier_in_the_evening_is_only_closed_when_the_window_opens() -> None:
    desk, told = fallen(MIDNIGHT - timedelta(minutes=45))
    assert not [event for event in told if isinstance(event, RiskWarning)]
    begin = MIDNIGHT - timedelta(minutes=45)
    desk, changes = steps.watch(desk, {BTC: flat(BTC, begin, 14, "56690")}, MIDNIGHT - timedelta(minutes=31))
    assert not changes.events
    desk, changes = steps.watch(desk, {BTC: flat(BTC, begin, 15, "56690")}, MIDNIGHT - timedelta(minutes=30))
    assert [event.level for event in changes.events if isinstance(event, RiskWarning)] == ["ALERT", "BLOCK", "FLATTEN"]


def test_a_person_who_resumes_is_told_no_second_time_of_the_same_days_limit() -> None:
    desk, _ = fallen(MIDNIGHT - timedelta(minutes=26))
    at = MIDNIGHT - timedelta(minutes=26)
    desk, _ = steps.resume(desk, "anna", "I hold it", at)
    desk, changes = steps.watch(desk, {BTC: flat(BTC, at, 26, "56690")}, MIDNIGHT)
    assert not [event for event in changes.events if isinstance(event, RiskWarning)]


# The judge


def told(rules: FtmoRules, at: datetime, balance: str, equity: str) -> FtmoJudge:
    judge = FtmoJudge(rules, D(100_000))
    judge.tell(at, balance=D(balance), equity=D(equity), is_flat=False)
    return judge


@pytest.mark.parametrize(
    ("midnight", "rules"),
    [
        (midnight, rules)
        for midnight in (
            MIDNIGHT,
            datetime(2024, 3, 30, 23, tzinfo=UTC),  # the night before the day of 23 hours
            datetime(2024, 3, 31, 22, tzinfo=UTC),  # and after it
            datetime(2024, 10, 26, 22, tzinfo=UTC),
            datetime(2024, 10, 27, 23, tzinfo=UTC),  # after the day of 25 hours
        )
        for rules in (FTMO_2STEP, FTMO_1STEP)
    ],
)
def test_window_opens_half_an_hour_before_each_midnight_of_prague(midnight: datetime, rules: FtmoRules) -> None:
    judge = told(rules, midnight - timedelta(hours=2), "103557", "100600")
    assert judge.next_midnight == midnight
    before = judge.headroom(midnight - timedelta(minutes=30) - INSTANT)
    assert (before.tomorrow, before.level) == ((), StopLevel.CLEAR)
    within = judge.headroom(midnight - timedelta(minutes=30))
    daily = rules.daily_loss_fraction * 100_000
    assert within.tomorrow[0].limit == D(103_557) - daily
    assert within.tomorrow[0].used == 2_957
    assert within.level is (StopLevel.ALERT if rules is FTMO_2STEP else StopLevel.FLATTEN)
    assert within.remaining == D(100_600) - (D(103_557) - daily)
    trails = [item.limit for item in within.tomorrow if item.rule is LossRule.MAX_LOSS]
    assert trails == ([] if rules is FTMO_2STEP else [D(93_557)])
    assert told(without_guard(rules), midnight - INSTANT, "103557", "100600").headroom().tomorrow == ()


def test_a_milder_limit_of_tomorrow_changes_nothing_today() -> None:
    room = told(FTMO_2STEP, MIDNIGHT - ONE_MINUTE, "96000", "95900").headroom()
    assert room.tomorrow == ()
    assert room.level is StopLevel.BLOCK


def test_new_risk_is_blocked_by_tomorrows_floor_when_the_window_opens_whatever_the_presets_guard_is() -> None:
    judge = told(FTMO_2STEP, MIDNIGHT - timedelta(hours=2), "103557", "100600")
    off = told(without_guard(FTMO_2STEP), MIDNIGHT - timedelta(hours=2), "103557", "100600")
    bare, wanted = limits(midnight_guard_minutes=0), order(quantity="0.21")  # 1 071 and fees; tomorrow's block is 99 557

    def is_sent(source: FtmoJudge, at: datetime) -> bool:
        marks = {symbol: Mark(price, at) for symbol, price in PRICES.items()}
        facts = snapshot(balance=D(100_600), at=at, account_at=at, floors=source.headroom().floors, marks=marks)
        return isinstance(assess(wanted, facts, bare), RiskApproved)

    opens = MIDNIGHT - timedelta(minutes=30)
    assert is_sent(judge, opens - INSTANT)
    assert not is_sent(judge, opens)
    assert is_sent(off, MIDNIGHT - INSTANT)
    for kind, rules in ((AccountKind.FTMO_2STEP, FTMO_2STEP), (AccountKind.FTMO_1STEP, FTMO_1STEP)):
        assert PRESETS[kind].midnight_guard_minutes >= rules.stops.midnight_minutes


def test_an_account_of_the_version_before_goes_on_and_one_of_other_rules_does_not() -> None:
    text = told(FTMO_2STEP, BEGIN, "101000", "101000").state().to_text()
    old = JudgeState.from_text(text.replace("2026-11.2", "2026-11.1"))
    assert FtmoJudge.restore(FTMO_2STEP, old).state().to_text() == text
    with pytest.raises(FtmoEventError, match="expected rules"):
        FtmoJudge.restore(FTMO_2STEP, JudgeState.from_text(text.replace("2026-11.2", "2025-01.1")))


AMOUNTS = st.integers(-6_000, 6_000)


@given(
    rules=st.sampled_from([FTMO_2STEP, FTMO_1STEP]),
    told_of=st.lists(st.tuples(st.integers(0, 1_439), AMOUNTS, AMOUNTS), min_size=1, max_size=12),
    start=st.sampled_from([datetime(2024, 3, 1, 23, tzinfo=UTC), datetime(2024, 3, 30, 23, tzinfo=UTC)]),
)
def test_tomorrows_floor_is_never_a_surprise(rules: FtmoRules, told_of: list[tuple[int, int, int]], start: datetime) -> None:
    """What a midnight breaks with no price moved was at its last level right before it; floors come as they were said."""
    judge, balance = FtmoJudge(rules, D(100_000)), D(100_000)
    for minute, closed, floating in sorted(told_of):
        balance += closed
        judge.tell(start + minute * ONE_MINUTE, balance=balance, equity=balance + floating, is_flat=False)
    midnight = judge.next_midnight
    assert midnight is not None
    known = set(judge.breaches)
    room = judge.headroom(midnight - INSTANT)
    said = {floor.rule: floor.breach_below for floor in room.floors if floor.starts_at == midnight}
    broken = {breach.rule for breach in judge.advance(midnight)}
    assert {rule: judge.limit(rule) for rule in LossRule} == said
    warned = {item.rule for item in room.tomorrow if SEVERITY[item.level] >= SEVERITY[StopLevel.FLATTEN]}
    assert broken <= warned
    assert known or not broken or SEVERITY[room.level] >= SEVERITY[StopLevel.FLATTEN]
