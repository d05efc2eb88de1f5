"""The life of a version: every legal step, nothing else; approval by the gates, or by an override that stays visible."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox.inference.manifest import PROMOTION_GATES, Gate, Verdict
from signalbox.library.errors import ApprovalRefusedError, LifecycleError
from signalbox.library.lifecycle import (
    LEGAL_STEPS,
    GateVerdicts,
    Lifecycle,
    VersionDecision,
    approved,
    gate_shortfalls,
    has_integrity,
    stepped,
)
from signalbox.library.numbering import MadeFrom, next_semantic

AT = datetime(2026, 11, 28, 12, tzinfo=UTC)
PASSED = dict.fromkeys(Gate, Verdict.PASS)


def decision(state: Lifecycle) -> VersionDecision:
    return VersionDecision(state, "anna", AT, "because", "req-1")


gates = st.dictionaries(st.sampled_from(Gate), st.sampled_from(Verdict))
judgements = st.lists(st.builds(GateVerdicts, st.sampled_from(["training", "eval-1"]), gates), max_size=3)


@given(st.none() | st.sampled_from(Lifecycle), st.sampled_from(Lifecycle))
def test_exactly_the_steps_of_the_table_are_legal(current: Lifecycle | None, to: Lifecycle) -> None:
    if (current, to) in LEGAL_STEPS:
        assert stepped("m@1", current, decision(to)).state is to
    else:
        with pytest.raises(LifecycleError, match=r"m@1 .* cannot become"):
            stepped("m@1", current, decision(to))


@given(st.lists(st.sampled_from(Lifecycle), max_size=6))
def test_a_retired_version_stays_so_and_approval_needs_a_candidate(wanted: list[Lifecycle]) -> None:
    state: Lifecycle | None = None
    seen: list[Lifecycle] = []
    for to in wanted:
        try:
            state = stepped("m@1", state, decision(to)).state
        except LifecycleError:
            continue
        seen.append(state)
    assert Lifecycle.RETIRED not in seen[:-1]
    if Lifecycle.APPROVED in seen:
        assert seen[seen.index(Lifecycle.APPROVED) - 1] is Lifecycle.CANDIDATE


@given(judgements, st.booleans())
def test_an_approval_is_the_gates_or_a_marked_override_with_integrity(found: list[GateVerdicts], override: bool) -> None:
    try:
        step = approved("m@1", Lifecycle.CANDIDATE, found, decision(Lifecycle.APPROVED), override=override)
    except ApprovalRefusedError:
        assert gate_shortfalls(found)
        assert not (override and has_integrity(found))
        return
    assert step.overridden == bool(gate_shortfalls(found))
    assert all(one.gates[Gate.G0] is Verdict.PASS for one in found)
    if not step.overridden:
        assert all(one.gates[gate] is Verdict.PASS for one in found for gate in PROMOTION_GATES)


def test_no_override_replaces_integrity() -> None:
    found = [GateVerdicts("training", {**PASSED, Gate.G0: Verdict.FAIL})]
    with pytest.raises(ApprovalRefusedError, match=r"G0 \(integrity\), which no override replaces: training: G0 fail"):
        approved("m@1", Lifecycle.CANDIDATE, found, decision(Lifecycle.APPROVED), override=True)


def test_a_version_that_nobody_judged_is_not_approved() -> None:
    with pytest.raises(ApprovalRefusedError, match="no judgement is recorded"):
        approved("m@1", Lifecycle.CANDIDATE, [], decision(Lifecycle.APPROVED), override=True)


def test_approval_of_a_draft_names_the_step_that_is_possible() -> None:
    with pytest.raises(LifecycleError, match="m@1 is draft and cannot become approved; expected candidate or rejected"):
        approved("m@1", Lifecycle.DRAFT, [GateVerdicts("training", PASSED)], decision(Lifecycle.APPROVED), override=True)


@pytest.mark.parametrize(
    ("before", "now", "number"),
    [
        (MadeFrom("s1", "d1"), MadeFrom("s2", "d1"), "3.0.0"),
        (MadeFrom("s1", "d1"), MadeFrom("s1", "d2"), "2.5.0"),
        (MadeFrom("s1", "d1"), MadeFrom("s1", "d1"), "2.4.2"),
        (None, MadeFrom("s1", "d1"), "3.0.0"),
    ],
)
def test_a_number_says_what_changed(before: MadeFrom | None, now: MadeFrom, number: str) -> None:
    assert next_semantic("2.4.1", before, now) == number


def test_the_first_number_is_one() -> None:
    assert next_semantic(None, None, MadeFrom("s", "d")) == "1.0.0"


@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("cd")), min_size=2, max_size=12))
def test_numbers_only_grow(made: list[tuple[str, str]]) -> None:
    numbers: list[tuple[int, ...]] = []
    previous: str | None = None
    before: MadeFrom | None = None
    for schema, data in made:
        now = MadeFrom(schema, data)
        previous, before = next_semantic(previous, before, now), now
        numbers.append(tuple(map(int, previous.split("."))))
    assert numbers == sorted(set(numbers))
