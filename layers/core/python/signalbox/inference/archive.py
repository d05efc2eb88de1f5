"""A bundle as one archive, for transport. Equal folders give equal bytes; unpacking trusts nothing in the archive.

What is inside is judged by `load_bundle` afterwards; here only that unpacking can do no harm.
"""

from __future__ import annotations

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

_EPOCH: Final = (1980, 1, 1, 0, 0, 0)  # the oldest instant a zip can hold: no file time enters the bytes
_PLAIN_FILE: Final = (stat.S_IFREG | 0o644) << 16


def pack_bundle(folder: Path) -> bytes:
    """Return the archive of a bundle folder: sorted names, no times, not compressed (the same on every machine).

    Raises BundleIncompleteError without a manifest, BundleArchiveError for what could not be unpacked again.
    """
    if not (folder / MANIFEST_FILE).is_file():
        raise BundleIncompleteError(f"no {MANIFEST_FILE} in {folder.name}")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for path in sorted(folder.iterdir()):
            if path.is_symlink() or not path.is_file() or not re.fullmatch(FILE_NAME_PATTERN, path.name):
                raise BundleArchiveError(f"{folder.name}: expected plain files only, was {path.name!r}")
            entry = zipfile.ZipInfo(path.name, _EPOCH)
            entry.external_attr = _PLAIN_FILE
            entry.create_system = 3  # Unix, whatever this runs on
            archive.writestr(entry, path.read_bytes())
    return buffer.getvalue()


def unpack_bundle(archive: bytes, folder: Path) -> Path:
    """Write the files of an archive into `folder`, which is new or empty, and return it. Nothing is written on an error.

    Raises BundleIncompleteError when the archive is cut short or damaged, BundleArchiveError when it holds a path, a
    link, a name twice (whatever its case: one disk in three knows no case) or more than the limits, or the folder is in use.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise BundleArchiveError(f"{folder.name}: expected a new or empty folder to unpack into")
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
    except Exception as error:  # zipfile and zlib raise a dozen kinds for damaged bytes
        raise BundleIncompleteError(f"expected a whole bundle archive: {type(error).__name__}: {error}") from error


def _check_entries(entries: list[zipfile.ZipInfo]) -> None:
    names = [entry.filename for entry in entries]
    if len({name.casefold() for name in names}) != len(names):
        raise BundleArchiveError(f"expected files of different names, whatever their case, was {sorted(names)}")
    for entry in entries:
        kind = stat.S_IFMT(entry.external_attr >> 16)
        if not re.fullmatch(FILE_NAME_PATTERN, entry.filename) or kind not in (0, stat.S_IFREG):
            raise BundleArchiveError(f"expected plain files without folders, was {entry.filename!r}")
    if sum(entry.file_size for entry in entries) > MAX_BUNDLE_BYTES:
        raise BundleArchiveError(f"expected at most {MAX_BUNDLE_BYTES} bytes unpacked, was more")


def _read(opened: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    with opened.open(entry) as stream:
        content = stream.read(entry.file_size + 1)  # never more than was declared and counted
    if len(content) != entry.file_size:
        raise BundleIncompleteError(f"expected {entry.filename} of {entry.file_size} bytes, was other")
    return content
