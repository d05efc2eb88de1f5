"""Clusters, the sequential test, the e-process and the interval: what they promise, exactly where that can be counted."""

from __future__ import annotations

import itertools
import math
from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox.observation.clusters import SettledSignal, clusters_of
from signalbox.observation.evidence import EvidenceSide, evidence_against
from signalbox.observation.expectancy import expectancy_of, student_t
from signalbox.observation.sequential import SprtDecision, boundaries, power_of, run_sprt
from tests.examples import examples
from tests.unit.observation.samples import BTC, START, rules, settled

HOUR = timedelta(hours=1)
CLAIM = rules().claim
SHARES = st.lists(st.sampled_from([0.0, 1 / 3, 0.5, 2 / 3, 1.0]), max_size=60)


def at(minute: int, *, right: bool = True, bps: float = 1.0) -> SettledSignal:
    return SettledSignal(BTC, START + timedelta(minutes=minute), right, bps)


@given(minutes=st.lists(st.tuples(st.integers(0, 2_000), st.booleans()), max_size=80), seed=st.randoms())
def test_clusters_keep_every_signal_and_never_overlap(minutes: list[tuple[int, bool]], seed: object) -> None:
    signals = [at(m, right=right) for m, right in minutes]
    found = clusters_of(signals, HOUR)
    getattr(seed, "shuffle")(signals)  # noqa: B009 - typed as object
    assert clusters_of(signals, HOUR) == found
    assert sum(one.signals for one in found) == len(signals)
    assert all(b.begins_at - a.begins_at >= HOUR for a, b in itertools.pairwise(found))
    for one in found:
        own = [s.is_right for s in signals if s.decided_at == one.begins_at]
        assert one.right == sum(own) / len(own)
    assert {s.decided_at for s in signals[:1]} <= {c.begins_at + timedelta(minutes=m) for c in found for m in range(60)}


@given(SHARES)
def test_first_boundary_that_is_crossed_decides_for_good(shares: list[float]) -> None:
    found = run_sprt(CLAIM, shares)
    lower, upper = boundaries(CLAIM)
    crossed = next((i for i, value in enumerate(found.path, 1) if value >= upper or value <= lower), None)
    assert found.decided_after == crossed
    for end in range(len(shares)):
        shorter = run_sprt(CLAIM, shares[:end])
        assert shorter.path == found.path[:end]
        if shorter.decision is not SprtDecision.UNDECIDED:
            assert found.decision is shorter.decision


def test_errors_of_the_sequential_test_are_within_alpha_and_beta_exactly() -> None:
    null, claim = power_of(CLAIM, CLAIM.null_precision, 1_500), power_of(CLAIM, CLAIM.precision, 1_500)
    assert max(null.undecided, claim.undecided) < 1e-4
    assert 0.5 * CLAIM.alpha < null.accepted <= CLAIM.alpha
    assert 0.5 * CLAIM.beta < claim.rejected <= CLAIM.beta


@given(precision=st.floats(0, 1), clusters=st.integers(0, 9))
def test_power_is_that_of_all_paths(precision: float, clusters: int) -> None:
    quick = CLAIM.model_copy(update={"precision": 0.9, "null_precision": 0.3, "alpha": 0.1, "beta": 0.2})
    accepted = rejected = 0.0
    for path in itertools.product((0.0, 1.0), repeat=clusters):
        chance = math.prod(precision if x else 1 - precision for x in path)
        decision = run_sprt(quick, path).decision
        accepted += chance * (decision is SprtDecision.CLAIM_ACCEPTED)
        rejected += chance * (decision is SprtDecision.CLAIM_REJECTED)
    found = power_of(quick, precision, clusters)
    assert (found.accepted, found.rejected) == pytest.approx((accepted, rejected), abs=1e-12)


@pytest.mark.parametrize(("side", "precision"), [(s, p) for s in EvidenceSide for p in (0.3, 0.55, 0.68, 0.9)])
def test_e_process_is_ever_false_with_at_most_alpha_exactly(side: EvidenceSide, precision: float) -> None:
    """The e-value depends on the counts alone, so the chance that it ever reaches 20 within 300 clusters can be counted."""
    clusters, alpha = 300, 0.05
    reached = {}
    for right in range(clusters + 1):
        # the value after n clusters with `right` of them right does not depend on their order
        order = [1.0] * right + [0.0] * (clusters - right)
        for n, value in enumerate(evidence_against(side, precision, order).path, start=1):
            if n >= right:
                reached[n, right] = value >= math.log(1 / alpha)
    chances, ever = {0: 1.0}, 0.0
    for n in range(1, clusters + 1):
        later: dict[int, float] = {}
        for right, chance in chances.items():
            for more, share in ((1, precision), (0, 1 - precision)):
                if reached[n, right + more]:
                    ever += chance * share
                else:
                    later[right + more] = later.get(right + more, 0.0) + chance * share
        chances = later
    assert 0.001 < ever <= alpha


