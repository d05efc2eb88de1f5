from __future__ import annotations

from dataclasses import replace
from datetime import timedelta, timezone
from decimal import localcontext
from typing import Any

import pytest
from pydantic import ValidationError

from signalbox.orders.terms import Side
from signalbox.risk import (
    HaltLevel,
    LossRule,
    Mark,
    ProposedOrder,
    RefusalCode,
    RiskApproved,
    RiskDecision,
    RiskError,
    RiskLimits,
    RiskRefused,
    RiskSnapshot,
    WorkingOrder,
    assess,
    assess_batch,
)
from tests.builders import BTC, ETH, NOON, SOL
from tests.unit.risk.facts import (
    DAILY,
    LIMITS,
    OVERALL,
    PRICES,
    SPOT,
    D,
    floor,
    instrument,
    limits,
    lock,
    order,
    position,
    snapshot,
)

SECOND = timedelta(seconds=1)


def codes(decision: RiskDecision) -> list[RefusalCode]:
    return [b.code for b in decision.breaches] if isinstance(decision, RiskRefused) else []


def test_an_order_inside_every_limit_is_approved_on_the_snapshot_it_was_judged_on() -> None:
    facts = snapshot()
    decision = assess(order(stop="49000"), facts, LIMITS)
    assert isinstance(decision, RiskApproved)
    assert decision.snapshot is facts
    assert decision.limits_version == "ftmo-2step.1"


MARK_OLD = {s: Mark(p, NOON - 181 * SECOND) for s, p in PRICES.items()}
MARK_FUTURE = {s: Mark(p, NOON + SECOND) for s, p in PRICES.items()}
NO_BTC = {s: Mark(p, NOON) for s, p in PRICES.items() if s != BTC}

ONE_BREACH: list[tuple[RefusalCode, ProposedOrder, RiskSnapshot, RiskLimits]] = [
    (RefusalCode.ACCOUNT_HALTED, order(), snapshot(halt=HaltLevel.HALT), LIMITS),
    (RefusalCode.ACCOUNT_HALTED, order(), snapshot(halt=HaltLevel.REDUCE_ONLY), LIMITS),
    (RefusalCode.ACCOUNT_HALTED, order(), snapshot(halt=HaltLevel.FLATTEN), LIMITS),
    (RefusalCode.ENTRY_LOCKED, order(), snapshot(locks=(lock(BTC), lock(ETH))), LIMITS),
    (RefusalCode.ENTRY_LOCKED, order(), snapshot(locks=(lock(None),)), LIMITS),
    (RefusalCode.ACCOUNT_STATE_AGE_OUT_OF_RANGE, order(), snapshot(account_at=NOON - 61 * SECOND), LIMITS),
    (RefusalCode.ACCOUNT_STATE_AGE_OUT_OF_RANGE, order(), snapshot(account_at=NOON + SECOND), LIMITS),
    (RefusalCode.PRICE_MISSING, order(), snapshot(marks=NO_BTC), LIMITS),
    (RefusalCode.PRICE_MISSING, order(symbol=ETH), snapshot(position(), marks=NO_BTC), LIMITS),
    (RefusalCode.PRICE_AGE_OUT_OF_RANGE, order(), snapshot(marks=MARK_OLD), LIMITS),
    (RefusalCode.PRICE_AGE_OUT_OF_RANGE, order(), snapshot(marks=MARK_FUTURE), LIMITS),
    (RefusalCode.LOSS_FLOOR_MISSING, order(), snapshot(floors=(DAILY,)), LIMITS),
    (RefusalCode.INSTRUMENT_UNKNOWN, order(), snapshot(instruments={ETH: instrument(ETH)}), LIMITS),
    (RefusalCode.PRICE_OFF_TICK, order(price="50000.001"), snapshot(), LIMITS),
    (RefusalCode.STOP_PRICE_OFF_TICK, order(stop="49000.001"), snapshot(), LIMITS),
    (RefusalCode.STOP_PRICE_ON_WRONG_SIDE, order(price="50000", stop="50000.01"), snapshot(), LIMITS),
    (RefusalCode.STOP_PRICE_ON_WRONG_SIDE, order(Side.SELL, stop="49000"), snapshot(), LIMITS),
    (RefusalCode.PRICE_DEVIATION_OVER_LIMIT, order(price="52500.01"), snapshot(), LIMITS),
    (RefusalCode.QUANTITY_OFF_STEP, order(quantity="0.10001"), snapshot(), LIMITS),
    (RefusalCode.QUANTITY_BELOW_MINIMUM, order(), snapshot(instruments={BTC: instrument(min_quantity=D("0.2"))}), LIMITS),
    (RefusalCode.QUANTITY_OVER_MAXIMUM, order(), snapshot(instruments={BTC: instrument(max_quantity=D("0.05"))}), LIMITS),
    (RefusalCode.NOTIONAL_BELOW_MINIMUM, order(), snapshot(instruments={BTC: instrument(min_notional=D(5001))}), LIMITS),
    (RefusalCode.NOTIONAL_OVER_MAXIMUM, order(), snapshot(instruments={BTC: instrument(max_notional=D(4999))}), LIMITS),
    (RefusalCode.REDUCE_ONLY_WITHOUT_POSITION, order(reduce_only=True), snapshot(), LIMITS),
    (RefusalCode.REDUCE_ONLY_INCREASES_POSITION, order(reduce_only=True), snapshot(position(quantity="0.5")), LIMITS),
    (
        RefusalCode.REDUCE_ONLY_FLIPS_POSITION,
        order(Side.SELL, "0.51", reduce_only=True),
        snapshot(position(quantity="0.5")),
        LIMITS,
    ),
    (RefusalCode.SYMBOL_EXPOSURE_OVER_LIMIT, order(), snapshot(), limits(max_symbol_exposure_fraction=D("0.02"))),
    (
        RefusalCode.GROUP_EXPOSURE_OVER_LIMIT,
        order(symbol=ETH, quantity="4"),
        snapshot(position(SOL, "20", "100")),
        limits(max_symbol_exposure_fraction=D("0.055"), max_group_exposure_fraction=D("0.055")),
    ),
    (RefusalCode.SHORT_POSITION_NOT_ALLOWED, order(Side.SELL), snapshot(position(quantity="0.05")), SPOT),
    (
        RefusalCode.CASH_INSUFFICIENT,
        order(symbol=ETH, quantity="4"),
        snapshot(position(quantity="3.9"), floors=()),
        limits(SPOT, max_symbol_exposure_fraction=D(1), max_group_exposure_fraction=D(1), max_account_exposure_fraction=D(2)),
    ),
    (RefusalCode.MARGIN_INSUFFICIENT, order(), snapshot(), limits(max_funding_use_fraction=D("0.012"))),
    (
        RefusalCode.DAILY_LOSS_HEADROOM_INSUFFICIENT,
        order(),
        snapshot(floors=(floor(LossRule.MAX_DAILY_LOSS, "190000", "199600"), OVERALL)),
        LIMITS,
    ),
    (
        RefusalCode.MAX_LOSS_HEADROOM_INSUFFICIENT,
        order(),
        snapshot(floors=(DAILY, floor(LossRule.MAX_LOSS, "190000", "199600"))),
        LIMITS,
    ),
    (RefusalCode.ORDER_ID_IN_USE, order(), snapshot(working=(WorkingOrder(order(symbol=ETH), D("0.1")),)), LIMITS),
    (RefusalCode.ORDER_RATE_OVER_LIMIT, order(), snapshot(order_times=(NOON - 59 * SECOND,) * 20), LIMITS),
]


