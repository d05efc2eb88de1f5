"""What a model said is kept by content: asked once, never out of date, and a broken file costs nothing but time."""

from __future__ import annotations

import dataclasses
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signalbox.inference import Ensemble, load_bundle
from signalbox.market.candles import Bars
from tests.examples import examples
from tests.unit.inference.tiny_bundle import write_window_bundle
from tests.unit.training.synthetic import walk, write_candles
from training.data.dataset import Dataset, build_dataset
from training.data.splits import DAY_MS
from training.errors import TrainingError
from training.evaluate import EvaluateRequest, evaluate_bundle
from training.judge.kept_scores import KeptScores, days_of, key_of
from training.judge.scoring import score
from training.progress import NoProgress
from training.write.writer import report_bytes

MEMBERS = {3: 20, 4: 7}
BARS = (walk(4.0), walk(4.0, seed=2, symbol="ETH-USD"))


@pytest.fixture(scope="module")
def ensemble(tmp_path_factory: pytest.TempPathFactory) -> Ensemble:
    return load_bundle(write_window_bundle(tmp_path_factory.mktemp("b") / "windows", MEMBERS, row=0.3))


@pytest.fixture(scope="module")
def data(ensemble: Ensemble) -> Dataset:
    return data_of(ensemble, BARS)


def data_of(ensemble: Ensemble, bars: tuple[Bars, ...]) -> Dataset:
    return build_dataset(ensemble.schema, bars, window_bars=ensemble.window_bars)


def silent(ensemble: Ensemble) -> Ensemble:
    """The same model without its graphs: whoever asks it gets an error."""
    return dataclasses.replace(ensemble, sessions=())


def test_what_was_scored_is_not_asked_again(ensemble: Ensemble, data: Dataset, tmp_path: Path) -> None:
    kept = KeptScores(tmp_path / "scores")
    first = score(ensemble, data, kept=kept)
    assert kept.reused == 0
    with pytest.raises(ValueError, match="zip"):
        score(silent(ensemble), data)
    again = KeptScores(tmp_path / "scores")
    second = score(silent(ensemble), data, kept=again)
    assert again.reused == len(data)
    np.testing.assert_array_equal(second.probability_up, first.probability_up)
    np.testing.assert_array_equal(first.probability_up, score(ensemble, data).probability_up)


def test_other_candles_are_asked_anew_and_the_days_before_them_are_not(ensemble: Ensemble, data: Dataset, tmp_path: Path) -> None:
    kept = KeptScores(tmp_path)
    score(ensemble, data, kept=kept)
    bars = BARS[1]  # not the reference, whose prices are in the features of both
    close = bars.close.copy()
    at = int(close.shape[0] * 0.8)
    close[at] = bars.high[at]  # one price of one minute
    changed = data_of(ensemble, (BARS[0], dataclasses.replace(bars, close=close)))
    found = score(ensemble, changed, kept=kept)
    np.testing.assert_array_equal(found.probability_up, score(ensemble, changed).probability_up)
    days = days_of(changed, DAY_MS)
    since = int(bars.open_time_ms[at])
    later = [rows for rows in days if changed.symbol[rows[0]] == 1 and int(changed.decided_at_ms[rows[-1]]) > since]
    assert kept.reused == len(changed) - sum(len(rows) for rows in later)
    assert 0 < kept.reused < len(changed)


def test_another_model_has_answers_of_its_own(ensemble: Ensemble, data: Dataset, tmp_path: Path) -> None:
    kept = KeptScores(tmp_path / "scores")
    score(ensemble, data, kept=kept)
    other = load_bundle(write_window_bundle(tmp_path / "other", MEMBERS, row=0.2))
    found = score(other, data, kept=kept)
    assert kept.reused == 0
    np.testing.assert_array_equal(found.probability_up, score(other, data).probability_up)
    assert kept.path_of(other) != kept.path_of(ensemble)


