from __future__ import annotations

from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox.features import FeatureSchemaError
from signalbox.inference import BundleError, BundleTamperedError, Ensemble, ModelHolder, load_bundle
from signalbox.inference.ensemble import logit, sigmoid
from tests.unit.inference.tiny_bundle import WIDTH, expected, golden, linear_member, rows, write_bundle


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


def test_swap_replaces_the_model(tmp_path: Path) -> None:
    holder = ModelHolder()
    assert holder.current is None
    first = holder.swap(write_bundle(tmp_path / "one", "one"))
    assert holder.current is first
    second = holder.swap(write_bundle(tmp_path / "two", "two"))
    assert holder.current is second
    assert second.name == "two"


@pytest.mark.parametrize("damage", ["missing", "tampered", "golden", "manifest"])
def test_failed_swap_keeps_the_old_model_and_raises(tmp_path: Path, damage: str) -> None:
    holder = ModelHolder(load_bundle(write_bundle(tmp_path / "old", "old")))
    candidate = tmp_path / "new"
    if damage == "golden":
        write_bundle(candidate, "new", files={"golden.npz": golden(rows(2), np.array([0.1, 0.2]))})
    else:
        write_bundle(candidate, "new")
    if damage == "missing":
        (candidate / "linear-1.onnx").unlink()
    if damage == "tampered":
        (candidate / "linear-1.onnx").write_bytes(linear_member(3))
    if damage == "manifest":
        (candidate / "manifest.json").write_text("{}")
    with pytest.raises(BundleError):
        holder.swap(candidate)
    assert holder.current is not None
    assert holder.current.name == "old"
    assert holder.current.predict(rows(2)).shape == (2,)


def test_readers_see_one_model_or_the_other_while_it_is_swapped(tmp_path: Path) -> None:
    features = rows(20, seed=8)
    changed = {"linear-2.onnx": linear_member(3), "golden.npz": golden(rows(8), expected(rows(8), (1, 3)))}
    folders = [write_bundle(tmp_path / "a", "a"), write_bundle(tmp_path / "b", "b", files=changed)]
    answers = {"a": expected(features), "b": expected(features, (1, 3))}
    holder = ModelHolder(load_bundle(folders[0]))
    wrong: list[str] = []
    stop = False

    def read() -> None:
        while not stop:
            model = holder.current
            if model is None or np.abs(model.predict(features) - answers[model.name]).max() > 1e-6:
                wrong.append("neither")

    readers = [Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for turn in range(20):
        holder.swap(folders[turn % 2])
    broken = write_bundle(tmp_path / "c", "c")
    (broken / "extra").write_bytes(b"")
    with pytest.raises(BundleTamperedError):
        holder.swap(broken)
    stop = True
    for reader in readers:
        reader.join()
    assert not wrong
