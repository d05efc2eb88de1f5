"""A bundle of a contract that this code does not have, or that a part does not know yet, is refused, never taken for dir60."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from signalbox.inference import BundleContractError, BundleManifestError, load_bundle
from signalbox.inference.ensemble import calibrated, sigmoid
from signalbox.inference.manifest import Calibrator, LabelContract
from signalbox.labels import CONTRACTS, DIR60
from tests.unit.inference.tiny_bundle import write_bundle

RET240 = CONTRACTS["ret240@1"]


def of(title: str, **changes: object) -> dict[str, Any]:
    return {**LabelContract.of(CONTRACTS[title]).model_dump(), **changes}


def labelled(folder: Path, label: dict[str, Any]) -> Path:
    def change(content: dict[str, Any]) -> None:
        content["label"] = label

    return write_bundle(folder / "bundle", change=change)


def test_a_bundle_that_records_no_contract_is_of_dir60(tmp_path: Path) -> None:
    assert load_bundle(write_bundle(tmp_path / "bundle")).contract is DIR60


def test_a_bundle_that_records_dir60_is_the_same_one(tmp_path: Path) -> None:
    assert load_bundle(labelled(tmp_path, of("dir60@1"))).contract is DIR60


def test_a_bundle_of_an_unknown_contract_is_refused_with_both_names(tmp_path: Path) -> None:
    with pytest.raises(BundleContractError, match=r"expected one of the contracts dir60@1, hit75@1, ret240@1, got dir99@1"):
        load_bundle(labelled(tmp_path, of("dir60@1", name="dir99")))


def test_a_bundle_of_another_hash_is_refused_with_both_hashes(tmp_path: Path) -> None:
    label = of("dir60@1", contract={"version": 1, "hash": "0" * 64})
    with pytest.raises(BundleContractError, match=f"dir60@1 \\({'0' * 64}\\), this code has dir60@1 \\({DIR60.hash}\\)"):
        load_bundle(labelled(tmp_path, label))


def test_a_field_beside_the_contract_that_contradicts_it_is_named(tmp_path: Path) -> None:
    with pytest.raises(BundleContractError, match=r"label.horizon_minutes: expected 60 of dir60@1, got 240"):
        load_bundle(labelled(tmp_path, of("dir60@1", horizon_minutes=240)))


def test_another_contract_without_a_record_is_refused(tmp_path: Path) -> None:
    label = {"name": "ret240", "horizon_minutes": 240, "entry_lag_bars": 1, "decision_minutes": 5}
    with pytest.raises(BundleContractError, match=r"expected version and hash of its contract ret240, got none"):
        load_bundle(labelled(tmp_path, label), contracts=CONTRACTS.values())


def test_members_of_another_kind_than_the_contract_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleContractError, match=r"members.output: expected outputs of a scaled_return for ret240@1, got logit"):
        load_bundle(labelled(tmp_path, of("ret240@1")), contracts=CONTRACTS.values())


def test_an_anchored_calibrator_is_not_of_a_direction(tmp_path: Path) -> None:
    def change(content: dict[str, Any]) -> None:
        content["calibrator"] = {"kind": "anchored", "temperature": 1.0, "offset": 0.7}

    with pytest.raises(BundleContractError, match=r"calibrator.kind: expected temperature for dir60@1, got anchored"):
        load_bundle(write_bundle(tmp_path / "bundle", change=change))


def test_a_name_that_is_no_name_is_a_fault_of_the_manifest(tmp_path: Path) -> None:
    folder = write_bundle(tmp_path / "bundle")
    manifest = folder / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"dir60"', '"Dir 60"'))
    with pytest.raises(BundleManifestError, match=r"label.name"):
        load_bundle(folder)


def test_an_anchored_probability_starts_at_the_random_side_and_grows_with_the_score() -> None:
    anchored = Calibrator(kind="anchored", temperature=0.5, offset=0.75)
    score = np.array([-0.4, -1e-9, 0.0, 1e-9, 0.1, 0.4])
    up = calibrated(score, anchored)
    random = float(sigmoid(np.array([0.75]))[0])
    assert up[3] == pytest.approx(random)
    assert up[2] == 0.5
    np.testing.assert_allclose(up[[0, 1]], 1.0 - up[[5, 3]])  # a SELL is written as what a BUY would not be
    assert (np.diff(up[3:]) > 0).all()
    plain = Calibrator(kind="temperature", temperature=0.5)
    np.testing.assert_array_equal(calibrated(score, plain), sigmoid(score / 0.5))


@pytest.mark.parametrize("values", [{"kind": "temperature", "offset": 0.7}, {"kind": "anchored"}])
def test_an_offset_is_of_an_anchored_calibrator_alone(values: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"expected an offset exactly for kind anchored"):
        Calibrator.model_validate({"temperature": 1.0, **values})


def test_a_probability_never_names_the_side_against_its_score() -> None:
    with pytest.raises(ValueError, match="offset"):
        Calibrator(kind="anchored", temperature=0.5, offset=-0.1)  # a score of 0.01 would be a SELL
    score = np.array([-2.0, -1e-3, 1e-3, 2.0])
    for offset in (0.0, 0.75, 5.0):
        up = calibrated(score, Calibrator(kind="anchored", temperature=0.5, offset=offset))
        np.testing.assert_array_equal(np.sign(up - 0.5), np.sign(score))
