"""GO needs every criterion; each of them alone can end in NO-GO; what is missing is never a pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signalbox.observation.findings import NOT_CHECKED, CheckedCount, ExecutionCost
from signalbox.observation.judgement import judge
from signalbox.observation.verdicts import CriterionCode, CriterionState, ObservationVerdict
from tests.examples import examples
from tests.unit.observation.samples import DAY_SLOTS, START, day, findings, rules, settled

GO, NO_GO, EXTEND = ObservationVerdict.GO, ObservationVerdict.NO_GO, ObservationVerdict.EXTEND
SLOTS = 5 * DAY_SLOTS


def state_of(code: CriterionCode, **changes: Any) -> CriterionState:
    return next(one.state for one in judge(rules(), findings(**changes)).criteria if one.code is code)


def test_sound_model_with_its_claimed_precision_is_a_go_with_every_reason() -> None:
    found = judge(rules(), findings())
    assert found.verdict is GO
    assert len(found.reasons) == len(found.criteria) == len(CriterionCode)
    assert [one.code for one in found.criteria] == list(CriterionCode)


FAULTS: dict[CriterionCode, dict[str, Any]] = {
    CriterionCode.SLOTS_DECIDED: {"days": (day(0, decided=DAY_SLOTS - 22), *(day(n) for n in range(1, 5)))},
    CriterionCode.FEATURES_MATCH: {"features": CheckedCount(SLOTS - 1, 1, 0, "return_60_volscaled")},
    CriterionCode.MODEL_PARITY: {"parity": CheckedCount(SLOTS - 1, 1, 0)},
    CriterionCode.DATA_FRESH: {"freshness": CheckedCount(SLOTS - 1, 1, 0)},
    CriterionCode.SIGNAL_RATE: {"days": tuple(day(n, signals=346) for n in range(5))},
    CriterionCode.CLAIM_SEQUENTIAL: {"settled": settled(0.45)},
    CriterionCode.CLAIM_EVIDENCE: {"settled": settled(0.3)},
    CriterionCode.EXPECTANCY: {"settled": settled(0.8, bps=-6.0)},
    CriterionCode.EXECUTION_COST: {"execution": ExecutionCost(60, 5.0, 0)},
}


@pytest.mark.parametrize(("code", "change"), FAULTS.items(), ids=FAULTS)
def test_each_fault_alone_is_a_no_go_that_names_its_figure(code: CriterionCode, change: dict[str, Any]) -> None:
    found = judge(rules(), findings(**change))
    assert found.verdict is NO_GO
    assert state_of(code, **change) is CriterionState.FAILED
    assert any(reason.startswith(f"{code} FAILED: ") and "; expected " in reason for reason in found.reasons)


MISSING: dict[CriterionCode, dict[str, Any]] = {
    CriterionCode.FEATURES_MATCH: {"features": CheckedCount(SLOTS - 1, 0, 1)},
    CriterionCode.MODEL_PARITY: {"parity": NOT_CHECKED},
    CriterionCode.DATA_FRESH: {"freshness": CheckedCount(SLOTS - 1, 0, 1)},
    CriterionCode.OUTCOMES_KNOWN: {"due": 400},
    CriterionCode.CLAIM_SEQUENTIAL: {"settled": settled(0.8)[:30], "due": 30},
    CriterionCode.CLAIM_EVIDENCE: {"settled": (), "due": 0},
    CriterionCode.EXPECTANCY: {"settled": settled(0.8, 1), "due": 48},
    CriterionCode.EXECUTION_COST: {"execution": ExecutionCost(0, None, 4)},
}


@pytest.mark.parametrize(("code", "change"), MISSING.items(), ids=MISSING)
def test_missing_evidence_extends_and_after_the_last_day_is_a_no_go(code: CriterionCode, change: dict[str, Any]) -> None:
    found = judge(rules(), findings(**change))
    assert found.verdict is EXTEND
    assert state_of(code, **change) is CriterionState.MISSING
    later = judge(rules(last_days=5), findings(**change))
    assert later.verdict is NO_GO
    assert any(reason.startswith(f"{code} MISSING") for reason in later.reasons)


def test_before_its_days_are_over_a_sound_observation_is_not_a_go() -> None:
    found = judge(rules(), findings(3))
    assert found.verdict is EXTEND
    assert [r.split(":")[0] for r in found.reasons] == ["EXPECTANCY MISSING", "DURATION MISSING"]


def test_nothing_at_all_is_extended_with_every_criterion_named() -> None:
    empty = replace(
        findings(0), features=NOT_CHECKED, parity=NOT_CHECKED, freshness=NOT_CHECKED, execution=ExecutionCost(0, None, 0)
    )
    found = judge(rules(), empty)
    assert found.verdict is EXTEND
    assert len(found.reasons) == len(CriterionCode)


def test_lost_slots_fail_only_when_no_later_slot_can_make_up_for_them() -> None:
    allowed = 21  # 0.5 % of 4,320
    first_hour = (replace(day(0), expected=36, decided=36 - allowed),)
    early = {"days": first_hour, "until": START + timedelta(hours=1)}
    assert state_of(CriterionCode.SLOTS_DECIDED, **early) is CriterionState.MISSING
    early["days"] = (replace(first_hour[0], decided=36 - allowed - 1),)
    assert state_of(CriterionCode.SLOTS_DECIDED, **early) is CriterionState.FAILED
    whole = (day(0, decided=DAY_SLOTS - allowed), *(day(n) for n in range(1, 5)))
    assert state_of(CriterionCode.SLOTS_DECIDED, days=whole) is CriterionState.PASSED


def test_rate_of_a_part_of_a_day_is_not_judged() -> None:
    part = {"days": (day(0, expected=400, decided=400, signals=400),), "until": START + timedelta(hours=11)}
    assert state_of(CriterionCode.SIGNAL_RATE, **part) is CriterionState.MISSING


@pytest.mark.parametrize(("signals", "state"), [(87, "PASSED"), (86, "FAILED"), (345, "PASSED"), (346, "FAILED")])
def test_rate_may_be_half_to_twice_the_evaluated_one(signals: int, state: str) -> None:
    assert state_of(CriterionCode.SIGNAL_RATE, days=tuple(day(n, signals=signals) for n in range(5))) == state


def test_evidence_of_earlier_observations_of_the_bundle_counts() -> None:
    """Starting again does not wipe out what spoke against the model."""
    bad = tuple(replace(one, decided_at=one.decided_at - timedelta(days=20)) for one in settled(0.3))
    found = judge(rules(), findings(before=bad))
    assert found.verdict is NO_GO
    assert any(r.startswith("CLAIM_EVIDENCE FAILED") for r in found.reasons)
    assert len(found.disproof.path) > len(found.clusters)


def test_cost_of_a_few_fills_is_not_that_of_the_many_orders_without_figures() -> None:
    assert state_of(CriterionCode.EXECUTION_COST, execution=ExecutionCost(20, 3.4, 200)) is CriterionState.MISSING
    assert state_of(CriterionCode.EXECUTION_COST, execution=ExecutionCost(60, 3.4, 1)) is CriterionState.PASSED


def expectancy(days: int, bps: Sequence[float]) -> CriterionState:
    """The state after so many days, each of which brought so much a signal."""
    every = tuple(replace(one, net_bps=bps[n // 48] + 0.1 * (n // 48)) for n, one in enumerate(settled(0.8, days)))
    return state_of(CriterionCode.EXPECTANCY, settled=every, until=START + timedelta(days=days))


def test_expectancy_is_not_judged_by_a_look_a_day() -> None:
    """Two days that happen to agree say little: the interval is for one look, at the end."""
    assert expectancy(2, [-4.0, -4.0]) is CriterionState.MISSING
    assert expectancy(5, [-4.0, -4.0, 9.0, 9.0, 9.0]) is CriterionState.PASSED


def test_expectancy_that_failed_when_its_days_were_over_does_not_recover() -> None:
    bad = [-4.0] * 5
    assert expectancy(5, bad) is CriterionState.FAILED
    assert expectancy(7, [*bad, 30.0, 30.0]) is CriterionState.FAILED
    assert expectancy(7, [0.5] * 7) is CriterionState.PASSED


@settings(max_examples=examples(30))
@given(
    decided=st.integers(0, DAY_SLOTS), signals=st.integers(0, DAY_SLOTS), differing=st.integers(0, 2),
    unchecked=st.integers(0, 2),
    precision=st.floats(0, 1), fills=st.integers(0, 40), cost=st.none() | st.floats(-10, 10), days=st.integers(0, 7),
)  # fmt: skip
def test_go_means_that_every_criterion_passed(
    decided: int, signals: int, differing: int, unchecked: int, precision: float, fills: int, cost: float | None, days: int
) -> None:
    check = CheckedCount(decided, differing, unchecked)
    change = {
        "days": tuple(day(n, decided=decided, signals=min(signals, decided)) for n in range(days)),
        "features": check, "parity": check, "freshness": check, "execution": ExecutionCost(fills, cost, 0),
        "settled": settled(precision, days), "due": days * 48,
    }  # fmt: skip
    found = judge(rules(), findings(days, **change))
    states = {one.state for one in found.criteria}
    assert (found.verdict is GO) == (states == {CriterionState.PASSED})
    assert (CriterionState.FAILED in states) <= (found.verdict is NO_GO)
    assert found.reasons
