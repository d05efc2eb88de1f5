"""Deflated Sharpe and the probability of backtest overfitting, against simulation and a naive twin."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from numpy.typing import NDArray

from training.judge.overfitting import (
    Trials,
    deflated_sharpe,
    judge_overfitting,
    luckiest_sharpe,
    overfitting_probability,
    sharpe_ratio,
)


def naive_overfitting(daily: NDArray[np.float64], blocks: int) -> float:
    parts = np.array_split(daily, blocks)
    below = []
    for half in combinations(range(blocks), blocks // 2):
        inside = np.concatenate([parts[i] for i in half])
        outside = np.concatenate([parts[i] for i in range(blocks) if i not in half])
        best = int(np.argmax(inside.mean(axis=0) / inside.std(axis=0)))
        ratios = outside.mean(axis=0) / outside.std(axis=0)
        rank = (ratios < ratios[best]).sum() + 1
        below.append(rank / (daily.shape[1] + 1) <= 0.5)
    return float(np.mean(below))


@pytest.mark.parametrize("seed", range(4))
def test_overfitting_equals_its_naive_twin(seed: int) -> None:
    daily = np.random.default_rng(seed).normal(0.02, 1.0, (203, 7))
    assert overfitting_probability(daily, 6) == pytest.approx(naive_overfitting(daily, 6), abs=1e-12)


def test_best_of_noise_is_overfitted_about_half_the_time() -> None:
    found = [overfitting_probability(np.random.default_rng(seed).normal(size=(320, 10)), 8) for seed in range(30)]
    assert 0.35 < np.mean(found) < 0.65


def test_configuration_that_is_truly_better_is_not_overfitted() -> None:
    daily = np.random.default_rng(1).normal(size=(320, 10))
    daily[:, 3] += 0.5
    assert overfitting_probability(daily) < 0.01


def test_luckiest_of_many_is_expected_as_simulated() -> None:
    rng = np.random.default_rng(2)
    best = [rng.normal(0, 0.1, 50).max() for _ in range(4_000)]
    assert luckiest_sharpe(50, 0.1) == pytest.approx(np.mean(best), rel=0.02)
    assert luckiest_sharpe(1, 0.1) == 0.0


def test_deflated_sharpe_is_even_at_its_own_ratio_and_falls_with_the_number_tried() -> None:
    returns = np.random.default_rng(3).normal(0.1, 1.0, 400)
    assert deflated_sharpe(returns, sharpe_ratio(returns)) == pytest.approx(0.5)
    found = [deflated_sharpe(returns, luckiest_sharpe(tried, 0.05)) for tried in (1, 5, 50, 1_000)]
    assert found == sorted(found, reverse=True)


def test_noise_rarely_passes_the_deflated_sharpe() -> None:
    passed = []
    for seed in range(100):
        daily = np.random.default_rng(seed).standard_t(4, (250, 5))
        best = daily[:, np.argmax(daily.mean(axis=0) / daily.std(axis=0))]
        passed.append(deflated_sharpe(best, luckiest_sharpe(5, 1.0 / 250**0.5)) >= 0.95)
    assert np.mean(passed) <= 0.06


def test_what_was_not_kept_is_said_and_not_made_up() -> None:
    returns = np.random.default_rng(5).normal(0.1, 1.0, 100)
    found = judge_overfitting(returns, Trials(4))
    assert found.overfitting is None
    assert "were not recorded" in found.overfitting_reason
    assert judge_overfitting(np.zeros(100), Trials(1)).deflated_reason == "no trade was made"
