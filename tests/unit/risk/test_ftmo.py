"""The rules by worked cases: the numbers are in the test, so that a reader can check them with a pencil."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, localcontext

import pytest
from pydantic import ValidationError

from signalbox.orders.terms import Side
from signalbox.risk import LossRule, Mark, RefusalCode, RiskApproved, RiskError, RiskRefused, assess
from signalbox.risk.ftmo import (
    FTMO_1STEP,
    FTMO_2STEP,
    RULES,
    AccountStatus,
    FtmoAccount,
    FtmoEvent,
    FtmoEventError,
    FtmoRules,
    InternalStops,
    Opened,
    StopLevel,
)
from tests.builders import ETH
from tests.unit.risk.accounts import D, account, at, closed, gain, marked, opened, swapped
from tests.unit.risk.facts import LIMITS, PRICES, order, snapshot

DAILY, OVERALL = LossRule.MAX_DAILY_LOSS, LossRule.MAX_LOSS


def test_a_legal_floating_loss_may_break_the_next_days_limit_at_midnight() -> None:
    """200k: +4,000 closed, then -13,000 floating. Before midnight 191,000 > 190,000; after it the limit is 194,000."""
    found = account(
        FTMO_2STEP, "200000",
        opened("2024-03-05 09:00"), closed("2024-03-05 10:00", price="104"),
        opened("2024-03-05 11:00", "p2"), marked("2024-03-05 23:00", "87"),
    )  # fmt: skip
    assert found.equity == 191_000
    assert found.breaches == ()
    breaches = found.advance(at("2024-03-06 00:00"))
    assert [(b.rule, b.time, b.limit, b.equity) for b in breaches] == [
        (DAILY, at("2024-03-06 00:00"), Decimal(194000), Decimal(191000))
    ]
    assert found.status is AccountStatus.BREACHED
    today, tomorrow = found.days
    assert (today.baseline, today.daily_limit, today.closing_balance, today.worst_equity) == (
        Decimal(200000),
        Decimal(190000),
        Decimal(204000),
        Decimal(191000),
    )
    assert (tomorrow.baseline, tomorrow.daily_limit, tomorrow.worst_equity) == (Decimal(204000), Decimal(194000), Decimal(191000))


@pytest.mark.parametrize("profit", [-8_000, 12_000])
def test_the_daily_limit_is_five_percent_of_initial_capital_whatever_the_balance(profit: int) -> None:
    found = account(FTMO_2STEP, "200000", *gain("2024-03-05", profit), marked("2024-03-06 01:00", "100"))
    assert found.days[-1].baseline - found.limit(DAILY) == 10_000


def test_equity_on_the_limit_holds_and_a_cent_below_breaks_it() -> None:
    found = account(FTMO_2STEP, "200000", opened("2024-03-05 09:00"), marked("2024-03-05 10:00", "90"))
    assert (found.equity, found.breaches) == (Decimal(190000), ())
    assert [b.rule for b in found.apply(marked("2024-03-05 10:01", "89.99999"))] == [DAILY]


def test_floating_profit_at_midnight_does_not_raise_the_baseline() -> None:
    found = account(FTMO_2STEP, "200000", opened("2024-03-05 09:00"), marked("2024-03-05 23:00", "120"))
    found.advance(at("2024-03-06 00:00"))
    assert found.days[-1].baseline == 200_000
    assert found.equity == 220_000
    assert found.apply(marked("2024-03-06 01:00", "90")) == ()  # 30,000 below the peak, 10,000 below the baseline


@pytest.mark.parametrize(
    ("day", "hours"), [("2024-03-31", 23), ("2024-10-27", 25), ("2024-06-01", 24)], ids=["spring", "autumn", "summer"]
)
def test_days_are_prague_days_of_23_24_or_25_hours(day: str, hours: int) -> None:
    start = at(f"{day} 00:00").astimezone(UTC)
    found = account(FTMO_2STEP, "200000", opened(f"{day} 00:00"))
    found.advance(start + timedelta(hours=hours) - timedelta(microseconds=1))
    assert [d.date for d in found.days] == [date.fromisoformat(day)]
    found.advance(start + timedelta(hours=hours))
    assert len(found.days) == 2


def test_an_event_at_midnight_belongs_to_the_new_day_after_its_baseline() -> None:
    found = account(FTMO_2STEP, "200000", opened("2024-03-05 09:00"), closed("2024-03-06 00:00", price="105"))
    assert [d.closing_balance for d in found.days] == [200_000, 205_000]
    assert found.days[-1].baseline == 200_000


def test_days_without_events_are_days() -> None:
    found = account(FTMO_2STEP, "200000", *gain("2024-03-05", 100), marked("2024-03-08 01:00", "100"))
    assert [d.date.day for d in found.days] == [5, 6, 7, 8]
    assert {d.worst_equity for d in found.days[1:]} == {D(200_100)}


def test_the_trailing_limit_follows_the_highest_midnight_balance_and_never_falls() -> None:
    found = account(FTMO_1STEP, "100000", *gain("2024-03-05", 4_000))
    assert found.limit(OVERALL) == 90_000  # 104k so far only during the day
    for event in gain("2024-03-06", -1_000):
        found.apply(event)
    assert found.limit(OVERALL) == 94_000
    found.advance(at("2024-03-07 00:00"))
    assert found.days[-1].baseline == 103_000
    assert found.limit(OVERALL) == 94_000
    breaches = found.apply(opened("2024-03-07 09:00", "p9"))
    breaches += found.apply(marked("2024-03-07 10:00", "90.9"))  # 93,900
    assert [(b.rule, b.limit) for b in breaches] == [(DAILY, D(100_000)), (OVERALL, D(94_000))]


def test_the_static_limit_stays_at_ninety_percent() -> None:
    found = account(FTMO_2STEP, "100000", *gain("2024-03-05", 4_000), marked("2024-03-06 01:00", "100"))
    assert found.limit(OVERALL) == 90_000


def test_trading_days_count_openings_on_prague_dates() -> None:
    found = account(
        FTMO_2STEP, "100000",
        opened("2024-03-05 23:59", "p1"), opened("2024-03-06 00:00", "p2"), opened("2024-03-06 12:00", "p3"),
        closed("2024-03-07 12:00", "p1"), marked("2024-03-08 12:00", "100"),
    )  # fmt: skip
    assert found.trading_days == 2
    late_utc = Opened(datetime(2024, 3, 8, 23, 30, tzinfo=UTC), "p4", ETH, Side.BUY, D(1), D(1), D(0))  # type: ignore[arg-type]
    found.apply(late_utc)
    assert found.trading_days == 3
    assert found.days[-1].date == date(2024, 3, 9)


def four_days(total: int) -> list[FtmoEvent]:
    share = total // 4
    return [event for day in (4, 5, 6, 7) for event in gain(f"2024-03-0{day}", share)]


def test_the_target_counts_on_closed_balance_with_nothing_open() -> None:
    found = account(FTMO_2STEP, "100000", *four_days(9_600), opened("2024-03-07 12:00", "a"), opened("2024-03-07 12:00", "b"))
    found.apply(marked("2024-03-07 13:00", "100.2"))
    assert found.equity == 110_000
    found.apply(closed("2024-03-07 14:00", "a", "101"))  # 110,600 closed, b still open
    assert found.balance == 110_600
    before = found.status
    found.apply(closed("2024-03-07 15:00", "b", "100"))
    assert before is AccountStatus.ACTIVE
    assert found.status is AccountStatus.TARGET_REACHED


def test_the_target_is_exact_and_the_second_phase_asks_half() -> None:
    assert account(FTMO_2STEP, "100000", *four_days(9_996)).status is AccountStatus.ACTIVE
    assert account(FTMO_2STEP, "100000", *four_days(10_000)).status is AccountStatus.TARGET_REACHED
    assert account(FTMO_2STEP, "100000", *four_days(5_000), phase="verification").status is AccountStatus.TARGET_REACHED


def test_the_target_waits_for_the_fourth_trading_day() -> None:
    found = account(FTMO_2STEP, "100000", *gain("2024-03-05", 4_000), *gain("2024-03-06", 3_000), *gain("2024-03-07", 3_000))
    assert (found.balance, found.status) == (Decimal(110000), AccountStatus.ACTIVE)
    for event in gain("2024-03-08", 0):
        found.apply(event)
    assert found.status is AccountStatus.TARGET_REACHED


def test_the_best_day_of_1step_may_make_half_of_the_profit_and_no_more() -> None:
    found = account(FTMO_1STEP, "100000", *gain("2024-03-05", 6_000), *gain("2024-03-06", 5_000))
    assert found.best_day_share is not None
    assert found.best_day_share > D("0.54")
    assert found.status is AccountStatus.ACTIVE
    for event in gain("2024-03-07", 1_000):
        found.apply(event)
    assert (found.best_day_share, found.status) == (D("0.5"), AccountStatus.TARGET_REACHED)


def test_without_profit_there_is_no_best_day_share() -> None:
    assert account(FTMO_1STEP, "100000", *gain("2024-03-05", -100)).best_day_share is None


def test_a_breach_ends_a_target_that_was_reached() -> None:
    found = account(FTMO_2STEP, "100000", *four_days(10_000), opened("2024-03-08 10:00", "x"))
    before = found.status
    found.apply(marked("2024-03-08 11:00", "90"))
    assert before is AccountStatus.TARGET_REACHED
    assert found.status is AccountStatus.BREACHED


def test_commission_leaves_the_balance_at_once_and_swap_when_the_position_closes() -> None:
    found = account(
        FTMO_2STEP, "100000", opened("2024-03-05 09:00", quantity="10", commission="7"), swapped("2024-03-05 22:00", "-3")
    )
    assert (found.balance, found.equity) == (Decimal(99993), Decimal(99990))
    found.apply(closed("2024-03-05 23:00", price="101", commission="7"))
    assert (found.balance, found.equity) == (Decimal(99993), Decimal(99993))  # +10 -3 -7


def test_a_short_position_gains_when_the_price_falls() -> None:
    found = account(
        FTMO_2STEP, "100000", opened("2024-03-05 09:00", side=Side.SELL, quantity="10"), marked("2024-03-05 10:00", "90")
    )
    assert found.equity == 100_100
    found.apply(closed("2024-03-05 11:00", price="110"))
    assert found.balance == 99_900


@pytest.mark.parametrize(
    ("price", "level"),
    [("95.01", "CLEAR"), ("95", "ALERT"), ("92", "BLOCK"), ("91", "FLATTEN"), ("90", "FLATTEN"), ("89.99", "BREACHED")],
)
def test_internal_stops_sit_inside_the_rule(price: str, level: str) -> None:
    found = account(FTMO_2STEP, "200000", opened("2024-03-05 09:00"), marked("2024-03-05 10:00", price))
    headroom = found.headroom()
    daily, overall = headroom.rules
    assert headroom.level is StopLevel(level)
    assert daily.level is StopLevel(level)
    assert daily.remaining == headroom.remaining == found.equity - 190_000
    assert overall.used == 200_000 - found.equity


def test_floors_for_the_pretrade_checks_know_what_midnight_brings() -> None:
    found = account(FTMO_2STEP, "200000", *gain("2024-03-05", 4_000))
    today, overall, tomorrow, overall_too = found.headroom().floors
    assert (today.breach_below, today.block_below) == (Decimal(190000), Decimal(192000))
    assert (tomorrow.breach_below, tomorrow.block_below) == (Decimal(194000), Decimal(196000))
    assert today.ends_at == tomorrow.starts_at == at("2024-03-06 00:00")
    assert (overall.breach_below, overall_too.block_below) == (Decimal(180000), Decimal(184000))


def test_a_broken_account_blocks_every_new_risk_for_good() -> None:
    found = account(
        FTMO_2STEP, "200000", opened("2024-03-05 09:00"), marked("2024-03-05 10:00", "80"), marked("2024-03-05 11:00", "500")
    )
    assert all(f.block_below > found.equity for f in found.headroom().floors)
    assert found.headroom().level is StopLevel.BREACHED


def test_before_its_first_event_an_account_has_no_floors_and_nothing_used() -> None:
    found = account(FTMO_2STEP, "200000")
    assert (found.headroom().floors, found.days, found.equity) == ((), (), Decimal(200000))


@pytest.mark.parametrize(
    ("event", "words"),
    [
        (marked("2024-03-05 08:59", "100"), "not before"),
        (marked("2054-03-05 08:59", "100"), "ten years"),
        (opened("2024-03-05 10:00"), "open already"),
        (closed("2024-03-07 10:00", "p2"), "not open"),
        (swapped("2024-03-07 10:00", "1", "p2"), "not open"),
    ],
)
def test_what_cannot_have_happened_is_refused_and_changes_nothing(event: FtmoEvent, words: str) -> None:
    found = account(FTMO_2STEP, "200000", opened("2024-03-05 09:00"))
    before = (found.state(), found.days)
    with pytest.raises(FtmoEventError, match=words):
        found.apply(event)
    assert (found.state(), found.days) == before


@pytest.mark.parametrize("price", ["NaN", "0", "-1", "Infinity"])
def test_a_price_nobody_can_trade_at_is_refused(price: str) -> None:
    with pytest.raises(RiskError):
        marked("2024-03-05 10:00", price)
    with pytest.raises(RiskError):
        opened("2024-03-05 10:00", quantity=price)


def test_other_rules_do_not_take_over_an_account() -> None:
    with pytest.raises(FtmoEventError, match="expected rules ftmo-2step"):
        FtmoAccount.restore(FTMO_1STEP, account(FTMO_2STEP, "100000").state())


def test_the_callers_decimal_context_changes_nothing() -> None:
    events: list[FtmoEvent] = [
        *gain("2024-03-05", 1_234),
        opened("2024-03-06 09:00", price="99.87654321"),
        marked("2024-03-06 10:00", "97.123456789"),
    ]
    usual = account(FTMO_2STEP, "200000.123456789", *events)
    with localcontext(prec=4):
        found = account(FTMO_2STEP, "200000.123456789", *events)
        assert found.state() == usual.state()
        assert str(found.equity) == str(usual.equity)


def test_rules_are_configuration_bounded_and_versioned() -> None:
    assert set(RULES) == {"ftmo-2step", "ftmo-1step"}
    assert FTMO_2STEP.daily_loss_fraction == Decimal("0.05")
    assert [p.profit_target_fraction for p in FTMO_2STEP.phases] == [Decimal("0.10"), Decimal("0.05")]
    for change in ({"daily_loss_fraction": D(0)}, {"phases": ()}, {"surprise": 1}, {"max_loss_fraction": 0.1}):
        with pytest.raises(ValidationError):
            FtmoRules.model_validate(FTMO_2STEP.model_dump() | change)
    with pytest.raises(ValidationError):
        InternalStops(alert=D("0.9"), block=D("0.8"), flatten=D("0.95"), midnight_minutes=0)
    with pytest.raises(KeyError):
        FtmoAccount(FTMO_1STEP, D(100), phase="verification")


def test_headroom_of_an_account_is_what_the_pretrade_check_needs() -> None:
    """204,000 closed by noon: 190,000 is the limit today, 194,000 from midnight on; losing 9,350 fits until 90 minutes before."""
    found = account(FTMO_2STEP, "200000", *gain("2024-03-01", 4_000), marked("2024-03-01 13:00", "100"))
    facts = snapshot(balance=found.balance, floors=found.headroom().floors)
    proposed = order(quantity="1", stop="41000")  # loses about 9,350
    assert isinstance(assess(proposed, facts, LIMITS), RiskApproved)
    late = facts.at + timedelta(hours=9, minutes=45)  # 22:45 in Prague
    tonight = snapshot(
        balance=found.balance, floors=facts.floors, at=late, account_at=late, marks={s: Mark(p, late) for s, p in PRICES.items()}
    )
    refused = assess(proposed, tonight, LIMITS)
    assert isinstance(refused, RiskRefused)
    assert (refused.code, refused.limit) == (RefusalCode.DAILY_LOSS_HEADROOM_INSUFFICIENT, D(196_000))
