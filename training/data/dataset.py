"""Decisions of all symbols together, with features and dir60 labels. docs/labels.md is the contract.

A decision at t sees the bars that closed at or before t, enters at the open of the bar that opens at t, and leaves at the open of
the bar 60 minutes later. A row is left out and counted if its features or its outcome would need an invented bar. Flat outcomes
are kept. A backtest makes decisions without judging them (`unjudged`), so it also keeps rows whose outcome is unknown.
Features are stored once per bar, not once per decision, so a window of the newest bars is one gather.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from signalbox.features import FeatureMatrix, FeatureSchema, compute_features, find_reference, have_enough_minutes
from signalbox.market.candles import MINUTE_MS, Bars, MarketDataError, Symbol
from training.errors import TrainingError

HORIZON_MINUTES: Final = 60
ENTRY_LAG_BARS: Final = 1  # entry is at the open of the bar after the newest closed one
DECISION_MINUTES: Final = 5
PURGE_MS: Final = (HORIZON_MINUTES + ENTRY_LAG_BARS) * MINUTE_MS
_BLOCK: Final = 8_192  # rows converted to float32 at a time: so many stay in the cache


@dataclass(frozen=True, slots=True)
class RowCounts:
    """How many five-minute boundaries of one symbol became decisions, and why the others did not."""

    boundaries: int
    warm_up: int
    gap_in_features: int  # includes rows with features that are not finite
    gap_in_window: int  # the decision's own row is complete, but an older row of its window is not
    gap_in_label: int
    beyond_the_end: int
    kept: int
    flats: int  # of the kept rows: entry and exit at the same price


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """Decisions sorted by time, then symbol. n is the number of decisions, f the number of features.

    decided_at_ms: (n,) int64, milliseconds since the epoch. symbol: (n,) int64, index into `symbols`.
    tensor: (bars, f) float32 in schema order, C-contiguous: one row per bar, all bars of the first symbol, then all of the
    second, and so on. Every selection shares it. Rows in warm-up are NaN.
    bar: (n,) int64, the tensor row of each decision's bar. The `window_bars` rows that end there are complete, one per minute
    but for as many minutes as the schema lets be missing.
    outcome: (n,) float64, simple return from entry to exit.
    label: (n,) float32, 1 where outcome > 0, else 0 (also for flat outcomes).
    momentum: (n,) float64, return of the 60 bars before the decision, for the base rates.
    """

    schema: FeatureSchema
    symbols: tuple[Symbol, ...]
    decided_at_ms: NDArray[np.int64]
    symbol: NDArray[np.int64]
    tensor: NDArray[np.float32]
    bar: NDArray[np.int64]
    outcome: NDArray[np.float64]
    label: NDArray[np.float32]
    momentum: NDArray[np.float64]
    counts: dict[Symbol, RowCounts]
    window_bars: int = 1

    def __len__(self) -> int:
        return int(self.decided_at_ms.shape[0])

    @property
    def features(self) -> NDArray[np.float32]:
        """The feature row of each decision's bar, (n, f). Every call gathers a new copy."""
        return self.tensor[self.bar]

    def windows(self, rows: slice | NDArray[np.int64] | NDArray[np.bool_], window_bars: int) -> NDArray[np.float32]:
        """Return the feature windows of the chosen decisions, (k, window_bars, f), oldest bar first, in one gather.

        rows: which decisions. Raises TrainingError if `window_bars` is longer than the dataset's own: it could span a gap.
        """
        if not 1 <= window_bars <= self.window_bars:
            raise TrainingError(
                f"expected a window of 1 to {self.window_bars} bars, the length this dataset was built for, got {window_bars}"
            )
        width = self.tensor.shape[1]
        # rows are contiguous, so each window is one run of numbers and is copied whole, not row by row
        runs = sliding_window_view(self.tensor.reshape(-1), window_bars * width)[::width]
        return runs[self.bar[rows] - (window_bars - 1)].reshape(-1, window_bars, width)

    def select(self, rows: NDArray[np.bool_] | NDArray[np.int64]) -> Dataset:
        """Return some of the decisions. The tensor is shared, not copied."""
        return Dataset(
            self.schema,
            self.symbols,
            self.decided_at_ms[rows],
            self.symbol[rows],
            self.tensor,
            self.bar[rows],
            self.outcome[rows],
            self.label[rows],
            self.momentum[rows],
            self.counts,
            self.window_bars,
        )


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    decided_at_ms: NDArray[np.int64]
    bar: NDArray[np.int64]
    outcome: NDArray[np.float64]
    momentum: NDArray[np.float64]
    counts: RowCounts


