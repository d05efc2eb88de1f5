"""Draws `account.png`: equity after every event, the baseline of each day, and both loss limits."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from typing import Any, Final

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure

from local.cli.ftmo.replay import FtmoReplay
from signalbox.risk.ftmo import LossReference

INK: Final = "#1f2933"
EQUITY: Final = "#3d6a99"
BASELINE: Final = "#8a94a0"
DAILY: Final = "#c77700"
OVERALL: Final = "#b3261e"


def draw_account(replay: FtmoReplay) -> bytes:
    """Return the chart as PNG."""
    figure = Figure(figsize=(12, 5.2), dpi=110, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    axes: Any = figure.subplots()
    axes.set_title(f"{replay.rules.name}, {replay.phase}: {replay.status}", loc="left", color=INK)
    axes.set_ylabel("account currency", color=INK)
    axes.grid(visible=True, color="#e4e7eb", linewidth=0.7)
    axes.spines[["top", "right"]].set_visible(False)
    if replay.days:
        _draw_days(axes, replay)
        times = [time for time, _ in replay.curve]
        axes.step(times, [float(e) for _, e in replay.curve], where="post", color=EQUITY, linewidth=1.3, label="equity")
        for breach in replay.breaches:
            axes.plot([breach.time], [float(breach.equity)], "x", color=OVERALL, markersize=9, markeredgewidth=2)
            axes.annotate(
                breach.rule.value, (breach.time, float(breach.equity)), (6, -12), textcoords="offset points", color=OVERALL
            )
        figure.legend(loc="outside lower center", ncols=4, frameon=False)
    else:
        axes.text(0.5, 0.5, "no events", transform=axes.transAxes, ha="center", color=INK)
    locator: Any = AutoDateLocator(tz=replay.zone)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator, tz=replay.zone))  # type: ignore[no-untyped-call]
    sink = io.BytesIO()
    figure.savefig(sink, format="png")
    return sink.getvalue()


def _draw_days(axes: Any, replay: FtmoReplay) -> None:
    starts = [datetime(d.date.year, d.date.month, d.date.day, tzinfo=replay.zone) for d in replay.days]
    ends = [*starts[1:], starts[-1] + timedelta(days=1)]  # wall-clock days, so DST changes are right too
    trails = replay.rules.max_loss_reference is LossReference.TRAILING
    amount = replay.capital * replay.rules.max_loss_fraction
    references = accumulate((d.baseline for d in replay.days), max) if trails else (replay.capital for _ in replay.days)
    lines = {
        ("baseline", BASELINE, ":"): [d.baseline for d in replay.days],
        ("daily limit", DAILY, "-"): [d.daily_limit for d in replay.days],
        ("overall limit", OVERALL, "--"): [r - amount for r in references],
    }
    for (label, color, style), values in lines.items():
        times = [edge.astimezone(UTC) for pair in zip(starts, ends, strict=True) for edge in pair]
        levels = [float(v) for value in values for v in (value, value)]
        axes.plot(times, levels, color=color, linestyle=style, linewidth=1.1, label=label)
