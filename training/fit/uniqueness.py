"""Sample weights by label uniqueness: decisions five minutes apart share most of an hour's outcome with their neighbours.

The concurrency of a minute is the number of labels of the same symbol whose window covers it. The uniqueness of a label is the
mean of 1 / concurrency over its window (Lopez de Prado, Advances in Financial Machine Learning, 4.3-4.4).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from signalbox.market.candles import MINUTE_MS
from training.data.dataset import HORIZON_MINUTES, Dataset


def average_uniqueness(decided_at_ms: NDArray[np.int64], minutes: int = HORIZON_MINUTES) -> NDArray[np.float64]:
    """Return (n,) uniqueness in (0, 1] of one symbol's labels. A label covers the `minutes` after its decision.

    decided_at_ms: (n,) milliseconds at whole minutes, in any order, without duplicates.
    """
    if decided_at_ms.shape[0] == 0:
        return np.empty(0)
    at = (decided_at_ms - decided_at_ms.min()) // MINUTE_MS
    change = np.zeros(int(at.max()) + minutes + 1, dtype=np.int64)
    np.add.at(change, at, 1)
    np.add.at(change, at + minutes, -1)
    concurrency = np.cumsum(change)[:-1]
    share = np.concatenate(([0.0], np.cumsum(1.0 / np.maximum(concurrency, 1))))
    mean: NDArray[np.float64] = (share[at + minutes] - share[at]) / minutes
    return mean


def uniqueness_weights(data: Dataset) -> NDArray[np.float32]:
    """Return (n,) weights with mean 1 for the rows of a period; uniqueness is computed per symbol."""
    weights = np.ones(len(data))
    for symbol in range(len(data.symbols)):
        own = data.symbol == symbol
        weights[own] = average_uniqueness(data.decided_at_ms[own], data.contract.horizon_minutes)
    scaled: NDArray[np.float32] = (weights / weights.mean()).astype(np.float32)
    return scaled
