"""What a progress bar says beside the bar."""

from __future__ import annotations

from rich.console import Console
from rich.progress import Progress

from training.bar_columns import CountColumn, TimesColumn


def shown(progress: Progress) -> str:
    console = Console(width=100)
    with console.capture() as caught:
        console.print(progress)
    return caught.get()


def test_elapsed_time_is_not_called_time_left_and_an_unknown_total_is_not_shown() -> None:
    now = 0.0
    progress = Progress(CountColumn(), TimesColumn(), get_time=lambda: now)
    task = progress.add_task("starting", total=None)
    now = 5.0
    assert shown(progress).strip() == "0:00:05 so far"
    progress.reset(task, total=72)
    assert shown(progress).strip() == "0/72 0:00:00 so far"
    for done in range(1, 37):
        now += 1.0
        progress.update(task, completed=done)
    assert shown(progress).strip() == "36/72 0:00:36 so far, 0:00:36 left"
    progress.update(task, completed=72)
    assert shown(progress).strip() == "72/72 0:00:36 so far"
