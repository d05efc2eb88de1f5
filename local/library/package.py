"""A signed package: one model with its versions and everything they consist of, in one file that nobody can change unnoticed.

The file is a zip without compression: package.json (what there is, with the sha256 and size of every file), signature.json (the
publisher's key and its signature over package.json), and the files. There is one way to write a package, and reading one compares
the bytes with what its contents would be written as. So there is no room for a second entry, a link, an extra field, a comment or
a flipped bit. Nothing is written before all is verified, in this order: size and zip directory; both JSON files in their
canonical form; the signature and that its key is trusted; the paths; size and sha256 of each file; the bytes as a whole; no
pickle. Whether a bundle loads is checked afterwards by `load_bundle`, in a process of its own. Decision: 0124.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import stat
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AwareDatetime, Field, ValidationError, model_validator

from local.library.errors import PackageError
from local.library.publishers import KEY_PATTERN, PublicKey, PublisherKey, TrustedPublisher, TrustList, is_signed_by
from signalbox.errors import SignalboxError
from signalbox.frozen import FrozenModel
from signalbox.inference.judged import open_zip, require_plain_arrays
from signalbox.inference.manifest import MANIFEST_FILE, FileRecord, Sha256
from signalbox.library.entries import EntityKind
from signalbox.limits import MAX_PACKAGE_BYTES, MAX_PACKAGE_FILES, MAX_PACKAGE_MANIFEST_BYTES, MAX_PACKAGE_VERSIONS
from signalbox.wire import OneLine, parse_object

SUFFIX: Final = ".signalbox"
PACKAGE_FILE: Final = "package.json"
SIGNATURE_FILE: Final = "signature.json"
NOT_STATED: Final = "not stated"
_DOMAIN: Final = b"signalbox package 1\n"  # before what is signed, so that the signature fits nothing else
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)
_PLAIN_FILE: Final = (stat.S_IFREG | 0o644) << 16
_NAME: Final = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,98}[A-Za-z0-9_-])?"
# Formats that are data: no pickle, no joblib, no torch file, no code.
_BUNDLE_PATH: Final = rf"versions/[1-9][0-9]{{0,8}}/bundle/(?P<name>{_NAME})"
_BUNDLE_SUFFIXES: Final = (".json", ".onnx", ".npz", ".html", ".md", ".txt", ".svg", ".png", ".csv", ".toml")
_OTHER_PATH: Final = rf"versions/[1-9][0-9]{{0,8}}/(?:card\.md|evaluations/(?P<name>{_NAME})\.json)"
_DEVICE: Final = re.compile(r"(?:con|prn|aux|nul|com[0-9]|lpt[0-9])(?:\..*)?", re.IGNORECASE)  # Windows opens a device for these
_PICKLE: Final = re.compile(rb"\x80[\x02-\x05]")  # how pickles of the protocols in use begin


class PackagedDependency(FrozenModel):
    """What a version was made from."""

    kind: EntityKind
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]{0,63}$")]
    origin: Annotated[OneLine, Field(min_length=1, max_length=200)]


class PackagedVersion(FrozenModel):
    """One version as its publisher has it. sha256: of the bundle's archive (`pack_bundle`)."""

    number: Annotated[int, Field(gt=0, lt=10**9)]
    origin: Annotated[OneLine, Field(min_length=1, max_length=200)]
    created_at: AwareDatetime
    sha256: Sha256
    depends_on: Annotated[tuple[PackagedDependency, ...], Field(max_length=100)] = ()

    @property
    def folder(self) -> str:
        """The folder of its files inside the package."""
        return f"versions/{self.number}"


class PackageManifest(FrozenModel):
    """package.json."""

    format: Literal[1] = 1
    kind: Literal[EntityKind.MODEL] = EntityKind.MODEL
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]{0,63}$")]
    created_at: AwareDatetime
    publisher: Annotated[str, Field(pattern=KEY_PATTERN)]
    licence: Annotated[OneLine, Field(min_length=1, max_length=100)] = NOT_STATED
    versions: Annotated[tuple[PackagedVersion, ...], Field(min_length=1, max_length=MAX_PACKAGE_VERSIONS)]
    files: Annotated[dict[str, FileRecord], Field(max_length=MAX_PACKAGE_FILES)]

    @model_validator(mode="after")
    def _parts_agree(self) -> Self:
        numbers = [one.number for one in self.versions]
        if numbers != sorted(set(numbers)):
            raise ValueError("expected the versions in the order of their numbers, each once")
        folded = {path.casefold() for path in self.files}
        if len(folded) != len(self.files):
            raise ValueError("expected paths that differ in more than case")
        folders = tuple(f"{one.folder}/" for one in self.versions)
        for path in self.files:
            if (why := _fault_of(path)) is not None:
                raise ValueError(f"{path!r}: {why}")
            if not path.startswith(folders):
                raise ValueError(f"{path!r}: expected a file of one of the package's versions")
        if lacking := [one.number for one in self.versions if f"{one.folder}/bundle/{MANIFEST_FILE}" not in self.files]:
            raise ValueError(f"version {lacking[0]} has no bundle/{MANIFEST_FILE}")
        if sum(record.size for record in self.files.values()) > MAX_PACKAGE_BYTES:
            raise ValueError(f"expected files of at most {MAX_PACKAGE_BYTES} bytes in total")
        return self