@pytest.mark.parametrize(("code", "proposed", "facts", "rules"), ONE_BREACH, ids=[c[0] for c in ONE_BREACH])
def test_one_thing_wrong_is_one_breach_that_says_so(
    code: RefusalCode, proposed: ProposedOrder, facts: RiskSnapshot, rules: RiskLimits
) -> None:
    decision = assess(proposed, facts, rules)
    assert codes(decision) == [code]
    assert isinstance(decision, RiskRefused)
    assert decision.snapshot is facts
    assert decision.message.startswith(f"{code}: limit ")
    assert decision.limit != decision.value


def test_account_exposure_is_the_worst_of_all_symbols_together() -> None:
    facts = snapshot(position(quantity="3"), position(SOL, "1500", "100"))
    rules = limits(max_account_exposure_fraction=D("1.5"), worst_move_fraction=D("0.001"))
    assert codes(assess(order(symbol=ETH, quantity="4"), facts, rules)) == [RefusalCode.ACCOUNT_EXPOSURE_OVER_LIMIT]


def test_every_code_is_reached_by_a_test() -> None:
    assert {c[0] for c in ONE_BREACH} | {RefusalCode.ACCOUNT_EXPOSURE_OVER_LIMIT} == set(RefusalCode)


def test_every_breach_is_reported_in_rule_order() -> None:
    wild = order(quantity="100.00001", price="49999.999", stop="50001")
    found = codes(assess(wild, snapshot(halt=HaltLevel.HALT, account_at=NOON - timedelta(hours=1)), LIMITS))
    assert found == sorted(found, key=list(RefusalCode).index)
    assert len(found) >= 8
    assert found[0] is RefusalCode.ACCOUNT_HALTED


def test_a_lock_that_is_over_locks_nothing() -> None:
    assert isinstance(assess(order(), snapshot(locks=(lock(BTC, minutes=0),)), LIMITS), RiskApproved)


