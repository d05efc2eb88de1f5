"""Draws a signal as candles with its levels, and an account's profit as a line, as large as a phone shows it.

matplotlib is imported with the first chart.
"""

from __future__ import annotations

import io
import threading
from datetime import datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from signalbox.alerts.alert import AlertChart, ProfitChart, SignalChart
from signalbox.alerts.signals import CHART_MINUTES
from signalbox.chat.bot.ports import ChartUnavailableError, RecentPrices
from signalbox.errors import SignalboxError
from signalbox.events import RecentCandles
from signalbox.market.candles import MINUTE_MS

WIDTH, HEIGHT, DPI = 7.2, 4.8, 150  # inches, and pixels an inch: 1080 by 720
STEPS: Final = (1, 5, 15, 30, 60, 120, 240)  # minutes of a candle
MOST_CANDLES, MOST_LABELS = 120, 9
_UP, _DOWN, _INK, _GRID, _PAPER = "#1a7f37", "#c0362c", "#24292f", "#d8dee4", "#ffffff"
_LEVELS: Final = {"entry": "#0969da", "stop": "#c0362c", "target": "#1a7f37"}


class ChartError(SignalboxError):
    """A chart cannot be drawn: it has no candles."""


class MatplotlibPainter:
    """ChartPainter and PaintPrices. One picture at a time: matplotlib's fonts are shared by all threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def paint(self, chart: AlertChart) -> bytes:
        """Return a PNG of 1080 by 720 pixels. Raises ChartError."""
        if isinstance(chart, ProfitChart):
            if len(chart.points) < 2:
                raise ChartError(f"{chart.title}: expected at least two points, got {len(chart.points)}")
            with self._lock:
                return _profit_png(chart)
        candles = candles_of(chart.candles)
        if not len(candles):
            raise ChartError(f"{chart.title}: expected candles, got none")
        with self._lock:
            return _png(chart, candles)

    def paint_prices(self, chart: RecentPrices) -> bytes:
        """Return a PNG of 1080 by 720 pixels with about a hundred candles. Raises ChartUnavailableError."""
        if not chart.bars:
            raise ChartUnavailableError("there are no bars")
        first = chart.bars[0].open_time
        rows = np.array([(_minutes(one.open_time - first), one.open, one.high, one.low, one.close) for one in chart.bars])
        whole = _minutes(chart.bars[-1].open_time - first) + 1
        minutes = next((one for one in STEPS if whole / one <= MOST_CANDLES), STEPS[-1])
        candles = candles_in(rows, first, minutes)
        try:
            with self._lock:
                return _prices_png(chart, candles, minutes)
        except (ImportError, MemoryError, ValueError) as error:
            raise ChartUnavailableError(f"{type(error).__name__}") from error


def candles_of(recent: RecentCandles, minutes: int = CHART_MINUTES) -> NDArray[np.float64]:
    """Return candles of several minutes from one-minute bars.

    Returns (n, 5) float64: minutes from `recent.first` to the candle's start, open, high, low, close; oldest first. Candles begin
    at whole multiples of `minutes` after midnight UTC; one without any bar is absent.
    """
    return candles_in(np.array(recent.rows, dtype=np.float64).reshape(len(recent.rows), 5), recent.first, minutes)


def candles_in(rows: NDArray[np.float64], first: datetime, minutes: int) -> NDArray[np.float64]:
    """Return candles of several minutes, as `candles_of`, from rows whose column 0 is minutes after `first`."""
    offset = (first.hour * 60 + first.minute) % minutes
    slots = (rows[:, 0] + offset) // minutes
    found = []
    for slot in np.unique(slots):
        part = rows[slots == slot]
        found.append((slot * minutes - offset, part[0, 1], part[:, 2].max(), part[:, 3].min(), part[-1, 4]))
    return np.array(found, dtype=np.float64).reshape(len(found), 5)


def _png(chart: SignalChart, candles: NDArray[np.float64]) -> bytes:
    figure, axes = _drawn(chart.title, candles, CHART_MINUTES)
    _levels(axes, chart, candles)
    _clock(axes, chart.candles.first, chart.zone)
    return _saved(figure, axes, chart.signs)


def _prices_png(chart: RecentPrices, candles: NDArray[np.float64], minutes: int) -> bytes:
    figure, axes = _drawn(f"{chart.title}, candles of {_named(minutes)}", candles, minutes)
    axes.set_xlim(candles[0, 0] - 1, candles[-1, 0] + minutes)
    close = candles[-1, 4]
    axes.axhline(close, color=_LEVELS["entry"], linewidth=0.8, linestyle=":")
    _clock(axes, chart.bars[0].open_time, chart.zone)
    return _saved(figure, axes, (".", ","))


def _profit_png(chart: ProfitChart) -> bytes:
    figure, axes = _empty(chart.title)
    minutes, profit = np.array(chart.points, dtype=np.float64).T
    colour = _UP if profit[-1] >= 0 else _DOWN
    axes.plot(minutes, profit, color=colour, linewidth=1.6)
    axes.fill_between(minutes, profit, 0, color=colour, alpha=0.12, linewidth=0)
    axes.axhline(0, color=_INK, linewidth=0.8)
    axes.set_xlim(minutes[0], max(minutes[-1], minutes[0] + 1))
    _clock(axes, chart.start, chart.zone)
    return _saved(figure, axes, chart.signs)


def _empty(title: str) -> tuple[Any, Any]:
    """Return a figure and its axes with a title."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415 - half a second that most alerts do not need
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=(WIDTH, HEIGHT), dpi=DPI, facecolor=_PAPER)
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0.04, 0.09, 0.80, 0.82))
    axes.set_title(title, loc="left", fontsize=11, color=_INK)
    return figure, axes


