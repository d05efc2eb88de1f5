"""Computes a FeatureMatrix from bars, for years of history and for a live window alike, and says why a row is unusable."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from signalbox.features.nodes import Series
from signalbox.features.program import BLOCK_BARS, BlockRun
from signalbox.features.schema import FeatureSchema, FeatureSchemaError
from signalbox.features.windows import WINDOW_UNIT
from signalbox.market.candles import MINUTE_MS, Bars, Symbol, from_ms


class Incomplete(StrEnum):
    """Why no decision may be made on a row."""

    NO_BARS = "NO_BARS"
    INSUFFICIENT_HISTORY = "INSUFFICIENT_HISTORY"
    GAP_IN_WINDOW = "GAP_IN_WINDOW"
    TOO_MANY_EMPTY = "TOO_MANY_EMPTY"  # minutes without a trade, more than the schema allows
    REFERENCE_MISSING = "REFERENCE_MISSING"
    FEATURES_NOT_FINITE = "FEATURES_NOT_FINITE"


@dataclass(frozen=True, slots=True, eq=False)
class FeatureMatrix:
    """Features of one symbol, with one row per bar that is known at the bar's close.

    open_time_ms: (n,) int64. values: (n, f) float64 in schema order, NaN during warm-up. is_complete: (n,) bool, whether the row
    may be one of those that a decision is made on; `why_incomplete` says whether the decision may be made.
    has_reference: (n,) bool, whether the reference has the minutes that the row needs; always true for a schema without one.
    """

    symbol: Symbol
    schema: FeatureSchema
    open_time_ms: NDArray[np.int64]
    values: NDArray[np.float64]
    is_complete: NDArray[np.bool_]
    has_reference: NDArray[np.bool_]

    def __len__(self) -> int:
        return int(self.open_time_ms.shape[0])

    def column(self, name: str) -> NDArray[np.float64]:
        """Return one feature's column, (n,). Raises FeatureSchemaError if the schema has no such feature."""
        if name not in self.schema.names:
            raise FeatureSchemaError(f"expected a feature of {self.schema.name}, got {name!r}")
        return self.values[:, self.schema.names.index(name)]

    @property
    def gap_fraction(self) -> NDArray[np.float64]:
        """The share of minutes missing in the span of the newest 1440 bars, for each row: (n,)."""
        return self.column("gap_fraction_1440")


