"""What a run tells where no bar can be drawn."""

from __future__ import annotations

import io

from rich.console import Console

from training.terminal import PlainProgress, terminal_progress


def test_a_file_gets_a_line_now_and_then_with_what_is_left() -> None:
    now, out = [0.0], io.StringIO()
    progress = PlainProgress(Console(file=out, width=40), clock=lambda: now[0], every=30.0)
    progress.stage("read candles", 0.1)
    now[0] = 10.0
    progress.stage("fit", 0.9)
    progress.detail("lstm 1 of 3, epoch 2 of 24, loss 0.6900, 400 samples/s")
    for second in (20.0, 39.0, 40.0, 41.0, 69.0):
        now[0] = second
        progress.advance(0.2)
    now[0] = 90.0
    progress.finish()
    assert out.getvalue().splitlines() == [
        "  read candles: 10.0 s",
        "  fit: 28% of the run (lstm 1 of 3, epoch 2 of 24, loss 0.6900, 400 samples/s), about 0:01:43 left",
        "  fit: 80.0 s",
    ]


def test_a_pipe_is_drawn_no_bar() -> None:
    out = io.StringIO()
    with terminal_progress(Console(file=out)) as progress:
        progress.stage("read candles", 1.0)
        progress.advance(0.5)
    assert out.getvalue().startswith("  read candles: ")
    assert "\x1b" not in out.getvalue()
