"""Files of alternative data in the lake: one Parquet file for a source, kind and UTC day, verified as a whole when it is read.

Values are text, so they are exact. The footer states what the file holds, its rows and a checksum of them. A bad file is set
aside in `quarantine/` and treated as absent, so the next run fetches what the source still has.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Iterator, Sequence
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from signalbox.adapters.lake.judged import DAY, judge_pages, open_parquet
from signalbox.adapters.lake.stores import LakeStore
from signalbox.alternative.collection import ObservationDay
from signalbox.alternative.observations import MarketObservation, ObservationError, ObservationKind
from signalbox.errors import SignalboxError
from signalbox.limits import MAX_DAY_FILE_BYTES
from signalbox.market.candles import from_ms, to_ms

FOLDER: Final = "alt"
_FORMAT: Final = "1"
_INSTANTS: Final = ("observed_at", "published_at", "known_at")
_TEXTS: Final = ("subject", "item", "value")
_SCHEMA: Final = pa.schema(
    [pa.field(name, pa.timestamp("ms", tz="UTC"), nullable=False) for name in _INSTANTS]
    + [pa.field(name, pa.string(), nullable=False) for name in _TEXTS]
)
_PHYSICAL: Final = {**dict.fromkeys(_INSTANTS, "INT64"), **dict.fromkeys(_TEXTS, "BYTE_ARRAY")}
_FACTS: Final = ("format", "source", "kind", "date", "rows", "sha256")
_PATH: Final = re.compile(r"^alt/source=([a-z0-9]+)/kind=([a-z_]+)/date=(\d{4}-\d{2}-\d{2})\.parquet$")
_log: Final = logging.getLogger(__name__)


class ObservationFileError(SignalboxError):
    """A file of observations that does not verify."""


class StoredObservations:
    """ObservationLake on a folder or bucket."""

    def __init__(self, store: LakeStore) -> None:
        self._store = store

    def days(self, source: str, kind: ObservationKind) -> Sequence[ObservationDay]:
        """Return the days there are files of, oldest first."""
        return sorted(_days(self._store.paths(f"{FOLDER}/source={source}/kind={kind}/")))

    def all_days(self) -> Sequence[ObservationDay]:
        """Return the days of every source and kind."""
        return sorted(_days(self._store.paths(f"{FOLDER}/")))

    def read(self, day: ObservationDay) -> tuple[MarketObservation, ...]:
        """Return a day's observations; none without a file that can be read. A bad file is set aside and logged."""
        content = self._store.read(day.path)
        if content is None:
            return ()
        try:
            return decode_observations(day, content)
        except ObservationFileError as error:
            digest = hashlib.sha256(content).hexdigest()[:12]
            to = f"quarantine/{day.path}.{digest}"
            self._store.set_aside(day.path, content, to)
            _log.error("observation_file_quarantined", extra={"path": day.path, "to": to, "reason": str(error)})
            return ()

    def look_at(self, day: ObservationDay) -> tuple[MarketObservation, ...]:
        """Return a day's observations and change nothing. Raises ObservationFileError for a bad file."""
        content = self._store.read(day.path)
        return () if content is None else decode_observations(day, content)

    def write(self, day: ObservationDay, observations: Sequence[MarketObservation]) -> None:
        """Replace a day's file as one step."""
        self._store.write(day.path, encode_observations(day, observations))


def _days(paths: Sequence[str]) -> Iterator[ObservationDay]:
    for path in paths:
        if (match := _PATH.match(path)) and match[2] in set(ObservationKind):
            yield ObservationDay(match[1], ObservationKind(match[2]), date.fromisoformat(match[3]))


