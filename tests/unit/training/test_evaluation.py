from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from numpy.typing import NDArray

from signalbox.features import get_schema
from signalbox.inference.ensemble import sigmoid
from signalbox.inference.manifest import FrozenThresholds, Gate, Verdict
from signalbox.market.candles import Symbol
from training.calibration import fit_temperature, freeze_thresholds
from training.dataset import Dataset
from training.errors import TrainingError
from training.evaluation import Estimate, area_under_curve, calibration_error, evaluate, mean_by_day
from training.gates import headline, judge, passes_promotion
from training.integrity import Integrity

DAY_MS = 86_400_000
THRESHOLDS = FrozenThresholds(issue_margin=0.05, high_margin=0.2)


def made_up(count: int, skill: float, seed: int = 0) -> tuple[Dataset, NDArray[np.float64]]:
    """Decisions whose probability of up is truly 1/2 +- skill, and that probability."""
    rng = np.random.default_rng(seed)
    probability = 0.5 + skill * rng.choice([-1.0, 1.0], count)
    up = rng.random(count) < probability
    outcome = np.where(up, 1.0, -1.0) * 1e-3
    decided = np.arange(count, dtype=np.int64) * 300_000
    momentum = rng.normal(size=count)
    features = np.zeros((count, 31), np.float32)
    symbol = np.zeros(count, np.int64)
    data = Dataset(
        get_schema("v31"), (Symbol("BTC-USD"),), decided, symbol, features, outcome, up.astype(np.float32), momentum, {}
    )
    return data, probability


def test_precision_and_costs_of_a_known_skill() -> None:
    data, probability = made_up(40_000, 0.25)
    result = evaluate(data, probability, THRESHOLDS, train_up_rate=0.5)
    assert result.issued.precision.low < 0.75 < result.issued.precision.high
    assert result.issued.coverage == result.high.coverage == 1.0
    assert result.issued.signals_an_hour == pytest.approx(12.0)
    assert result.issued.gross_bps.value == pytest.approx(10 * (2 * result.issued.precision.value - 1))
    assert result.issued.net_bps.value == pytest.approx(result.issued.gross_bps.value - 6.5)
    for rule in ("majority", "momentum", "reversal"):
        assert result.issued.base_rates[rule].low < 0.5 < result.issued.base_rates[rule].high
        assert result.issued.lift[rule].low > 0.2
    assert result.issued.calibration_error.value < 0.02


def test_flats_are_misses_for_every_side() -> None:
    data, probability = made_up(2_000, 0.25)
    flat = dataclasses.replace(data, outcome=np.zeros(2_000))
    result = evaluate(flat, probability, THRESHOLDS, train_up_rate=0.5)
    assert result.issued.precision.value == 0.0
    assert result.flats == 2_000


def test_no_signal_at_all_has_no_precision() -> None:
    data, _ = made_up(500, 0.2)
    result = evaluate(data, np.full(500, 0.5), THRESHOLDS, train_up_rate=0.5)
    assert result.issued.precision.n == 0
    assert np.isnan(result.issued.precision.value)


def test_interval_of_whole_days_is_wider_than_that_of_dependent_rows() -> None:
    rng = np.random.default_rng(1)
    day = np.repeat(np.arange(100), 50)
    dependent = np.repeat(rng.random(100) < 0.5, 50).astype(float)  # one coin a day
    independent = (rng.random(5_000) < 0.5).astype(float)
    wide, narrow = mean_by_day(dependent, day), mean_by_day(independent, day)
    assert wide.high - wide.low > 4 * (narrow.high - narrow.low)


@pytest.mark.parametrize("count", [200, 1_000, 5_000])
def test_debiased_error_of_a_perfect_model_is_small_and_of_a_wrong_one_is_found(count: int) -> None:
    rng = np.random.default_rng(2)
    perfect, wrong = [], []
    for _ in range(40):
        confidence = rng.uniform(0.5, 0.7, count)
        hit = (rng.random(count) < confidence).astype(float)
        perfect.append(calibration_error(confidence, hit))
        wrong.append(calibration_error(confidence + 0.1, hit))
    assert np.median(perfect) < 0.04 if count == 200 else np.median(perfect) < 0.02
    assert np.median(wrong) == pytest.approx(0.1, abs=0.02)


