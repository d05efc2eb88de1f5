"""The output of a job as SageMaker packs it: `model.tar.gz` and `output.tar.gz`. Unpacking trusts nothing in them.

`load_bundle` checks a model's contents afterwards; this module only makes sure that unpacking does no harm.
"""

from __future__ import annotations

import gzip
import io
import re
import tarfile
from pathlib import Path
from typing import Final

from typing_extensions import override

from signalbox.inference.manifest import FILE_NAME_PATTERN
from signalbox.library.errors import ArtifactError
from signalbox.limits import MAX_BUNDLE_BYTES, MAX_BUNDLE_FILES

MODEL_ARCHIVE: Final = "model.tar.gz"
OUTPUT_ARCHIVE: Final = "output.tar.gz"
MAX_PACKED_BYTES: Final = 96 * 1024 * 1024
_BLOCK: Final = 64 * 1024
_FRAMING: Final = 1024 * 1024  # bytes allowed for the tar's headers and padding


class _TooLargeError(Exception):
    """The archive unpacks to more bytes than a bundle may have."""


class _Bounded(io.RawIOBase):
    """The unpacked stream up to a limit, because tarfile reads as much into memory as a header announces."""

    def __init__(self, stream: gzip.GzipFile, limit: int) -> None:
        self._stream, self._left = stream, limit

    @override
    def read(self, size: int = -1) -> bytes:
        content = self._stream.read(size)
        self._left -= len(content)
        if self._left < 0:
            raise _TooLargeError
        return content


def unpack_artifact(archive: bytes, folder: Path, *, name: str = MODEL_ARCHIVE) -> Path:
    """Write the files of an archive into `folder`, which must be new or empty, and return it. On an error nothing is written.

    name: the archive's name in error messages. Raises ArtifactError if the archive is damaged, if it holds a path, a link, a
    device or a name twice, or if it exceeds a limit.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ArtifactError(f"cannot unpack into {folder.name}: it exists and is not an empty folder")
    if len(archive) > MAX_PACKED_BYTES:
        raise ArtifactError(f"{name}: expected at most {MAX_PACKED_BYTES} bytes, got {len(archive)}")
    try:
        contents = _contents(archive)
    except _TooLargeError:
        raise ArtifactError(f"{name}: it unpacks to more than {MAX_BUNDLE_BYTES} bytes") from None
    except ArtifactError as error:
        raise ArtifactError(f"{name}: {error}") from None
    except Exception as error:  # for malformed headers tarfile lets errors of int() and of recursion through
        raise ArtifactError(f"{name}: the archive is damaged: {type(error).__name__}: {error}") from error
    if not contents:
        raise ArtifactError(f"{name}: the archive holds no files")
    folder.mkdir(parents=True, exist_ok=True)
    for file, content in contents.items():
        (folder / file).write_bytes(content)
    return folder


def _contents(archive: bytes) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    names: set[str] = set()  # case-folded, because some disks ignore case
    left, top = MAX_BUNDLE_BYTES, False
    with gzip.GzipFile(fileobj=io.BytesIO(archive)) as unpacked:
        bounded = _Bounded(unpacked, MAX_BUNDLE_BYTES + _FRAMING)
        with tarfile.open(fileobj=bounded, mode="r|") as opened:
            for entry in opened:  # one at a time, so that a bomb stops at its first entry over the limit
                file = _file_name(entry)
                if file is None and not top:
                    top = True
                    continue
                if file is None or file.casefold() in names or len(found) == MAX_BUNDLE_FILES:
                    raise ArtifactError(f"expected at most {MAX_BUNDLE_FILES} files of different names, {file!r} is one too many")
                names.add(file.casefold())
                left -= entry.size
                if left < 0:
                    raise _TooLargeError
                found[file] = _read(opened, entry)
        while bounded.read(_BLOCK):
            pass  # read to the end of the compressed data, because its checksum covers everything
    return found


def _file_name(entry: tarfile.TarInfo) -> str | None:
    """Return the plain name of a file, or None for the archive's top folder itself."""
    name = entry.name.removeprefix("./")
    if entry.isdir() and name in {"", "."}:
        return None
    if not entry.isreg() or entry.issparse() or not re.fullmatch(FILE_NAME_PATTERN, name):
        raise ArtifactError(f"expected plain files without folders, got {entry.name!r}")
    return name


def _read(opened: tarfile.TarFile, entry: tarfile.TarInfo) -> bytes:
    stream = opened.extractfile(entry)
    content = b"" if stream is None else stream.read(entry.size)
    if len(content) != entry.size:
        raise ArtifactError(f"expected {entry.name} of {entry.size} bytes, but it is cut short")
    return content
