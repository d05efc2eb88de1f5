"""The manifest of a dump: what was dumped and when, the version of the schema, and the hash that verifies each part.

A dump is a folder: `manifest.json` and parts. A part is the text of PostgreSQL's COPY, compressed, of some rows of one table. The
manifest is written last, so what has none is no dump.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from datetime import UTC, date, datetime
from typing import Annotated, Final

from pydantic import AwareDatetime, Field, ValidationError

from signalbox.backup.errors import DumpDamagedError
from signalbox.frozen import FrozenModel
from signalbox.wire import WireError, parse_object

FORMAT: Final = 1
MANIFEST: Final = "manifest.json"
MAX_PART_BYTES: Final = 256 * 1024 * 1024  # uncompressed: one row may be large, a part is not unbounded
_MAX_MANIFEST_BYTES: Final = 16 * 1024 * 1024

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Identifier = Annotated[str, Field(pattern=r"^[a-z_][a-z0-9_]{0,62}$")]  # as it may stand in a statement without quotes
Count = Annotated[int, Field(ge=0)]


class DumpPart(FrozenModel):
    """Some rows of a table, in order. sha256 and bytes are of the uncompressed text."""

    file: Annotated[str, Field(pattern=r"^[a-z_][a-z0-9_]{0,62}-\d{5}\.gz$")]
    rows: Count
    bytes: Annotated[int, Field(ge=0, le=MAX_PART_BYTES)]
    sha256: Sha256


class DumpTable(FrozenModel):
    """A table, its columns in the order of the text, and its parts in order. sha256: of the text of all of them."""

    name: Identifier
    columns: Annotated[tuple[Identifier, ...], Field(min_length=1)]
    rows: Count
    sha256: Sha256
    parts: tuple[DumpPart, ...]


class AppliedMigration(FrozenModel):
    """A migration that the dumped schema had."""

    version: Annotated[int, Field(ge=1)]
    sha256: Sha256


class DumpManifest(FrozenModel):
    """Everything that a restore needs to know before it changes the database."""

    format: int
    dumped_at: AwareDatetime
    migrations: Annotated[tuple[AppliedMigration, ...], Field(min_length=1)]
    candle_months: tuple[date, ...]
    sequences: dict[Identifier, Count]  # the last number that was given out; 0: none yet
    tables: tuple[DumpTable, ...]

    @property
    def schema_version(self) -> int:
        """The number of the newest migration of the dumped schema."""
        return max(migration.version for migration in self.migrations)

    @property
    def rows(self) -> int:
        """The number of rows of all tables."""
        return sum(table.rows for table in self.tables)

    def content(self) -> bytes:
        """Return the manifest as the bytes that are stored."""
        return self.model_dump_json(indent=1).encode() + b"\n"


def read_manifest(content: bytes, place: str) -> tuple[DumpManifest, str]:
    """Return a manifest and its sha256, which identifies the dump. Raises DumpDamagedError that names the wrong field."""
    try:
        found = DumpManifest.model_validate_json(content) if _is_object(content) else None
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        where = ".".join(map(str, first["loc"])) or "its text"
        raise DumpDamagedError(f"{place}: {where}: {first['msg']}; the manifest is cut short, or belongs to no dump") from None
    if found is None:
        raise DumpDamagedError(
            f"{place}: expected a JSON object, got something else; the manifest is cut short, or belongs to no dump"
        )
    if found.format != FORMAT:
        raise DumpDamagedError(
            f"{place}: expected dump format {FORMAT}, got {found.format}; restore it with the release that wrote it"
        )
    for table in found.tables:
        if table.rows != (rows := sum(part.rows for part in table.parts)):
            raise DumpDamagedError(f"{place}: table {table.name}: expected {table.rows} rows, its parts state {rows}")
        if [part.file for part in table.parts] != [part_name(table.name, number) for number in range(len(table.parts))]:
            raise DumpDamagedError(
                f"{place}: table {table.name}: expected parts from {part_name(table.name, 0)} on, each once and in order"
            )
    if len({table.name for table in found.tables}) != len(found.tables):
        raise DumpDamagedError(f"{place}: a table is named twice")
    return found, hashlib.sha256(content).hexdigest()


def _is_object(content: bytes) -> bool:
    try:
        parse_object(content, max_bytes=_MAX_MANIFEST_BYTES)
    except WireError:
        return False
    return True


_DUMP_NAME: Final = re.compile(r"\d{8}T\d{6}Z")


def dump_name(at: datetime) -> str:
    """Return the name of the folder of a dump made at an instant: `20261128T023000Z`."""
    return f"{at.astimezone(UTC):%Y%m%dT%H%M%SZ}"


def newest_of(names: Iterable[str]) -> str | None:
    """Return the newest of the names that are names of dumps; None if there is none."""
    return max((name for name in names if _DUMP_NAME.fullmatch(name)), default=None)


def part_name(table: str, number: int) -> str:
    """Return the file name of a part: `order_events-00003.gz`."""
    return f"{table}-{number:05d}.gz"
