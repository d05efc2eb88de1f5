"""The static picture of a price chart as PNG: a panel per symbol with candles, volume, signals and trades, and a legend.

It shows what the chart of the page shows (reports/price_chart.py), joined into at most BARS candles a panel, and ends where the
data or the run ended. Times are UTC.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, TypeAlias

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter
from numpy.typing import NDArray

from signalbox.market.candles import MINUTE_MS
from signalbox.reports.price_chart import Candles, ChartTrade, PriceChart, fewer

INK: Final = "#1f2933"
SOFT: Final = "#52606d"
GRID: Final = "#e1e5ea"
UP: Final = "#127a4b"
DOWN: Final = "#b3261e"
GAP: Final = "#f2d9a6"
BARS: Final = 240  # most candles of a panel
SIZES: Final = {"HIGH": 58.0, "MEDIUM": 26.0}  # points squared
Floats: TypeAlias = NDArray[np.float64]
_MARGIN: Final = 0.008  # of the period, at both ends: a mark at an end is drawn whole
_CROWDED: Final = 120  # signals of a panel; more of them are drawn small


def draw_prices(chart: PriceChart, title: str) -> bytes:
    """Return the picture as PNG."""
    count = max(len(chart.candles), 1)
    figure = Figure(figsize=(12.5, 1.5 + 3.3 * count), dpi=100, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    figure.suptitle(title, fontsize=12, color=INK)
    panels = np.atleast_1d(figure.subplots(count, 1, sharex=True))
    for axes, candles in zip(panels, chart.candles, strict=False):
        _panel(axes, chart, candles)
    locator: Any = AutoDateLocator(tz="UTC")  # type: ignore[no-untyped-call]
    panels[-1].xaxis.set_major_locator(locator)
    panels[-1].xaxis.set_major_formatter(ConciseDateFormatter(locator, tz="UTC"))  # type: ignore[no-untyped-call]
    begins, ends = _day(chart.start), max(_day(chart.end), _day(chart.start) + 1 / 1440)
    panels[-1].set_xlim(begins - _MARGIN * (ends - begins), ends + _MARGIN * (ends - begins))
    panels[-1].set_xlabel("UTC", color=SOFT)
    figure.legend(handles=_legend(chart), loc="outside lower center", ncols=5, fontsize=9, frameon=False)
    sink = io.BytesIO()
    figure.savefig(sink, format="png")
    return sink.getvalue()


def _panel(axes: Any, chart: PriceChart, candles: Candles) -> None:
    axes.set_ylabel(candles.symbol, color=INK)
    axes.grid(visible=True, color=GRID, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}"))
    if not len(candles.open_ms):
        axes.text(0.5, 0.5, "no bars", transform=axes.transAxes, ha="center", color=INK)
        return
    _gaps(axes, chart, candles)
    _candles(axes, fewer(candles, BARS))
    trades = [one for one in chart.trades if one.symbol == candles.symbol]
    _trades(axes, chart, trades)
    _signals(axes, chart, candles.symbol)
    low, high = axes.get_ylim()
    axes.set_ylim(low - 0.28 * (high - low), high + 0.05 * (high - low))  # volume has the lower part to itself


def _candles(axes: Any, candles: Candles) -> None:
    width = candles.minutes / 1440
    at = candles.open_ms / 86_400_000 + width / 2
    opened, high, low, close = candles.prices.T
    colours = np.where(close >= opened, UP, DOWN)
    axes.vlines(at, low, high, colors=colours, linewidth=0.8, zorder=2)
    least = 0.0005 * (high.max() - low.min())
    bottom = np.minimum(opened, close)
    _bars(axes, at, bottom, bottom + np.maximum(np.abs(close - opened), least), width * 0.7, facecolors=colours, zorder=2)
    below = axes.twinx()
    _bars(below, at, np.zeros_like(at), candles.volume, width * 0.8, facecolors=colours, alpha=0.35)
    below.set_ylim(0, max(candles.volume.max(), 1e-12) * 6.5)
    below.axis("off")


def _bars(axes: Any, at: Floats, bottom: Floats, top: Floats, width: float, **style: Any) -> None:
    """Draw all bars as one collection: a patch for each would take most of a picture's time."""
    left, right = at - width / 2, at + width / 2
    corners = np.stack([np.stack(pair, 1) for pair in ((left, bottom), (right, bottom), (right, top), (left, top))], 1)
    axes.add_collection(PolyCollection(list(corners), linewidths=0, **style))
    axes.autoscale_view()


