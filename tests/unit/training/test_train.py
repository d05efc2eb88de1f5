from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from signalbox.errors import SignalboxError
from signalbox.features import compute_features, get_schema
from signalbox.inference import Verdict, load_bundle
from signalbox.inference.manifest import Gate
from signalbox.library.day_blocks import RESAMPLES
from signalbox.market.candles import MarketDataError
from tests.unit.training.synthetic import small_config, walk, write_candles
from training.command import run_train
from training.config import STANDARD
from training.data.candles import find_candle_files, read_bars
from training.errors import TrainingError
from training.evaluate import EvaluateRequest, evaluate_bundle
from training.progress import NoProgress

CREATED = datetime(2024, 6, 1, tzinfo=UTC)
REPOSITORY = Path(__file__).parents[3]
REAL = Path(os.environ.get("SIGNALBOX_DATA", REPOSITORY.parent / "shared" / "data" / "candles"))  # noqa: TID251 - where data is


@pytest.fixture(scope="module")
def candles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("candles")
    return write_candles(folder, walk(50, seed=3, pull=0.02), walk(50, seed=4, symbol="ETH-USD", pull=0.02))


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_config(tmp_path_factory.mktemp("config"))


@pytest.fixture(scope="module")
def bundle(candles: Path, small: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("out") / "bundle"
    run_train(candles, out, config=small, seed=1, created_at=CREATED)
    return out


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def but_for_the_speed(folder: Path) -> dict[str, object]:
    """What equal requests repeat: all but how fast it went, and what the manifest says of that file."""
    found: dict[str, object] = dict(contents(folder))
    del found["speed.json"]
    manifest = json.loads(str((folder / "manifest.json").read_text()))
    del manifest["files"]["speed.json"]
    return {**found, "manifest.json": manifest}


def test_candles_too_short_for_the_folds_are_told_before_anything_is_fitted(
    candles: Path, small: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(MarketDataError, match="whole days"):
        run_train(candles, tmp_path / "bundle", config=small, folds=6, created_at=CREATED)
    reported = capsys.readouterr().err
    assert "read candles" in reported
    assert "fit" not in reported
    assert list(tmp_path.iterdir()) == []


def test_bundle_loads_and_says_what_it_is(bundle: Path) -> None:
    ensemble = load_bundle(bundle)
    manifest = ensemble.manifest
    assert manifest.training.symbols == ("BTC-USD", "ETH-USD")
    assert [source.name for source in manifest.training.sources] == ["BTC-USDT-1m.parquet", "ETH-USDT-1m.parquet"]
    assert manifest.feature_schema.hash == get_schema("v31").hash
    assert manifest.label.horizon_minutes == 60
    assert manifest.gates[Gate.G5] is manifest.gates[Gate.G6] is Verdict.NOT_EVALUATED
    assert manifest.name == "dir60-v31-small-1"


def test_live_rows_score_as_batch_rows(bundle: Path, candles: Path) -> None:
    ensemble = load_bundle(bundle)
    bars = read_bars(find_candle_files(candles)[0])
    batch = compute_features(ensemble.schema, bars)
    live = compute_features(ensemble.schema, bars.last(ensemble.schema.history_bars))
    np.testing.assert_allclose(ensemble.predict(live.values[-1:]), ensemble.predict(batch.values[-1:]), atol=1e-6)


def test_report_starts_with_the_verdict_and_states_n_and_intervals(bundle: Path) -> None:
    report = json.loads((bundle / "report.json").read_text())
    assert next(iter(report)) == "headline"
    promotable = all(report["gates"][gate]["verdict"] == "pass" for gate in ("G0", "G1", "G2", "G3"))
    assert report["headline"].startswith("PROMOTABLE" if promotable else "NOT PROMOTABLE")
    precision = report["figures"]["issued"]["precision"]
    assert precision["low"] <= precision["value"] <= precision["high"]
    assert precision["n"] > 0
    ends = [report["periods"][name]["end"] for name in ("train", "early_stopping", "calibration", "thresholds", "test")]
    assert ends == sorted(ends)
    assert RESAMPLES >= 1_000


def test_same_request_gives_the_same_bytes(bundle: Path, candles: Path, small: Path, tmp_path: Path) -> None:
    run_train(candles, tmp_path / "again", config=small, seed=1, created_at=CREATED)
    assert but_for_the_speed(tmp_path / "again") == but_for_the_speed(bundle)


def test_no_path_of_this_machine_is_in_the_bundle(bundle: Path, candles: Path) -> None:
    for name, content in contents(bundle).items():
        for path in (candles, bundle.parent, REPOSITORY, Path.home()):
            assert str(path).encode() not in content or len(path.parts) < 2, name


def test_old_bundle_is_replaced_as_a_whole_and_json_is_printed(
    candles: Path, small: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "bundle"
    out.mkdir()
    (out / "manifest.json").write_text("{}")
    (out / "old.onnx").write_bytes(b"old")
    run_train(candles, out, config=small, seed=2, created_at=CREATED, as_json=True)
    load_bundle(out)
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]
    summary = json.loads(capsys.readouterr().out)
    assert summary["headline"]
    assert summary["passes_promotion"] is False or summary["gates"]["G1"]["verdict"] == "pass"


def test_folder_that_is_no_bundle_is_never_replaced(candles: Path, tmp_path: Path) -> None:
    (tmp_path / "precious.txt").write_text("keep")
    with pytest.raises(TrainingError, match="is not a bundle"):
        run_train(candles, tmp_path, families=["xgboost"])
    assert (tmp_path / "precious.txt").read_text() == "keep"


def test_failed_run_leaves_nothing_behind(tmp_path: Path) -> None:
    short = write_candles(tmp_path / "short", walk(5))
    with pytest.raises(MarketDataError, match="45 whole days"):
        run_train(short, tmp_path / "out" / "bundle", families=["xgboost"])
    assert list((tmp_path / "out").iterdir()) == []


def test_walk_forward_judges_the_recipe_and_keeps_what_was_tried(tmp_path: Path) -> None:
    data = write_candles(tmp_path / "candles", walk(80, seed=3, pull=0.02))
    config = small_config(tmp_path, '\n[[variants]]\nname = "deep"\nmax_depth = 6\n')
    result = run_train(data, tmp_path / "bundle", config=config, folds=6, created_at=CREATED)
    report = json.loads((tmp_path / "bundle" / "report.json").read_text())
    assert report["configurations_tried"] == len(report["tried"]) == 2
    assert report["chosen"] == min(report["tried"], key=lambda one: one["stopping_loss"])["name"]
    assert len(report["walk_forward"]["folds"]) == 6
    assert result.assessment.gates[Gate.G6].detail["kind"] == "fold"
    assert result.assessment.gates[Gate.G6].verdict is Verdict.PASS  # the pull is there in every fold
    with np.load(tmp_path / "bundle" / "trials.npz") as trials:
        assert trials["daily_bps"].shape == (36, 2)  # six tests of six days, two configurations
    assert report["gates"]["G5"]["detail"]["overfitting"] is not None
    assert load_bundle(tmp_path / "bundle").manifest.gates[Gate.G6] is Verdict.PASS


def test_refitted_bundle_is_judged_by_earlier_fits_and_trained_until_the_end(tmp_path: Path) -> None:
    data = write_candles(tmp_path / "candles", walk(130, seed=3, pull=0.02))
    text = STANDARD.read_text()
    for wide, narrow in (("members = 5", "members = 1"), ("max_trees = 400", "max_trees = 12"), ('"v50"', '"v31"')):
        assert wide in text
        text = text.replace(wide, narrow)
    (tmp_path / "refit.toml").write_text(text)
    result = run_train(data, tmp_path / "bundle", config=tmp_path / "refit.toml", created_at=CREATED)
    report = json.loads((tmp_path / "bundle" / "report.json").read_text())
    ends = [fold["train"][1] for fold in report["walk_forward"]["folds"]]
    assert ends == sorted(ends)
    assert ends[-1] < report["periods"]["train"]["end"]  # no fold has seen as much as the bundle
    assert "test" not in report["periods"]
    newest = datetime.fromisoformat(report["periods"]["thresholds"]["end"])
    assert result.manifest.training.end - newest < timedelta(days=1)
    tests = [fold["test"] for fold in report["walk_forward"]["folds"]]
    assert report["period"] == {"start": tests[0][0], "end": tests[-1][1]}
    assert report["figures"]["issued"] == report["walk_forward"]["pooled"]["issued"]  # each decision by the model of its fold
    assert "6 earlier fits of the same recipe" in report["judged_by"]
    assert "6 earlier fits" in (tmp_path / "bundle" / "report.html").read_text()
    assert result.assessment.gates[Gate.G6].detail["kind"] == "fold"
    assert [member["trees"] for member in report["tried"][0]["members"]] == [12]  # none was cut
    again = evaluate_bundle(EvaluateRequest(tmp_path / "bundle", data, *span_of(tests)), NoProgress()).assessment
    assert again.overlap.in_sample  # the bundle itself proves nothing where it was trained


def span_of(tests: list[list[str]]) -> tuple[datetime, datetime]:
    return datetime.fromisoformat(tests[0][0]), datetime.fromisoformat(tests[-1][1])


def test_page_of_the_report_is_in_the_bundle(bundle: Path) -> None:
    page = (bundle / "report.html").read_text()
    assert page.index("This model ") < page.index("<h1>")


def test_starter_bundle_loads_and_claims_no_more_than_it_measured() -> None:
    folder = REPOSITORY / "training" / "starter_bundle"
    ensemble = load_bundle(folder)
    report = json.loads((folder / "report.json").read_text())
    assert ensemble.manifest.gates == {gate: result["verdict"] for gate, result in report["gates"].items()}
    assert ensemble.manifest.passes_promotion is False
    assert report["headline"].startswith("NOT PROMOTABLE: G1")
    assert sum(path.stat().st_size for path in folder.iterdir()) < 3_000_000


@pytest.mark.slow
@pytest.mark.skipif(not REAL.is_dir(), reason="no real candles: neither SIGNALBOX_DATA nor ../shared/data/candles")
def test_real_candles_train_in_the_honest_range(tmp_path: Path) -> None:
    result = run_train(
        REAL, tmp_path / "bundle", families=["xgboost"], seed=7, start=datetime(2023, 3, 1, tzinfo=UTC), created_at=CREATED
    )
    precision = result.assessment.evaluation.issued.precision
    assert 0.50 < precision.value < 0.60  # above it, look for the leak first
    assert result.assessment.gates[Gate.G0].verdict is Verdict.PASS
    assert not result.manifest.passes_promotion


def test_every_fault_is_a_signalbox_error(tmp_path: Path) -> None:
    with pytest.raises(SignalboxError, match="nowhere"):
        run_train(tmp_path / "nowhere", tmp_path / "bundle", families=["xgboost"])
