"""A signed package: what was packed comes out, and nothing else ever does."""

from __future__ import annotations

import hashlib
import io
import json
import struct
import zipfile
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from local.library.errors import PackageError, UntrustedPublisherError
from local.library.package import open_package, pack
from local.library.publishers import TrustList, new_key
from signalbox.limits import MAX_PACKAGE_BYTES
from tests.examples import examples
from tests.unit.local.library.signed import KEY, NOW, TRUST, entries, signed_again, tiny_package, zipped

FACTS: dict[str, Any] = {
    "name": "tiny",
    "created_at": NOW,
    "versions": [{"number": 3, "origin": "a job", "created_at": NOW, "sha256": "0" * 64}],
}
MANIFEST = "versions/3/bundle/manifest.json"
NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,20}\.(?:json|onnx|html|md|svg)", fullmatch=True)
FILES = st.dictionaries(NAMES.map(lambda name: f"versions/3/bundle/z{name}"), st.binary(max_size=200), max_size=5)


def record(content: bytes) -> dict[str, Any]:
    return {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}


@given(files=FILES, licence=st.text("abcZ 09.-", min_size=1, max_size=100))
@settings(max_examples=examples(40), deadline=None)
def test_what_was_packed_comes_out(files: dict[str, bytes], licence: str) -> None:
    wanted = {MANIFEST: b"{}", **files}
    folded = {path.casefold() for path in wanted}
    if len(folded) != len(wanted) or any(content[:1] == b"\x80" for content in wanted.values()):
        return
    content = pack({**FACTS, "licence": licence}, wanted, KEY)
    found = open_package(content, TRUST)
    assert dict(found.files) == wanted
    assert (found.manifest.name, found.manifest.licence, found.publisher.name) == ("tiny", licence, "anna")
    assert pack({**FACTS, "licence": licence}, found.files, KEY) == content  # the same bytes on every machine, at any time


@given(place=st.integers(min_value=0), bit=st.integers(0, 7))
@settings(max_examples=examples(150), deadline=None)
def test_any_flipped_bit_is_refused(place: int, bit: int) -> None:
    content = bytearray(tiny_package())
    content[place % len(content)] ^= 1 << bit
    with pytest.raises(PackageError):
        open_package(bytes(content), TRUST)


def test_every_bit_of_the_headers_and_the_signature_counts() -> None:
    content = pack(FACTS, {MANIFEST: b"{}"}, KEY)
    for place in range(len(content)):
        changed = bytearray(content)
        changed[place] ^= 1 << (place % 8)
        with pytest.raises(PackageError):
            open_package(bytes(changed), TRUST)


@given(cut=st.integers(min_value=0), more=st.binary(max_size=40), front=st.booleans())
@settings(max_examples=examples(60), deadline=None)
def test_a_cut_or_longer_file_is_refused(cut: int, more: bytes, front: bool) -> None:
    content = tiny_package()
    for changed in (content[: cut % len(content)], more + content if front else content + more):
        if changed != content:
            with pytest.raises(PackageError):
                open_package(changed, TRUST)


@given(st.binary(max_size=300))
@settings(max_examples=examples(100), deadline=None)
def test_bytes_of_anything_are_refused(content: bytes) -> None:
    with pytest.raises(PackageError):
        open_package(content, TRUST)


def test_a_key_that_is_not_trusted_is_named_with_the_command() -> None:
    with pytest.raises(UntrustedPublisherError, match=f"keys trust {KEY.public} --name OWNER"):
        open_package(tiny_package(), TrustList())
    other = TrustList().trusting(new_key().public, "bert", NOW)
    with pytest.raises(UntrustedPublisherError, match=KEY.public):
        open_package(tiny_package(), other)


def test_a_revoked_key_is_refused_with_the_reason() -> None:
    trust = TRUST.revoking(KEY.public, "the laptop was stolen", NOW + timedelta(days=1))
    with pytest.raises(UntrustedPublisherError, match="revoked on 2026-11-29: the laptop was stolen"):
        open_package(tiny_package(), trust)


