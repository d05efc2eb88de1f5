from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from signalbox.inference import errors, load_bundle
from tests.unit.inference.tiny_bundle import (
    SCHEMA,
    Change,
    edit_manifest,
    expected,
    golden,
    linear_member,
    rows,
    write_bundle,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_bundle(tmp_path / "bundle")


def test_sound_bundle_loads_and_no_longer_needs_its_folder(folder: Path) -> None:
    ensemble = load_bundle(folder)
    for path in folder.iterdir():
        path.unlink()
    features = rows(50, seed=9)
    np.testing.assert_allclose(ensemble.predict(features), expected(features), atol=1e-6)
    assert (ensemble.name, ensemble.schema, ensemble.issue_margin, ensemble.high_margin) == ("tiny", SCHEMA, 0.05, 0.07)
    assert ensemble.thresholds.issue_margin == ensemble.issue_margin


def test_flipped_byte_is_tampered(folder: Path) -> None:
    path = folder / "linear-1.onnx"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(errors.BundleTamperedError, match=r"linear-1\.onnx with sha256"):
        load_bundle(folder)


def test_replaced_and_longer_file_is_tampered(folder: Path) -> None:
    path = folder / "report.json"
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(errors.BundleTamperedError, match=r"report\.json"):
        load_bundle(folder)


def test_truncated_model_is_incomplete(folder: Path) -> None:
    path = folder / "linear-2.onnx"
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(errors.BundleIncompleteError, match=r"linear-2\.onnx of \d+ bytes, got \d+"):
        load_bundle(folder)


@pytest.mark.parametrize("name", ["manifest.json", "golden.npz", "linear-1.onnx", "report.json"])
def test_missing_file_is_incomplete(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(errors.BundleIncompleteError, match=name):
        load_bundle(folder)


def test_missing_folder_is_incomplete(tmp_path: Path) -> None:
    with pytest.raises(errors.BundleIncompleteError, match=r"manifest\.json"):
        load_bundle(tmp_path / "nowhere")


def test_extra_file_is_tampered(folder: Path) -> None:
    (folder / "extra.onnx").write_bytes(b"")
    with pytest.raises(errors.BundleTamperedError, match=r"extra\.onnx"):
        load_bundle(folder)


def test_symlink_is_tampered_even_with_the_right_content(folder: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "report.json"
    (folder / "report.json").rename(elsewhere)
    (folder / "report.json").symlink_to(elsewhere)
    with pytest.raises(errors.BundleTamperedError, match="plain file"):
        load_bundle(folder)


def test_other_schema_hash_is_refused_with_both_names_and_hashes(tmp_path: Path) -> None:
    def other_hash(content: dict[str, object]) -> None:
        content["feature_schema"] = {"name": "v31", "hash": "0" * 64}

    folder = write_bundle(tmp_path / "b", change=other_hash)
    with pytest.raises(errors.BundleSchemaError, match=rf"v31 \(0{{64}}\).* v31 \({SCHEMA.hash}\)"):
        load_bundle(folder)


def test_unknown_schema_is_refused(tmp_path: Path) -> None:
    def other_name(content: dict[str, object]) -> None:
        content["feature_schema"] = {"name": "v77", "hash": "0" * 64}

    with pytest.raises(errors.BundleSchemaError, match=r"v77.*v31"):
        load_bundle(write_bundle(tmp_path / "b", change=other_name))


def test_golden_that_does_not_match_is_refused(tmp_path: Path) -> None:
    features = rows(8)
    folder = write_bundle(tmp_path / "b", files={"golden.npz": golden(features, expected(features) + 2e-5)})
    with pytest.raises(errors.BundleGoldenError, match="got a difference of"):
        load_bundle(folder)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not an archive",
        golden(rows(3), np.zeros(2)),
        golden(rows(0), np.zeros(0)),
        golden(rows(3)[:, :5], np.zeros(3)),
        golden(rows(3) * np.nan, np.full(3, np.nan)),
        golden(rows(3), np.full(3, np.nan)),
        golden(np.array([{"a": 1}], dtype=object), np.zeros(1)),
    ],
)
def test_unusable_golden_is_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(errors.BundleGoldenError):
        load_bundle(write_bundle(tmp_path / "b", files={"golden.npz": content}))


def test_model_that_is_no_onnx_is_refused_though_its_hash_fits(tmp_path: Path) -> None:
    folder = write_bundle(tmp_path / "b", files={"linear-1.onnx": b"garbage, but recorded"})
    with pytest.raises(errors.BundleIncompleteError, match="loaded as ONNX"):
        load_bundle(folder)


def test_model_of_another_width_is_refused(tmp_path: Path) -> None:
    with pytest.raises(errors.BundleGoldenError, match="scored"):
        load_bundle(write_bundle(tmp_path / "b", files={"linear-1.onnx": linear_member(1, width=7)}))


@pytest.mark.parametrize("text", ["", "{", "[]", '"manifest"', "null", "\x00\xff"])
def test_manifest_that_is_no_manifest_is_refused(folder: Path, text: str) -> None:
    (folder / "manifest.json").write_text(text)
    with pytest.raises(errors.BundleManifestError):
        load_bundle(folder)


def _set(*path: str | int, to: object) -> Change:
    def change(content: dict[str, object]) -> None:
        place: object = content
        for key in path[:-1]:
            place = place[key]  # type: ignore[index]
        place[path[-1]] = to  # type: ignore[index]

    return change


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (_set("unknown", to=1), "unknown"),
        (_set("format", to=2), "format"),
        (_set("name", to="../up"), "name"),
        (_set("created_at", to="2024-01-01T00:00:00"), "created_at"),
        (_set("members", to=[]), "members"),
        (_set("members", 0, "file", to="../../etc/passwd"), "members"),
        (_set("members", 0, "file", to="other.onnx"), r"other\.onnx"),
        (_set("members", 0, "weight", to=0.6), "weights"),
        (_set("calibrator", "temperature", to=0), "temperature"),
        (_set("calibrator", "temperature", to=float("nan")), "temperature"),
        (_set("thresholds", "issue_margin", to=0.08), "issue_margin"),
        (_set("thresholds", "high_margin", to=0.5), "high_margin"),
        (_set("gates", to={"G0": "pass"}), "verdict"),
        (_set("passes_promotion", to=True), "passes_promotion"),
        (_set("files", "a/b", to={"sha256": "0" * 64, "size": 1}), "files"),
    ],
)
def test_manifest_with_a_wrong_field_is_refused_naming_it(folder: Path, change: Change, field: str) -> None:
    edit_manifest(folder, change)
    with pytest.raises(errors.BundleManifestError, match=field):
        load_bundle(folder)


