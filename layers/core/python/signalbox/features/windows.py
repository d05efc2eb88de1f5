"""Series that need older bars. Blocks and steps add the same numbers in the same order, so both give the same bits.

A running sum that adds the new value and subtracts the old one drifts, and the drift depends on how much history came before.
Here bars are cut into blocks as long as the window (van Herk). A window is the end of one block and the start of the next, each
summed outwards from their boundary. So nothing is ever subtracted, a window of zeros sums to exactly zero, and a bar costs one
addition, plus one pass over the window at the end of each block.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, cast

import numpy as np
import talib
from numpy.typing import NDArray
from typing_extensions import override

from signalbox.features.nodes import BarUpdate, Block, Node, Operand, Scratch, Series

WINDOW_UNIT: Final = 1440  # summed windows divide it and blocks of bars are multiples of it, so a window's block is never split


class StatefulUpdate(ABC):
    """A step with memory that can be saved and loaded without losing a bit."""

    @property
    @abstractmethod
    def size(self) -> int:
        """How many numbers `save` returns."""

    @abstractmethod
    def __call__(self, value: float) -> float: ...

    @abstractmethod
    def save(self) -> Series:
        """Return the memory as (size,) numbers."""

    @abstractmethod
    def load(self, numbers: Series) -> None:
        """Continue from numbers that `save` returned. Raises ValueError for numbers that it cannot have returned."""


def whole_number(number: float, end: float) -> int:
    """Return a position or count that was saved as a float. Raises ValueError unless it is whole, at least 0 and below `end`."""
    if not (0.0 <= number < end and float(number).is_integer()):
        raise ValueError(f"expected a saved position or count from 0 to below {end:g}, got {number}")
    return int(number)


@dataclass(frozen=True)
class WindowNode(Node):
    """A series computed from the newest `window` values of another series."""

    source: Node
    window: int

    @property
    @override
    def inputs(self) -> tuple[Operand, ...]:
        return (self.source,)


@dataclass(frozen=True)
class SummedWindow(WindowNode):
    """A series over a window that is summed in blocks of the window's length."""

    def __post_init__(self) -> None:
        if WINDOW_UNIT % self.window:
            raise ValueError(f"expected a window that divides {WINDOW_UNIT} bars, got {self.window}")


# --- the value some bars ago ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Lag(WindowNode):
    """The value `window` bars ago; NaN if there is none yet."""

    @override
    def block(self) -> Block:
        bars = self.window
        before = np.full(bars, np.nan)

        def run(inputs: Sequence[Series | float], out: Series, _scratch: Scratch) -> None:
            values = cast("Series", inputs[0])
            n = values.shape[0]
            kept = min(bars, n)
            out[:kept] = before[:kept]
            out[kept:] = values[: n - kept]
            before[: bars - kept] = before[kept:].copy()
            before[bars - kept :] = values[n - kept :]

        return run

    @override
    def step(self) -> BarUpdate:
        return _LagStep(self.window)


class _LagStep(StatefulUpdate):
    def __init__(self, bars: int) -> None:
        self._bars, self._at = bars, 0
        self._ring = array("d", [np.nan]) * bars

    @property
    @override
    def size(self) -> int:
        return self._bars + 1

    @override
    def __call__(self, value: float) -> float:
        at = self._at
        old = self._ring[at]
        self._ring[at] = value
        at += 1
        self._at = at if at < self._bars else 0
        return old

    @override
    def save(self) -> Series:
        return np.array([self._at, *self._ring])

    @override
    def load(self, numbers: Series) -> None:
        self._at, self._ring = whole_number(numbers[0], self._bars), array("d", numbers[1:].tobytes())


# --- sums ----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class RollingSum(SummedWindow):
    """The sum of the newest `window` values; NaN until there are `window` values, and while one of them is NaN."""

    @override
    def block(self) -> Block:
        window = self.window
        before = np.full(window, np.nan)

        def run(inputs: Sequence[Series | float], out: Series, scratch: Scratch) -> None:
            _window_sums(cast("Series", inputs[0]), window, before, out, scratch)

        return run

    @override
    def step(self) -> BarUpdate:
        return _SumStep(self.window)


