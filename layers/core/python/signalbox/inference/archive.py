"""A bundle as one archive, for transport. Equal folders give equal bytes; unpacking trusts nothing in the archive.

`load_bundle` checks the contents afterwards; this module only makes sure that unpacking does no harm.
"""

from __future__ import annotations

import hashlib
import io
import re
import stat
import zipfile
from pathlib import Path
from typing import Final

from signalbox.inference.errors import BundleArchiveError, BundleError, BundleIncompleteError
from signalbox.inference.judged import UnfitFileError, open_zip
from signalbox.inference.manifest import FILE_NAME_PATTERN, MANIFEST_FILE
from signalbox.limits import MAX_BUNDLE_BYTES, MAX_BUNDLE_FILES

_EPOCH: Final = (1980, 1, 1, 0, 0, 0)  # the oldest time in a zip; used for every file, so that file times do not change the bytes
_PLAIN_FILE: Final = (stat.S_IFREG | 0o644) << 16


def pack_bundle(folder: Path) -> bytes:
    """Return the archive of a bundle folder: sorted names, no times, no compression, so it is the same on every machine.

    Raises BundleIncompleteError if there is no manifest, BundleArchiveError for content that could not be unpacked again.
    """
    if not (folder / MANIFEST_FILE).is_file():
        raise BundleIncompleteError(f"no {MANIFEST_FILE} in {folder.name}")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for path in sorted(folder.iterdir()):
            if path.is_symlink() or not path.is_file() or not re.fullmatch(FILE_NAME_PATTERN, path.name):
                raise BundleArchiveError(f"{folder.name}: expected plain files only, but {path.name!r} is not one")
            entry = zipfile.ZipInfo(path.name, _EPOCH)
            entry.external_attr = _PLAIN_FILE
            entry.create_system = 3  # Unix, on whatever system this runs
            archive.writestr(entry, path.read_bytes())
    return buffer.getvalue()


def bundle_sha256(folder: Path) -> str:
    """Return the digest that names a bundle: of its archive, so equal folders share it. Raises what `pack_bundle` raises."""
    return hashlib.sha256(pack_bundle(folder)).hexdigest()


def unpack_bundle(archive: bytes, folder: Path) -> Path:
    """Write the files of an archive into `folder`, which must be new or empty, and return it. On an error nothing is written.

    Raises BundleIncompleteError if the archive is cut short or damaged. Raises BundleArchiveError if it holds a path, a link or
    two names that differ only in case (some disks ignore case), if it exceeds a limit, or if the folder is in use.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise BundleArchiveError(f"cannot unpack into {folder.name}: it exists and is not an empty folder")
    contents = _contents(archive)
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return folder


def _contents(archive: bytes) -> dict[str, bytes]:
    try:
        with open_zip(archive, files=MAX_BUNDLE_FILES) as opened:
            entries = opened.infolist()
            _check_entries(entries)
            return {entry.filename: _read(opened, entry) for entry in entries}
    except BundleError:
        raise
    except UnfitFileError as error:
        raise BundleArchiveError(str(error)) from error
    except Exception as error:  # zipfile and zlib raise a dozen error classes for damaged bytes
        raise BundleIncompleteError(f"the bundle archive is damaged: {type(error).__name__}: {error}") from error


def _check_entries(entries: list[zipfile.ZipInfo]) -> None:
    names = [entry.filename for entry in entries]
    if len({name.casefold() for name in names}) != len(names):
        raise BundleArchiveError(f"expected file names that differ in more than case, got {sorted(names)}")
    for entry in entries:
        kind = stat.S_IFMT(entry.external_attr >> 16)
        if not re.fullmatch(FILE_NAME_PATTERN, entry.filename) or kind not in (0, stat.S_IFREG):
            raise BundleArchiveError(f"expected plain files without folders, got {entry.filename!r}")
    if sum(entry.file_size for entry in entries) > MAX_BUNDLE_BYTES:
        raise BundleArchiveError(f"the archive unpacks to more than {MAX_BUNDLE_BYTES} bytes")


def _read(opened: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    with opened.open(entry) as stream:
        content = stream.read(entry.file_size + 1)  # never more than the declared size, which was checked
    if len(content) != entry.file_size:
        raise BundleIncompleteError(f"{entry.filename}: its size is not the {entry.file_size} bytes that the archive declares")
    return content
