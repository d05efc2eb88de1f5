"""Building blocks of features: series as expressions. Each can be computed in two ways that give identical bits.

A Node describes a series: `block` computes it for many bars at once (numpy, TA-Lib), `step` for one bar at a time. Both methods
are abstract, so every feature exists in batch and in the stream. Nodes compare by value, so a series that several features share
is computed once. Series that need older bars are in windows.py; in this module each value comes from its own bar.
"""

from __future__ import annotations

import functools
import math
import operator
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

Series: TypeAlias = NDArray[np.float64]
Operand: TypeAlias = "Node | float"
BarUpdate: TypeAlias = Callable[..., float]  # takes the newest value of each input and returns the newest value


class Scratch:
    """Working memory of one block while it runs; the next block reuses it."""

    def __init__(self) -> None:
        self._floats: list[Series] = []
        self._flags = np.empty(0, dtype=np.bool_)

    def floats(self, index: int, size: int) -> Series:
        """Return (size,) uninitialised numbers. index: tells apart the arrays that a block needs at the same time."""
        while len(self._floats) <= index:
            self._floats.append(np.empty(0))
        if self._floats[index].shape[0] < size:
            self._floats[index] = np.empty(size)
        return self._floats[index][:size]

    def flags(self, size: int) -> NDArray[np.bool_]:
        """Return (size,) uninitialised flags."""
        if self._flags.shape[0] < size:
            self._flags = np.empty(size, dtype=np.bool_)
        return self._flags[:size]


Block: TypeAlias = Callable[[Sequence[Series | float], Series, Scratch], None]  # takes consecutive bars of each input, fills out


class Node(ABC):
    """A series with one float64 value per bar, computed from that bar and older ones."""

    @property
    @abstractmethod
    def inputs(self) -> tuple[Operand, ...]:
        """The operands that this node is computed from."""

    @abstractmethod
    def block(self) -> Block:
        """Return a new computation over blocks of bars, oldest first. It never writes to its inputs."""

    @abstractmethod
    def step(self) -> BarUpdate:
        """Return a new computation of one bar at a time; a StatefulUpdate if it must remember older bars."""

    def __add__(self, other: Operand) -> Node:
        return Apply("add", (self, other))

    def __radd__(self, other: float) -> Node:
        return Apply("add", (other, self))

    def __sub__(self, other: Operand) -> Node:
        return Apply("subtract", (self, other))

    def __rsub__(self, other: float) -> Node:
        return Apply("subtract", (other, self))

    def __mul__(self, other: Operand) -> Node:
        return Apply("multiply", (self, other))

    def __rmul__(self, other: float) -> Node:
        return Apply("multiply", (other, self))

    def __truediv__(self, other: Operand) -> Node:
        return Apply("divide", (self, other))

    def __rtruediv__(self, other: float) -> Node:
        return Apply("divide", (other, self))

    def __neg__(self) -> Node:
        return Apply("negative", (self,))


@dataclass(frozen=True)
class Input(Node):
    """A column of the bars, named as in BAR_INPUTS."""

    name: str

    @property
    @override
    def inputs(self) -> tuple[Operand, ...]:
        return ()

    @override
    def block(self) -> Block:
        raise TypeError(f"{self.name} is an input column and cannot be computed")

    @override
    def step(self) -> BarUpdate:
        raise TypeError(f"{self.name} is an input column and cannot be computed")


OPEN: Final = Input("open")
HIGH: Final = Input("high")
LOW: Final = Input("low")
CLOSE: Final = Input("close")
VOLUME: Final = Input("volume")
CLOSE_MINUTE: Final = Input("close_minute")  # whole minutes from the epoch to the bar's close
REFERENCE: Final = Input("reference_close")  # close of the reference's bar of the same minute, NaN if there is none
BAR_INPUTS: Final = (OPEN, HIGH, LOW, CLOSE, VOLUME, CLOSE_MINUTE, REFERENCE)


@dataclass(frozen=True)
class Operation:
    """Arithmetic on the values of one bar. `block` and `step` round in the same way."""

    block: Callable[..., object]  # (*inputs, out=series)
    step: BarUpdate


def _maximum(a: float, b: float) -> float:
    return a if a >= b or a != a else b  # noqa: PLR0124 - NaN wins, as in numpy


def _minimum(a: float, b: float) -> float:
    return a if a <= b or a != a else b  # noqa: PLR0124 - as above


def _directional(move: Series, other: Series, *, out: Series) -> None:
    """Wilder's directional movement: `move` if it is positive and larger than `other`, else 0."""
    np.copyto(out, move)
    out[move <= np.maximum(other, 0.0)] = 0.0


def _directional_step(move: float, other: float) -> float:
    return 0.0 if move <= _maximum(other, 0.0) else move


