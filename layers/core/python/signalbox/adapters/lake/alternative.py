"""Files of alternative data in the lake: one for a source, kind and UTC day, verified as a whole when it is read.

A file is gzip of JSON lines: a line that states what it holds, its rows and their checksum, then a list a row, values as text.
It is no Parquet, because the function that writes it has the exchanges' layer, and Arrow beside that would be too large for
Lambda. A bad file is set aside in `quarantine/` and treated as absent, so the next run fetches what the source still has.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import logging
import re
import zlib
from collections.abc import Iterator, Sequence
from datetime import date
from decimal import Decimal
from typing import Any, Final

from signalbox.adapters.lake.stores import LakeStore
from signalbox.alternative.collection import ObservationDay
from signalbox.alternative.observations import MarketObservation, ObservationKind
from signalbox.errors import SignalboxError
from signalbox.market.candles import from_ms, to_ms
from signalbox.wire import parse, parse_object

FOLDER: Final = "alt"
MAX_UNPACKED_BYTES: Final = 32 * 2**20  # a hundred times a busy day of liquidations
_FORMAT: Final = "1"
_PATH: Final = re.compile(r"^alt/source=([a-z0-9]+)/kind=([a-z_]+)/date=(\d{4}-\d{2}-\d{2})\.jsonl\.gz$")
_GZIP: Final = 31  # zlib's window bits for a gzip file
_log: Final = logging.getLogger(__name__)


class ObservationFileError(SignalboxError):
    """A file of observations that does not verify."""


class StoredObservations:
    """ObservationLake on a folder or bucket."""

    def __init__(self, store: LakeStore) -> None:
        self._store = store

    def days(self, source: str, kind: ObservationKind) -> Sequence[ObservationDay]:
        """Return the days that have a file, oldest first."""
        return sorted(_days(self._store.paths(f"{FOLDER}/source={source}/kind={kind}/")))

    def all_days(self) -> Sequence[ObservationDay]:
        """Return the days of every source and kind."""
        return sorted(_days(self._store.paths(f"{FOLDER}/")))

    def read(self, day: ObservationDay) -> tuple[MarketObservation, ...]:
        """Return a day's observations; none if no file is readable. A bad file is set aside and logged."""
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

    def inspect(self, day: ObservationDay) -> tuple[MarketObservation, ...]:
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
            raise ObservationFileError(f"{day.path}: expected observations of this source, kind and day, got {one.key}")
    rows = [
        [*(to_ms(at) for at in (one.observed_at, one.published_at, one.known_at)), one.subject, one.item, str(one.value)]
        for one in observations
    ]
    body = "".join(json.dumps(row, separators=(",", ":")) + "\n" for row in rows)
    facts = {**_facts(day), "rows": len(rows), "sha256": hashlib.sha256(body.encode()).hexdigest()}
    return gzip.compress((json.dumps(facts, separators=(",", ":")) + "\n" + body).encode(), mtime=0)


def decode_observations(day: ObservationDay, content: bytes) -> tuple[MarketObservation, ...]:
    """Return the observations in a file's content, verified. Raises ObservationFileError."""
    try:
        found = _verified(day, _unpacked(content))
    except ObservationFileError as error:
        raise ObservationFileError(f"{day.path}: {error}") from error
    except (ValueError, TypeError, LookupError, ArithmeticError, OSError, zlib.error, SignalboxError) as error:
        raise ObservationFileError(f"{day.path}: {type(error).__name__}: {str(error)[:200]}") from error
    return found


def _facts(day: ObservationDay) -> dict[str, str]:
    return {"format": _FORMAT, "source": day.source, "kind": day.kind.value, "date": day.day.isoformat()}


def _unpacked(content: bytes) -> str:
    """Return a file's text. A small file may ask for gigabytes, so it is unpacked up to a limit."""
    unpacking = zlib.decompressobj(_GZIP)
    found = unpacking.decompress(content, MAX_UNPACKED_BYTES)
    if not unpacking.eof or unpacking.unused_data:
        raise ObservationFileError(f"expected one whole gzip file of at most {MAX_UNPACKED_BYTES} bytes")
    return found.decode()


def _verified(day: ObservationDay, text: str) -> tuple[MarketObservation, ...]:
    head, _, body = text.partition("\n")
    stated = parse_object(head)
    if {name: stated.get(name) for name in _facts(day)} != _facts(day):
        raise ObservationFileError(f"expected a first line with {_facts(day)}, got {head[:200]}")
    lines = body.splitlines()
    if stated.get("rows") != len(lines) or stated.get("sha256") != hashlib.sha256(body.encode()).hexdigest():
        raise ObservationFileError("the rows differ from the row count or the sha256 in the first line")
    found = tuple(_observation(day, parse(line)) for line in lines)
    if other := next((one for one in found if one.observed_at.date() != day.day), None):
        raise ObservationFileError(f"expected values of {day.day}, got one of {other.observed_at.isoformat()}")
    return found


def _observation(day: ObservationDay, row: Any) -> MarketObservation:
    observed, published, known, subject, item, value = row
    return MarketObservation(
        day.source, day.kind, str(subject), from_ms(observed), from_ms(published), from_ms(known), Decimal(value), str(item)
    )
