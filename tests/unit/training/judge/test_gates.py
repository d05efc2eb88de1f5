"""Verdicts from figures: by the bound, with the reason where there is none, and never from the model's own training data."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from numpy.typing import NDArray

from signalbox.inference.manifest import FrozenThresholds, Gate, Verdict
from tests.unit.training.synthetic import made_up
from training.data.dataset import Dataset
from training.judge.costs import FTMO_CRYPTO
from training.judge.estimates import NOTHING, Estimate
from training.judge.evaluation import evaluate
from training.judge.gates import Evidence, GateResult, headline, judge, passes_promotion
from training.judge.integrity import Integrity
from training.judge.overfitting import Trials, daily_returns, judge_overfitting
from training.judge.scoring import Scored
from training.judge.stability import by_month, by_period

THRESHOLDS = FrozenThresholds(issue_margin=0.05, high_margin=0.2)
SOUND = Integrity(0.0, 0.0, Estimate(0.5, 0.49, 0.51, 1_000))
ONE = Trials(1)


def verdicts(
    data: Dataset,
    probability: NDArray[np.float64],
    integrity: Integrity = SOUND,
    trials: Trials = ONE,
    *,
    in_sample: bool = False,
) -> dict[Gate, GateResult]:
    scored = Scored.of(data, probability, THRESHOLDS)
    overfitting = judge_overfitting(daily_returns(scored, FTMO_CRYPTO), trials)
    evidence = Evidence(evaluate(scored, train_up_rate=0.5), integrity, overfitting, by_month(scored, FTMO_CRYPTO))
    return judge(evidence, in_sample=in_sample)


def test_strong_and_calibrated_model_is_promotable() -> None:
    gates = verdicts(*made_up(60_000, 0.35))
    assert {gate: found.verdict for gate, found in gates.items()} == dict.fromkeys(Gate, Verdict.PASS)
    assert passes_promotion(gates)
    assert headline(gates) == "PROMOTABLE: G0 to G4 passed"


def test_every_gate_states_its_figure_its_bounds_and_its_threshold() -> None:
    gates = verdicts(*made_up(60_000, 0.35))
    for gate in (Gate.G0, Gate.G1, Gate.G2, Gate.G3, Gate.G4):
        found = gates[gate]
        assert found.low is not None
        assert found.value is not None
        assert found.high is not None
        assert found.low <= found.value <= found.high
        assert found.threshold is not None
        assert found.n is not None
        assert found.n > 0
    assert gates[Gate.G1].threshold == 0.68
    assert gates[Gate.G3].threshold == 0.05
    assert gates[Gate.G5].detail["tried"] == 1
    assert len(gates[Gate.G6].detail["periods"]) == 7


def test_precision_is_judged_by_its_lower_bound() -> None:
    gates = verdicts(*made_up(20_000, 0.175))  # the figure is above .68, its interval reaches below
    found = gates[Gate.G1]
    assert found.value is not None
    assert found.low is not None
    assert found.value > 0.68 > found.low
    assert gates[Gate.G1].verdict is Verdict.FAIL
    assert not passes_promotion(gates)
    assert headline(gates) == "NOT PROMOTABLE: G1 not passed; this model runs in shadow only"


def test_few_days_prove_nothing_however_good_they_look() -> None:
    gates = verdicts(*made_up(288 * 19, 0.45))
    assert {gates[g].verdict for g in (Gate.G1, Gate.G2, Gate.G3, Gate.G4)} == {Verdict.NOT_EVALUATED}
    assert gates[Gate.G1].found.startswith("19 days with signals, but at least 20 are needed; 0.9")
    assert not passes_promotion(gates)
    assert verdicts(*made_up(288 * 20, 0.45))[Gate.G1].verdict is Verdict.PASS


def test_without_signals_no_gate_passes() -> None:
    data, _ = made_up(500, 0.2)
    gates = verdicts(data, np.full(500, 0.5))
    assert {gates[g].verdict for g in (Gate.G1, Gate.G2, Gate.G3, Gate.G4)} == {Verdict.FAIL}
    assert {gates[g].verdict for g in (Gate.G5, Gate.G6)} == {Verdict.NOT_EVALUATED}


@pytest.mark.parametrize(
    "integrity",
    [
        Integrity(1e-6, 0.0, SOUND.placebo_precision),
        Integrity(0.0, 1e-4, SOUND.placebo_precision),
        Integrity(0.0, 0.0, Estimate(0.6, 0.58, 0.62, 9)),
        Integrity(0.0, 0.0, NOTHING),
    ],
)
def test_model_without_integrity_may_not_run(integrity: Integrity) -> None:
    gates = verdicts(*made_up(60_000, 0.35), integrity)
    assert headline(gates) == "NOT PROMOTABLE: G0 not passed; this model may not run at all"


def test_verdicts_on_its_own_training_data_are_marked_and_promote_nothing() -> None:
    gates = verdicts(*made_up(60_000, 0.35), in_sample=True)
    assert not passes_promotion(gates)
    assert headline(gates).startswith("NOT JUDGED")
    assert gates[Gate.G1].verdict_text == "pass (in-sample)"
    assert not gates[Gate.G0].in_sample  # integrity cannot be bought with training data


def test_short_period_says_why_luck_and_stability_cannot_be_judged() -> None:
    gates = verdicts(*made_up(288 * 40, 0.35))
    assert gates[Gate.G5].verdict is gates[Gate.G6].verdict is Verdict.NOT_EVALUATED
    assert "40 days: a Sharpe ratio needs at least 60" in gates[Gate.G5].found
    assert gates[Gate.G6].found == "1 whole months; at least 6 are needed"
    assert gates[Gate.G5].value is gates[Gate.G6].value is None


def test_unknown_number_of_trials_cannot_pass() -> None:
    gates = verdicts(*made_up(60_000, 0.35), trials=Trials(None))
    assert gates[Gate.G5].verdict is Verdict.NOT_EVALUATED
    assert "number of trials unknown" in gates[Gate.G5].found


def test_skill_that_comes_and_goes_is_not_stable() -> None:
    data, probability = made_up(288 * 190, 0.35)
    month = data.decided_at_ms.astype("datetime64[ms]").astype("datetime64[M]").astype(int)
    flipped = dataclasses.replace(data, outcome=np.where(month < 2, -data.outcome, data.outcome))
    found = verdicts(flipped, probability)[Gate.G6]
    assert found.verdict is Verdict.FAIL
    assert found.found.startswith("4 of 6 months")


def test_fold_with_few_signals_is_left_out_and_told() -> None:
    data, probability = made_up(2_000, 0.35)
    scored = Scored.of(data, probability, THRESHOLDS)
    rows = {str(i): (np.arange(2_000) // 300 == i) & ((i > 0) | (np.arange(2_000) < 50)) for i in range(6)}
    found = by_period("fold", scored, rows, FTMO_CRYPTO)
    assert found.reason == "5 folds (1 with fewer than 100 signals); at least 6 are needed"
