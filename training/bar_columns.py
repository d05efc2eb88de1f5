"""Columns of a progress bar with labelled figures. Without a known total they show none."""

from __future__ import annotations

from datetime import timedelta

from rich.progress import ProgressColumn, Task
from rich.text import Text
from typing_extensions import override


class CountColumn(ProgressColumn):
    """`3/72`; nothing before the total is known."""

    @override
    def render(self, task: Task) -> Text:
        return Text("" if task.total is None else f"{int(task.completed):,}/{int(task.total):,}")


class TimesColumn(ProgressColumn):
    """`0:00:05 so far, 0:01:10 left`; the remaining time only once it is known."""

    @override
    def render(self, task: Task) -> Text:
        parts = []
        elapsed = task.finished_time if task.finished else task.elapsed
        if elapsed is not None:
            parts.append(f"{timedelta(seconds=int(elapsed))} so far")
        if not task.finished and task.total is not None and (left := task.time_remaining) is not None:
            parts.append(f"{timedelta(seconds=int(left))} left")
        return Text(", ".join(parts))
