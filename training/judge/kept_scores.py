"""What a model said of a day of a symbol is kept, so that the next backtest or evaluation of the same candles need not ask again.

A day is known by the very numbers that its graphs are given, and a model by its manifest, which holds the hash of every graph:
other candles, features, windows or weights are other keys, and an answer cannot be out of date. One SQLite file a model; a
file that cannot be read is begun anew, because all that it holds can be computed.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from signalbox.inference.ensemble import Ensemble
from training.data.dataset import Dataset
from training.errors import TrainingError

_FORMAT: Final = 1
_KEYS_AT_ONCE: Final = 500  # SQLite takes at most 999 parameters in old builds
_DIGEST_BYTES: Final = 32


class KeptScores:
    """Probabilities by model and content. Several processes may share a folder: an answer is written whole or not at all."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.reused = 0  # decisions that were found, of all that were asked for

    def find(self, ensemble: Ensemble, keys: Sequence[bytes]) -> dict[bytes, NDArray[np.float64]]:
        """Return the probabilities that are kept of these keys."""
        path, found = self.path_of(ensemble), dict[bytes, NDArray[np.float64]]()
        if not path.is_file():
            return found
        try:
            with closing(_open(path)) as base:
                for start in range(0, len(keys), _KEYS_AT_ONCE):
                    part = keys[start : start + _KEYS_AT_ONCE]
                    marks = ", ".join("?" * len(part))
                    rows = base.execute(f"SELECT key, probability FROM scores WHERE key IN ({marks})", part)  # noqa: S608 - marks
                    found |= {key: np.frombuffer(value, "<f8") for key, value in rows}
        except (sqlite3.DatabaseError, ValueError, TypeError):  # the file, or what stands in it, is none of ours
            return {}  # `keep` begins it anew
        return found

    def keep(self, ensemble: Ensemble, scored: Mapping[bytes, NDArray[np.float64]]) -> None:
        """Add answers. Raises TrainingError where they cannot be written."""
        rows = [(key, np.ascontiguousarray(value, "<f8").tobytes()) for key, value in scored.items()]
        path = self.path_of(ensemble)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            try:
                _add(path, rows)
            except sqlite3.OperationalError:  # locked, or no room: not the file's fault
                raise
            except sqlite3.DatabaseError:
                for name in (path.name, f"{path.name}-wal", f"{path.name}-shm"):
                    path.with_name(name).unlink(missing_ok=True)  # a journal of the old file is none of the new one
                _add(path, rows)
        except (OSError, sqlite3.Error) as error:
            raise TrainingError(
                f"{path}: scores cannot be kept ({error}); choose another folder with --scores, or none with --fresh"
            ) from error

    def path_of(self, ensemble: Ensemble) -> Path:
        """Return the file of a model, as this version of the runtime computes it."""
        model = hashlib.sha256(f"{_FORMAT} {onnxruntime.__version__} {ensemble.manifest.model_dump_json()}".encode())
        return self._folder / f"{ensemble.name}-{model.hexdigest()[:24]}.sqlite"


def days_of(data: Dataset, day_ms: int) -> list[NDArray[np.int64]]:
    """Return the rows of each symbol's days, in time order within: what is scored at once, whatever the period around it is."""
    order = np.lexsort((data.decided_at_ms, data.symbol))
    group = np.stack((data.symbol[order], data.decided_at_ms[order] // day_ms))
    begins = np.flatnonzero((group[:, 1:] != group[:, :-1]).any(axis=0)) + 1
    return np.split(order, begins) if order.shape[0] else []


def key_of(data: Dataset, rows: NDArray[np.int64], window_bars: int) -> bytes:
    """Return the digest of all that the graphs see of some decisions of one symbol: rows of the bars, and where windows end."""
    bar = data.bar[rows]
    first, last = int(bar.min()) - (window_bars - 1), int(bar.max())
    seen = data.tensor[first : last + 1]
    digest = hashlib.blake2b(f"{window_bars} {seen.shape} {data.schema.hash}".encode(), digest_size=_DIGEST_BYTES)
    digest.update(np.ascontiguousarray(bar - first, "<i8").data)
    digest.update(np.ascontiguousarray(seen, "<f4").data)
    return digest.digest()


def _open(path: Path) -> sqlite3.Connection:
    base = sqlite3.connect(path, timeout=30.0)
    with suppress(sqlite3.OperationalError):  # a file system without it keeps SQLite's own journal
        base.execute("PRAGMA journal_mode = WAL")
    base.execute("PRAGMA synchronous = NORMAL")
    return base


def _add(path: Path, rows: Sequence[tuple[bytes, bytes]]) -> None:
    with closing(_open(path)) as base, base:
        base.execute("CREATE TABLE IF NOT EXISTS scores (key BLOB PRIMARY KEY, probability BLOB NOT NULL) WITHOUT ROWID")
        base.executemany("INSERT OR IGNORE INTO scores VALUES (?, ?)", rows)
