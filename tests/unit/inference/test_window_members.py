"""Members that look at a window of rows, alone and beside members that look at one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from signalbox.features import FeatureSchemaError
from signalbox.inference import BundleGoldenError, BundleManifestError, Ensemble, load_bundle, read_manifest
from signalbox.inference.ensemble import logit, sigmoid
from signalbox.inference.manifest import MANIFEST_FILE, write_manifest
from tests.unit.inference.tiny_bundle import (
    SCHEMA,
    WIDTH,
    edit_manifest,
    expected_of_windows,
    golden,
    rows,
    window_member,
    windows,
    write_bundle,
    write_window_bundle,
)

STARTER = Path(__file__).parents[3] / "training" / "starter_bundle"
MEMBERS = {3: 8, 4: 5}  # the window of each seed


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Ensemble:
    return load_bundle(write_window_bundle(tmp_path_factory.mktemp("b") / "mixed", MEMBERS, row=0.4))


@pytest.mark.parametrize("batch", [0, 1, 3, 200])
def test_each_member_sees_the_newest_rows_that_it_asks_for(mixed: Ensemble, batch: int) -> None:
    seen = windows(200, 8, seed=5)
    np.testing.assert_allclose(mixed.predict(seen[:batch]), expected_of_windows(seen, 0.4, MEMBERS)[:batch], atol=1e-6)


def test_single_and_double_precision_windows_score_the_same_bits(mixed: Ensemble) -> None:
    seen = windows(20, 8, seed=6)
    np.testing.assert_array_equal(mixed.predict(seen), mixed.predict(seen.astype(np.float32)))
    np.testing.assert_array_equal(mixed.predict(seen[::2]), mixed.predict(np.asfortranarray(seen)[::2]))


def test_the_history_of_a_window_is_that_of_its_oldest_row(mixed: Ensemble, tmp_path: Path) -> None:
    assert (mixed.window_bars, mixed.history_bars) == (8, SCHEMA.history_bars + 7)
    of_rows = load_bundle(write_bundle(tmp_path / "rows"))
    assert (of_rows.window_bars, of_rows.history_bars) == (1, SCHEMA.history_bars)


@pytest.mark.parametrize("shape", [(3, WIDTH), (3, 7, WIDTH), (3, 9, WIDTH), (3, 8, WIDTH - 1), (WIDTH,), (3, 1, 8, WIDTH)])
def test_another_shape_than_the_window_is_refused(mixed: Ensemble, shape: tuple[int, ...]) -> None:
    with pytest.raises(FeatureSchemaError, match=r"expected \(k, 8, 31\) features of v31"):
        mixed.predict(np.zeros(shape))


@given(
    place=st.tuples(st.integers(0, 2), st.integers(0, 7), st.integers(0, WIDTH - 1)),
    value=st.sampled_from([np.nan, np.inf, -np.inf, 1e300]),
)
def test_a_value_that_is_not_finite_anywhere_in_a_window_is_refused_by_name(
    mixed: Ensemble, place: tuple[int, int, int], value: float
) -> None:
    seen = windows(3, 8)
    seen[place] = value
    with pytest.raises(FeatureSchemaError, match=rf"values: {SCHEMA.names[place[2]]}$"):
        mixed.predict(seen)


def as_before(ensemble: Ensemble, features: NDArray[np.float64]) -> NDArray[np.float64]:
    """What a bundle of rows said before there were windows: its graphs run on the rows, its logits averaged."""
    total = np.zeros(len(features))
    for member, session in zip(ensemble.manifest.members, ensemble.sessions, strict=True):
        (found,) = session.run(None, {"features": features.astype(np.float32)})[-1:]
        of_one = logit(found[:, 1].astype(np.float64)) if member.output == "probability_pair" else found.reshape(-1)
        total += member.weight * of_one
    return sigmoid(total / ensemble.manifest.calibrator.temperature)


def test_bundles_of_rows_say_bit_for_bit_what_they_said(tmp_path: Path) -> None:
    ensemble, features = load_bundle(write_bundle(tmp_path / "rows")), rows(300, seed=8)
    found = ensemble.predict(features)
    np.testing.assert_array_equal(found, as_before(ensemble, features))
    np.testing.assert_array_equal(found, ensemble.predict(features[:, np.newaxis]))  # windows of one
    assert found.std() > 0


def test_manifests_of_rows_keep_their_bytes(tmp_path: Path) -> None:
    write_manifest(tmp_path, read_manifest(STARTER))
    assert (tmp_path / MANIFEST_FILE).read_bytes() == (STARTER / MANIFEST_FILE).read_bytes()


@pytest.mark.parametrize(
    ("reported", "fault"),
    [
        ({"input": "window"}, "expected window_bars exactly when input is window, got window_bars None with input window"),
        ({"window_bars": 8}, "expected window_bars exactly when input is window, got window_bars 8 with input row"),
        ({"input": "window", "window_bars": 1}, "window_bars"),
        ({"input": "window", "window_bars": 241}, "window_bars"),
        ({"input": "windows", "window_bars": 8}, "input"),
    ],
)
def test_a_window_that_is_not_told_or_not_possible_is_refused(tmp_path: Path, reported: dict[str, object], fault: str) -> None:
    folder = write_bundle(tmp_path / "b")
    edit_manifest(folder, lambda content: content["members"][0].update(reported))
    with pytest.raises(BundleManifestError, match=fault):
        load_bundle(folder)


def test_golden_windows_of_another_length_or_order_are_refused(tmp_path: Path) -> None:
    seen = windows(8, 8)
    wanted = expected_of_windows(seen, 0.0, {3: 8})
    for name, content, fault in (
        ("rows", golden(seen[:, -1], wanted), "scored"),
        ("short", golden(seen[:, 1:], wanted), "scored"),
        ("reversed", golden(seen[:, ::-1], wanted), "got a difference of"),
    ):
        folder = write_window_bundle(tmp_path / name, {3: 8}, files={"golden.npz": content})
        with pytest.raises(BundleGoldenError, match=fault):
            load_bundle(folder)


def test_a_graph_of_another_window_than_the_manifest_says_is_refused(tmp_path: Path) -> None:
    folder = write_window_bundle(tmp_path / "b", {3: 8}, files={"window-3.onnx": window_member(3, 6)})
    with pytest.raises(BundleGoldenError, match="scored"):
        load_bundle(folder)
