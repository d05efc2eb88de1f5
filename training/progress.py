"""Progress of a long run: named stages, each with its share of the whole. terminal.py shows it."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Protocol


class Progress(Protocol):
    """Receives the progress of a run. Whoever started the run implements it."""

    def stage(self, name: str, share: float) -> None:
        """Begin a stage that takes about `share` of the whole run. The stage before it is done."""

    def advance(self, fraction: float) -> None:
        """Report the fraction of the current stage that is done, 0 to 1."""

    def detail(self, text: str) -> None:
        """Describe in a few words what the current stage is doing."""


class NoProgress:
    """A Progress that shows nothing."""

    def stage(self, name: str, share: float) -> None:
        """Do nothing."""

    def advance(self, fraction: float) -> None:
        """Do nothing."""

    def detail(self, text: str) -> None:
        """Do nothing."""


def each_of(progress: Progress, total: int) -> Callable[[object], None]:
    """Return a callback to call after each of `total` steps of the current stage."""
    done = count(1)
    return lambda _: progress.advance(next(done) / total)
