"""Decisions of all symbols together, with features and the labels of a contract (docs/contracts.md; docs/labels.md for dir60).

A decision at t sees the bars that closed at or before t, enters at the open of the bar that opens at t, and leaves at the open of
the bar that opens when the contract's horizon ends, or at a barrier. A row is left out and counted if its features or its outcome
would need an invented bar, or a volatility that is not known. Flat outcomes are kept. A backtest makes decisions without judging
them (`unjudged`), so it also keeps rows whose outcome is unknown.
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
from signalbox.labels import DIR60, LabelKind, SignalContract
from signalbox.labels.settlement import settle_rows
from signalbox.labels.volatility import volatilities
from signalbox.market.candles import MINUTE_MS, Bars, MarketDataError, Symbol
from training.errors import TrainingError

HORIZON_MINUTES: Final = DIR60.horizon_minutes
ENTRY_LAG_BARS: Final = DIR60.entry_lag_bars  # entry is at the open of the bar after the newest closed one
DECISION_MINUTES: Final = DIR60.decision_minutes
PURGE_MS: Final = DIR60.window_minutes * MINUTE_MS
MAX_SCALED_RETURN: Final = 3.0  # volatilities; a larger move counts as this, so that no single day decides the fit
_BLOCK: Final = 8_192  # rows converted to float32 at a time: so many stay in the cache


@dataclass(frozen=True, slots=True)
class RowCounts:
    """How many five-minute boundaries of one symbol became decisions, and why the others did not."""

    boundaries: int
    warm_up: int
    gap_in_features: int  # includes rows with features that are not finite
    gap_in_window: int  # the decision's own row is complete, but an older row of its window is not
    gap_in_label: int  # includes rows whose volatility is unknown, if the contract needs it
    beyond_the_end: int
    kept: int
    flats: int  # of the kept rows: entry and exit at the same price


@dataclass(frozen=True, slots=True, eq=False)
class SideOutcomes:
    """What each side would have earned, where a barrier makes SELL more than the opposite of BUY.

    buy_right, sell_right: (n,) bool. buy_earned, sell_earned: (n,) float64, simple return of the side before costs.
    """

    buy_right: NDArray[np.bool_]
    sell_right: NDArray[np.bool_]
    buy_earned: NDArray[np.float64]
    sell_earned: NDArray[np.float64]

    def select(self, rows: NDArray[np.bool_] | NDArray[np.int64]) -> SideOutcomes:
        """Return some of the rows."""
        return SideOutcomes(self.buy_right[rows], self.sell_right[rows], self.buy_earned[rows], self.sell_earned[rows])


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """Decisions sorted by time, then symbol. n is the number of decisions, f the number of features.

    decided_at_ms: (n,) int64, milliseconds since the epoch. symbol: (n,) int64, index into `symbols`.
    tensor: (bars, f) float32 in schema order, C-contiguous: one row per bar, all bars of the first symbol, then all of the
    second, and so on. Every selection shares it. Rows in warm-up are NaN.
    bar: (n,) int64, the tensor row of each decision's bar. The `window_bars` rows that end there are complete, one per minute
    but for as many minutes as the schema lets be missing.
    outcome: (n,) float64, simple return from entry to the end of the horizon.
    label: (n,) float32, 1 where outcome > 0, else 0 (also for flat outcomes).
    momentum: (n,) float64, return of as many bars before the decision as the horizon has, for the base rates.
    volatility: (n,) float64, fraction, of the horizon; None if the contract needs none.
    sides: the outcomes of both sides; None if a SELL is the opposite of a BUY.
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
    contract: SignalContract = DIR60
    volatility: NDArray[np.float64] | None = None
    sides: SideOutcomes | None = None

    def __len__(self) -> int:
        return int(self.decided_at_ms.shape[0])

    @property
    def purge_ms(self) -> int:
        """Milliseconds from a decision until its outcome is known."""
        return self.contract.window_minutes * MINUTE_MS

    @property
    def target(self) -> NDArray[np.float32]:
        """What models are fitted to, (n,): the label, or the return in volatilities of the horizon, cut at three."""
        if self.contract.label is LabelKind.DIRECTION or self.volatility is None:
            return self.label
        return np.clip(self.outcome / self.volatility, -MAX_SCALED_RETURN, MAX_SCALED_RETURN).astype(np.float32)

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
            self.contract,
            None if self.volatility is None else self.volatility[rows],
            None if self.sides is None else self.sides.select(rows),
        )


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    decided_at_ms: NDArray[np.int64]
    bar: NDArray[np.int64]
    outcome: NDArray[np.float64]
    momentum: NDArray[np.float64]
    counts: RowCounts
    volatility: NDArray[np.float64] | None
    sides: SideOutcomes | None


