"""Scores kept on disk, so that the next backtest or evaluation of the same candles need not run the model again.

The key of a symbol's day is a digest of the exact numbers that the model's ONNX graphs receive. The key of a model is its
manifest, which holds the hash of every graph. Other candles, features, windows or weights therefore have other keys, and a score
cannot be out of date. There is one SQLite file per model. A file that cannot be read is started again, because all of it can be
recomputed.
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
_KEYS_AT_ONCE: Final = 500  # old builds of SQLite accept at most 999 parameters
_DIGEST_BYTES: Final = 32


class KeptScores:
    """Probabilities by model and content. Several processes may share a folder: an entry is written whole or not at all."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.reused = 0  # decisions whose score was found here

    def find(self, ensemble: Ensemble, keys: Sequence[bytes]) -> dict[bytes, NDArray[np.float64]]:
        """Return the stored probabilities of these keys."""
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
        except (sqlite3.DatabaseError, ValueError, TypeError):  # the file or its contents are not ours
            return {}  # `keep` starts it again
        return found

    def keep(self, ensemble: Ensemble, scored: Mapping[bytes, NDArray[np.float64]]) -> None:
        """Add scores. Raises TrainingError if they cannot be written."""
        rows = [(key, np.ascontiguousarray(value, "<f8").tobytes()) for key, value in scored.items()]
        path = self.path_of(ensemble)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            try:
                _add(path, rows)
            except sqlite3.OperationalError:  # locked or out of space: the file itself is sound
                raise
            except sqlite3.DatabaseError:
                for name in (path.name, f"{path.name}-wal", f"{path.name}-shm"):
                    path.with_name(name).unlink(missing_ok=True)  # the old file's journal must not be applied to the new file
                _add(path, rows)
        except (OSError, sqlite3.Error) as error:
            raise TrainingError(
                f"{path}: cannot write scores ({error}); choose another folder with --scores, or use none with --fresh"
            ) from error

    def path_of(self, ensemble: Ensemble) -> Path:
        """Return the file for a model. Its name includes the version of the ONNX runtime."""
        model = hashlib.sha256(f"{_FORMAT} {onnxruntime.__version__} {ensemble.manifest.model_dump_json()}".encode())
        return self._folder / f"{ensemble.name}-{model.hexdigest()[:24]}.sqlite"


def days_of(data: Dataset, day_ms: int) -> list[NDArray[np.int64]]:
    """Return the row numbers of each symbol's days, in time order. Each group is scored as one batch, whatever the period."""
    order = np.lexsort((data.decided_at_ms, data.symbol))
    group = np.stack((data.symbol[order], data.decided_at_ms[order] // day_ms))
    begins = np.flatnonzero((group[:, 1:] != group[:, :-1]).any(axis=0)) + 1
    return np.split(order, begins) if order.shape[0] else []


def key_of(data: Dataset, rows: NDArray[np.int64], window_bars: int) -> bytes:
    """Return the digest of the graphs' input for some decisions of one symbol: the rows, and where the windows end."""
    bar = data.bar[rows]
    first, last = int(bar.min()) - (window_bars - 1), int(bar.max())
    seen = data.tensor[first : last + 1]
    digest = hashlib.blake2b(f"{window_bars} {seen.shape} {data.schema.hash}".encode(), digest_size=_DIGEST_BYTES)
    digest.update(np.ascontiguousarray(bar - first, "<i8").data)
    digest.update(np.ascontiguousarray(seen, "<f4").data)
    return digest.digest()


def _open(path: Path) -> sqlite3.Connection:
    base = sqlite3.connect(path, timeout=30.0)
    with suppress(sqlite3.OperationalError):  # a file system that does not support WAL keeps the default journal
        base.execute("PRAGMA journal_mode = WAL")
    base.execute("PRAGMA synchronous = NORMAL")
    return base


def _add(path: Path, rows: Sequence[tuple[bytes, bytes]]) -> None:
    with closing(_open(path)) as base, base:
        base.execute("CREATE TABLE IF NOT EXISTS scores (key BLOB PRIMARY KEY, probability BLOB NOT NULL) WITHOUT ROWID")
        base.executemany("INSERT OR IGNORE INTO scores VALUES (?, ?)", rows)
