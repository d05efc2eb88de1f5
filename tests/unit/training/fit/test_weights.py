from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox.inference.ensemble import sigmoid
from training.fit.weights import learn_weights, log_loss


def families(count: int, seed: int, rows: int = 400) -> tuple[np.ndarray, np.ndarray]:
    """Logits of families of different skill, some of them of none, and the labels."""
    rng = np.random.default_rng(seed)
    truth = rng.normal(size=rows)
    logits = np.column_stack([rng.uniform(-0.5, 2) * truth + rng.uniform(0.1, 3) * rng.normal(size=rows) for _ in range(count)])
    return logits, (rng.random(rows) < sigmoid(truth)).astype(np.float64)


@given(count=st.integers(1, 4), seed=st.integers(0, 10_000), shrinkage=st.floats(0, 1))
def test_learnt_weights_are_on_the_simplex_and_never_worse_than_equal_ones(count: int, seed: int, shrinkage: float) -> None:
    logits, label = families(count, seed)
    weights = learn_weights(logits, label, shrinkage)
    assert (weights >= 0).all()
    assert weights.sum() == pytest.approx(1.0, abs=1e-12)
    assert log_loss(logits @ weights, label) <= log_loss(logits.mean(axis=1), label) + 1e-12


@given(seed=st.integers(0, 10_000))
def test_no_other_weights_of_three_are_clearly_better(seed: int) -> None:
    logits, label = families(3, seed)
    best = log_loss(logits @ learn_weights(logits, label, 0.0), label)
    grid = [(a, b, 1 - a - b) for a in np.linspace(0, 1, 21) for b in np.linspace(0, 1 - a, 11)]
    assert best <= min(log_loss(logits @ np.array(one), label) for one in grid) + 1e-3  # a negligible family may be left out


def test_family_that_only_harms_is_left_out() -> None:
    rng = np.random.default_rng(0)
    truth = rng.normal(size=2_000)
    label = (rng.random(2_000) < sigmoid(truth)).astype(np.float64)
    weights = learn_weights(np.column_stack([truth, -3 * truth, 5 * rng.normal(size=2_000)]), label, 0.0)
    assert weights[1] == 0
    assert weights[0] > 0.9


def test_shrunk_weights_lie_between_the_best_and_equal_ones() -> None:
    logits, label = families(3, 5)
    best = learn_weights(logits, label, 0.0)
    np.testing.assert_allclose(learn_weights(logits, label, 0.5), best / 2 + 1 / 6)
    np.testing.assert_allclose(learn_weights(logits, label, 1.0), np.full(3, 1 / 3))


def test_equal_families_stay_together() -> None:
    logits, label = families(1, 3)
    np.testing.assert_allclose(learn_weights(np.column_stack([logits, logits]), label, 0.0), [0.5, 0.5])