def build_dataset(
    schema: FeatureSchema,
    bars: Sequence[Bars],
    on_symbol: Callable[[Symbol], None] | None = None,
    *,
    window_bars: int = 1,
    unjudged: bool = False,
    contract: SignalContract = DIR60,
) -> Dataset:
    """Return every decision whose newest `window_bars` feature rows are complete, for every symbol.

    bars: must include the reference symbol of the schema.
    on_symbol: called after each symbol.
    unjudged: also return decisions whose outcome is unknown, with an outcome of NaN and neither side right, as a live cycle would
    have made them.
    Raises MarketDataError if there is no decision, FeatureSchemaError without the reference symbol.
    """
    reference = find_reference(schema, bars)
    tensor = np.empty((sum(len(one) for one in bars), len(schema.names)), dtype=np.float32)
    parts: list[_Part] = []
    first = 0
    for one in bars:
        own = tensor[first : first + len(one)]
        complete = _fill(own, compute_features(schema, one, reference=reference))
        parts.append(_decisions(schema, one, complete, window_bars, first, contract=contract, unjudged=unjudged))
        first += len(one)
        if on_symbol is not None:
            on_symbol(one.symbol)
    decided_at = np.concatenate([part.decided_at_ms for part in parts])
    symbol = np.repeat(np.arange(len(parts)), [part.decided_at_ms.shape[0] for part in parts])
    if decided_at.shape[0] == 0:
        found = ", ".join(f"{one.symbol} {len(one):,}" for one in bars)
        needed = schema.history_bars + window_bars - 1 + contract.horizon_minutes
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
        contract,
        _joined([part.volatility for part in parts], order),
        _both_sides([part.sides for part in parts], order),
    )


def _joined(columns: Sequence[NDArray[np.float64] | None], order: NDArray[np.int64]) -> NDArray[np.float64] | None:
    found = [column for column in columns if column is not None]
    return np.concatenate(found)[order] if found else None


def _both_sides(parts: Sequence[SideOutcomes | None], order: NDArray[np.int64]) -> SideOutcomes | None:
    found = [part for part in parts if part is not None]
    if not found:
        return None
    return SideOutcomes(
        np.concatenate([part.buy_right for part in found]),
        np.concatenate([part.sell_right for part in found]),
        np.concatenate([part.buy_earned for part in found]),
        np.concatenate([part.sell_earned for part in found]),
    ).select(order)


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
    schema: FeatureSchema,
    bars: Bars,
    complete_rows: NDArray[np.bool_],
    window_bars: int,
    first: int,
    *,
    contract: SignalContract,
    unjudged: bool,
) -> _Part:
    """Return the decisions of one symbol. Its rows in the tensor begin at `first`."""
    close_ms = bars.open_time_ms + MINUTE_MS
    at = np.flatnonzero(close_ms % (DECISION_MINUTES * MINUTE_MS) == 0)
    warm = at >= max(schema.warmup_bars + window_bars - 2, contract.horizon_minutes)
    complete = complete_rows[at]
    own = complete & have_enough_minutes(schema, bars.open_time_ms, at, 1)
    run = (
        own & (rows_in_a_run(complete_rows)[at] >= window_bars) & have_enough_minutes(schema, bars.open_time_ms, at, window_bars)
    )
    exit_ = at + contract.window_minutes
    known = exit_ < len(bars)
    exit_in = np.minimum(exit_, len(bars) - 1)
    whole = bars.open_time_ms[exit_in] - bars.open_time_ms[at] == contract.window_minutes * MINUTE_MS
    moves = volatilities(bars, at, contract.horizon_minutes) if contract.needs_volatility else None
    barrier_moves = None if contract.barriers is None else volatilities(bars, at, contract.barriers.volatility_minutes)
    for found in (moves, barrier_moves):  # in a market that hardly moves, the one of a shorter time is rounded to 0 first
        if found is not None:
            whole &= np.isfinite(found)
    judged = known & whole
    kept = warm & run & (judged | unjudged)
    row = at[kept]
    entry = np.minimum(row + contract.entry_lag_bars, len(bars) - 1)
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
    momentum = bars.close[row] / bars.close[row - contract.horizon_minutes] - 1.0
    move = None if moves is None else moves[kept]
    sides = None if barrier_moves is None else _sides(bars, row, judged[kept], contract, barrier_moves[kept])
    return _Part(close_ms[row], first + row, outcome, momentum, counts, move, sides)


def _sides(
    bars: Bars, row: NDArray[np.int64], judged: NDArray[np.bool_], contract: SignalContract, moves: NDArray[np.float64]
) -> SideOutcomes:
    """Return what each side earns of the decisions at these rows; nothing of those whose outcome is unknown.

    moves: volatility of each decision over the barriers' minutes.
    """
    entry = row[judged] + contract.entry_lag_bars
    right = np.zeros((2, row.shape[0]), np.bool_)
    earned = np.full((2, row.shape[0]), np.nan)
    for place, side in enumerate((1, -1)):
        found = settle_rows(contract, bars, entry, side, moves[judged])
        right[place, judged], earned[place, judged] = found.right, found.earned
    return SideOutcomes(right[0], right[1], earned[0], earned[1])
