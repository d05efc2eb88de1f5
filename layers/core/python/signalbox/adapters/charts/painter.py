"""Draws a signal as candles with its levels, as large as a phone shows it. matplotlib is imported with the first chart."""

from __future__ import annotations

import io
import threading
from datetime import datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from signalbox.alerts.alert import SignalChart
from signalbox.alerts.signals import CHART_MINUTES
from signalbox.errors import SignalboxError
from signalbox.events import RecentCandles

WIDTH, HEIGHT, DPI = 7.2, 4.8, 150  # inches, and pixels an inch: 1080 by 720
_UP, _DOWN, _INK, _GRID, _PAPER = "#1a7f37", "#c0362c", "#24292f", "#d8dee4", "#ffffff"
_LEVELS: Final = {"entry": "#0969da", "stop": "#c0362c", "target": "#1a7f37"}


class ChartError(SignalboxError):
    """A chart cannot be drawn: it has no candles."""


class MatplotlibPainter:
    """ChartPainter. One picture at a time: matplotlib's fonts are shared by all threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def paint(self, chart: SignalChart) -> bytes:
        """Return a PNG of 1080 by 720 pixels. Raises ChartError."""
        candles = candles_of(chart.candles)
        if not len(candles):
            raise ChartError(f"{chart.title}: expected candles, got none")
        with self._lock:
            return _png(chart, candles)


def candles_of(recent: RecentCandles, minutes: int = CHART_MINUTES) -> NDArray[np.float64]:
    """Return candles of several minutes from one-minute bars.

    Returns (n, 5) float64: minutes from `recent.first` to the candle's start, open, high, low, close; oldest first. Candles begin
    at whole multiples of `minutes` after midnight UTC; one without any bar is absent.
    """
    rows = np.array(recent.rows, dtype=np.float64).reshape(len(recent.rows), 5)
    offset = (recent.first.hour * 60 + recent.first.minute) % minutes
    slots = (rows[:, 0] + offset) // minutes
    found = []
    for slot in np.unique(slots):
        part = rows[slots == slot]
        found.append((slot * minutes - offset, part[0, 1], part[:, 2].max(), part[:, 3].min(), part[-1, 4]))
    return np.array(found, dtype=np.float64).reshape(len(found), 5)


def _png(chart: SignalChart, candles: NDArray[np.float64]) -> bytes:
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415 - half a second that most alerts do not need
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=(WIDTH, HEIGHT), dpi=DPI, facecolor=_PAPER)
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0.04, 0.09, 0.80, 0.82))
    middle, half = candles[:, 0] + CHART_MINUTES / 2, CHART_MINUTES * 0.38
    rises = candles[:, 4] >= candles[:, 1]
    for up, colour in ((True, _UP), (False, _DOWN)):
        part, at = candles[rises == up], middle[rises == up]
        axes.vlines(at, part[:, 3], part[:, 2], colors=colour, linewidth=1)
        low, high = np.minimum(part[:, 1], part[:, 4]), np.maximum(part[:, 1], part[:, 4])
        axes.bar(at, high - low, bottom=low, width=2 * half, color=colour, linewidth=0.8, edgecolor=colour)
    _levels(axes, chart, candles)
    _clock(axes, chart)
    axes.set_title(chart.title, loc="left", fontsize=11, color=_INK)
    axes.yaxis.tick_right()
    axes.tick_params(labelsize=9, colors=_INK, length=0)
    signs = {ord("."): chart.signs[0], ord(","): chart.signs[1]}
    axes.yaxis.set_major_formatter(lambda value, _: (f"{value:,.6g}" if value < 1000 else f"{value:,.0f}").translate(signs))
    axes.grid(visible=True, color=_GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    for side in axes.spines.values():
        side.set_visible(False)
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=DPI, facecolor=_PAPER)
    return out.getvalue()


def _levels(axes: Any, chart: SignalChart, candles: NDArray[np.float64]) -> None:
    """Draw the levels from the decision on, and keep all of them inside the picture."""
    decided = (chart.decided_at - chart.candles.first) / timedelta(minutes=1)
    end = max(decided + (chart.expires_at - chart.decided_at) / timedelta(minutes=1), candles[-1, 0] + CHART_MINUTES)
    prices = [price for _, price, _ in chart.levels]
    low, high = min(candles[:, 3].min(), *prices), max(candles[:, 2].max(), *prices)
    margin = (high - low or high * 0.001) * 0.06
    axes.set_ylim(low - margin, high + margin)
    axes.set_xlim(candles[0, 0] - 1, end)
    axes.axvline(decided, color=_INK, linewidth=0.8, linestyle=":")
    for label, price, role in chart.levels:
        axes.hlines([price], decided, end, colors=_LEVELS[role], linewidth=1.6)
        axes.text(end, price, f"{label} ", color=_LEVELS[role], fontsize=9, ha="right", va="bottom")


def _clock(axes: Any, chart: SignalChart) -> None:
    """Label the whole hours of the chat's zone."""
    zone = ZoneInfo(chart.zone)
    first = chart.candles.first
    left, right = axes.get_xlim()
    hours: list[tuple[float, datetime]] = []
    for minute in range(int(left), int(right) + 1):
        local = (first + timedelta(minutes=minute)).astimezone(zone)
        if local.minute == 0:
            hours.append((float(minute), local))
    axes.set_xticks([minute for minute, _ in hours], [f"{local:%H:%M}" for _, local in hours])