def test_manifest_of_an_unknown_contract_is_refused_with_the_known_ones(folder: Path) -> None:
    edit_manifest(folder, _set("label", "name", to="asym"))
    with pytest.raises(errors.BundleContractError, match=r"expected one of the contracts dir60@1.* got asym"):
        load_bundle(folder)


def test_promotion_without_its_gates_cannot_be_claimed(folder: Path) -> None:
    def claim(content: dict[str, object]) -> None:
        content["gates"] = {**dict.fromkeys(("G0", "G1", "G2", "G3"), "pass"), **dict.fromkeys(("G4", "G5", "G6"), "fail")}

    edit_manifest(folder, claim)  # all four pass, but the flag says no: a contradiction is refused too
    with pytest.raises(errors.BundleManifestError, match="exactly when"):
        load_bundle(folder)
    edit_manifest(folder, _set("passes_promotion", to=True))
    assert load_bundle(folder).manifest.passes_promotion


def test_equal_bundles_have_equal_bytes(tmp_path: Path) -> None:
    one, other = write_bundle(tmp_path / "one"), write_bundle(tmp_path / "other")
    assert [p.read_bytes() for p in sorted(one.iterdir())] == [p.read_bytes() for p in sorted(other.iterdir())]
    assert json.loads((one / "manifest.json").read_text())["files"].keys() == {p.name for p in one.iterdir()} - {"manifest.json"}


def test_every_bundle_error_is_a_bundle_error() -> None:
    for kind in (
        errors.BundleArchiveError,
        errors.BundleGoldenError,
        errors.BundleIncompleteError,
        errors.BundleManifestError,
        errors.BundleSchemaError,
    ):
        assert issubclass(kind, errors.BundleError)
