"""The feature rows of a live decision: as many of the newest as the model looks at, or why they may not be used.

The newest row is made of the newest `schema.history_bars` bars alone, whatever the window of the model: it is stored with the
signal, and whoever derives it again from these bars finds the same bits. Older rows of a window lie deeper in the history.
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
    """Why the rows may not be used: a code of `why_incomplete`, and the facts behind it."""

    code: str
    detail: str


def newest_rows(scorer: Scorer, bars: Bars, reference: Bars | None) -> NDArray[np.float64] | IncompleteRows:
    """Return (window_bars, f) rows of the newest bars, oldest first, each complete and no minute missing between them.

    bars: the newest `scorer.history_bars` of the symbol; reference: those of the symbol that the schema compares with.
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
    """Refuse what float32, the precision of the models, cannot hold: one such symbol must not fail the cycle of all."""
    with np.errstate(over="ignore"):
        fits = bool(np.isfinite(rows.astype(np.float32)).all())
    return rows if fits else IncompleteRows(Incomplete.FEATURES_NOT_FINITE, f"{count}, a value beyond float32")
