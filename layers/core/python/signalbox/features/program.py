"""The order in which a schema's series are computed, and their computation over years of bars in blocks that fit the cache.

Each distinct series is computed once, after its inputs. One block of bars runs through all series before the next block starts,
in a few reused arrays. Keeping whole columns of intermediate values would write years of data to memory and read it back, which
costs more than the arithmetic.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np

from signalbox.features.nodes import BAR_INPUTS, Block, Input, Node, Scratch, Series
from signalbox.features.windows import WINDOW_UNIT

BLOCK_BARS: Final = 32 * WINDOW_UNIT  # the fastest of the sizes tried with two threads: docs/performance.md

Place: TypeAlias = int


@dataclass(frozen=True)
class ProgramInstruction:
    """Compute `node` from the values at `inputs` and put the result at `output`. The places in `free` are unused afterwards."""

    node: Node
    inputs: tuple[Place, ...]
    output: Place
    free: tuple[Place, ...]


@dataclass(frozen=True)
class Program:
    """Instructions that compute some outputs. Places number BAR_INPUTS first, then constants, then the computed series."""

    constants: tuple[float, ...]
    instructions: tuple[ProgramInstruction, ...]
    outputs: tuple[Place, ...]

    @property
    def places(self) -> int:
        """How many values the program holds."""
        return len(BAR_INPUTS) + len(self.constants) + len(self.instructions)


def compile_program(outputs: Sequence[Node]) -> Program:
    """Return the program that computes these series, each distinct one once."""
    order: dict[Node, None] = {}
    constants: dict[float, None] = {}

    def visit(node: Node) -> None:
        if node in order or isinstance(node, Input):
            return
        for operand in node.inputs:
            if isinstance(operand, Node):
                visit(operand)
            else:
                constants.setdefault(operand)
        order[node] = None

    for node in outputs:
        visit(node)
    first = len(BAR_INPUTS) + len(constants)
    given: list[Node | float] = [*BAR_INPUTS, *constants, *order]
    place_of = {operand: place for place, operand in enumerate(given)}
    inputs = [tuple(place_of[operand] for operand in node.inputs) for node in order]
    kept = {place_of[node] for node in outputs}
    last_use = {place: i for i, places in enumerate(inputs) for place in places if place >= first and place not in kept}
    free = [tuple(place for place in dict.fromkeys(places) if last_use.get(place) == i) for i, places in enumerate(inputs)]
    instructions = tuple(ProgramInstruction(node, inputs[i], first + i, tuple(free[i])) for i, node in enumerate(order))
    return Program(tuple(constants), instructions, tuple(place_of[node] for node in outputs))


class BlockRun:
    """One run over the bars of one symbol, block by block, oldest first."""

    def __init__(self, program: Program, block_bars: int) -> None:
        self._program = program
        self._blocks: list[Block] = [instruction.node.block() for instruction in program.instructions]
        self._scratch = Scratch()
        self._idle: list[Series] = []
        self._block_bars = block_bars

    def compute(self, inputs: Sequence[Series], outputs: Sequence[Series]) -> None:
        """Fill `outputs`, in the program's order, for the next bars: `block_bars` of them, or fewer in the last call."""
        size = inputs[0].shape[0]
        values: list[Series | float] = [*inputs, *self._program.constants, *[0.0] * len(self._program.instructions)]
        given = dict(zip(self._program.outputs, outputs, strict=True))
        for block, instruction in zip(self._blocks, self._program.instructions, strict=True):
            out = given.get(instruction.output)
            if out is None:
                out = (self._idle.pop() if self._idle else np.empty(self._block_bars))[:size]
            block([values[place] for place in instruction.inputs], out, self._scratch)
            values[instruction.output] = out
            for place in instruction.free:
                self._give_back(values[place])

    def _give_back(self, value: Series | float) -> None:
        if isinstance(value, np.ndarray):
            self._idle.append(value.base if isinstance(value.base, np.ndarray) else value)