def _window_sums(values: Series, window: int, before: Series, out: Series, scratch: Scratch) -> None:
    """Fill `out`. before: sums to the end of the previous block; updated for the next call."""
    n = values.shape[0]
    size = -(-n // window) * window
    if size != n:  # the newest bars fill only a part of their window's block
        padded, whole = scratch.floats(0, size), scratch.floats(1, size)
        padded[:n], padded[n:] = values, 0.0
        _window_sums(padded, window, before, whole, scratch)
        out[:] = whole[:n]
        return
    grid, to_end = values.reshape(-1, window), scratch.floats(2, window + n)
    to_end[:window] = before
    np.add.accumulate(grid[:, ::-1], axis=1, out=to_end[window:].reshape(-1, window)[:, ::-1])
    before[:] = to_end[n:]
    to_end[::window] = 0.0  # at the end of a block the window is exactly that block
    np.add.accumulate(grid, axis=1, out=out.reshape(-1, window))
    out += to_end[1 : n + 1] if window > 1 else 0.0


class _SumStep(StatefulUpdate):
    def __init__(self, window: int) -> None:
        self._window, self._at, self._sum = window, 0, 0.0
        self._bind(np.zeros(window), np.full(window, np.nan))

    def _bind(self, values: Series, to_end: Series) -> None:
        """Copy both arrays into `array` objects for access by bar, with numpy views of the same memory for passes."""
        self._values, self._to_end = array("d", values.tobytes()), array("d", to_end.tobytes())
        self._values_view = np.frombuffer(self._values, dtype=np.float64)
        self._to_end_view = np.frombuffer(self._to_end, dtype=np.float64)

    @property
    @override
    def size(self) -> int:
        return 2 + 2 * self._window

    @override
    def __call__(self, value: float) -> float:
        at = self._at
        self._values[at] = value
        self._sum = total = value if at == 0 else self._sum + value
        at += 1
        if at < self._window:
            self._at = at
            return total + self._to_end[at]
        self._at = 0
        np.add.accumulate(self._values_view[::-1], out=self._to_end_view[::-1])
        return total

    @override
    def save(self) -> Series:
        return np.concatenate(([self._at, self._sum], self._values_view, self._to_end_view))

    @override
    def load(self, numbers: Series) -> None:
        self._at, self._sum = whole_number(numbers[0], self._window), float(numbers[1])
        self._bind(numbers[2 : 2 + self._window], numbers[2 + self._window :])


# --- extremes ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Extreme(WindowNode):
    @override
    def block(self) -> Block:
        window, function = self.window, talib.MAX if isinstance(self, RollingMax) else talib.MIN
        before = np.full(window - 1, np.nan)

        def run(inputs: Sequence[Series | float], out: Series, scratch: Scratch) -> None:
            values = cast("Series", inputs[0])
            joined = scratch.floats(0, window - 1 + values.shape[0])
            joined[: window - 1], joined[window - 1 :] = before, values
            if joined.shape[0] - np.isnan(before).sum() < window:
                out[:] = np.nan
            else:
                out[:] = function(joined, timeperiod=window)[window - 1 :]
            before[:] = joined[values.shape[0] :]

        return run

    @override
    def step(self) -> BarUpdate:
        return _ExtremeStep(self.window, highest=isinstance(self, RollingMax))


@dataclass(frozen=True)
class RollingMax(_Extreme):
    """The largest of the newest `window` values, none of which may be NaN; NaN until there are `window` values."""


@dataclass(frozen=True)
class RollingMin(_Extreme):
    """The smallest of the newest `window` values, none of which may be NaN; NaN until there are `window` values."""


class _ExtremeStep(StatefulUpdate):
    def __init__(self, window: int, *, highest: bool) -> None:
        self._window, self._at, self._best, self._highest = window, 0, 0.0, highest
        self._values = np.zeros(window)
        self._to_end = array("d", [np.nan]) * window

    @property
    @override
    def size(self) -> int:
        return 2 + 2 * self._window

    @override
    def __call__(self, value: float) -> float:
        at = self._at
        self._values[at] = value
        if at == 0 or (value > self._best if self._highest else value < self._best):
            self._best = value
        best = self._best
        at += 1
        if at == self._window:
            self._at = 0
            accumulate = np.maximum.accumulate if self._highest else np.minimum.accumulate
            self._to_end = array("d", accumulate(self._values[::-1])[::-1].tobytes())
            return best
        self._at = at
        older = self._to_end[at]
        if older != older:  # noqa: PLR0124 - NaN: there is no whole window yet
            return older
        return max(best, older) if self._highest else min(best, older)

    @override
    def save(self) -> Series:
        return np.concatenate(([self._at, self._best], self._values, np.array(self._to_end)))

    @override
    def load(self, numbers: Series) -> None:
        self._at, self._best = whole_number(numbers[0], self._window), float(numbers[1])
        self._values = numbers[2 : 2 + self._window].copy()
        self._to_end = array("d", numbers[2 + self._window :].tobytes())


# --- TA-Lib's exponential average ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Ema(WindowNode):
    """TA-Lib's EMA over `window` bars. It starts at the first finite value and is NaN for good after a later non-finite one."""

    @override
    def block(self) -> Block:
        span = self.window
        last = np.nan
        begun = False

        def run(inputs: Sequence[Series | float], out: Series, _scratch: Scratch) -> None:
            nonlocal last, begun
            values = cast("Series", inputs[0])
            if not begun:
                out[:] = talib.EMA(values, timeperiod=span) if np.isfinite(values).sum() >= span else np.nan
            elif np.isfinite(last):
                out[:] = talib.EMA(np.concatenate((_history_of(last, span), values)), timeperiod=span)[span + 1 :]
            else:
                out[:] = np.nan
            first = 0 if begun else int(np.argmax(np.isfinite(values)))
            if not np.isfinite(out[-1]) and not np.isfinite(values[first:]).all():
                out[first + int(np.argmin(np.isfinite(values[first:]))) :] = np.nan
            begun, last = True, float(out[-1])

        return run

    @override
    def step(self) -> BarUpdate:
        return _EmaStep(self.window)


def _history_of(average: float, span: int) -> Series:
    """Return `span + 1` values whose EMA is exactly `average`, so that TA-Lib continues from it.

    TA-Lib starts with the mean of `span` values, which cannot equal every float; the last value makes up the difference.
    """
    history = np.zeros(span + 1)
    history[0] = average * span
    start = history[0] / span
    history[span] = start + (average - start) * (span + 1) / 2.0
    return history


class _EmaStep(StatefulUpdate):
    """TA-Lib's stream handle, the only implementation that rounds like TA-Lib's batch (its C code uses fused multiply-add)."""

    _WAITING, _RUNNING, _BROKEN = 0.0, 1.0, 2.0

    def __init__(self, span: int) -> None:
        self._span, self._stage = span, self._WAITING
        self._first: list[float] = []
        self._handle: talib.stream.EMA | None = None

    @property
    @override
    def size(self) -> int:
        return 3 + self._span

    @override
    def __call__(self, value: float) -> float:
        if value - value != 0.0:  # not finite
            if self._stage == self._RUNNING or self._first:
                self._handle, self._stage = None, self._BROKEN
            return np.nan
        if self._handle is not None:
            return float(self._handle.update(value))
        if self._stage == self._BROKEN:
            return np.nan
        self._first.append(value)
        if len(self._first) < self._span:
            return np.nan
        return self._open(np.array(self._first))

    def _open(self, history: NDArray[np.float64]) -> float:
        self._handle, self._stage, self._first = talib.stream.EMA(history, timeperiod=self._span), self._RUNNING, []
        return float(self._handle.value)

    @override
    def save(self) -> Series:
        numbers = np.zeros(self.size)
        numbers[:3] = self._stage, 0.0 if self._handle is None else self._handle.value, len(self._first)
        numbers[3 : 3 + len(self._first)] = self._first
        return numbers

    @override
    def load(self, numbers: Series) -> None:
        self._stage, self._handle = float(whole_number(numbers[0], self._BROKEN + 1.0)), None
        self._first = numbers[3 : 3 + whole_number(numbers[2], self._span)].tolist()
        if self._stage == self._RUNNING:
            history = _history_of(float(numbers[1]), self._span)
            if not np.isfinite(history).all():
                raise ValueError(f"expected a finite average, got {numbers[1]}")
            self._open(history)