def test_a_signature_of_another_key_does_not_pass_for_a_trusted_one() -> None:
    stranger = new_key()
    contents = signed_again(entries(tiny_package()), lambda manifest: manifest.update(publisher=KEY.public), stranger)
    with pytest.raises(UntrustedPublisherError):
        open_package(zipped(contents), TRUST)
    both = TRUST.trusting(stranger.public, "stranger", NOW)
    with pytest.raises(PackageError, match="which signed it"):
        open_package(zipped(contents), both)


def _set_path(path: str) -> Callable[[dict[str, Any]], None]:
    def change(manifest: dict[str, Any]) -> None:
        manifest["files"][path] = record(b"x")

    return change


@pytest.mark.parametrize(
    "path",
    [
        "../evil.json", "/etc/passwd", "versions/1/bundle/../../../evil.json", "versions/1/bundle/a/b.json",
        "versions/1/bundle\\evil.json", "C:evil.json", "versions/1/bundle/evil.json\x00.onnx", "versions/1/bundle/con.json",
        "versions/1/bundle/NUL.onnx",
        "versions/1/bundle/MANIFEST.json", "versions/1/bundle/a.json ", "versions/1/bundle/.hidden.json",
        "versions/01/bundle/a.json", "versions/2/bundle/a.json", "versions/1/bundle/model.pkl", "versions/1/bundle/code.py",
        "versions/1/bundle/model.joblib", "versions/1/bundle/weights.pt", "versions/1/evaluations/x.exe", "package.json",
        "versions/1/bundle/\u00fc.onnx", "versions/1/bundle/-rf.json", "versions/1/bundle/lpt1.json", "evil.sh",
    ],
)  # fmt: skip
def test_an_unsafe_path_is_refused_even_when_signed(path: str) -> None:
    contents = signed_again(entries(tiny_package()), _set_path(path))
    with pytest.raises(PackageError):
        open_package(zipped({**contents, path: b"x"}) if "\x00" not in path else zipped(contents), TRUST)


@pytest.mark.parametrize("kind", [0o120777, 0o040755, 0o020644, 0o010644, 0o060644])
def test_a_link_a_folder_and_a_device_are_refused(kind: int) -> None:
    def change(entry: zipfile.ZipInfo) -> None:
        if entry.filename.endswith("golden.npz"):
            entry.external_attr = kind << 16

    with pytest.raises(PackageError, match="expected the bytes"):
        open_package(zipped(entries(tiny_package()), change=change), TRUST)


def test_a_package_that_would_unpack_to_ten_gigabytes_is_refused_by_its_headers() -> None:
    zeros = bytes(20 * 2**20)
    contents = signed_again(
        entries(tiny_package()), lambda found: found["files"].update({"versions/1/bundle/z.json": record(zeros)})
    )
    bomb = zipped({**contents, "versions/1/bundle/z.json": zeros}, compression=zipfile.ZIP_DEFLATED)
    assert len(bomb) < 100_000
    with pytest.raises(PackageError, match="not compressed"):
        open_package(bomb, TRUST)
    promised = bytearray(tiny_package())
    place = promised.rindex(b"PK\x01\x02")
    promised[place + 20 : place + 28] = struct.pack("<II", 2**32 - 2, 2**32 - 2)  # both sizes of the last entry
    with pytest.raises(PackageError, match=r"the headers promise \d{10} bytes"):
        open_package(bytes(promised), TRUST)


def test_ten_gigabytes_in_the_manifest_are_refused_before_anything_is_read() -> None:
    contents = signed_again(
        entries(tiny_package()), lambda found: found["files"]["versions/1/bundle/golden.npz"].update(size=10 * 2**30)
    )
    with pytest.raises(PackageError, match=f"at most {MAX_PACKAGE_BYTES} bytes"):
        open_package(zipped(contents), TRUST)


def test_one_piece_of_bytes_cannot_be_two_files() -> None:
    contents = {MANIFEST: b"{}", "versions/3/bundle/a.json": b"1" * 1000, "versions/3/bundle/b.json": b"1" * 1000}
    content = bytearray(pack(FACTS, contents, KEY))
    first, second = (content.index(b"PK\x01\x02", content.index(b"PK\x01\x02") + 1), 0)
    second = content.rindex(b"PK\x01\x02")
    content[second + 42 : second + 46] = content[first + 42 : first + 46]  # where the local header is
    with pytest.raises(PackageError):
        open_package(bytes(content), TRUST)