def _known(values: Series, *, out: Series) -> None:
    np.copyto(out, np.isfinite(values))


def _or_zero(values: Series, *, out: Series) -> None:
    np.copyto(out, values)
    out[~np.isfinite(values)] = 0.0


def _log(value: float) -> float:
    return float(np.log(value))  # not math.log: the two differ in the last bit


def _log1p(value: float) -> float:
    return float(np.log1p(value))


OPERATIONS: Final[Mapping[str, Operation]] = {
    "add": Operation(np.add, operator.add),
    "subtract": Operation(np.subtract, operator.sub),
    "multiply": Operation(np.multiply, operator.mul),
    "divide": Operation(np.divide, operator.truediv),  # only by what cannot be 0, such as prices; otherwise use Ratio
    "negative": Operation(np.negative, operator.neg),
    "absolute": Operation(np.abs, abs),
    "floor": Operation(np.floor, lambda x: float(math.floor(x))),
    "sqrt": Operation(np.sqrt, math.sqrt),
    "log": Operation(np.log, _log),
    "log1p": Operation(np.log1p, _log1p),
    "maximum": Operation(np.maximum, _maximum),
    "minimum": Operation(np.minimum, _minimum),
    "directional": Operation(_directional, _directional_step),
    "known": Operation(_known, lambda x: 1.0 if math.isfinite(x) else 0.0),
    "or_zero": Operation(_or_zero, lambda x: x if math.isfinite(x) else 0.0),
}


@dataclass(frozen=True)
class Apply(Node):
    """One of OPERATIONS applied to its operands."""

    operation: str
    operands: tuple[Operand, ...]

    @property
    @override
    def inputs(self) -> tuple[Operand, ...]:
        return self.operands

    @override
    def block(self) -> Block:
        compute = OPERATIONS[self.operation].block

        def run(inputs: Sequence[Series | float], out: Series, _scratch: Scratch) -> None:
            compute(*inputs, out=out)

        return run

    @override
    def step(self) -> BarUpdate:
        return OPERATIONS[self.operation].step


@dataclass(frozen=True)
class Ratio(Node):
    """numerator / denominator, or `otherwise` if the denominator is not above `floor`; NaN if either of the two is NaN."""

    numerator: Node
    denominator: Node
    otherwise: Operand
    floor: Operand = 0.0

    @property
    @override
    def inputs(self) -> tuple[Operand, ...]:
        return (self.numerator, self.denominator, self.otherwise, self.floor)

    @override
    def block(self) -> Block:
        return _ratio

    @override
    def step(self) -> BarUpdate:
        return _ratio_step


def _ratio(inputs: Sequence[Series | float], out: Series, scratch: Scratch) -> None:
    numerator, denominator, otherwise, floor = inputs
    np.divide(numerator, denominator, out=out)
    small = np.less_equal(denominator, floor, out=scratch.flags(out.shape[0]))
    if small.any():
        small &= numerator == numerator  # noqa: PLR0124 - a NaN numerator stays NaN
        np.copyto(out, otherwise, where=small)


def _ratio_step(numerator: float, denominator: float, otherwise: float, floor: float) -> float:
    if numerator != numerator or denominator != denominator:  # noqa: PLR0124 - NaN
        return math.nan
    return otherwise if denominator <= floor else numerator / denominator


_WEEKDAY_OF_EPOCH: Final = 3  # 1970-01-01 was a Thursday; Monday is 0
_MINUTES_PER_DAY: Final = 1440


@dataclass(frozen=True)
class Wave(Node):
    """Sine or cosine of the close's position in a period of `period` minutes that starts on a Monday, in steps of `unit`."""

    wave: str  # "sin" or "cos"
    period: int
    unit: int
    minute: Node = CLOSE_MINUTE

    @property
    @override
    def inputs(self) -> tuple[Operand, ...]:
        since_monday = self.minute + float(_WEEKDAY_OF_EPOCH * _MINUTES_PER_DAY)
        whole = Apply("floor", (since_monday / float(self.period),))
        place = since_monday - whole * float(self.period)
        return (place if self.unit == 1 else Apply("floor", (place / float(self.unit),)),)

    @override
    def block(self) -> Block:
        table = _wave_table(self.wave, self.period // self.unit)

        def run(inputs: Sequence[Series | float], out: Series, _scratch: Scratch) -> None:
            np.take(table, np.asarray(inputs[0]).astype(np.intp), out=out, mode="clip")

        return run

    @override
    def step(self) -> BarUpdate:
        table = _wave_table(self.wave, self.period // self.unit).tolist()
        return lambda place: float(table[int(place)])


@functools.cache
def _wave_table(wave: str, count: int) -> Series:
    angles = 2.0 * np.pi * np.arange(count) / count
    table: Series = np.sin(angles) if wave == "sin" else np.cos(angles)
    return table