def test_area_under_curve_counts_ties_half() -> None:
    assert area_under_curve(np.array([0.1, 0.9]), np.array([False, True])) == 1.0
    assert area_under_curve(np.array([0.5, 0.5, 0.5]), np.array([False, True, True])) == 0.5
    assert np.isnan(area_under_curve(np.array([0.5]), np.array([True])))


@pytest.mark.parametrize("true_temperature", [0.5, 1.0, 3.0])
def test_temperature_is_recovered(true_temperature: float) -> None:
    rng = np.random.default_rng(3)
    logits = rng.normal(0, 1, 200_000)
    label = (rng.random(200_000) < sigmoid(logits / true_temperature)).astype(float)
    assert fit_temperature(logits, label) == pytest.approx(true_temperature, rel=0.05)


def test_a_model_that_is_wrong_is_flattened_never_inverted() -> None:
    logits = np.random.default_rng(3).normal(0, 1, 10_000)
    assert fit_temperature(logits, (logits < 0).astype(float)) == pytest.approx(50.0, rel=0.01)


def test_thresholds_give_the_declared_coverage() -> None:
    probability = np.random.default_rng(4).uniform(0.3, 0.7, 50_000)
    frozen = freeze_thresholds(probability)
    margin = np.abs(probability - 0.5)
    assert (margin >= frozen.issue_margin).mean() == pytest.approx(0.20, abs=0.001)
    assert (margin >= frozen.high_margin).mean() == pytest.approx(0.10, abs=0.001)


def test_constant_model_has_no_thresholds() -> None:
    with pytest.raises(TrainingError, match="says the same"):
        freeze_thresholds(np.full(100, 0.5))


SOUND = Integrity(0.0, 0.0, Estimate(0.5, 0.49, 0.51, 1_000))


def test_strong_and_calibrated_model_is_promotable() -> None:
    data, probability = made_up(40_000, 0.35)
    gates = judge(evaluate(data, probability, THRESHOLDS, train_up_rate=0.5), SOUND)
    assert [gates[g].verdict for g in (Gate.G0, Gate.G1, Gate.G2, Gate.G3)] == [Verdict.PASS] * 4
    assert passes_promotion(gates)
    assert headline(gates).startswith("PROMOTABLE")


def test_precision_is_judged_by_its_lower_bound() -> None:
    data, probability = made_up(3_000, 0.185)  # truth .685, interval reaches below .68
    gates = judge(evaluate(data, probability, THRESHOLDS, train_up_rate=0.5), SOUND)
    assert gates[Gate.G1].verdict is Verdict.FAIL
    assert not passes_promotion(gates)
    assert headline(gates) == "NOT PROMOTABLE: G1 not passed; this model runs in shadow only"


def test_without_signals_no_gate_passes() -> None:
    data, _ = made_up(500, 0.2)
    gates = judge(evaluate(data, np.full(500, 0.5), THRESHOLDS, train_up_rate=0.5), SOUND)
    assert {gates[g].verdict for g in (Gate.G1, Gate.G2, Gate.G3, Gate.G4)} == {Verdict.FAIL}


@pytest.mark.parametrize(
    "integrity",
    [
        Integrity(1e-6, 0.0, SOUND.placebo_precision),
        Integrity(0.0, 1e-4, SOUND.placebo_precision),
        Integrity(0.0, 0.0, Estimate(0.6, 0.58, 0.62, 9)),
        Integrity(0.0, 0.0, Estimate(float("nan"), float("nan"), float("nan"), 0)),
    ],
)
def test_model_without_integrity_may_not_run(integrity: Integrity) -> None:
    data, probability = made_up(40_000, 0.35)
    gates = judge(evaluate(data, probability, THRESHOLDS, train_up_rate=0.5), integrity)
    assert headline(gates) == "NOT PROMOTABLE: G0 not passed; this model may not run at all"