def build_dataset(
    schema: FeatureSchema,
    bars: Sequence[Bars],
    on_symbol: Callable[[Symbol], None] | None = None,
    *,
    window_bars: int = 1,
    unjudged: bool = False,
) -> Dataset:
    """Return every decision whose newest `window_bars` feature rows are complete, for every symbol.

    bars: must include the reference symbol of the schema.
    on_symbol: called after each symbol.
    unjudged: also return decisions whose outcome is unknown, with an outcome of NaN, as a live cycle would have made them.
    Raises MarketDataError if there is no decision, FeatureSchemaError without the reference symbol.
    """
    reference = find_reference(schema, bars)
    tensor = np.empty((sum(len(one) for one in bars), len(schema.names)), dtype=np.float32)
    parts: list[_Part] = []
    first = 0
    for one in bars:
        own = tensor[first : first + len(one)]
        complete = _fill(own, compute_features(schema, one, reference=reference))
        parts.append(_decisions(schema, one, complete, window_bars, first, unjudged=unjudged))
        first += len(one)
        if on_symbol is not None:
            on_symbol(one.symbol)
    decided_at = np.concatenate([part.decided_at_ms for part in parts])
    symbol = np.repeat(np.arange(len(parts)), [part.decided_at_ms.shape[0] for part in parts])
    if decided_at.shape[0] == 0:
        found = ", ".join(f"{one.symbol} {len(one):,}" for one in bars)
        needed = schema.history_bars + window_bars - 1 + HORIZON_MINUTES
        if max(len(one) for one in bars) > needed:
            raise MarketDataError(
                f"expected a decision with its features and its outcome, got none in {found} candles: too many minutes are"
                f" missing (up to {needed:,} candles in a row are needed); `signalbox data report` lists the gaps"
            )
        raise MarketDataError(
            f"expected more than {needed:,} candles a symbol, got {found}; no decision has both its features and its outcome"
        )
    order = np.lexsort((symbol, decided_at))
    outcome = np.concatenate([part.outcome for part in parts])[order]
    return Dataset(
        schema,
        tuple(one.symbol for one in bars),
        decided_at[order],
        symbol[order],
        tensor,
        np.concatenate([part.bar for part in parts])[order],
        outcome,
        (outcome > 0).astype(np.float32),
        np.concatenate([part.momentum for part in parts])[order],
        {one.symbol: part.counts for one, part in zip(bars, parts, strict=True)},
        window_bars,
    )


def _fill(own: NDArray[np.float32], matrix: FeatureMatrix) -> NDArray[np.bool_]:
    """Write a symbol's rows into its part of the tensor. Return (n,) bool: the rows that are complete and finite in float32."""
    complete = matrix.is_complete.copy()
    for start in range(0, len(matrix), _BLOCK):
        cut = slice(start, start + _BLOCK)
        with np.errstate(over="ignore", invalid="ignore"):
            own[cut] = matrix.values[cut]
        complete[cut] &= np.isfinite(own[cut]).all(axis=1)
    return complete


def rows_in_a_run(complete: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return (n,) int64: how many complete rows in succession end at each row; 0 at an incomplete row."""
    row = np.arange(complete.shape[0])
    begins = np.ones(complete.shape[0], dtype=np.bool_)
    begins[1:] = ~complete[:-1]
    began = np.maximum.accumulate(np.where(begins, row, 0))
    return np.where(complete, row - began + 1, 0)


def _decisions(
    schema: FeatureSchema, bars: Bars, complete_rows: NDArray[np.bool_], window_bars: int, first: int, *, unjudged: bool
) -> _Part:
    """Return the decisions of one symbol. Its rows in the tensor begin at `first`."""
    close_ms = bars.open_time_ms + MINUTE_MS
    at = np.flatnonzero(close_ms % (DECISION_MINUTES * MINUTE_MS) == 0)
    warm = at >= schema.warmup_bars + window_bars - 2
    complete = complete_rows[at]
    own = complete & have_enough_minutes(schema, bars.open_time_ms, at, 1)
    run = (
        own & (rows_in_a_run(complete_rows)[at] >= window_bars) & have_enough_minutes(schema, bars.open_time_ms, at, window_bars)
    )
    exit_ = at + ENTRY_LAG_BARS + HORIZON_MINUTES
    known = exit_ < len(bars)
    exit_in = np.minimum(exit_, len(bars) - 1)
    whole = bars.open_time_ms[exit_in] - bars.open_time_ms[at] == PURGE_MS
    judged = known & whole
    kept = warm & run & (judged | unjudged)
    row = at[kept]
    entry = np.minimum(row + ENTRY_LAG_BARS, len(bars) - 1)
    outcome = np.where(judged[kept], bars.open[exit_in[kept]] / bars.open[entry] - 1.0, np.nan)
    counts = RowCounts(
        boundaries=int(at.shape[0]),
        warm_up=int((~warm).sum()),
        gap_in_features=int((warm & ~own).sum()),
        gap_in_window=int((warm & own & ~run).sum()),
        gap_in_label=int((warm & run & known & ~whole).sum()),
        beyond_the_end=int((warm & run & ~known).sum()),
        kept=int(row.shape[0]),
        flats=int((outcome == 0).sum()),
    )
    momentum = bars.close[row] / bars.close[row - HORIZON_MINUTES] - 1.0
    return _Part(close_ms[row], first + row, outcome, momentum, counts)