@given(precision=st.floats(0.1, 0.9), side=st.sampled_from(EvidenceSide), shares=SHARES, next_=st.floats(0, 1))
def test_e_value_of_one_more_cluster_is_fair_at_the_bound(
    precision: float, side: EvidenceSide, shares: list[float], next_: float
) -> None:
    """A supermartingale: if the next share has the mean p, the mean of the next e-value is this one."""
    spread = min(next_ * precision, next_ * (1 - precision))
    now = math.exp((evidence_against(side, precision, shares).path or (0.0,))[-1])
    values = [
        math.exp(evidence_against(side, precision, [*shares, share]).path[-1])
        for share in (precision - spread, precision + spread)
    ]
    assert sum(values) / 2 == pytest.approx(now, rel=1e-9)


@given(SHARES)
def test_evidence_is_never_taken_back(shares: list[float]) -> None:
    largest = [evidence_against(EvidenceSide.AT_LEAST, 0.68, shares[:n]).largest for n in range(len(shares) + 1)]
    assert largest == sorted(largest)


def test_random_side_is_not_proved_by_signals_that_share_their_minutes() -> None:
    """A random walk, a signal every five minutes, always BUY, stopped as soon as it is in favour.

    By clusters the chance of a false proof stays below alpha. Counted signal by signal it would be far above.
    """
    runs, alpha, rng = examples(250), 0.05, np.random.default_rng(3)
    claim = CLAIM.model_copy(update={"null_precision": 0.5})
    by_cluster = by_signal = e_values = 0
    for _ in range(runs):
        walk = np.cumsum(rng.standard_normal(12 * 24 * 3 + 12))
        right = (walk[12:] > walk[:-12]).tolist()
        signals = [at(5 * i, right=one) for i, one in enumerate(right)]
        shares = [one.right for one in clusters_of(signals, HOUR)]
        by_cluster += run_sprt(claim, shares).decision is SprtDecision.CLAIM_ACCEPTED
        e_values += evidence_against(EvidenceSide.AT_MOST, 0.5, shares).reaches(alpha)
        by_signal += run_sprt(claim, [float(one) for one in right]).decision is SprtDecision.CLAIM_ACCEPTED
    noise = 3 * math.sqrt(alpha * (1 - alpha) / runs)
    assert by_cluster / runs <= alpha + noise
    assert e_values / runs <= alpha + noise
    assert by_signal / runs > 0.2


@pytest.mark.parametrize("share", [-0.01, 1.01, math.nan])
def test_share_outside_its_range_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match="share of right signals"):
        run_sprt(CLAIM, [share])
    with pytest.raises(ValueError, match="share of right signals"):
        evidence_against(EvidenceSide.AT_MOST, 0.5, [share])
    with pytest.raises(ValueError, match="expected a precision"):
        power_of(CLAIM, share, 1)


def test_students_t_is_that_of_the_tables() -> None:
    published = {1: 12.706, 4: 2.776, 30: 2.042, 31: 2.0395, 40: 2.0211, 60: 2.0003, 120: 1.9799, 1_000: 1.9623}
    for degrees, value in published.items():
        assert student_t(degrees) == pytest.approx(value, abs=5e-4)
    with pytest.raises(ValueError, match="degree of freedom"):
        student_t(0)


def test_expectancy_interval_has_days_as_its_unit() -> None:
    one_day = expectancy_of(settled(0.8, 1))
    assert one_day is not None
    assert (one_day.low_bps, one_day.high_bps, one_day.days) == (None, None, 1)
    assert expectancy_of([]) is None
    # two days of +4 and +2 bp a signal: mean 3, standard error 1, t of one degree of freedom
    found = expectancy_of([at(0, bps=4.0), at(5, bps=4.0), at(1440, bps=2.0), at(1445, bps=2.0)])
    assert found is not None
    assert found.low_bps is not None
    assert (found.mean_bps, found.low_bps) == pytest.approx((3.0, 3.0 - student_t(1)))


def test_expectancy_interval_covers_the_truth_with_few_days() -> None:
    runs, rng, covered = examples(300), np.random.default_rng(5), 0
    for _ in range(runs):
        signals = [
            at(1440 * day + 5 * i, bps=2.0 + shift + noise)
            for day, shift in enumerate(rng.standard_normal(5) * 6)
            for i, noise in enumerate((rng.standard_normal(int(rng.integers(4, 9))) * 5).tolist())
        ]
        found = expectancy_of(signals)
        assert found is not None
        assert found.low_bps is not None
        assert found.high_bps is not None
        covered += found.low_bps <= 2.0 <= found.high_bps
    assert covered / runs >= 0.95 - 0.02 - 3 * math.sqrt(0.95 * 0.05 / runs)
