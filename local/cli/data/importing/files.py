"""Finds files from outside in folders and archives, and opens them as bounded streams. Nothing is ever unpacked to disk.

So a name in an archive is only ever shown. An archive is judged by its directory, a stream by what it really gives.
"""

from __future__ import annotations

import codecs
import gzip
import hashlib
import io
import re
import zipfile
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Final

from typing_extensions import Buffer, override

from local.errors import DataError
from signalbox.inference.judged import open_zip
from signalbox.limits import MAX_IMPORT_FILES, MAX_IMPORT_TEXT_BYTES, MAX_IMPORT_ZIP_BYTES

ENDINGS: Final = (".csv", ".csv.gz", ".txt", ".json", ".json.gz", ".feather", ".parquet", ".zip")
_TEXT: Final = (".csv", ".txt", ".json")
_CHECKSUM: Final = re.compile(rb"([0-9a-fA-F]{64})\s+\*?([^\r\n/\\]{1,255})\s*")


class ImportFileError(DataError):
    """A file cannot be imported; the message says why. Other files still are."""


@dataclass(frozen=True, slots=True)
class ImportFile:
    """One file, or one file in a zip (`member`). `shown` is its name for people, `size` its bytes on disk."""

    path: Path
    shown: str
    size: int
    member: str | None = None

    @property
    def ending(self) -> str:
        """The format of the content, according to its name: .csv, .json, .feather or .parquet."""
        name = (self.member or self.path.name).lower().removesuffix(".gz")
        return ".csv" if name.endswith(".txt") else f".{name.rpartition('.')[2]}"

    @property
    def named(self) -> PurePosixPath:
        """The path that names symbol, timeframe and venue. A file in an archive contributes its own name, not the archive's."""
        return PurePosixPath(*self.path.parent.parts, PurePosixPath(self.member).name if self.member else self.path.name)

    @contextmanager
    def open(self) -> Iterator[IO[bytes]]:
        """Open the content as a stream. Reading more than MAX_IMPORT_TEXT_BYTES raises ImportFileError."""
        try:
            if self.member is not None:
                with _zip(self.path) as archive, archive.open(self.member) as stream:
                    yield io.BufferedReader(_Bounded(stream))
            elif self.path.name.lower().endswith(".gz"):
                with gzip.open(self.path) as stream:
                    yield io.BufferedReader(_Bounded(stream))  # type: ignore[arg-type]
            else:
                with self.path.open("rb") as stream:
                    yield io.BufferedReader(_Bounded(stream))
        except ImportFileError:
            raise
        except Exception as error:  # zipfile, gzip and zlib raise a dozen error classes for damaged bytes
            raise ImportFileError(f"cannot be unpacked: {error}; download it again") from error


class PieceStream(io.RawIOBase):
    """A stream of the bytes that `piece` returns."""

    @abstractmethod
    def piece(self, size: int) -> bytes:
        """Return at most `size` further bytes; none at the end."""

    @override
    def readable(self) -> bool:
        return True

    @override
    def readinto(self, buffer: Buffer, /) -> int:
        view = memoryview(buffer)
        content = self.piece(len(view))
        view[: len(content)] = content
        return len(content)


class Utf8Stream(PieceStream):
    """A stream that raises ImportFileError at invalid UTF-8, so that its reader never gets any."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder("utf-8")()

    @override
    def piece(self, size: int) -> bytes:
        content = self._stream.read(size)
        try:
            self._decoder.decode(content, final=not content)
        except UnicodeDecodeError as error:
            raise ImportFileError("is not UTF-8; save it as UTF-8") from error
        return content


class _Bounded(PieceStream):
    """A stream that raises ImportFileError after MAX_IMPORT_TEXT_BYTES, whatever its archive declares."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream, self._left = stream, MAX_IMPORT_TEXT_BYTES

    @override
    def piece(self, size: int) -> bytes:
        content = self._stream.read(size)
        self._left -= len(content)
        if self._left < 0:
            raise ImportFileError(f"unpacks to more than {MAX_IMPORT_TEXT_BYTES // 2**20:,} MiB; split it")
        return content


@dataclass(frozen=True, slots=True)
class FoundFiles:
    """The files below some paths: those to read, and the names of the ignored ones with the reason."""

    files: tuple[ImportFile, ...]
    ignored: tuple[tuple[str, str], ...]


def find_files(paths: Sequence[Path]) -> FoundFiles:
    """Return the files of these paths, sorted; a folder includes everything below it.

    Raises DataError for a path that does not exist.
    """
    files: list[ImportFile] = []
    ignored: list[tuple[str, str]] = []
    for path in paths:
        if not path.exists():
            raise DataError(f"{path} does not exist")
        places = sorted(place for place in path.rglob("*") if place.is_file()) if path.is_dir() else [path]
        for place in places:
            shown = place.relative_to(path).as_posix() if path.is_dir() else place.name
            if shown.startswith(".") or "/." in shown or place.name.upper().endswith(".CHECKSUM"):
                continue
            try:
                files += _sources(place, shown)
            except (ImportFileError, OSError) as error:
                ignored.append((shown, str(error)))
            if len(files) > MAX_IMPORT_FILES:
                raise DataError(f"expected at most {MAX_IMPORT_FILES:,} files at a time; give a part of the folders")
    return FoundFiles(tuple(files), tuple(ignored))


def _sources(place: Path, shown: str) -> list[ImportFile]:
    lower, size = place.name.lower(), place.stat().st_size
    if not lower.endswith(ENDINGS):
        raise ImportFileError(f"not a kind of file that holds candles ({', '.join(ENDINGS)})")
    _check_sum(place)
    if not lower.endswith(".zip"):
        return [ImportFile(place, shown, size)]
    with _zip(place) as archive:
        members = [one.filename for one in archive.infolist() if one.filename.lower().endswith(_TEXT)]
    if not members:
        raise ImportFileError("an archive without CSV or JSON files")
    names = [f"{shown}: {_printable(member)}" if len(members) > 1 else shown for member in members]
    return [ImportFile(place, name, size // len(members), member) for name, member in zip(names, members, strict=True)]


@contextmanager
def _zip(place: Path) -> Iterator[zipfile.ZipFile]:
    if (size := place.stat().st_size) > MAX_IMPORT_ZIP_BYTES:
        raise ImportFileError(
            f"expected an archive of at most {MAX_IMPORT_ZIP_BYTES // 2**20} MiB, got {size // 2**20}; unpack it"
        )
    try:
        with open_zip(place.read_bytes(), files=MAX_IMPORT_FILES) as archive:
            yield archive
    except ImportFileError:
        raise
    except Exception as error:  # as above
        raise ImportFileError(f"the zip archive cannot be read: {error}") from error


def _check_sum(place: Path) -> None:
    """Compare with the file of checksums that lies beside it, as Binance publishes it (the form of sha256sum)."""
    beside = place.with_name(f"{place.name}.CHECKSUM")
    if not beside.is_file():
        return
    with beside.open("rb") as stream:
        match = _CHECKSUM.fullmatch(stream.read(400))
    if match is None:
        raise ImportFileError(f"{beside.name} is not in the format of sha256sum; download it again")
    with place.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != match[1].decode().lower():
        raise ImportFileError(
            f"its sha256 is {found[:12]}…, {beside.name} says {match[1][:12].decode().lower()}…; download it again"
        )


def _printable(name: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in name)[-80:]
