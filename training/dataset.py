"""Decisions with features and dir60 labels, all symbols together. The contract is docs/labels.md.

A decision at t sees the bars closed at or before t, enters at the open of the bar that opens at t, and leaves at the open
of the bar 60 minutes later. Rows that cannot be decided or judged without inventing a bar are left out and counted;
flats stay.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from signalbox.features import FeatureSchema, compute_features, find_reference
from signalbox.market.candles import MINUTE_MS, Bars, MarketDataError, Symbol

HORIZON_MINUTES: Final = 60
ENTRY_LAG_BARS: Final = 1  # the bar after the newest closed one
DECISION_MINUTES: Final = 5
PURGE_MS: Final = (HORIZON_MINUTES + ENTRY_LAG_BARS) * MINUTE_MS


@dataclass(frozen=True, slots=True)
class RowCounts:
    """What became of the five-minute boundaries of one symbol."""

    boundaries: int
    warm_up: int
    gap_in_features: int  # also rows whose features are not finite
    gap_in_label: int
    beyond_the_end: int
    kept: int
    flats: int  # of the kept rows: entry and exit at the same price


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """Decisions sorted by time, then symbol.

    decided_at_ms: (n,) int64. symbol: (n,) int64 index into `symbols`. features: (n, f) float32 in schema order.
    outcome: (n,) float64, simple return from entry to exit. label: (n,) float32, 1 where outcome > 0, else 0 (flats too).
    momentum: (n,) float64, return of the 60 bars before the decision, for the base rates.
    """

    schema: FeatureSchema
    symbols: tuple[Symbol, ...]
    decided_at_ms: NDArray[np.int64]
    symbol: NDArray[np.int64]
    features: NDArray[np.float32]
    outcome: NDArray[np.float64]
    label: NDArray[np.float32]
    momentum: NDArray[np.float64]
    counts: dict[Symbol, RowCounts]

    def __len__(self) -> int:
        return int(self.decided_at_ms.shape[0])

    def select(self, rows: NDArray[np.bool_] | NDArray[np.int64]) -> Dataset:
        """Return some of the decisions."""
        return Dataset(
            self.schema,
            self.symbols,
            self.decided_at_ms[rows],
            self.symbol[rows],
            self.features[rows],
            self.outcome[rows],
            self.label[rows],
            self.momentum[rows],
            self.counts,
        )


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    decided_at_ms: NDArray[np.int64]
    features: NDArray[np.float32]
    outcome: NDArray[np.float64]
    momentum: NDArray[np.float64]
    counts: RowCounts


def build_dataset(schema: FeatureSchema, bars: Sequence[Bars], on_symbol: Callable[[Symbol], None] | None = None) -> Dataset:
    """Return every decision of every symbol; the schema's reference is found among them.

    Raises MarketDataError when there is not one, FeatureSchemaError without the reference.
    """
    reference = find_reference(schema, bars)
    parts: list[_Part] = []
    for one in bars:
        parts.append(_decisions(schema, one, reference))
        if on_symbol is not None:
            on_symbol(one.symbol)
    decided_at = np.concatenate([part.decided_at_ms for part in parts])
    symbol = np.repeat(np.arange(len(parts)), [part.decided_at_ms.shape[0] for part in parts])
    if decided_at.shape[0] == 0:
        found = ", ".join(f"{one.symbol} {len(one)}" for one in bars)
        raise MarketDataError(
            f"expected more than {schema.history_bars + HORIZON_MINUTES} candles a symbol, was {found}; "
            "no decision has both its features and its outcome"
        )
    order = np.lexsort((symbol, decided_at))
    outcome = np.concatenate([part.outcome for part in parts])[order]
    return Dataset(
        schema,
        tuple(one.symbol for one in bars),
        decided_at[order],
        symbol[order],
        np.concatenate([part.features for part in parts])[order],
        outcome,
        (outcome > 0).astype(np.float32),
        np.concatenate([part.momentum for part in parts])[order],
        {one.symbol: part.counts for one, part in zip(bars, parts, strict=True)},
    )


def _decisions(schema: FeatureSchema, bars: Bars, reference: Bars | None) -> _Part:
    matrix = compute_features(schema, bars, reference=reference)
    close_ms = bars.open_time_ms + MINUTE_MS
    at = np.flatnonzero(close_ms % (DECISION_MINUTES * MINUTE_MS) == 0)
    warm = at >= schema.warmup_bars - 1
    complete = matrix.is_complete[at]
    exit_ = at + ENTRY_LAG_BARS + HORIZON_MINUTES
    known = exit_ < len(bars)
    exit_in = np.minimum(exit_, len(bars) - 1)
    whole = bars.open_time_ms[exit_in] - bars.open_time_ms[at] == PURGE_MS
    kept = warm & complete & known & whole
    row = at[kept]
    outcome = bars.open[row + ENTRY_LAG_BARS + HORIZON_MINUTES] / bars.open[row + ENTRY_LAG_BARS] - 1.0
    counts = RowCounts(
        boundaries=int(at.shape[0]),
        warm_up=int((~warm).sum()),
        gap_in_features=int((warm & ~complete).sum()),
        gap_in_label=int((warm & complete & known & ~whole).sum()),
        beyond_the_end=int((warm & complete & ~known).sum()),
        kept=int(row.shape[0]),
        flats=int((outcome == 0).sum()),
    )
    momentum = bars.close[row] / bars.close[row - HORIZON_MINUTES] - 1.0
    return _Part(close_ms[row], matrix.values[row].astype(np.float32), outcome, momentum, counts)
