"""A deployment's states as one machine, the two cycles it has, and the share of signals that takes it back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox.library.deployments import (
    INCOMING,
    LEGAL_MOVES,
    SERVED,
    DeploymentState,
    LibraryDeployment,
    SignalCount,
    deployment_name,
    evaluated_rate,
    missed,
    moved,
    signal_rate_fault,
)
from signalbox.library.entries import EntityKey, EntityKind, VersionKey
from signalbox.library.errors import DeploymentStateError
from signalbox.signals.signal import DeploymentStage

AT = datetime(2026, 11, 28, 12, tzinfo=UTC)
VERSION = VersionKey(EntityKey(EntityKind.MODEL, "dir60"), 3)


def deployment(state: DeploymentState = DeploymentState.PENDING) -> LibraryDeployment:
    return LibraryDeployment(
        "dir60-v3", VERSION, "1.2.0", "all", 1, DeploymentStage.SHADOW, state, AT, AT, "anna", "try", "bundles/a.zip", "0" * 64
    )


@given(st.lists(st.sampled_from(DeploymentState), max_size=8))
def test_a_deployment_serves_after_it_is_warm_and_never_again_after_its_end(
    wanted: list[DeploymentState],
) -> None:
    one, path = deployment(), [DeploymentState.PENDING]
    for to in wanted:
        if to in LEGAL_MOVES[one.state]:
            one = moved(one, to, AT, "why")
            path.append(to)
        else:
            with pytest.raises(DeploymentStateError, match=f"deployment dir60-v3 is {one.state}: expected .*, got {to}"):
                moved(one, to, AT)
    if DeploymentState.HEALTHY in path:
        assert path[:4] == [*INCOMING, DeploymentState.HEALTHY]
        assert set(path[3:]) <= set(SERVED)
    assert len(set(path)) == len(path)


@pytest.mark.parametrize("state", INCOMING)
def test_the_second_cycle_without_it_fails_a_deployment(state: DeploymentState) -> None:
    once = missed(deployment(state), AT, "S3 did not answer")
    assert (once.state, once.missed) == (state, 1)
    twice = missed(once, AT + timedelta(minutes=5), "S3 did not answer")
    assert twice.state is DeploymentState.FAILED
    assert twice.reason == "not confirmed within 2 cycles: S3 did not answer"


@pytest.mark.parametrize(
    ("found", "fault"),
    [
        (SignalCount(0, 0), False),
        (SignalCount(36, 30), False),  # one wild hour of three symbols is three independent looks
        (SignalCount(36, 0), False),
        (SignalCount(864, 168), False),  # as evaluated
        (SignalCount(864, 300), False),
        (SignalCount(120, 120), True),  # says something at every bar, for three hours and more
        (SignalCount(1_728, 0), True),  # is silent for two days
        (SignalCount(1_728, 1_400), True),
    ],
)
def test_a_share_of_signals_outside_half_to_twice_the_evaluated_one_is_found(found: SignalCount, fault: bool) -> None:
    why = signal_rate_fault(found, 0.194749, 12)
    assert (why is not None) == fault
    assert why is None or "half to twice the evaluated 0.195" in why


@given(st.integers(1, 2_000), st.floats(0.02, 0.9))
def test_a_share_as_evaluated_is_never_a_fault(decisions: int, rate: float) -> None:
    assert signal_rate_fault(SignalCount(decisions, round(decisions * rate)), rate, 12) is None


def test_a_share_that_no_evaluation_stated_is_not_watched() -> None:
    assert signal_rate_fault(SignalCount(1_000, 1_000), None, 12) is None


@pytest.mark.parametrize(
    ("report", "rate"),
    [
        ({"figures": {"issued": {"coverage": 0.19}}}, 0.19),
        ({"figures": {"issued": {"coverage": {"value": 1}}}}, 1.0),
        ({"figures": {"issued": {"coverage": True}}}, None),
        ({"figures": {"issued": {"coverage": 0}}}, None),
        ({"figures": {"issued": {"coverage": 1.2}}}, None),
        ({"figures": {"issued": {"coverage": "0.2"}}}, None),
        ({"figures": {"issued": [0.2]}}, None),
        ({"figures": 7}, None),
        ({}, None),
    ],
)
def test_the_evaluated_share_is_a_number_of_the_report_or_unknown(report: dict[str, object], rate: float | None) -> None:
    assert evaluated_rate(report) == rate


@given(st.integers(1, 10**9), st.integers(0, 10**6))
def test_names_tell_the_version_and_fit_what_accounts_follow(number: int, before: int) -> None:
    name = deployment_name(VersionKey(EntityKey(EntityKind.MODEL, "m" * 64), number), before)
    assert len(name) <= 100
    assert f"-v{number}" in name
