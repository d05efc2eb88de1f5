"""From bars to a FeatureMatrix, the same for years and for a live window, and why its newest row may not be used."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from signalbox.features.schema import FeatureSchema, FeatureSchemaError
from signalbox.features.workspace import Workspace
from signalbox.market.candles import MINUTE_MS, Bars, Symbol, from_ms


class Incomplete(StrEnum):
    """Why a row may not be decided on."""

    NO_BARS = "NO_BARS"
    INSUFFICIENT_HISTORY = "INSUFFICIENT_HISTORY"
    GAP_IN_WINDOW = "GAP_IN_WINDOW"
    FEATURES_NOT_FINITE = "FEATURES_NOT_FINITE"


@dataclass(frozen=True, slots=True, eq=False)
class FeatureMatrix:
    """Features of one symbol, one row a bar, knowable at that bar's close.

    open_time_ms: (n,) int64. values: (n, f) float64 in schema order, NaN during warm-up. is_complete: (n,) bool.
    """

    symbol: Symbol
    schema: FeatureSchema
    open_time_ms: NDArray[np.int64]
    values: NDArray[np.float64]
    is_complete: NDArray[np.bool_]

    def __len__(self) -> int:
        return int(self.open_time_ms.shape[0])

    def column(self, name: str) -> NDArray[np.float64]:
        """Return one feature, (n,). Raises FeatureSchemaError for a name the schema lacks."""
        if name not in self.schema.names:
            raise FeatureSchemaError(f"expected a feature of {self.schema.name}, was {name!r}")
        return self.values[:, self.schema.names.index(name)]

    @property
    def gap_fraction(self) -> NDArray[np.float64]:
        """Share of missing minutes among the day's bars before each row, (n,)."""
        return self.column("gap_fraction_1440")


def compute_features(schema: FeatureSchema, bars: Bars) -> FeatureMatrix:
    """Return the features of every bar.

    Runs over the bars that exist; nothing is filled. Raises FeatureSchemaError when prices are not finite and positive,
    volumes are negative or not finite, or times are not whole minutes.
    """
    _check(bars)
    n = len(bars)
    columns = np.full((len(schema.features), n), np.nan)
    if n >= schema.warmup_bars:
        start = schema.warmup_bars - 1
        with np.errstate(all="ignore"):  # NaN and infinity are allowed to arise here: such rows are flagged below
            workspace = Workspace(bars)
            for column, feature in zip(columns, schema.features, strict=True):
                column[start:] = feature.compute(workspace)[start:]
    complete: NDArray[np.bool_] = np.isfinite(columns).all(axis=0)
    complete &= _contiguous(bars.open_time_ms, schema.contiguous_bars)
    return FeatureMatrix(bars.symbol, schema, bars.open_time_ms, columns.T, complete)


def why_incomplete(matrix: FeatureMatrix) -> str | None:
    """Return the Incomplete code of the newest row, or None when it may be decided on."""
    if len(matrix) == 0:
        return Incomplete.NO_BARS
    if matrix.is_complete[-1]:
        return None
    if len(matrix) < matrix.schema.warmup_bars:
        return Incomplete.INSUFFICIENT_HISTORY
    if not np.isfinite(matrix.values[-1]).all():
        return Incomplete.FEATURES_NOT_FINITE
    return Incomplete.GAP_IN_WINDOW


def _contiguous(open_time_ms: NDArray[np.int64], count: int) -> NDArray[np.bool_]:
    """Whether the newest `count` minutes up to each row are all there."""
    whole = np.zeros(open_time_ms.shape[0], dtype=np.bool_)
    if open_time_ms.shape[0] >= count:
        whole[count - 1 :] = (
            open_time_ms[count - 1 :] - open_time_ms[: open_time_ms.shape[0] - count + 1] == (count - 1) * MINUTE_MS
        )
    return whole


def _check(bars: Bars) -> None:
    prices = np.stack((bars.open, bars.high, bars.low, bars.close))
    bad = ~(np.isfinite(prices) & (prices > 0)).all(axis=0) | ~(np.isfinite(bars.volume) & (bars.volume >= 0))
    if bad.any():
        first = from_ms(int(bars.open_time_ms[np.argmax(bad)])).isoformat()
        raise FeatureSchemaError(
            f"{bars.symbol}: expected finite prices above 0 and volumes of 0 or more, was not so in {int(bad.sum())} bars, "
            f"first {first}"
        )
    if (bars.open_time_ms % MINUTE_MS).any():
        raise FeatureSchemaError(f"{bars.symbol}: expected open times on whole minutes")
