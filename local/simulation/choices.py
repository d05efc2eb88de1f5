"""The adversary's choices as a list of numbers, drawn from a seed or replayed. 0 is always the harmless choice.

A schedule is this list and nothing else. A violation can therefore be replayed and shrunk: setting a choice to 0 or cutting the
list gives another schedule.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

_BLOCK: Final = 256
_TRIES: Final = 1_500  # attempts to shrink a schedule


class Choices:
    """Numbers from a seed, or from a recorded list that continues with zeros. taken: the choices so far, in order."""

    def __init__(self, seed: int | None = None, recorded: Sequence[int] = ()) -> None:
        self._random = None if seed is None else np.random.Generator(np.random.PCG64(seed))
        self._block: list[int] = []
        self._recorded = recorded
        self.taken: list[int] = []
        self.is_harmless = False  # if set, every choice is 0 and is not recorded

    def pick(self, count: int) -> int:
        """Return a number below `count`."""
        if self.is_harmless:
            return 0
        if self._random is None:
            place = len(self.taken)
            found = self._recorded[place] % count if place < len(self._recorded) else 0
        else:
            if not self._block:
                self._block = self._random.integers(0, 1 << 30, size=_BLOCK).tolist()
            found = self._block.pop() % count
        self.taken.append(found)
        return found

    def happens(self, one_in: int) -> bool:
        """Return whether something happens that occurs once in `n` times."""
        return self.pick(one_in) == one_in - 1 if one_in > 1 else True


def smaller(recorded: Sequence[int], fails: Callable[[Sequence[int]], bool]) -> list[int]:
    """Return a schedule that still fails, with as few choices as possible: first cut at its end, then set to 0 in blocks."""
    best = list(recorded)
    tries = _TRIES
    size = max(len(best) // 2, 1)
    while size and tries:
        place = 0
        while place < len(best) and tries:
            if any(best[place : place + size]):
                candidate = [*best[:place], *([0] * len(best[place : place + size])), *best[place + size :]]
                tries -= 1
                if fails(candidate):
                    best = candidate
            place += size
        size //= 2
    while best and not best[-1]:
        best.pop()
    return best