def _drawn(title: str, candles: NDArray[np.float64], minutes: int) -> tuple[Any, Any]:
    """Return a figure and its axes with the candles."""
    figure, axes = _empty(title)
    middle, half = candles[:, 0] + minutes / 2, minutes * 0.38
    rises = candles[:, 4] >= candles[:, 1]
    for up, colour in ((True, _UP), (False, _DOWN)):
        part, at = candles[rises == up], middle[rises == up]
        axes.vlines(at, part[:, 3], part[:, 2], colors=colour, linewidth=1)
        low, high = np.minimum(part[:, 1], part[:, 4]), np.maximum(part[:, 1], part[:, 4])
        axes.bar(at, high - low, bottom=low, width=2 * half, color=colour, linewidth=0.8, edgecolor=colour)
    return figure, axes


def _saved(figure: Any, axes: Any, signs: tuple[str, str]) -> bytes:
    axes.yaxis.tick_right()
    axes.tick_params(labelsize=9, colors=_INK, length=0)
    written = {ord("."): signs[0], ord(","): signs[1]}
    axes.yaxis.set_major_formatter(lambda value, _: (f"{value:,.6g}" if value < 1000 else f"{value:,.0f}").translate(written))
    axes.grid(visible=True, color=_GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    for side in axes.spines.values():
        side.set_visible(False)
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=DPI, facecolor=_PAPER)
    return out.getvalue()


def _named(minutes: int) -> str:
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h"


def _minutes(span: timedelta) -> int:
    return int(span.total_seconds() * 1000) // MINUTE_MS


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


def _clock(axes: Any, first: datetime, zone_name: str) -> None:
    """Label whole hours of a zone, at most about eight; midnight by its date."""
    zone = ZoneInfo(zone_name)
    left, right = axes.get_xlim()
    every = next((one for one in (1, 2, 3, 6, 12, 24) if (right - left) / 60 / one <= MOST_LABELS), 24)
    hours: list[tuple[float, datetime]] = []
    for minute in range(int(left), int(right) + 1):
        local = (first + timedelta(minutes=minute)).astimezone(zone)
        if local.minute == 0 and local.hour % every == 0:
            hours.append((float(minute), local))
    labels = [f"{local:%d.%m.}" if every > 1 and local.hour == 0 else f"{local:%H:%M}" for _, local in hours]
    axes.set_xticks([minute for minute, _ in hours], labels)