def test_two_entries_of_one_name_and_an_entry_too_many_are_refused() -> None:
    contents = entries(tiny_package())
    buffer = io.BytesIO(zipped(contents))
    with zipfile.ZipFile(buffer, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr("versions/1/card.md", b"another card")
    with pytest.raises(PackageError, match="exactly the files"):
        open_package(buffer.getvalue(), TRUST)
    with pytest.raises(PackageError, match=r"exactly the files .* evil\.json"):
        open_package(zipped({**contents, "evil.json": b"{}"}), TRUST)
    lacking = {name: content for name, content in contents.items() if not name.endswith("card.md")}
    with pytest.raises(PackageError, match=r"exactly the files .* versions/1/card\.md"):
        open_package(zipped(lacking), TRUST)


def test_paths_that_differ_in_case_alone_are_refused() -> None:
    files = {MANIFEST: b"{}", "versions/3/bundle/a.json": b"1", "versions/3/bundle/A.json": b"2"}
    with pytest.raises(PackageError, match="differ in more than case"):
        pack(FACTS, files, KEY)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_pickle_is_refused_under_any_name(protocol: int) -> None:
    with pytest.raises(PackageError, match="a pickle"):
        pack(FACTS, {MANIFEST: b"{}", "versions/3/bundle/a.onnx": bytes([0x80, protocol]) + b"\x95"}, KEY)


def test_an_array_of_objects_is_refused() -> None:
    buffer = io.BytesIO()
    np.savez(buffer, features=np.array([{"a": 1}], dtype=object))
    files = {MANIFEST: b"{}", "versions/3/bundle/golden.npz": buffer.getvalue()}
    with pytest.raises(Exception, match="expected float32 or float64"):
        pack(FACTS, files, KEY)
    contents = entries(tiny_package())
    changed = signed_again(
        contents, lambda found: found["files"].update({"versions/1/bundle/golden.npz": record(buffer.getvalue())})
    )
    with pytest.raises(PackageError, match="float32 or float64"):
        open_package(zipped({**changed, "versions/1/bundle/golden.npz": buffer.getvalue()}), TRUST)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda found: found.update(extra=1), "extra"),
        (lambda found: found.update(format=2), "format"),
        (lambda found: found.update(name="../evil"), "name"),
        (lambda found: found.update(kind="strategy"), "kind"),
        (lambda found: found.update(licence="a\nb"), "licence"),
        (lambda found: found.update(created_at="yesterday"), "created_at"),
        (lambda found: found.update(versions=[]), "versions"),
        (lambda found: found.update(versions=found["versions"] * 2), "each once"),
        (lambda found: found["versions"][0].update(number=0), "number"),
        (lambda found: found["versions"][0].update(sha256="0"), "sha256"),
        (lambda found: found["versions"][0].update(depends_on=[{"kind": "x", "name": "y", "origin": "z"}]), "kind"),
    ],
)
def test_a_signed_manifest_that_breaks_its_form_is_refused(change: Callable[[dict[str, Any]], None], why: str) -> None:
    with pytest.raises(PackageError, match=why):
        open_package(zipped(signed_again(entries(tiny_package()), change)), TRUST)


def test_a_manifest_of_other_bytes_is_refused_even_when_signed() -> None:
    contents = entries(tiny_package())
    spaced = json.dumps(json.loads(contents["package.json"]), indent=1).encode()
    signature = json.loads(contents["signature.json"]) | {"signature": KEY.sign(b"signalbox package 1\n" + spaced)}
    resigned = {**contents, "package.json": spaced, "signature.json": json.dumps(signature, sort_keys=True).encode()}
    with pytest.raises(PackageError, match="expected the bytes"):
        open_package(zipped(resigned), TRUST)


def test_a_signature_of_something_else_of_the_same_key_does_not_fit() -> None:
    contents = entries(tiny_package())
    signature = json.loads(contents["signature.json"]) | {"signature": KEY.sign(contents["package.json"])}  # no domain before it
    with pytest.raises(PackageError, match="the signature does not match"):
        open_package(zipped({**contents, "signature.json": json.dumps(signature).encode()}), TRUST)
