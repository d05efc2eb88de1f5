"""A trained bundle of the former hash gets the hash of the computation, by proof or not at all."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from local.cli.features.app import features_app
from local.settings import load_settings
from signalbox.features import SPARING, get_schema
from signalbox.inference import BundleGoldenError, BundleSchemaError, load_bundle
from signalbox.inference.manifest import read_manifest, write_manifest
from tests.unit.training.synthetic import small_config, walk, write_candles
from training.command import run_train
from training.rehash import RehashError, rehash_bundle

SCHEMA = get_schema("v31")
STARTER = Path(__file__).parents[3] / "training" / "starter_bundle"


def named(source: Path, out: Path, name: str) -> Path:
    """The bundle as it was before decision 0085, or as if it had been fitted on other features."""
    shutil.copytree(source, out)
    manifest = read_manifest(out)
    reference = manifest.feature_schema.model_copy(update={"hash": name})
    write_manifest(out, manifest.model_copy(update={"feature_schema": reference}))
    return out


@pytest.fixture(scope="module")
def candles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_candles(tmp_path_factory.mktemp("candles"), walk(50, seed=3, pull=0.02))


@pytest.fixture(scope="module")
def bundle(candles: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("out") / "bundle"
    config = small_config(tmp_path_factory.mktemp("config"))
    run_train(candles, out, config=config, seed=1, created_at=datetime(2024, 6, 1, tzinfo=UTC))
    return out


@pytest.fixture
def former(bundle: Path, tmp_path: Path) -> Path:
    return named(bundle, tmp_path / "former", SCHEMA.former_hash)


def test_a_bundle_of_the_former_hash_is_refused_with_the_command_that_migrates_it(former: Path) -> None:
    with pytest.raises(BundleSchemaError, match="signalbox features rehash"):
        load_bundle(former)


def test_it_is_migrated_when_its_golden_rows_are_computed_again(
    bundle: Path, former: Path, candles: Path, tmp_path: Path
) -> None:
    words = ["rehash", str(former), "--data", str(candles), "--out", str(tmp_path / "n"), "--json"]
    result = CliRunner().invoke(features_app, words)
    proof = json.loads(result.stdout)
    assert (proof["former_hash"], proof["hash"], proof["worst"]) == (SCHEMA.former_hash, SCHEMA.hash, 0.0)
    assert proof["golden_rows"] > 0
    assert {path.name: path.read_bytes() for path in (tmp_path / "n").iterdir()} == {
        path.name: path.read_bytes() for path in bundle.iterdir()
    }
    assert load_bundle(tmp_path / "n").schema.hash == SCHEMA.hash
    assert read_manifest(former).feature_schema.hash == SCHEMA.former_hash


def test_without_the_candles_it_was_trained_on_it_keeps_its_hash(former: Path, tmp_path: Path) -> None:
    others = write_candles(tmp_path / "candles", walk(50, seed=8))
    with pytest.raises(RehashError, match=r"computes only 0 of its \d+ golden rows"):
        rehash_bundle(former, others, tmp_path / "new")
    assert not (tmp_path / "new").exists()
    assert not list(tmp_path.glob(".*"))


def test_a_bundle_whose_models_give_other_probabilities_is_not_written(former: Path, candles: Path, tmp_path: Path) -> None:
    manifest = read_manifest(former)
    hotter = manifest.calibrator.model_copy(update={"temperature": manifest.calibrator.temperature * 2})
    write_manifest(former, manifest.model_copy(update={"calibrator": hotter}))
    with pytest.raises(BundleGoldenError):
        rehash_bundle(former, candles, tmp_path / "new")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["former"]


def test_other_features_the_hash_of_today_and_a_folder_that_is_there_are_refused(
    bundle: Path, former: Path, candles: Path, tmp_path: Path
) -> None:
    with pytest.raises(BundleSchemaError, match="train it again"):
        rehash_bundle(named(bundle, tmp_path / "other", "0" * 64), candles, tmp_path / "new")
    with pytest.raises(RehashError, match="nothing to do"):
        rehash_bundle(bundle, candles, tmp_path / "new")
    with pytest.raises(RehashError, match="exists"):
        rehash_bundle(former, candles, tmp_path)


def test_bundle_takes_the_form_that_spares_a_minute_and_gives_it_back(bundle: Path, candles: Path, tmp_path: Path) -> None:
    words = ["rehash", str(bundle), "--data", str(candles), "--out", str(tmp_path / "spares"), "--spare-missing"]
    result = CliRunner().invoke(features_app, words)
    assert result.exit_code == 0
    loaded = load_bundle(tmp_path / "spares")
    assert (loaded.schema.hash, loaded.schema.most_missing_bars) == (SPARING["v31"].hash, 1)
    with pytest.raises(RehashError, match="nothing to do"):
        rehash_bundle(tmp_path / "spares", candles, tmp_path / "again", spares_missing=True)
    rehash_bundle(tmp_path / "spares", candles, tmp_path / "strict")
    assert (tmp_path / "strict" / "manifest.json").read_bytes() == (bundle / "manifest.json").read_bytes()


def test_schema_without_a_measured_model_has_no_form_that_spares(bundle: Path, candles: Path, tmp_path: Path) -> None:
    other = tmp_path / "v50"
    shutil.copytree(bundle, other)
    manifest = read_manifest(other)
    named_v50 = manifest.feature_schema.model_copy(update={"name": "v50", "hash": get_schema("v50").hash})
    write_manifest(other, manifest.model_copy(update={"feature_schema": named_v50}))
    with pytest.raises(RehashError, match="v50 has no form that spares"):
        rehash_bundle(other, candles, tmp_path / "new", spares_missing=True)


def test_the_starter_bundle_was_migrated_by_this_proof(tmp_path: Path) -> None:
    data = load_settings().recorded_candles
    if data is None:
        pytest.skip("no recorded candles: set SIGNALBOX_DATA")
    proof = rehash_bundle(named(STARTER, tmp_path / "former", SCHEMA.former_hash), data, tmp_path / "new", spares_missing=True)
    assert (proof.golden_rows, proof.worst) == (1_440, 0.0)
    assert (tmp_path / "new" / "manifest.json").read_bytes() == (STARTER / "manifest.json").read_bytes()
