"""The `model.tar.gz` of a training job: the files of a bundle, packed by SageMaker. Unpacking trusts nothing in it.

What is inside is judged by `load_bundle` afterwards; here only that unpacking can do no harm.
"""

from __future__ import annotations

import io
import re
import tarfile
import zlib
from pathlib import Path
from typing import Final

from signalbox.inference.archive import MAX_BYTES, MAX_FILES
from signalbox.inference.manifest import FILE_NAME_PATTERN
from signalbox.library.errors import ArtifactError

MODEL_ARCHIVE: Final = "model.tar.gz"
MAX_PACKED_BYTES: Final = 96 * 1024 * 1024


def unpack_artifact(archive: bytes, folder: Path) -> Path:
    """Write the files of an archive into `folder`, which is new or empty, and return it. Nothing is written on an error.

    Raises ArtifactError when the archive is damaged, holds a path, a link, a device, a name twice or more than the limits.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ArtifactError(f"{folder.name}: expected a new or empty folder to unpack into")
    if len(archive) > MAX_PACKED_BYTES:
        raise ArtifactError(f"{MODEL_ARCHIVE}: expected at most {MAX_PACKED_BYTES} bytes, was {len(archive)}")
    contents = _contents(archive)
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return folder


def _contents(archive: bytes) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    left = MAX_BYTES
    try:
        with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as opened:
            for entry in opened:  # one at a time: a bomb is met at its first entry over the limit
                if (name := _file_name(entry)) is None:
                    continue
                if name in found or len(found) == MAX_FILES:
                    raise ArtifactError(
                        f"{MODEL_ARCHIVE}: expected at most {MAX_FILES} files of different names, was {name!r} more"
                    )
                left -= entry.size
                if left < 0:
                    raise ArtifactError(f"{MODEL_ARCHIVE}: expected at most {MAX_BYTES} bytes unpacked, was more")
                found[name] = _read(opened, entry)
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        raise ArtifactError(f"{MODEL_ARCHIVE}: expected a whole archive: {error}") from error
    if not found:
        raise ArtifactError(f"{MODEL_ARCHIVE}: expected the files of a bundle, was empty")
    return found


def _file_name(entry: tarfile.TarInfo) -> str | None:
    """Return the plain name of a file, or None for the archive's own top folder."""
    name = entry.name.removeprefix("./")
    if entry.isdir() and name in {"", "."}:
        return None
    if not entry.isreg() or entry.issparse() or not re.fullmatch(FILE_NAME_PATTERN, name):
        raise ArtifactError(f"{MODEL_ARCHIVE}: expected plain files without folders, was {entry.name!r}")
    return name


def _read(opened: tarfile.TarFile, entry: tarfile.TarInfo) -> bytes:
    stream = opened.extractfile(entry)
    content = b"" if stream is None else stream.read(entry.size)
    if len(content) != entry.size:
        raise ArtifactError(f"{MODEL_ARCHIVE}: expected {entry.name} of {entry.size} bytes, was cut short")
    return content