def test_a_true_reduction_passes_halt_lock_old_prices_lost_limits_and_throttle() -> None:
    facts = snapshot(
        position(quantity="40"), halt=HaltLevel.FLATTEN, locks=(lock(),), marks={}, floors=(), order_times=(NOON - SECOND,) * 39
    )
    assert isinstance(assess(order(Side.SELL, "40", reduce_only=True), facts, LIMITS), RiskApproved)
    runaway = snapshot(position(quantity="4"), order_times=(NOON - SECOND,) * 40)
    assert codes(assess(order(Side.SELL, "4", reduce_only=True), runaway, LIMITS)) == [RefusalCode.ORDER_RATE_OVER_LIMIT]


def test_a_reduction_from_an_old_view_of_the_account_is_refused() -> None:
    facts = snapshot(position(), account_at=NOON - 61 * SECOND)
    found = codes(assess(order(Side.SELL, "1", reduce_only=True), facts, LIMITS))
    assert found == [RefusalCode.ACCOUNT_STATE_AGE_OUT_OF_RANGE]


def test_an_exit_that_is_not_flagged_does_not_pass_a_halt() -> None:
    assert codes(assess(order(Side.SELL), snapshot(position(), halt=HaltLevel.HALT), LIMITS)) == [RefusalCode.ACCOUNT_HALTED]


def test_two_exits_of_one_position_do_not_flip_it() -> None:
    exits = [order(Side.SELL, "0.6", reduce_only=True, order_id=f"x{i}") for i in range(2)]
    first, second = assess_batch(exits, snapshot(position(quantity="1")), LIMITS)
    assert isinstance(first, RiskApproved)
    assert isinstance(second, RiskRefused)
    assert second.code is RefusalCode.REDUCE_ONLY_FLIPS_POSITION
    assert (second.limit, second.value) == (D("0.4"), D("0.6"))


def test_orders_of_a_batch_share_one_headroom() -> None:
    batch = [order(quantity="0.4", stop="45000", order_id=f"o{i}") for i in range(5)]  # each may lose about 2,180
    decisions = assess_batch(batch, snapshot(), LIMITS)
    assert [isinstance(d, RiskApproved) for d in decisions] == [True, True, True, False, False]
    assert codes(decisions[-1]) == [RefusalCode.DAILY_LOSS_HEADROOM_INSUFFICIENT]
    assert len(decisions[3].snapshot.working) == 3
    assert isinstance(assess(batch[3], snapshot(), LIMITS), RiskApproved)


def test_what_does_not_raise_an_exposure_passes_while_it_is_over_the_limit() -> None:
    facts = snapshot(position(quantity="1", stop="49900"))
    tight = limits(max_symbol_exposure_fraction=D("0.1"))
    assert isinstance(assess(order(Side.SELL, "0.5", "50000", stop="50100"), facts, tight), RiskApproved)
    assert RefusalCode.SYMBOL_EXPOSURE_OVER_LIMIT in codes(assess(order(quantity="0.01"), facts, tight))


def test_a_floor_that_begins_within_the_guard_counts_already() -> None:
    """Floating loss of today, balance of tomorrow: the limit that comes at midnight is above the equity."""
    midnight = NOON + timedelta(minutes=80)
    tomorrow = floor(LossRule.MAX_DAILY_LOSS, "199000", "199600", starts_at=midnight, ends_at=midnight + timedelta(days=1))
    facts = snapshot(floors=(DAILY, OVERALL, tomorrow))
    assert codes(assess(order(), facts, LIMITS)) == [RefusalCode.DAILY_LOSS_HEADROOM_INSUFFICIENT]
    assert isinstance(assess(order(), facts, limits(midnight_guard_minutes=79)), RiskApproved)


def test_equity_at_or_below_zero_allows_no_new_risk() -> None:
    found = codes(assess(order(), snapshot(balance=D(-1)), limits(loss_floors_required=False)))
    assert RefusalCode.SYMBOL_EXPOSURE_OVER_LIMIT in found
    assert RefusalCode.MARGIN_INSUFFICIENT in found


def test_the_callers_decimal_context_changes_nothing() -> None:
    facts = snapshot(position(quantity="0.123456789"), balance=D("200000.123456789"))
    usual = assess(order(quantity="3.9999"), facts, LIMITS)
    with localcontext(prec=3):
        assert assess(order(quantity="3.9999"), facts, LIMITS) == usual


@pytest.mark.parametrize("bad", [D("NaN"), D("Infinity"), D(0), D(-1), D("1E+18"), D("1E-19"), 0.5])
def test_a_quantity_no_decision_can_be_made_on_is_an_error(bad: Any) -> None:
    with pytest.raises(RiskError):
        ProposedOrder(order().order_id, BTC, Side.BUY, bad)


