"""Decisions with features and dir60 labels, all symbols together. The contract is docs/labels.md.

A decision at t sees the bars closed at or before t, enters at the open of the bar that opens at t, and leaves at the open
of the bar 60 minutes later. Rows that cannot be decided or judged without inventing a bar are left out and counted;
flats stay. A backtest decides without being judged (`unjudged`): there a row stays whose outcome is not known.

Features are kept once for every bar, not for every decision: a window of the newest bars is then a gather from them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from signalbox.features import FeatureMatrix, FeatureSchema, compute_features, find_reference
from signalbox.market.candles import MINUTE_MS, Bars, MarketDataError, Symbol
from training.errors import TrainingError

HORIZON_MINUTES: Final = 60
ENTRY_LAG_BARS: Final = 1  # the bar after the newest closed one
DECISION_MINUTES: Final = 5
PURGE_MS: Final = (HORIZON_MINUTES + ENTRY_LAG_BARS) * MINUTE_MS
_BLOCK: Final = 8_192  # rows turned to float32 at once: they stay in the cache


@dataclass(frozen=True, slots=True)
class RowCounts:
    """What became of the five-minute boundaries of one symbol."""

    boundaries: int
    warm_up: int
    gap_in_features: int  # also rows whose features are not finite
    gap_in_window: int  # the decision's own row is complete, an older one of its window is not
    gap_in_label: int
    beyond_the_end: int
    kept: int
    flats: int  # of the kept rows: entry and exit at the same price


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """Decisions sorted by time, then symbol.

    decided_at_ms: (n,) int64. symbol: (n,) int64 index into `symbols`.
    tensor: (bars, f) float32 in schema order, C-contiguous, the row of every bar of one symbol after the other's; shared by
    every selection, and NaN in warm-up. bar: (n,) int64, where in it the row of each decision's bar is; the `window_bars`
    rows that end there are complete and of consecutive minutes.
    outcome: (n,) float64, simple return from entry to exit. label: (n,) float32, 1 where outcome > 0, else 0 (flats too).
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
        """The row of each decision's bar, (n, f), gathered anew each time."""
        return self.tensor[self.bar]

    def windows(self, rows: slice | NDArray[np.int64] | NDArray[np.bool_], window_bars: int) -> NDArray[np.float32]:
        """Return (k, window_bars, f) rows that end at the bars of some decisions, oldest first, as one gather.

        Raises TrainingError for a window longer than the decisions were chosen for: it could span a gap.
        """
        if not 1 <= window_bars <= self.window_bars:
            raise TrainingError(
                f"expected a window of 1 to {self.window_bars} bars, for which these decisions were chosen, was {window_bars}"
            )
        width = self.tensor.shape[1]
        # rows are contiguous, so a window is one run of numbers: each is copied at once, not row by row
        runs = sliding_window_view(self.tensor.reshape(-1), window_bars * width)[::width]
        return runs[self.bar[rows] - (window_bars - 1)].reshape(-1, window_bars, width)

    def select(self, rows: NDArray[np.bool_] | NDArray[np.int64]) -> Dataset:
        """Return some of the decisions; the rows of the bars are shared, not copied."""
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
    """Return every decision of every symbol whose newest `window_bars` rows are whole; the reference is found among the bars.

    unjudged: also those whose outcome is not known, with an outcome of NaN: what a live cycle would have decided.

    Raises MarketDataError when there is not one, FeatureSchemaError without the reference.
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
        found = ", ".join(f"{one.symbol} {len(one)}" for one in bars)
        raise MarketDataError(
            f"expected more than {schema.history_bars + window_bars - 1 + HORIZON_MINUTES} candles a symbol, was {found}; "
            "no decision has both its features and its outcome"
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
    """Write a symbol's rows into its part of the tensor; return (n,) which are complete, as float32 too."""
    complete = matrix.is_complete.copy()
    for start in range(0, len(matrix), _BLOCK):
        cut = slice(start, start + _BLOCK)
        with np.errstate(over="ignore", invalid="ignore"):
            own[cut] = matrix.values[cut]
        complete[cut] &= np.isfinite(own[cut]).all(axis=1)
    return complete


def rows_in_a_run(open_time_ms: NDArray[np.int64], complete: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return (n,) how many complete rows of consecutive minutes end at each row; 0 where the row is not complete."""
    row = np.arange(complete.shape[0])
    begins = np.ones(complete.shape[0], dtype=np.bool_)
    begins[1:] = (np.diff(open_time_ms) != MINUTE_MS) | ~complete[:-1]
    began = np.maximum.accumulate(np.where(begins, row, 0))
    return np.where(complete, row - began + 1, 0)


def _decisions(
    schema: FeatureSchema, bars: Bars, complete_rows: NDArray[np.bool_], window_bars: int, first: int, *, unjudged: bool
) -> _Part:
    """Return the decisions of one symbol, whose rows begin at `first` of the tensor."""
    close_ms = bars.open_time_ms + MINUTE_MS
    at = np.flatnonzero(close_ms % (DECISION_MINUTES * MINUTE_MS) == 0)
    warm = at >= schema.warmup_bars + window_bars - 2
    complete = complete_rows[at]
    run = complete & (rows_in_a_run(bars.open_time_ms, complete_rows)[at] >= window_bars)
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
        gap_in_features=int((warm & ~complete).sum()),
        gap_in_window=int((warm & complete & ~run).sum()),
        gap_in_label=int((warm & run & known & ~whole).sum()),
        beyond_the_end=int((warm & run & ~known).sum()),
        kept=int(row.shape[0]),
        flats=int((outcome == 0).sum()),
    )
    momentum = bars.close[row] / bars.close[row - HORIZON_MINUTES] - 1.0
    return _Part(close_ms[row], first + row, outcome, momentum, counts)
