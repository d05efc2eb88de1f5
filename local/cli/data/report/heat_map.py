"""Draws coverage as a picture: a panel per symbol, a row per month, a cell per day; darker means more missing minutes.

A year is twelve rows, so even ten years have visible cells. A single missing minute already has a colour of its own.
"""

from __future__ import annotations

import calendar
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray

from local.cli.data.report.facts import FolderFacts, SeriesFacts
from signalbox.market.candles import MINUTE_MS, to_ms
from signalbox.market.lake import DAY_MS, MINUTES_OF_DAY

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.colors import ListedColormap
from matplotlib.patches import Patch

CLASSES: Final = (  # minimum number of missing minutes, its name, its colour
    (0, "complete", "#d6e6ef"),
    (1, "1 to 5 min missing", "#fdd49e"),
    (6, "6 to 60 min", "#fc8d59"),
    (61, "1 to 6 h", "#d7301f"),
    (361, "over 6 h", "#7f0000"),
    (MINUTES_OF_DAY, "the whole day", "#1a1a1a"),
)
OUTSIDE: Final = "#ffffff"
PANELS_IN_ROW: Final = 3
NUMBERED: Final = 60  # up to this many incomplete days, each cell shows its missing minutes


def draw_coverage(facts: FolderFacts, path: Path) -> None:
    """Write the heat map as PNG. Days before the first and after the last bar of all symbols stay white."""
    shown = [one for one in facts.series if len(one.quality.present_ms)]
    months = _months(shown)
    rows = -(-max(len(shown), 1) // PANELS_IN_ROW)
    columns = min(max(len(shown), 1), PANELS_IN_ROW)
    size = (1.2 + 5.2 * columns, 1.6 + rows * (0.9 + 0.19 * max(len(months), 3)))
    figure, axes = plt.subplots(rows, columns, figsize=size, squeeze=False, layout="constrained")
    try:
        for place, axis in enumerate(axes.flat):
            if place < len(shown):
                _panel(axis, shown[place], shown, months)
            else:
                axis.set_visible(False)
        legend = [Patch(facecolor=colour, edgecolor="#999999", label=name) for _, name, colour in CLASSES]
        figure.legend(handles=legend, loc="outside lower center", ncols=len(CLASSES), frameon=False, fontsize=8)
        figure.suptitle("Coverage of 1-minute candles by UTC day", fontsize=11)
        figure.savefig(path, dpi=110)
    finally:
        plt.close(figure)


def _panel(axis: Any, one: SeriesFacts, shown: Sequence[SeriesFacts], months: Sequence[date]) -> None:
    missing = missing_by_day(one, shown, months)
    kinds = np.full(missing.shape, -1)
    for kind, (least, _, _) in enumerate(CLASSES):
        kinds[missing >= least] = kind
    colours = ListedColormap([OUTSIDE, *(colour for _, _, colour in CLASSES)])
    axis.pcolormesh(kinds, cmap=colours, vmin=-1.5, vmax=len(CLASSES) - 0.5, edgecolors="white", linewidth=0.4)
    odd = np.argwhere(missing > 0)
    for month, day in odd if len(odd) <= NUMBERED else ():
        dark = missing[month, day] > 60
        text = str(int(missing[month, day]))
        axis.text(day + 0.5, month + 0.5, text, ha="center", va="center", fontsize=5, color="white" if dark else "black")
    step = 1 if len(months) <= 36 else 3
    axis.set_yticks([i + 0.5 for i in range(0, len(months), step)], [f"{m:%Y-%m}" for m in months[::step]], fontsize=6)
    axis.set_xticks([d + 0.5 for d in range(0, 31, 5)], [str(d + 1) for d in range(0, 31, 5)], fontsize=6)
    axis.invert_yaxis()
    axis.set_title(f"{one.symbol}: {one.quality.rows:,} rows, {one.quality.missing:,} minutes missing", fontsize=8)
    axis.tick_params(length=0)
    for spine in axis.spines.values():
        spine.set_visible(False)


def missing_by_day(one: SeriesFacts, shown: Sequence[SeriesFacts], months: Sequence[date]) -> NDArray[np.int64]:
    """Return the missing minutes of each day, (months, 31); -1 for cells outside the period that all symbols span."""
    first = min(int(s.quality.present_ms[0]) for s in shown)
    end = max(int(s.quality.present_ms[-1]) for s in shown) + MINUTE_MS
    held = one.quality.daily_rows()
    found = np.full((len(months), 31), -1, dtype=np.int64)
    for row, month in enumerate(months):
        for day in range(calendar.monthrange(month.year, month.month)[1]):
            start = to_ms(datetime(month.year, month.month, day + 1, tzinfo=UTC))
            expected = (min(start + DAY_MS, end) - max(start, first)) // MINUTE_MS
            if expected > 0:
                lacks = expected - held.get(start // DAY_MS, 0)
                found[row, day] = MINUTES_OF_DAY if lacks == expected else lacks
    return found


def _months(shown: Sequence[SeriesFacts]) -> list[date]:
    starts = [one.quality.first for one in shown if one.quality.first is not None]
    ends = [one.quality.last_close for one in shown if one.quality.last_close is not None]
    if not starts:
        return []
    month, last = min(starts).date().replace(day=1), (max(ends) - timedelta(minutes=1)).date()
    found = []
    while month <= last:
        found.append(month)
        month = (month + timedelta(days=32)).replace(day=1)
    return found