def compute_features(schema: FeatureSchema, bars: Bars, *, reference: Bars | None = None) -> FeatureMatrix:
    """Return the features of every bar.

    Only existing bars are used; no gap is filled. The reference is matched by open time. It may be omitted for a schema without
    a reference, and for the reference symbol itself. Raises FeatureSchemaError if a price is not finite and positive, a volume is
    negative or not finite, a time is not a whole minute, or the reference is missing or of another symbol.
    """
    _check(bars)
    beside = _reference_of(schema, bars, reference)
    n, f = len(bars), len(schema.features)
    columns = np.empty((f, n))
    complete, has_reference = np.zeros(n, dtype=np.bool_), np.zeros(n, dtype=np.bool_)
    if n < schema.warmup_bars:
        columns.fill(np.nan)
        has_reference[:] = beside is None
        return FeatureMatrix(bars.symbol, schema, bars.open_time_ms, columns.T, complete, has_reference)
    size = min(BLOCK_BARS, -(-n // WINDOW_UNIT) * WINDOW_UNIT)
    run = BlockRun(schema.program, size)
    judged = np.empty((len(schema.program.outputs) - f, size))
    with np.errstate(all="ignore"):  # NaN and infinity may arise here; rows that have them are marked incomplete
        for start in range(0, n, size):
            cut = slice(start, min(start + size, n))
            block, rows = columns[:, cut], cut.stop - start
            run.compute(_inputs(bars, beside, cut), [*block, *judged[:, :rows]])
            has_reference[cut] = _is_referenced(schema, judged[:, :rows])
            complete[cut] = _is_finite(block) & _is_contiguous(schema, judged[0, :rows]) & has_reference[cut]
            if schema.most_empty_bars is not None:
                complete[cut] &= schema.contiguous_bars - judged[-1, :rows] <= schema.most_empty_bars
    columns[:, : schema.warmup_bars - 1] = np.nan
    complete[: schema.warmup_bars - 1] = False
    return FeatureMatrix(bars.symbol, schema, bars.open_time_ms, columns.T, complete, has_reference)


def compute_all(schema: FeatureSchema, series: Sequence[Bars], *, workers: int = 2) -> tuple[FeatureMatrix, ...]:
    """Return the features of several symbols, in order, computed in parallel. The reference is one of the given series.

    numpy and TA-Lib release the interpreter lock while they compute, so threads are enough.
    """
    reference = find_reference(schema, series)
    with ThreadPoolExecutor(workers) as pool:
        return tuple(pool.map(lambda bars: compute_features(schema, bars, reference=reference), series))


def why_incomplete(matrix: FeatureMatrix, rows: int = 1) -> str | None:
    """Return why the newest rows are unusable, as an Incomplete code, or None if a decision may be made on them.

    A decision needs each of the rows to be complete, and no minute to be missing among those that the rows need whole, but for
    `most_missing_bars`, which lie before the newest `whole_bars`.
    """
    if len(matrix) == 0:
        return Incomplete.NO_BARS
    if len(matrix) < matrix.schema.warmup_bars + rows - 1:
        return Incomplete.INSUFFICIENT_HISTORY
    needed = bool(have_enough_minutes(matrix.schema, matrix.open_time_ms, np.array([len(matrix) - 1]), rows)[0])
    if matrix.is_complete[-rows:].all() and needed:
        return None
    if not matrix.has_reference[-rows:].all():
        return Incomplete.REFERENCE_MISSING
    if not np.isfinite(matrix.values[-rows:]).all():
        return Incomplete.FEATURES_NOT_FINITE
    return Incomplete.TOO_MANY_EMPTY if needed else Incomplete.GAP_IN_WINDOW


def have_enough_minutes(
    schema: FeatureSchema, open_time_ms: NDArray[np.int64], at: NDArray[np.int64], rows: int
) -> NDArray[np.bool_]:
    """Return (k,) bool: whether the minutes that a decision on the `rows` rows up to each of `at` needs are there.

    open_time_ms: (n,) int64, sorted. at: (k,) int64, rows of it; false for those before which there are too few bars.
    """

    def missing(bars: int) -> NDArray[np.int64]:
        first = np.maximum(at - (bars - 1), 0)
        absent: NDArray[np.int64] = (open_time_ms[at] - open_time_ms[first]) // MINUTE_MS - (at - first)
        return absent

    needed = rows + schema.contiguous_bars - 1
    enough: NDArray[np.bool_] = (at >= needed - 1) & (missing(needed) <= schema.most_missing_bars)
    if schema.most_missing_bars:
        enough &= missing(schema.whole_bars) == 0
    return enough


def find_reference(schema: FeatureSchema, series: Iterable[Bars]) -> Bars | None:
    """Return the bars of the schema's reference symbol, None if it has none. Raises FeatureSchemaError if they are missing."""
    if schema.reference_symbol is None:
        return None
    found = list(series)
    for bars in found:
        if bars.symbol == schema.reference_symbol:
            return bars
    symbols = ", ".join(bars.symbol for bars in found) or "none"
    raise FeatureSchemaError(f"{schema.name}: expected bars of the reference {schema.reference_symbol} among {symbols}")


def _reference_of(schema: FeatureSchema, bars: Bars, reference: Bars | None) -> Bars | None:
    """Return the reference bars to use, after checking them."""
    if schema.reference_symbol is None:
        return None
    if reference is None and bars.symbol == schema.reference_symbol:
        return bars
    if reference is None or reference.symbol != schema.reference_symbol:
        given = "none" if reference is None else reference.symbol
        raise FeatureSchemaError(
            f"{bars.symbol}: {schema.name} expects bars of {schema.reference_symbol} as its reference, got {given}"
        )
    _check(reference)
    return reference


def _inputs(bars: Bars, reference: Bars | None, cut: slice) -> list[Series]:
    """Return the columns of BAR_INPUTS for the bars in a slice."""
    times = bars.open_time_ms[cut]
    columns = [bars.open[cut], bars.high[cut], bars.low[cut], bars.close[cut], bars.volume[cut]]
    columns = [np.ascontiguousarray(column, dtype=np.float64) for column in columns]
    return [*columns, (times // MINUTE_MS + 1).astype(np.float64), _matched_close(times, reference)]


def _matched_close(times: NDArray[np.int64], reference: Bars | None) -> Series:
    """Return the reference's close at each of these open times, NaN where it has no bar."""
    matched = np.full(times.shape[0], np.nan)
    if reference is None or not len(reference):
        return matched
    cut = slice(*np.searchsorted(reference.open_time_ms, [times[0], times[-1] + 1]).tolist())
    there, close = reference.open_time_ms[cut], reference.close[cut]
    if np.array_equal(there, times):
        return close.astype(np.float64)
    at = np.searchsorted(there, times)
    same = at < there.shape[0]
    same[same] = there[at[same]] == times[same]
    matched[same] = close[at[same]]
    return matched


def _is_finite(columns: NDArray[np.float64]) -> NDArray[np.bool_]:
    finite: NDArray[np.bool_] = np.isfinite(columns[0])
    for column in columns[1:]:
        finite &= np.isfinite(column)
    return finite


def _is_contiguous(schema: FeatureSchema, spanned: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return whether the newest minutes of each row are there. spanned: minutes that its newest `contiguous_bars` bars span."""
    contiguous: NDArray[np.bool_] = spanned - schema.contiguous_bars <= schema.most_missing_bars
    return contiguous


def _is_referenced(schema: FeatureSchema, judged: NDArray[np.float64]) -> NDArray[np.bool_]:
    if schema.reference is None:
        return np.ones(judged.shape[1], dtype=np.bool_)
    enough: NDArray[np.bool_] = judged[2] >= schema.reference.least_bars
    enough &= judged[1] == schema.reference.recent_bars
    return enough


def _check(bars: Bars) -> None:
    prices = (bars.open, bars.high, bars.low, bars.close)
    # comparisons with NaN are false; single rows are checked only to report which ones are wrong
    possible = [len(bars) == 0 or (price.min() > 0 and price.max() < np.inf) for price in prices]
    possible.append(len(bars) == 0 or (bars.volume.min() >= 0 and bars.volume.max() < np.inf))
    if not all(possible):
        good = np.isfinite(bars.volume) & (bars.volume >= 0)
        for price in prices:
            good &= np.isfinite(price) & (price > 0)
        first = from_ms(int(bars.open_time_ms[np.argmin(good)])).isoformat()
        raise FeatureSchemaError(
            f"{bars.symbol}: expected finite prices above 0 and volumes of 0 or more, but {int((~good).sum())} bars differ; "
            f"the first is {first}"
        )
    if (bars.open_time_ms % MINUTE_MS).any():
        raise FeatureSchemaError(f"{bars.symbol}: expected open times on whole minutes")