def _gaps(axes: Any, chart: PriceChart, candles: Candles) -> None:
    """Shade the minutes without candles, those at both ends included."""
    step = candles.minutes * MINUTE_MS
    edges = np.concatenate([[chart.start.timestamp() * 1000 - step], candles.open_ms, [chart.end.timestamp() * 1000]])
    for i in np.flatnonzero(np.diff(edges) > 1.5 * step):
        axes.axvspan((edges[i] + step) / 86_400_000, edges[i + 1] / 86_400_000, color=GAP, alpha=0.7, linewidth=0, zorder=0)


def _trades(axes: Any, chart: PriceChart, trades: Sequence[ChartTrade]) -> None:
    if len(trades) <= _CROWDED:
        stops: list[Decimal | None] = [one.stop for one in trades]
        for colour, levels in ((DOWN, stops), (UP, [one.target for one in trades])):
            pairs = zip(levels, trades, strict=True)
            drawn = [(float(level), _day(one.opened_at), _end(one, chart)) for level, one in pairs if level is not None]
            if drawn:
                axes.hlines(*zip(*drawn, strict=True), colors=colour, linestyles="dotted", linewidth=1.1, zorder=3)
    axes.plot(
        [_day(one.opened_at) for one in trades],
        [float(one.entry) for one in trades],
        marker="D",
        markersize=4,
        color=INK,
        linestyle="none",
        zorder=5,
    )
    closed = [(one, _end(one, chart), float(one.exit)) for one in trades if one.exit is not None]
    lines = [((_day(one.opened_at), float(one.entry)), (end, price)) for one, end, price in closed]
    colours = [UP if one.is_gain else DOWN for one, _, _ in closed]
    axes.add_collection(LineCollection(lines, colors=colours, linewidths=2.0, alpha=0.8, zorder=4, capstyle="projecting"))
    axes.plot(
        [end for _, end, _ in closed],
        [price for _, _, price in closed],
        marker="x",
        markersize=6,
        color=INK,
        linestyle="none",
        zorder=5,
    )


def _end(trade: ChartTrade, chart: PriceChart) -> float:
    return _day(trade.closed_at or chart.end)


def _signals(axes: Any, chart: PriceChart, symbol: str) -> None:
    own = [one for one in chart.signals if one.symbol == symbol]
    shrink = min(1.0, _CROWDED / max(len(own), 1))
    for direction, marker, colour in (("BUY", "^", UP), ("SELL", "v", DOWN)):
        for tier, size in SIZES.items():
            chosen = [one for one in own if one.direction == direction and one.tier == tier]
            if chosen:
                axes.scatter(
                    [_day(one.at) for one in chosen],
                    [one.price for one in chosen],
                    marker=marker,
                    s=size * shrink,
                    color=colour if tier == "HIGH" else "white",
                    edgecolors=colour,
                    linewidths=1.1,
                    zorder=6,
                )


def _legend(chart: PriceChart) -> list[Line2D]:
    """Return the legend with the counts of each kind."""
    entries = []
    for direction, marker, colour in (("BUY", "^", UP), ("SELL", "v", DOWN)):
        for tier in SIZES:
            count = sum(one.direction == direction and one.tier == tier for one in chart.signals)
            filled = colour if tier == "HIGH" else "white"
            entries.append(_mark(f"{direction} {tier} ({count:,})", marker, filled, colour))
    won = sum(one.is_gain for one in chart.trades)
    closed = sum(one.profit is not None for one in chart.trades)
    entries += [
        _mark(f"entry ({len(chart.trades):,})", "D", INK, INK),
        _mark(f"exit ({closed:,})", "x", INK, INK),
        Line2D([], [], color=UP, linewidth=2, label=f"trade with a profit ({won:,})"),
        Line2D([], [], color=DOWN, linewidth=2, label=f"trade without ({closed - won:,})"),
        Line2D([], [], color=DOWN, linestyle="dotted", label="stop"),
        Line2D([], [], color=UP, linestyle="dotted", label="target"),
    ]
    return entries


def _mark(label: str, marker: str, face: str, edge: str) -> Line2D:
    return Line2D([], [], linestyle="none", marker=marker, markerfacecolor=face, markeredgecolor=edge, label=label)


def _day(instant: datetime) -> float:
    return instant.timestamp() / 86_400
