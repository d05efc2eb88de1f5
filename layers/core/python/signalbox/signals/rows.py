"""The newest feature rows for a live decision, as many as the model needs, or the reason why they are unusable.

The newest row is computed from exactly the newest `schema.history_bars` bars, whatever the model's window. It is stored with the
signal, and computing it again from these bars gives the same bits. Older rows of a window use bars further back.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from signalbox.features import Incomplete, compute_features, why_incomplete
from signalbox.market.candles import Bars
from signalbox.signals.model import Scorer


@dataclass(frozen=True, slots=True)
class IncompleteRows:
    """Why the rows are unusable: a code of `why_incomplete`, and the facts behind it."""

    code: str
    detail: str


def newest_rows(scorer: Scorer, bars: Bars, reference: Bars | None) -> NDArray[np.float64] | IncompleteRows:
    """Return (window_bars, f) rows of the newest bars, oldest first; all are complete and no minute is missing between them.

    bars: the symbol's newest `scorer.history_bars`. reference: those of the schema's reference symbol.
    """
    schema, window_bars = scorer.schema, scorer.window_bars
    newest = compute_features(
        schema, bars.last(schema.history_bars), reference=None if reference is None else reference.last(schema.history_bars)
    )
    count = f"{len(bars)} bars of {scorer.history_bars}"
    if window_bars == 1:
        lacking = why_incomplete(newest)
        return _scorable(newest.values[-1:], count) if lacking is None else IncompleteRows(lacking, count)
    whole = compute_features(schema, bars, reference=reference)
    lacking = why_incomplete(newest) or why_incomplete(whole, window_bars)
    if lacking is not None:
        complete = int(whole.is_complete[-window_bars:].sum())
        return IncompleteRows(lacking, f"{count}, {complete} complete rows of the newest {window_bars}")
    return _scorable(np.concatenate((whole.values[-window_bars:-1], newest.values[-1:])), count)


def _scorable(rows: NDArray[np.float64], count: str) -> NDArray[np.float64] | IncompleteRows:
    """Refuse values that do not fit float32, the models' precision: one such symbol must not fail the cycle of all symbols."""
    with np.errstate(over="ignore"):
        fits = bool(np.isfinite(rows.astype(np.float32)).all())
    return rows if fits else IncompleteRows(Incomplete.FEATURES_NOT_FINITE, f"{count}, a value beyond float32")