class PackageSignature(FrozenModel):
    """signature.json."""

    format: Literal[1] = 1
    key: Annotated[str, Field(pattern=KEY_PATTERN)]
    signature: Annotated[str, Field(pattern=r"^[0-9a-f]{128}$")]


@dataclass(frozen=True, slots=True)
class Package:
    """A package that was verified, in memory. files: by path."""

    manifest: PackageManifest
    publisher: TrustedPublisher
    files: Mapping[str, bytes]
    about: bytes  # package.json
    signature: bytes  # signature.json

    def bundle_of(self, version: PackagedVersion) -> dict[str, bytes]:
        """Return the files of a version's bundle by name."""
        return self._below(f"{version.folder}/bundle/")

    def evaluations_of(self, version: PackagedVersion) -> dict[str, bytes]:
        """Return the files of a version's evaluations by name."""
        return self._below(f"{version.folder}/evaluations/")

    def _below(self, folder: str) -> dict[str, bytes]:
        return {path.removeprefix(folder): content for path, content in self.files.items() if path.startswith(folder)}


def pack(manifest: Mapping[str, Any], files: Mapping[str, bytes], key: PublisherKey) -> bytes:
    """Return the signed package of these files. manifest: the facts of package.json without publisher and files.

    Raises PackageError for files that no package may have, or too many; whatever it returns, `open_package` takes.
    """
    facts = {**manifest, "publisher": key.public, "files": {path: _record(content) for path, content in files.items()}}
    try:
        document = PackageManifest.model_validate(facts)
    except ValidationError as error:
        raise PackageError(f"this cannot be packed: {_first(error)}") from error
    about = _canonical(document)
    signature = _canonical(PackageSignature(key=key.public, signature=key.sign(_DOMAIN + about)))
    content = _zipped(about, signature, files)
    if len(content) > MAX_PACKAGE_BYTES:
        raise PackageError(f"expected a package of at most {MAX_PACKAGE_BYTES} bytes, got {len(content)}; export fewer versions")
    _require_data(files)
    return content


def open_package(content: bytes, trust: TrustList, name: str = "the package") -> Package:
    """Return a package whose every byte was verified. name: of the file, for messages.

    Raises UntrustedPublisherError if its key is not trusted, PackageError for anything else. Nothing is written.
    """
    try:
        return _opened(content, trust)
    except PackageError as error:
        raise type(error)(f"{name}: {error}") from error
    except ValidationError as error:
        raise PackageError(f"{name}: {_first(error)}") from error
    except SignalboxError as error:
        raise PackageError(f"{name}: {error}") from error
    except Exception as error:  # zipfile raises a dozen error classes for damaged bytes
        raise PackageError(f"{name}: the file is damaged or no package ({str(error)[:200]})") from error


