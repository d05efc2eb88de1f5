"""model.tar.gz is unpacked as if an enemy had packed it."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from signalbox.inference import load_bundle
from signalbox.inference.archive import MAX_BYTES, MAX_FILES
from signalbox.library import artifact as module
from signalbox.library.artifact import unpack_artifact
from signalbox.library.errors import ArtifactError
from tests.unit.library.samples import artifact, bundle, packed


def entry(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    found = tarfile.TarInfo(name)
    found.type, found.linkname = kind, link
    return found


def test_a_packed_bundle_loads_again(tmp_path: Path) -> None:
    folder = unpack_artifact(artifact(bundle(tmp_path / "bundle")), tmp_path / "out")
    assert load_bundle(folder).name == "dir60-v31-tiny"


def test_the_dot_folder_that_tar_writes_is_no_file(tmp_path: Path) -> None:
    archive = packed([(entry(".", tarfile.DIRTYPE), b""), (entry("./manifest.json"), b"{}")])
    assert [path.name for path in unpack_artifact(archive, tmp_path / "out").iterdir()] == ["manifest.json"]


@pytest.mark.parametrize(
    "bad",
    [
        entry("../evil"),
        entry("/etc/passwd"),
        entry("a/../../evil"),
        entry("folder/file"),
        entry("folder", tarfile.DIRTYPE),
        entry("link", tarfile.SYMTYPE, "/etc/passwd"),
        entry("hard", tarfile.LNKTYPE, "manifest.json"),
        entry("device", tarfile.CHRTYPE),
        entry("fifo", tarfile.FIFOTYPE),
        entry(".hidden"),
        entry("manifest.json"),
    ],
    ids=lambda found: f"{found.name}:{found.type!r}",
)
def test_what_is_no_plain_new_file_is_refused_and_nothing_is_written(tmp_path: Path, bad: tarfile.TarInfo) -> None:
    archive = packed([(entry("manifest.json"), b"{}"), (bad, b"")])
    with pytest.raises(ArtifactError):
        unpack_artifact(archive, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_too_many_files_are_refused(tmp_path: Path) -> None:
    archive = packed((entry(f"f{i}"), b"") for i in range(MAX_FILES + 1))
    with pytest.raises(ArtifactError, match=f"at most {MAX_FILES} files of different names"):
        unpack_artifact(archive, tmp_path / "out")


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    archive = packed([(entry("small"), b"x"), (entry("bomb"), bytes(MAX_BYTES))])
    assert len(archive) < 1_000_000
    with pytest.raises(ArtifactError, match="bytes unpacked"):
        unpack_artifact(archive, tmp_path / "out")


def test_an_archive_over_the_packed_limit_is_not_even_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_PACKED_BYTES", 10)
    with pytest.raises(ArtifactError, match="expected at most 10 bytes"):
        unpack_artifact(packed([(entry("a"), b"x")]), tmp_path / "out")


@given(cut=st.integers(min_value=0, max_value=10_000), noise=st.binary(max_size=40))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_damaged_archive_is_an_artifact_error_or_a_whole_bundle(tmp_path: Path, cut: int, noise: bytes) -> None:
    whole = packed([(entry("manifest.json"), b"{}" * 500), (entry("a.onnx"), bytes(range(256)) * 20)])
    damaged = whole[: min(cut, len(whole))] + noise
    target = tmp_path / f"{cut}-{noise.hex()}"
    try:
        unpack_artifact(damaged, target)
    except ArtifactError:
        assert not target.exists()
    else:
        assert {path.name for path in target.iterdir()} <= {"manifest.json", "a.onnx"}


def test_a_folder_in_use_is_refused(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("keep")
    with pytest.raises(ArtifactError, match="new or empty folder"):
        unpack_artifact(packed([(entry("a"), b"x")]), tmp_path)
