from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from numpy.typing import NDArray

from signalbox.inference.ensemble import sigmoid
from signalbox.inference.manifest import FrozenThresholds
from signalbox.library.day_blocks import calibration_error, equal_mass_bins
from tests.unit.training.synthetic import made_up
from training.config import CoverageConfig
from training.data.dataset import Dataset
from training.errors import TrainingError
from training.fit.calibration import fit_temperature, freeze_thresholds
from training.judge.costs import DEFAULT_COSTS, FTMO_CRYPTO
from training.judge.estimates import (
    area_under_curve,
    calibration_error_by_day,
    calibration_slope,
    mean_by_day,
)
from training.judge.evaluation import ModelEvaluation, evaluate
from training.judge.scoring import Scored

COVERAGE = CoverageConfig(issue=0.20, high=0.10)
THRESHOLDS = FrozenThresholds(issue_margin=0.05, high_margin=0.2)


def judged(data: Dataset, probability: NDArray[np.float64]) -> ModelEvaluation:
    return evaluate(Scored.of(data, probability, THRESHOLDS), train_up_rate=0.5)


def test_precision_and_costs_of_a_known_skill() -> None:
    data, probability = made_up(40_000, 0.25)
    result = judged(data, probability)
    assert result.issued.precision.low < 0.75 < result.issued.precision.high
    assert result.issued.coverage == result.high.coverage == 1.0
    assert result.issued.signals_an_hour == pytest.approx(12.0)
    assert result.issued.gross_bps.value == pytest.approx(10 * (2 * result.issued.precision.value - 1))
    assert result.issued.net_bps[FTMO_CRYPTO.name].value == pytest.approx(result.issued.gross_bps.value - 6.5)
    for rule in ("majority", "momentum", "reversal"):
        assert result.issued.base_rates[rule].low < 0.5 < result.issued.base_rates[rule].high
        assert result.issued.lift[rule].low > 0.2
    assert result.issued.calibration_error.value < 0.02


def test_flats_are_misses_for_every_side() -> None:
    data, probability = made_up(2_000, 0.25)
    flat = dataclasses.replace(data, outcome=np.zeros(2_000))
    result = judged(flat, probability)
    assert result.issued.precision.value == 0.0
    assert result.flats == 2_000


def test_no_signal_at_all_has_no_precision() -> None:
    data, _ = made_up(500, 0.2)
    result = judged(data, np.full(500, 0.5))
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
    frozen = freeze_thresholds(probability, COVERAGE)
    margin = np.abs(probability - 0.5)
    assert (margin >= frozen.issue_margin).mean() == pytest.approx(0.20, abs=0.001)
    assert (margin >= frozen.high_margin).mean() == pytest.approx(0.10, abs=0.001)


def test_constant_model_has_no_thresholds() -> None:
    with pytest.raises(TrainingError, match="output is constant"):
        freeze_thresholds(np.full(100, 0.5), COVERAGE)


def naive_calibration_error(confidence: NDArray[np.float64], hit: NDArray[np.float64]) -> float:
    rows = sorted(range(len(hit)), key=lambda i: (confidence[i], i))
    total = 0.0
    for part in equal_mass_bins(len(rows)):
        own = rows[part]
        rate = sum(hit[i] for i in own) / len(own)
        gap = sum(confidence[i] for i in own) / len(own) - rate
        total += len(own) / len(rows) * (gap**2 - rate * (1 - rate) / max(len(own) - 1, 1))
    return float(max(total, 0.0) ** 0.5)


@pytest.mark.parametrize("count", [1, 9, 10, 101, 3_000])
def test_calibration_error_equals_its_naive_twin(count: int) -> None:
    rng = np.random.default_rng(count)
    confidence, hit = rng.uniform(0.5, 0.7, count), (rng.random(count) < 0.7).astype(float)
    assert calibration_error(confidence, hit) == pytest.approx(naive_calibration_error(confidence, hit), abs=1e-12)


def test_calibration_interval_holds_the_true_error() -> None:
    rng = np.random.default_rng(5)
    day = np.repeat(np.arange(60), 100)
    confidence = rng.uniform(0.5, 0.7, 6_000)
    found = calibration_error_by_day(confidence + 0.1, (rng.random(6_000) < confidence).astype(float), day)
    assert found.low < 0.1 < found.high
    assert found.n == 6_000


@pytest.mark.parametrize("true_slope", [0.4, 1.0, 2.0])
def test_slope_is_recovered_with_an_interval_that_holds_it(true_slope: float) -> None:
    rng = np.random.default_rng(6)
    logits = rng.normal(0, 0.7, 30_000)
    label = (rng.random(30_000) < sigmoid(true_slope * logits)).astype(float)
    found = calibration_slope(logits, label, np.arange(30_000) // 288)
    assert found.low < true_slope < found.high
    assert found.high - found.low < 0.25
    assert found.value == pytest.approx(true_slope, abs=0.12)


def test_slope_of_labels_that_are_all_the_same_is_unknown() -> None:
    assert np.isnan(calibration_slope(np.linspace(-1, 1, 50), np.ones(50), np.zeros(50, np.int64)).value)


def test_one_position_a_symbol_is_held_for_the_whole_hour() -> None:
    data, probability = made_up(2_880, 0.25)
    result = judged(data, probability)
    assert result.issued.signals_an_hour == pytest.approx(12.0)
    assert result.one_position.signals_an_hour == pytest.approx(1.0)
    taken = data.decided_at_ms[Scored.of(data, probability, THRESHOLDS).one_position]
    assert (np.diff(taken) >= 3_600_000).all()


def test_parts_add_up_to_the_whole() -> None:
    data, probability = made_up(20_000, 0.25)
    result = judged(data, probability)
    for groups in (result.by_symbol, result.by_side, result.by_tier, result.by_month):
        assert sum(group.precision.n for group in groups.values()) == result.issued.precision.n
        right = sum(group.precision.n * group.precision.value for group in groups.values() if group.precision.n)
        assert right == pytest.approx(result.issued.precision.n * result.issued.precision.value)
    assert list(result.by_month) == ["1970-01", "1970-02", "1970-03"]


def test_every_cost_model_takes_its_round_trip() -> None:
    data, probability = made_up(5_000, 0.25)
    result = judged(data, probability)
    for cost in DEFAULT_COSTS:
        net = result.one_position.net_bps[cost.name]
        assert net.value == pytest.approx(result.one_position.gross_bps.value - 2 * cost.side_bps)
        assert net.high - net.low == pytest.approx(result.one_position.gross_bps.high - result.one_position.gross_bps.low)


def test_majority_is_the_stricter_side_where_training_is_not_known() -> None:
    data, probability = made_up(5_000, 0.25)
    falling = dataclasses.replace(data, outcome=-np.abs(data.outcome))
    result = evaluate(Scored.of(falling, probability, THRESHOLDS), train_up_rate=None)
    assert result.majority_side.startswith("SELL, the better side in hindsight")
    assert result.issued.base_rates["majority"].value == 1.0


def test_coin_on_the_same_timestamps_is_half_of_what_moved() -> None:
    data, probability = made_up(1_000, 0.25)
    moved = np.where(np.arange(1_000) < 200, 0.0, data.outcome)
    assert judged(dataclasses.replace(data, outcome=moved), probability).issued.random_side == pytest.approx(0.4)