def read_package_file(path: Path) -> bytes:
    """Return the bytes of a package file. Raises PackageError if it is absent or over the limit."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_PACKAGE_BYTES + 1)
    except OSError as error:
        raise PackageError(f"{path}: cannot be read ({error.strerror})") from error
    if len(content) > MAX_PACKAGE_BYTES:
        raise PackageError(f"{path}: expected a package of at most {MAX_PACKAGE_BYTES} bytes")
    return content


def _opened(content: bytes, trust: TrustList) -> Package:
    if len(content) > MAX_PACKAGE_BYTES:
        raise PackageError(f"expected a package of at most {MAX_PACKAGE_BYTES} bytes, got {len(content)}")
    with open_zip(content, files=MAX_PACKAGE_FILES + 2) as opened:
        entries = opened.infolist()
        _require_stored(entries, len(content))
        by_name = {entry.filename: entry for entry in entries}
        for needed in (PACKAGE_FILE, SIGNATURE_FILE):
            if needed not in by_name:
                raise PackageError(f"expected a signed package, but it has no {needed}")
            if by_name[needed].file_size > MAX_PACKAGE_MANIFEST_BYTES:
                raise PackageError(f"expected a {needed} of at most {MAX_PACKAGE_MANIFEST_BYTES} bytes")
        about, sealed = _read(opened, by_name[PACKAGE_FILE]), _read(opened, by_name[SIGNATURE_FILE])
        signature = PackageSignature.model_validate(parse_object(sealed, max_bytes=MAX_PACKAGE_MANIFEST_BYTES))
        if not is_signed_by(PublicKey(signature.key), signature.signature, _DOMAIN + about):
            raise PackageError(f"the signature does not match: {PACKAGE_FILE} was changed, or {signature.key} never signed it")
        publisher = trust.require(PublicKey(signature.key))
        manifest = PackageManifest.model_validate(parse_object(about, max_bytes=MAX_PACKAGE_MANIFEST_BYTES))
        if manifest.publisher != signature.key:
            raise PackageError(f"expected a package of {signature.key}, which signed it, got one of {manifest.publisher}")
        listed = {PACKAGE_FILE, SIGNATURE_FILE, *manifest.files}
        if len(entries) != len(by_name) or set(by_name) != listed:
            odd = sorted(set(by_name) ^ listed) or ["an entry that is there twice"]
            raise PackageError(f"expected exactly the files that {PACKAGE_FILE} lists, but not so: {odd[0][:120]}")
        files = {path: _verified(opened, by_name[path], record) for path, record in manifest.files.items()}
    if (_canonical(manifest), _canonical(signature)) != (about, sealed) or _zipped(about, sealed, files) != content:
        raise PackageError("expected the bytes that signalbox library export writes for these contents, got others")
    _require_data(files)
    return Package(manifest, publisher, files, about, sealed)


def _require_stored(entries: list[zipfile.ZipInfo], size: int) -> None:
    """Refuse by the headers whatever would unpack to more than it takes: nothing is compressed, no byte is of two files."""
    if any(entry.compress_type != zipfile.ZIP_STORED or entry.compress_size != entry.file_size for entry in entries):
        raise PackageError("expected files that are not compressed: a package unpacks to no more than its own size")
    if (total := sum(entry.file_size for entry in entries)) > size:
        raise PackageError(f"the headers promise {total} bytes of files in a package of {size}")


def _read(opened: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    with opened.open(entry) as stream:
        content = stream.read(entry.file_size + 1)  # counted, whatever the header says; its size was checked
    if len(content) != entry.file_size:
        raise PackageError(f"{entry.filename[:120]}: expected the {entry.file_size} bytes of its header, got {len(content)}")
    return content


def _verified(opened: zipfile.ZipFile, entry: zipfile.ZipInfo, wanted: FileRecord) -> bytes:
    if entry.file_size != wanted.size:
        raise PackageError(f"{entry.filename}: expected {wanted.size} bytes, got {entry.file_size}")
    content = _read(opened, entry)
    if (found := _record(content)) != wanted:
        raise PackageError(f"{entry.filename}: expected sha256 {wanted.sha256}, got {found.sha256}")
    return content


def _require_data(files: Mapping[str, bytes]) -> None:
    for path, content in files.items():
        if _PICKLE.match(content):
            raise PackageError(f"{path}: expected data, got a pickle, which could run code when it is read")
        if path.endswith(".npz"):
            require_plain_arrays(content, path)


def _fault_of(path: str) -> str | None:
    match = re.fullmatch(_BUNDLE_PATH, path)
    if match is not None and not match["name"].endswith(_BUNDLE_SUFFIXES):
        return f"expected a file of one of the kinds {', '.join(_BUNDLE_SUFFIXES)}"
    match = match or re.fullmatch(_OTHER_PATH, path)
    if match is None:
        return "expected versions/NUMBER/bundle/FILE, versions/NUMBER/evaluations/FILE.json or versions/NUMBER/card.md"
    return "expected no name of a device" if match["name"] and _DEVICE.fullmatch(match["name"]) else None


def _canonical(document: FrozenModel) -> bytes:
    return (json.dumps(document.model_dump(mode="json"), sort_keys=True, separators=(",", ":")) + "\n").encode()


def _record(content: bytes) -> FileRecord:
    return FileRecord(sha256=hashlib.sha256(content).hexdigest(), size=len(content))


def _zipped(about: bytes, signature: bytes, files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for path, content in ((PACKAGE_FILE, about), (SIGNATURE_FILE, signature), *sorted(files.items())):
            entry = zipfile.ZipInfo(path, _EPOCH)
            entry.external_attr = _PLAIN_FILE
            entry.create_system = 3  # Unix, on whatever system this runs
            archive.writestr(entry, content)
    return buffer.getvalue()


def _first(error: ValidationError) -> str:
    fault = error.errors(include_input=False, include_url=False)[0]
    return f"{'.'.join(map(str, fault['loc'])) or PACKAGE_FILE}: {fault['msg'].removeprefix('Value error, ')}"
