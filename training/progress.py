"""How a long run tells where it is: named stages with a share of the whole each. The terminal's part is in command.py."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Protocol


class Progress(Protocol):
    """Told by the run, shown by whoever started it."""

    def stage(self, name: str, share: float) -> None:
        """Begin a stage that takes about `share` of the whole run; the stage before it is done."""

    def advance(self, fraction: float) -> None:
        """Say that this fraction of the present stage is done, 0 to 1."""

    def detail(self, text: str) -> None:
        """Say in a few words what the present stage is at."""


class NoProgress:
    """Tells nobody."""

    def stage(self, name: str, share: float) -> None:
        """Ignore it."""

    def advance(self, fraction: float) -> None:
        """Ignore it."""

    def detail(self, text: str) -> None:
        """Ignore it."""


def each_of(progress: Progress, total: int) -> Callable[[object], None]:
    """Return what to call after each of `total` steps of the present stage."""
    done = count(1)
    return lambda _: progress.advance(next(done) / total)