def encode_observations(day: ObservationDay, observations: Sequence[MarketObservation]) -> bytes:
    """Return a day's observations as a file. Raises ObservationFileError for one of another day, source or kind."""
    for one in observations:
        if (one.source, one.kind, one.observed_at.date()) != (day.source, day.kind, day.day):
            raise ObservationFileError(f"{day.path}: expected its own observations, got {one.key}")
    columns: dict[str, list[Any]] = {name: [to_ms(getattr(one, name)) for one in observations] for name in _INSTANTS}
    columns |= {"subject": [one.subject for one in observations], "item": [one.item for one in observations]}
    columns["value"] = [str(one.value) for one in observations]
    table = pa.table(
        [pa.array(columns[name], pa.int64()).cast(pa.timestamp("ms", tz="UTC")) for name in _INSTANTS]
        + [pa.array(columns[name], pa.string()) for name in _TEXTS],
        schema=_SCHEMA,
    )
    facts = {"format": _FORMAT, "source": day.source, "kind": day.kind.value, "date": day.day.isoformat()}
    facts |= {"rows": str(len(observations)), "sha256": _checksum(columns)}
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(sink, _SCHEMA, compression="zstd", use_dictionary=False, store_schema=False) as writer:
        writer.write_table(table)
        writer.add_key_value_metadata({f"signalbox.{name}": facts[name] for name in _FACTS})
    content: bytes = sink.getvalue().to_pybytes()
    return content


def decode_observations(day: ObservationDay, content: bytes) -> tuple[MarketObservation, ...]:
    """Return the observations in a file's content, verified. Raises ObservationFileError."""
    try:
        found = _verified(day, content)
    except ObservationFileError as error:
        raise ObservationFileError(f"{day.path}: {error}") from error
    except Exception as error:  # Arrow raises a dozen error classes for damaged bytes
        raise ObservationFileError(f"{day.path}: {type(error).__name__}: {str(error)[:200]}") from error
    return found


def _verified(day: ObservationDay, content: bytes) -> tuple[MarketObservation, ...]:
    if len(content) > MAX_DAY_FILE_BYTES:
        raise ObservationFileError(f"expected at most {MAX_DAY_FILE_BYTES} bytes, got {len(content)}")
    buffer = pa.py_buffer(content)
    file = open_parquet(buffer, DAY)
    stated = {name: (file.metadata.metadata or {}).get(f"signalbox.{name}".encode(), b"").decode() for name in _FACTS}
    wanted = {"format": _FORMAT, "source": day.source, "kind": day.kind.value, "date": day.day.isoformat()}
    if {name: stated[name] for name in wanted} != wanted:
        raise ObservationFileError(f"expected {wanted}, the footer states {stated}")
    judge_pages(buffer, file, _PHYSICAL, DAY)
    table = file.read(use_threads=False)
    columns = {name: table.column(name).cast(pa.int64()).to_pylist() for name in _INSTANTS}
    columns |= {name: table.column(name).to_pylist() for name in _TEXTS}
    if str(table.num_rows) != stated["rows"] or _checksum(columns) != stated["sha256"]:
        raise ObservationFileError("its rows are not those that the footer states")
    return tuple(_observation(day, *row) for row in zip(*(columns[name] for name in (*_INSTANTS, *_TEXTS)), strict=True))


def _observation(  # noqa: PLR0917 - the columns
    day: ObservationDay, observed: int, published: int, known: int, subject: str, item: str, value: str
) -> MarketObservation:
    try:
        instants: tuple[datetime, ...] = from_ms(observed), from_ms(published), from_ms(known)
        found = MarketObservation(day.source, day.kind, subject, *instants, Decimal(value), item)
    except (ObservationError, InvalidOperation) as error:
        raise ObservationFileError(str(error)) from error
    if found.observed_at.date() != day.day:
        raise ObservationFileError(f"expected values of {day.day}, got {found.observed_at.isoformat()}")
    return found


def _checksum(columns: dict[str, list[Any]]) -> str:
    found = hashlib.sha256()
    for name in (*_INSTANTS, *_TEXTS):
        for value in columns[name]:
            text = str(value).encode()
            found.update(len(text).to_bytes(4, "big") + text)
    return found.hexdigest()
