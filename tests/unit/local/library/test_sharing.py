"""Packages of bundles, written as folders in one step, and recorded as versions in one transaction."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from typing_extensions import override

from local.library.errors import PackageError
from local.library.package import open_package, pack
from local.library.sharing import SharedVersion, make_package, register_package, version_of_bundle, write_folder
from signalbox.inference import BundleError, load_bundle, pack_bundle
from signalbox.inference.manifest import Gate, Verdict
from signalbox.library.card import card_markdown, read_card
from signalbox.library.entries import EntityKey, EntityKind, VersionEvaluation, VersionKey, VersionState
from signalbox.library.lifecycle import Lifecycle
from tests.fakes.memory_library import MemoryArtifacts, MemoryLibrary, MemoryLibraryTransaction
from tests.unit.inference.tiny_bundle import write_bundle
from tests.unit.local.library.signed import KEY, NOW, TRUST, entries, signed_again, tiny_package, zipped

MODEL = EntityKey(EntityKind.MODEL, "tiny")
JUDGED = VersionEvaluation(
    "signalbox-dev-evaluate-1", NOW, False, "judged again", dict.fromkeys(Gate, Verdict.FAIL), '{"headline": "judged again"}'
)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return write_bundle(tmp_path / "tiny")


def two_versions(bundle: Path) -> bytes:
    first = version_of_bundle(bundle)
    data = EntityKey(EntityKind.DATASET, "candles")
    second = SharedVersion(7, "job-7", NOW, bundle, (JUDGED,), ((data, "a" * 64),))
    return make_package([first, second], KEY, NOW, licence="MIT")[1]


def test_a_package_has_bundle_judgement_card_and_lineage(bundle: Path) -> None:
    package = open_package(two_versions(bundle), TRUST)
    first, second = package.manifest.versions
    assert package.bundle_of(first) == {path.name: path.read_bytes() for path in bundle.iterdir()}
    assert package.files["versions/1/card.md"] == card_markdown(read_card(bundle)).encode()
    assert [one.kind for one in first.depends_on] == [EntityKind.DATASET, EntityKind.FEATURE_SET]
    assert (second.number, second.origin, second.sha256) == (7, "job-7", hashlib.sha256(pack_bundle(bundle)).hexdigest())
    (judged,) = package.evaluations_of(second).values()
    assert json.loads(judged)["headline"] == "judged again"


def test_an_import_into_a_folder_is_the_bundle_again(bundle: Path, tmp_path: Path) -> None:
    package = open_package(tiny_package(), TRUST)
    out = tmp_path / "new" / "model"
    out.parent.mkdir()
    assert write_folder(package, out)
    found = out / "versions" / "1" / "bundle"
    assert {path.name: path.read_bytes() for path in found.iterdir()} == {
        path.name: path.read_bytes() for path in bundle.iterdir()
    }
    assert load_bundle(found).name == "tiny"
    assert not write_folder(package, out)  # the same again changes nothing
    assert sorted(path.name for path in out.parent.iterdir()) == ["model"]
    with pytest.raises(PackageError, match="does not hold this package"):
        write_folder(open_package(two_versions(bundle), TRUST), out)


def test_a_crash_leaves_no_half_folder_and_the_next_import_starts_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package, out = open_package(tiny_package(), TRUST), tmp_path / "model"
    abandoned = tmp_path / ".model.importing"  # as a process leaves it that was killed
    (abandoned / "versions").mkdir(parents=True)
    (abandoned / "versions" / "half.onnx").write_bytes(b"half")
    written = []

    def failing(handle: int) -> None:
        written.append(handle)
        if len(written) == 4:
            raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", failing)
        with pytest.raises(OSError, match="No space"):
            write_folder(package, out)
    assert list(tmp_path.iterdir()) == []
    abandoned.mkdir()
    assert write_folder(package, out)
    assert not (out / "versions" / "half.onnx").exists()


def test_an_import_records_version_judgements_and_lineage_once(bundle: Path) -> None:
    library, artifacts = MemoryLibrary(), MemoryArtifacts()
    package = open_package(two_versions(bundle), TRUST)
    first, second = register_package(package, library=library, artifacts=artifacts, now=NOW)
    assert (first.number, first.version, first.new) == (1, VersionKey(MODEL, 1), True)
    assert (second.number, second.version, second.new) == (7, VersionKey(MODEL, 1), False)
    tables = library.tables
    recorded = tables.versions[first.version]
    sha256 = hashlib.sha256(pack_bundle(bundle)).hexdigest()
    assert (recorded.state, recorded.sha256, recorded.bundle_key) == (
        VersionState.CANDIDATE,
        sha256,
        f"bundles/tiny/{sha256}.zip",
    )
    assert KEY.public in recorded.origin
    assert tables.evaluations[first.version, "training"].gates == load_bundle(bundle).manifest.gates
    assert {needs.entity.kind for version, needs in tables.dependencies if version == first.version} == {
        EntityKind.DATASET,
        EntityKind.FEATURE_SET,
    }
    (step,) = tables.decisions[first.version]  # without it nobody could approve or deploy the version
    passed = load_bundle(bundle).manifest.gates[Gate.G0] is Verdict.PASS
    assert step.state is (Lifecycle.CANDIDATE if passed else Lifecycle.DRAFT)
    assert (step.who, recorded.semantic) == ("package of anna", "1.0.0")
    again = register_package(package, library=library, artifacts=artifacts, now=NOW + timedelta(days=1))
    assert [one.new for one in again] == [False, False]
    assert library.tables == tables


def test_a_crash_of_the_ledger_records_nothing_and_the_next_import_completes(bundle: Path) -> None:
    class Failing(MemoryLibrary):
        fails = True

        @override
        @contextmanager
        def transaction(self) -> Iterator[MemoryLibraryTransaction]:
            if self.fails:
                raise ConnectionError("the ledger went away")
            with super().transaction() as tx:
                yield tx

    library, artifacts = Failing(), MemoryArtifacts()
    package = open_package(tiny_package(), TRUST)
    with pytest.raises(ConnectionError):
        register_package(package, library=library, artifacts=artifacts, now=NOW)
    assert library.tables.versions == {}
    library.fails = False
    (found,) = register_package(package, library=library, artifacts=artifacts, now=NOW)
    assert found.new


def test_a_bundle_that_is_not_what_the_manifest_says_is_refused(tmp_path: Path) -> None:
    other = write_bundle(tmp_path / "other", "other")
    contents = {f"versions/1/bundle/{path.name}": path.read_bytes() for path in other.iterdir()}
    facts = {"name": "tiny", "created_at": NOW, "versions": [{"number": 1, "origin": "x", "created_at": NOW, "sha256": "0" * 64}]}
    with pytest.raises(PackageError, match="expected a bundle of tiny, got one of other"):
        write_folder(open_package(pack(facts, contents, KEY), TRUST), tmp_path / "out")
    with pytest.raises(PackageError, match="expected a bundle with sha256"):
        write_folder(open_package(pack({**facts, "name": "other"}, contents, KEY), TRUST), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_signed_bundle_that_does_not_load_is_not_written(tmp_path: Path) -> None:
    def spoil(manifest: dict[str, object]) -> None:
        files = manifest["files"]
        assert isinstance(files, dict)
        files["versions/1/bundle/linear-1.onnx"] = {"sha256": hashlib.sha256(b"no graph").hexdigest(), "size": 8}

    contents = {**signed_again(entries(tiny_package()), spoil), "versions/1/bundle/linear-1.onnx": b"no graph"}
    package = open_package(zipped(contents), TRUST)
    with pytest.raises(BundleError):
        write_folder(package, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"qualifies": True}, "qualifies must be true"),
        ({"gates": {"G9": "pass"}}, "G9"),
        ({"evaluated_at": "2026-01-01"}, "timezone"),
        ({"source": ""}, "source: "),
        ({"report": []}, "report: Input should be a valid dictionary"),
    ],
)
def test_an_evaluation_that_contradicts_itself_is_refused(
    bundle: Path, tmp_path: Path, change: dict[str, object], why: str
) -> None:
    package = open_package(two_versions(bundle), TRUST)
    (name, content) = next(iter(package.evaluations_of(package.manifest.versions[1]).items()))
    spoilt = json.dumps({**json.loads(content), **change}).encode()
    files = {**package.files, f"versions/7/evaluations/{name}": spoilt}
    facts = package.manifest.model_dump(mode="json", exclude={"files", "publisher"})
    with pytest.raises(PackageError, match=why):
        write_folder(open_package(pack(facts, files, KEY), TRUST), tmp_path / "out")


def test_bundles_of_two_models_are_no_package(bundle: Path, tmp_path: Path) -> None:
    other = version_of_bundle(write_bundle(tmp_path / "other", "other"))
    with pytest.raises(PackageError, match="of one model, got other, tiny"):
        make_package([version_of_bundle(bundle), SharedVersion(2, "x", NOW, other.folder)], KEY, NOW)


def test_a_bundle_with_a_file_that_is_no_data_is_not_exported(tmp_path: Path) -> None:
    folder = write_bundle(tmp_path / "tiny", files={"model.pkl": b"\x80\x04."})
    with pytest.raises(PackageError, match="one of the kinds"):
        make_package([version_of_bundle(folder)], KEY, NOW)
    shutil.rmtree(folder)
    hidden = write_bundle(tmp_path / "tiny", files={"notes.txt": b"\x80\x04\x95"})
    with pytest.raises(PackageError, match="a pickle"):
        make_package([version_of_bundle(hidden)], KEY, NOW)
