"""The progress bar of a data command in a terminal. It disappears when the command ends."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import Progress, ProgressColumn


class BarView:
    """A progress bar as a context manager, which restores the terminal at its end. Without a terminal it shows nothing."""

    def __init__(self, console: Console, *columns: ProgressColumn, task: str) -> None:
        self._console = console
        self._bar = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._task = self._bar.add_task(task, total=None, rate=0.0)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._bar.stop()
