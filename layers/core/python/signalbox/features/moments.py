"""Mean and deviation of a window, computed relative to prices inside it so that no digits cancel when prices hardly move.

As in windows.py, a window consists of the end of one block and the start of the next. Here each part is summed as distances from
its own anchor inside the window: the last value of the older block and the first value of the newer one.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
from typing_extensions import override

from signalbox.features.nodes import BarUpdate, Block, Scratch, Series
from signalbox.features.windows import StatefulUpdate, SummedWindow, whole_number


@dataclass(frozen=True)
class WindowMean(SummedWindow):
    """The mean of the newest `window` values minus the newest value; NaN until there are `window` values."""

    @override
    def block(self) -> Block:
        return _block(self.window, squares=False)

    @override
    def step(self) -> BarUpdate:
        return _MeanStep(self.window)


@dataclass(frozen=True)
class WindowDeviation(SummedWindow):
    """The population standard deviation of the newest `window` values; NaN until there are `window` values."""

    @override
    def block(self) -> Block:
        return _block(self.window, squares=True)

    @override
    def step(self) -> BarUpdate:
        return _DeviationStep(self.window)


def _block(window: int, *, squares: bool) -> Block:
    before = np.full((3, window), np.nan)  # the previous block's values, and sums of distances and of squares to its end
    left = np.arange(window - 1, -1, -1, dtype=np.float64)  # how many values of the older block are still in the window

    def run(inputs: Sequence[Series | float], out: Series, scratch: Scratch) -> None:
        values = cast("Series", inputs[0])
        n = values.shape[0]
        size = -(-n // window) * window
        joined, from_start, to_end, work = (scratch.floats(i, window + size) for i in range(4))
        joined[:window], joined[window : window + n], joined[window + n :] = before[0], values, 0.0
        blocks = joined.reshape(-1, window)
        newer, anchor = blocks[1:], blocks[:-1, -1:]
        distance = np.subtract(newer, newer[:, :1], out=work[:size].reshape(newer.shape))
        shift = anchor - newer[:, :1]
        total = _joined_sums(
            distance, shift * left, newer - newer[:, -1:], before=before[1], from_start=from_start[:size], to_end=to_end
        )
        mean = total / window
        if not squares:
            mean -= distance
            out[:] = mean.reshape(-1)[:n]
        else:
            older = to_end.reshape(-1, window)[:-1].copy()
            square = _joined_sums(
                distance * distance,
                shift * (2.0 * _next(older) + left * shift),
                (newer - newer[:, -1:]) ** 2,
                before=before[2],
                from_start=from_start[:size],
                to_end=to_end,
            )
            square /= window
            square -= mean * mean
            out[:] = np.sqrt(np.maximum(square, 0.0, out=square), out=square).reshape(-1)[:n]
        before[0] = blocks[-1]

    return run


def _next(older: Series) -> Series:
    """Return the sums from the following value on: the part of the older block still in the window, 0 at the block's end."""
    shifted = np.zeros_like(older)
    shifted[:, :-1] = older[:, 1:]
    return shifted


def _joined_sums(newer: Series, shifted: Series, older: Series, *, before: Series, from_start: Series, to_end: Series) -> Series:
    """Return the newer part's sums plus the older part's sums and shift. Updates `before`; leaves the older sums in `to_end`."""
    window = newer.shape[1]
    grid = to_end.reshape(-1, window)
    grid[0] = before
    np.add.accumulate(older[:, ::-1], axis=1, out=grid[1:, ::-1])
    before[:] = grid[-1]
    total = np.add.accumulate(newer, axis=1, out=from_start.reshape(newer.shape))
    result: Series = total.copy()
    result[:, :-1] += grid[:-1, 1:] + shifted[:, :-1]
    return result


class _MomentsStep(StatefulUpdate):
    """Running sums of distances and squared distances: from the newer block's start, and to the older block's end."""

    def __init__(self, window: int) -> None:
        self._window, self._at = window, 0
        self._anchor = self._older_anchor = self._sum = self._squares = math.nan
        self._values = np.zeros(window)
        self._to_end, self._squares_to_end = array("d", [math.nan]) * window, array("d", [math.nan]) * window

    @property
    @override
    def size(self) -> int:
        return 5 + 3 * self._window

    @override
    def save(self) -> Series:
        head = [self._at, self._anchor, self._older_anchor, self._sum, self._squares]
        return np.concatenate((head, self._values, np.array(self._to_end), np.array(self._squares_to_end)))

    @override
    def load(self, numbers: Series) -> None:
        self._at = whole_number(numbers[0], self._window)
        self._anchor, self._older_anchor, self._sum, self._squares = numbers[1:5].tolist()
        values, to_end, squares = numbers[5:].reshape(3, self._window)
        self._values = values.copy()
        self._to_end, self._squares_to_end = array("d", to_end.tobytes()), array("d", squares.tobytes())

    def _add(self, value: float) -> tuple[float, float, float]:
        """Return the newest distance, and the window's sums of distances and of squares, all measured from the newer anchor."""
        at = self._at
        self._values[at] = value
        if at == 0:
            self._anchor, self._sum, self._squares = value, 0.0, 0.0
        distance = value - self._anchor
        self._sum += distance
        self._squares += distance * distance
        total, squares = self._sum, self._squares
        at += 1
        if at == self._window:
            self._close_block(value)
            return distance, total, squares
        self._at = at
        shift, left, older = self._older_anchor - self._anchor, float(self._window - at), self._to_end[at]
        squares += self._squares_to_end[at] + shift * (2.0 * older + left * shift)
        return distance, total + (older + shift * left), squares

    def _close_block(self, last: float) -> None:
        backwards = self._values[::-1] - last
        self._to_end = array("d", np.add.accumulate(backwards)[::-1].tobytes())
        self._squares_to_end = array("d", np.add.accumulate(backwards**2)[::-1].tobytes())
        self._at, self._older_anchor = 0, last


class _MeanStep(_MomentsStep):
    @override
    def __call__(self, value: float) -> float:
        distance, total, _ = self._add(value)
        return total / self._window - distance


class _DeviationStep(_MomentsStep):
    @override
    def __call__(self, value: float) -> float:
        _, total, squares = self._add(value)
        mean = total / self._window
        variance = squares / self._window - mean * mean
        return math.nan if math.isnan(variance) else math.sqrt(max(variance, 0.0))
