from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox.features import FeatureSchemaError
from signalbox.inference import Ensemble, load_bundle
from signalbox.inference.ensemble import logit, sigmoid
from tests.unit.inference.tiny_bundle import WIDTH, expected, rows, write_bundle


@pytest.fixture
def ensemble(tmp_path: Path) -> Ensemble:
    return load_bundle(write_bundle(tmp_path / "bundle"))


@given(st.floats(-700, 700))
def test_sigmoid_is_a_probability(value: float) -> None:
    assert 0.0 <= sigmoid(np.array([value]))[0] <= 1.0


@given(st.floats(1e-6, 1 - 1e-6))
def test_logit_undoes_sigmoid(probability: float) -> None:
    assert sigmoid(logit(np.array([probability])))[0] == pytest.approx(probability, rel=1e-9)


def test_logit_of_a_certain_probability_is_finite() -> None:
    assert np.isfinite(logit(np.array([0.0, 1.0]))).all()


@pytest.mark.parametrize("batch", [0, 1, 3, 500])
def test_a_row_scores_the_same_in_any_batch(ensemble: Ensemble, batch: int) -> None:
    features = rows(500, seed=4)
    got = ensemble.predict(features[:batch])
    assert got.shape == (batch,)
    np.testing.assert_allclose(got, expected(features)[:batch], atol=1e-6)


def test_fortran_ordered_and_strided_rows_score_the_same(ensemble: Ensemble) -> None:
    features = rows(40, seed=4)
    np.testing.assert_array_equal(ensemble.predict(np.asfortranarray(features)[::2]), ensemble.predict(features[::2]))


@pytest.mark.parametrize("shape", [(WIDTH,), (3, WIDTH - 1), (3, WIDTH + 1), (1, 3, WIDTH), (0, 5)])
def test_wrong_width_is_refused(ensemble: Ensemble, shape: tuple[int, ...]) -> None:
    with pytest.raises(FeatureSchemaError, match=r"expected \(k, 31\)"):
        ensemble.predict(np.zeros(shape))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300])
def test_value_that_is_not_finite_is_refused_by_name(ensemble: Ensemble, value: float) -> None:
    features = rows(3)
    features[1, 12] = value
    with pytest.raises(FeatureSchemaError, match="rsi_14"):
        ensemble.predict(features)