def test_a_naive_instant_is_an_error() -> None:
    with pytest.raises(RiskError, match="offset from UTC"):
        snapshot(at=NOON.replace(tzinfo=None))


def test_contradicting_instruments_and_floors_are_errors() -> None:
    with pytest.raises(RiskError):
        instrument(min_quantity=D(2), max_quantity=D(1))
    with pytest.raises(RiskError):
        instrument(margin_fraction=D(2))
    with pytest.raises(RiskError):
        floor(LossRule.MAX_LOSS, "190000", "189999")
    with pytest.raises(RiskError):
        WorkingOrder(order(quantity="1"), D(2))
    with pytest.raises(RiskError):
        snapshot(instruments={ETH: instrument(BTC)})


@pytest.mark.parametrize(
    "change",
    [
        {"max_symbol_exposure_fraction": D(0)},
        {"max_price_age_seconds": 0},
        {"surprise": 1},
        {"worst_move_fraction": 0.1},
        {"max_symbol_exposure_fraction": D(9)},
    ],
)
def test_limits_are_bounded_complete_and_exact(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        limits(**change)


def test_limits_have_no_defaults() -> None:
    assert all(field.is_required() for field in RiskLimits.model_fields.values())


def test_the_far_target_of_an_exit_does_not_raise_what_the_position_is_worth() -> None:
    target = WorkingOrder(order(Side.SELL, "1", "60000", reduce_only=True, order_id="tp"), D(1))
    facts = snapshot(position(quantity="1", stop="49900"), working=(target,))
    tight = limits(max_symbol_exposure_fraction=D("0.26"))  # 52,000; the position is worth 50,000
    assert isinstance(assess(order(quantity="0.03"), facts, tight), RiskApproved)


@pytest.mark.parametrize(
    ("held", "quantity", "rules", "found"),
    [
        ("0.12345", "0.12345", {}, []),  # all of a position that a venue left off our step
        ("0.12345", "0.1", {}, []),
        ("0.12345", "0.00005", {"min_notional": D(1)}, [RefusalCode.QUANTITY_BELOW_MINIMUM]),
        ("0.1", "0.05005", {}, [RefusalCode.QUANTITY_OFF_STEP]),  # a position that is on it is reduced in steps
        ("0.00002", "0.00002", {}, []),
        ("0.1", "0.1", {"min_quantity": D("0.2"), "min_notional": D(9000)}, []),
        ("0.1", "0.05", {"min_notional": D(9000)}, [RefusalCode.NOTIONAL_BELOW_MINIMUM]),
        ("1", "1", {"max_notional": D(49_999)}, []),  # prices rose since it was opened
        ("1", "1", {"max_quantity": D("0.5")}, [RefusalCode.QUANTITY_OVER_MAXIMUM]),
    ],
)
def test_what_closes_a_position_is_not_held_back_by_its_odd_size(
    held: str, quantity: str, rules: dict[str, Any], found: list[RefusalCode]
) -> None:
    facts = snapshot(
        position(quantity=held), instruments={BTC: instrument(**({"step": D("0.0001"), "min_quantity": D("0.0001")} | rules))}
    )
    decision = assess(order(Side.SELL, quantity, reduce_only=True), facts, LIMITS)
    assert [code for code in codes(decision) if "NOTIONAL" in code or "QUANTITY" in code] == found


def test_how_small_an_exit_of_ours_is_is_the_venues_to_judge() -> None:
    """What is left of a trade has to go, also beside what people hold: 0.00005 of 0.30005."""
    held = snapshot(
        position(quantity="0.30005"),
        instruments={BTC: instrument(min_quantity=D("0.0001"), min_notional=D(10), step=D("0.0001"))},
    )
    small = order(side=Side.SELL, quantity="0.00005", reduce_only=True)
    assert isinstance(assess(small, held, LIMITS), RiskRefused)
    assert isinstance(assess(replace(small, is_exit=True), held, LIMITS), RiskApproved)
    assert isinstance(assess(replace(small, is_exit=True, quantity=D(1)), held, LIMITS), RiskRefused)  # no true reduction


@pytest.mark.parametrize("price", ["0", "-1", "1E-19", "1E+18", "NaN"])
def test_a_snapshot_with_a_mark_that_is_no_exact_price_is_refused(price: str) -> None:
    with pytest.raises(RiskError):
        snapshot(marks={BTC: Mark(D(price), NOON)})


def test_a_mark_counts_by_its_instant_whatever_zone_says_it() -> None:
    elsewhere = NOON.astimezone(timezone(timedelta(hours=2)))
    assert snapshot(marks={BTC: Mark(D(1), elsewhere)}).snapshot_id == snapshot(marks={BTC: Mark(D(1), NOON)}).snapshot_id
