"""model.tar.gz is unpacked as if an enemy had packed it."""

from __future__ import annotations

import gzip
import tarfile
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from signalbox.inference import load_bundle
from signalbox.library import artifact as module
from signalbox.library.artifact import unpack_artifact
from signalbox.library.errors import ArtifactError
from signalbox.limits import MAX_BUNDLE_BYTES, MAX_BUNDLE_FILES
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
    archive = packed((entry(f"f{i}"), b"") for i in range(MAX_BUNDLE_FILES + 1))
    with pytest.raises(ArtifactError, match=f"at most {MAX_BUNDLE_FILES} files of different names"):
        unpack_artifact(archive, tmp_path / "out")


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    archive = packed([(entry("small"), b"x"), (entry("bomb"), bytes(MAX_BUNDLE_BYTES))])
    assert len(archive) < 1_000_000
    with pytest.raises(ArtifactError, match="unpacks to more than"):
        unpack_artifact(archive, tmp_path / "out")


def raw(*blocks: bytes) -> bytes:
    return gzip.compress(b"".join(blocks), compresslevel=1)


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK])
def test_a_header_that_announces_more_than_the_limit_is_refused_without_being_read(tmp_path: Path, kind: bytes) -> None:
    """tarfile reads what follows such a header into memory, whatever its size: some kilobytes could ask for all of it."""
    announced = entry("x", kind)
    announced.size = 600 * 2**20
    archive = raw(announced.tobuf(tarfile.USTAR_FORMAT), bytes(200 * 2**20))
    tracemalloc.start()
    try:
        with pytest.raises(ArtifactError, match="unpacks to more than"):
            unpack_artifact(archive, tmp_path / "out")
        assert tracemalloc.get_traced_memory()[1] < MAX_BUNDLE_BYTES + 16 * 2**20
    finally:
        tracemalloc.stop()


def test_the_dot_folder_comes_once(tmp_path: Path) -> None:
    """A folder has no bytes that count: millions of them fit into a small archive."""
    archive = packed([(entry("./", tarfile.DIRTYPE), b""), (entry("./", tarfile.DIRTYPE), b""), (entry("a"), b"x")])
    with pytest.raises(ArtifactError, match="of different names"):
        unpack_artifact(archive, tmp_path / "out")


@pytest.mark.parametrize(
    "records",
    [
        {"GNU.sparse.map": "a,b", "GNU.sparse.major": "0"},
        {"GNU.sparse.major": "1", "GNU.sparse.minor": "0"},
        {"size": "7" * 5_000},
    ],
    ids=["sparse map", "sparse 1.0", "digits"],
)
def test_numbers_that_are_none_are_an_artifact_error(tmp_path: Path, records: dict[str, str]) -> None:
    bad = entry("manifest.json")
    bad.pax_headers = {"GNU.sparse.size": "1", "GNU.sparse.name": "manifest.json", **records}
    archive = raw(bad.tobuf(tarfile.PAX_FORMAT), b"no number" * 100, bytes(1024))
    with pytest.raises(ArtifactError):
        unpack_artifact(archive, tmp_path / "out")


@pytest.mark.parametrize("left_out", [1, 8, 40, 200])
def test_an_archive_that_lost_its_end_is_refused_though_its_files_came(tmp_path: Path, left_out: int) -> None:
    whole = packed([(entry("manifest.json"), b"{}"), (entry("noise"), bytes(i * i % 251 for i in range(5_000)))])
    with pytest.raises(ArtifactError, match="the archive is damaged"):
        unpack_artifact(whole[:-left_out], tmp_path / "out")


def test_an_error_names_the_archive_it_is_about(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"output\.tar\.gz: expected plain files"):
        unpack_artifact(packed([(entry("a/b"), b"x")]), tmp_path / "out", name="output.tar.gz")


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
    with pytest.raises(ArtifactError, match="is not an empty folder"):
        unpack_artifact(packed([(entry("a"), b"x")]), tmp_path)
