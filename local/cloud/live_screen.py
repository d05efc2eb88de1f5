"""A screen that is redrawn in place in a terminal, as `signalbox up` and the replay show."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self

from rich.console import Console, Group
from rich.live import Live


class LiveScreen(ABC):
    """Draws `_screen` until the context ends, and leaves the last one on the terminal."""

    def __init__(self, console: Console, *, per_second: float) -> None:
        self._live = Live(console=console, get_renderable=self._screen, refresh_per_second=per_second, transient=False)

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._live.__exit__(kind, error, trace)

    @abstractmethod
    def _screen(self) -> Group:
        """Return what the terminal shows now. Called from another thread."""