def test_a_killed_run_leaves_what_it_had_scored(ensemble: Ensemble, data: Dataset, tmp_path: Path) -> None:
    kept = KeptScores(tmp_path)
    days = days_of(data, DAY_MS)

    half = data.select(np.sort(np.concatenate(days[: len(days) // 2])))
    score(ensemble, half, kept=kept)

    def note(fraction: float) -> None:
        assert fraction > len(half) / len(data)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        score(ensemble, data, note, kept)
    assert kept.reused == len(half)
    np.testing.assert_array_equal(score(ensemble, data, kept=kept).probability_up, score(ensemble, data).probability_up)


def test_a_file_that_cannot_be_read_is_begun_anew(ensemble: Ensemble, data: Dataset, tmp_path: Path) -> None:
    kept = KeptScores(tmp_path)
    kept.path_of(ensemble).write_bytes(b"no database, but longer than its header would be" * 100)
    kept.path_of(ensemble).with_name(f"{kept.path_of(ensemble).name}-wal").write_bytes(b"nor a journal of one" * 100)
    first = score(ensemble, data, kept=kept)
    assert kept.reused == 0
    np.testing.assert_array_equal(score(silent(ensemble), data, kept=kept).probability_up, first.probability_up)


@pytest.mark.parametrize("value", [b"1234567", "text", 7])
def test_an_answer_that_is_no_row_of_numbers_is_asked_again(
    ensemble: Ensemble, data: Dataset, tmp_path: Path, value: object
) -> None:
    kept, key = KeptScores(tmp_path), b"k" * 32
    kept.keep(ensemble, {key: np.zeros(3)})
    with closing(sqlite3.connect(kept.path_of(ensemble))) as base, base:
        base.execute("UPDATE scores SET probability = ?", (value,))
    assert kept.find(ensemble, [key]) == {}


def test_an_answer_of_another_length_is_no_answer(ensemble: Ensemble, data: Dataset, tmp_path: Path) -> None:
    kept = KeptScores(tmp_path)
    rows = days_of(data, DAY_MS)[0]
    kept.keep(ensemble, {key_of(data, rows, ensemble.window_bars): np.zeros(3)})
    np.testing.assert_array_equal(score(ensemble, data, kept=kept).probability_up, score(ensemble, data).probability_up)
    assert kept.reused == 0


def test_a_folder_that_cannot_be_written_says_what_to_do(ensemble: Ensemble, data: Dataset, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(TrainingError, match=r"--scores.*--fresh"):
        score(ensemble, data, kept=KeptScores(tmp_path / "file"))


@settings(max_examples=examples(30), deadline=None)
@given(share=st.floats(0.05, 1.0), seed=st.integers(0, 1_000))
def test_days_hold_every_decision_once_and_one_symbol_each(ensemble: Ensemble, data: Dataset, share: float, seed: int) -> None:
    part = data.select(np.random.default_rng(seed).random(len(data)) < share)
    days = days_of(part, DAY_MS)
    assert sorted(np.concatenate(days).tolist() if days else []) == list(range(len(part)))
    for rows in days:
        assert len({(int(part.symbol[row]), int(part.decided_at_ms[row]) // DAY_MS) for row in rows}) == 1
        assert (np.diff(part.decided_at_ms[rows]) > 0).all()
    keys = [key_of(part, rows, part.window_bars) for rows in days]
    assert len(set(keys)) == len(keys)


def test_an_evaluation_is_the_same_with_and_without(ensemble: Ensemble, tmp_path: Path) -> None:
    folder = write_window_bundle(tmp_path / "windows", MEMBERS, row=0.3)
    candles = write_candles(tmp_path / "candles", walk(12.0), walk(12.0, seed=2, symbol="ETH-USD"))
    plain = EvaluateRequest(folder, candles)
    results = [
        evaluate_bundle(request, NoProgress()) for request in (plain, *[dataclasses.replace(plain, scores=tmp_path / "s")] * 2)
    ]
    reported = [report_bytes(result.assessment.to_json()) for result in results]
    assert reported[0] == reported[1] == reported[2]
    decisions = results[0].assessment.evaluation.decisions
    assert [result.reused for result in results[:2]] == [0, 0]
    assert results[2].reused > decisions  # those of the placebo too
