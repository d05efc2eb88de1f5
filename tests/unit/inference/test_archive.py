from __future__ import annotations

import io
import stat
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox.inference import (
    BundleArchiveError,
    BundleError,
    BundleIncompleteError,
    archive,
    load_bundle,
    pack_bundle,
    unpack_bundle,
)
from tests.unit.inference.tiny_bundle import write_bundle


def zipped(*entries: tuple[str | zipfile.ZipInfo, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as out:
        for name, content in entries:
            out.writestr(name, content)
    return buffer.getvalue()


def test_round_trip_is_identity_and_deterministic(tmp_path: Path) -> None:
    one = write_bundle(tmp_path / "one")
    packed = pack_bundle(one)
    assert packed == pack_bundle(write_bundle(tmp_path / "other"))
    unpacked = unpack_bundle(packed, tmp_path / "deep" / "new")
    assert {p.name: p.read_bytes() for p in unpacked.iterdir()} == {p.name: p.read_bytes() for p in one.iterdir()}
    assert load_bundle(unpacked).name == "tiny"


def test_empty_folder_may_be_unpacked_into_and_a_used_one_not(tmp_path: Path) -> None:
    packed = pack_bundle(write_bundle(tmp_path / "one"))
    (tmp_path / "empty").mkdir()
    unpack_bundle(packed, tmp_path / "empty")
    with pytest.raises(BundleArchiveError, match="empty folder"):
        unpack_bundle(packed, tmp_path / "empty")


@pytest.mark.parametrize(
    "name", ["../evil", "/etc/evil", "a/b", "..", "a/../../b", "C:\\evil", "..\\evil", ".hidden", "a\nb", "sub/"]
)
def test_path_in_the_archive_is_refused_and_nothing_is_written(tmp_path: Path, name: str) -> None:
    with pytest.raises(BundleArchiveError, match="plain files"):
        unpack_bundle(zipped(("manifest.json", b"{}"), (name, b"x")), tmp_path / "in" / "out")
    assert list(tmp_path.iterdir()) == []


def test_symlink_in_the_archive_is_refused(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("model.onnx")
    link.create_system = 3
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with pytest.raises(BundleArchiveError, match=r"model\.onnx"):
        unpack_bundle(zipped((link, b"/etc/passwd")), tmp_path / "out")


def test_name_that_occurs_twice_is_refused(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="Duplicate name"):
        twice = zipped(("a.onnx", b"1"), ("a.onnx", b"2"))
    with pytest.raises(BundleArchiveError, match="differ in more than case"):
        unpack_bundle(twice, tmp_path / "out")


def test_too_many_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleArchiveError, match="at most 64"):
        unpack_bundle(zipped(*((f"f{i}", b"") for i in range(65))), tmp_path / "out")


def test_oversize_is_refused_by_what_it_declares(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MAX_BUNDLE_BYTES", 1_000)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as out:
        out.writestr("bomb", b"\0" * 1_001)
    with pytest.raises(BundleArchiveError, match="1000 bytes"):
        unpack_bundle(buffer.getvalue(), tmp_path / "out")


def test_file_that_holds_more_than_it_declares_is_refused(tmp_path: Path) -> None:
    content = bytearray(zipped(("bomb", b"\0" * 1_000)))
    size = (1_000).to_bytes(4, "little")
    place = content.rfind(size)  # the uncompressed size in the central directory
    content[place : place + 4] = (10).to_bytes(4, "little")
    with pytest.raises(BundleError):
        unpack_bundle(bytes(content), tmp_path / "out")


@given(data=st.data())
def test_damaged_archive_never_gives_other_files(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    content = zipped(("manifest.json", b"{}"), ("model.onnx", bytes(range(256))))
    cut = data.draw(st.integers(0, len(content) - 1))
    folder = tmp_path_factory.mktemp("x") / "out"
    with pytest.raises(BundleIncompleteError):
        unpack_bundle(content[:cut], folder)
    assert not folder.exists()


def test_folder_that_could_not_be_unpacked_again_is_not_packed(tmp_path: Path) -> None:
    folder = write_bundle(tmp_path / "one")
    (folder / "sub").mkdir()
    with pytest.raises(BundleArchiveError, match="sub"):
        pack_bundle(folder)
    with pytest.raises(BundleIncompleteError, match=r"manifest\.json"):
        pack_bundle(tmp_path)
