"""Joins rows of an outside file with a day of the lake, column by column.

No existing minute changes unless the caller allows it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from signalbox.adapters.lake.day_file import DayFile
from signalbox.market.candles import from_ms
from signalbox.market.lake import MINUTES_OF_DAY, VALUES, DayKey


@dataclass(frozen=True, slots=True, eq=False)
class FreshDay:
    """Rows of one day, sorted, each minute once.

    times: (n,) open times in milliseconds. texts: for each of VALUES an Arrow text array of n canonical numbers.
    """

    key: DayKey
    times: NDArray[np.int64]
    texts: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Conflict:
    """A minute on which the lake and a file disagree: the numbers of VALUES as text."""

    open_time: datetime
    held: tuple[str, ...]
    fresh: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class MergedColumns:
    """A day after a merge, and what the fresh rows changed."""

    times: NDArray[np.int64]
    texts: tuple[Any, ...]
    asked_until: datetime
    added: int
    conflicts: tuple[Conflict, ...]
    is_changed: bool


def merge_columns(held: DayFile | None, fresh: FreshDay, *, replace: bool) -> MergedColumns:
    """Return the union by minute. Where the two disagree, the held row stays; with `replace`, the fresh row takes its place.

    A day with a row of every minute counts as asked for to its end. Of any other the file does not say whether an absent
    minute is empty or missing, so the day stays open and `collect` asks the venue.
    """
    none = np.empty(0, dtype=np.int64)
    held_times = none if held is None else held.open_time_ms
    held_texts = [_flat(None if held is None else held.table.column(name)) for name in VALUES]
    _, in_held, in_fresh = np.intersect1d(held_times, fresh.times, assume_unique=True, return_indices=True)
    differs = _differing(held_texts, in_held, fresh.texts, in_fresh)
    conflicts = _conflicts(held_times, held_texts, in_held[differs], fresh.texts, in_fresh[differs])
    taken = np.ones(len(fresh.times), dtype=np.bool_)
    taken[in_fresh] = False
    added = int(taken.sum())
    kept = np.ones(len(held_times), dtype=np.bool_)
    if replace:
        taken[in_fresh[differs]] = True
        kept[in_held[differs]] = False
    times = np.concatenate([held_times[kept], fresh.times[taken]])
    order = np.argsort(times, kind="stable")
    texts = tuple(
        pa.concat_arrays([old.filter(pa.array(kept)), new.filter(pa.array(taken))]).take(pa.array(order))
        for old, new in zip(held_texts, fresh.texts, strict=True)
    )
    asked = fresh.key.end if len(times) == MINUTES_OF_DAY else fresh.key.start
    asked_until = asked if held is None else max(asked, held.asked_until)
    is_changed = held is None or bool(taken.any()) or asked_until != held.asked_until
    return MergedColumns(times[order], texts, asked_until, added, conflicts, is_changed)


def _flat(column: Any) -> Any:
    if column is None or not column.num_chunks:
        return pa.array([], pa.string())
    return column.chunk(0)


def _differing(
    held: Sequence[Any], in_held: NDArray[np.int64], fresh: Sequence[Any], in_fresh: NDArray[np.int64]
) -> NDArray[np.bool_]:
    found = np.zeros(len(in_held), dtype=np.bool_)
    for old, new in zip(held, fresh, strict=True):
        same = pc.equal(old.take(pa.array(in_held)), new.take(pa.array(in_fresh)))
        found |= ~same.to_numpy(zero_copy_only=False).astype(np.bool_)
    return found


def _conflicts(
    times: NDArray[np.int64], held: Sequence[Any], in_held: NDArray[np.int64], fresh: Sequence[Any], in_fresh: NDArray[np.int64]
) -> tuple[Conflict, ...]:
    old = [column.take(pa.array(in_held)).to_pylist() for column in held]
    new = [column.take(pa.array(in_fresh)).to_pylist() for column in fresh]
    rows = zip(times[in_held].tolist(), zip(*old, strict=True), zip(*new, strict=True), strict=True)
    return tuple(Conflict(from_ms(at), before, after) for at, before, after in rows)
