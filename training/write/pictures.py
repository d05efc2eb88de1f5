"""Inline SVG charts of a report. They use the page's colours, so they follow its light and dark themes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

import numpy as np
from markupsafe import Markup

from signalbox.reports.drawing import element, hover_strips, line_through, picture, places, words
from training.judge.curves import DAYS_OF_WEEK, CoveragePoint, Equity, HourCell, ReliabilityBin

_WIDTH: Final = 520.0
_HEIGHT: Final = 340.0
LEFT, RIGHT, TOP, BOTTOM = 52.0, 14.0, 12.0, 36.0
_MIN_CELL: Final = 20  # an hour with fewer signals has no colour


@dataclass(frozen=True, slots=True)
class Plane:
    """The area of a chart. Maps values to positions."""

    x: tuple[float, float]
    y: tuple[float, float]
    width: float = _WIDTH
    height: float = _HEIGHT

    def at(self, x: float, y: float) -> tuple[float, float]:
        right = (x - self.x[0]) / (self.x[1] - self.x[0]) * (self.width - LEFT - RIGHT)
        up = (y - self.y[0]) / (self.y[1] - self.y[0]) * (self.height - TOP - BOTTOM)
        return LEFT + right, self.height - BOTTOM - up

    def along(self, xs: Sequence[float], ys: Sequence[float]) -> list[tuple[float, float]]:
        return [self.at(x, y) for x, y in zip(xs, ys, strict=True)]

    def line(self, a: tuple[float, float], b: tuple[float, float], kind: str) -> Markup:
        (x1, y1), (x2, y2) = self.at(*a), self.at(*b)
        return element("line", class_=kind, x1=f"{x1:.1f}", y1=f"{y1:.1f}", x2=f"{x2:.1f}", y2=f"{y2:.1f}")

    def curve(self, xs: Sequence[float], ys: Sequence[float], kind: str) -> Markup:
        return line_through(self.along(xs, ys), class_=f"line {kind}", style="fill:none")

    def hover(self, xs: Sequence[float], labels: Sequence[str]) -> Markup:
        """Return strips that show the label of the x value under the pointer. labels: one for each of xs."""
        across = [self.at(x, self.y[0])[0] for x in xs]
        return hover_strips(across, labels, TOP, self.height - TOP - BOTTOM)

    def frame(
        self, label: str, body: Sequence[Markup], *, names: tuple[str, str], ticks: Sequence[tuple[float, str]], form: str
    ) -> Markup:
        parts = []
        for value in round_ticks(*self.y):
            x, y = self.at(self.x[0], value)
            parts.append(self.line((self.x[0], value), (self.x[1], value), "grid"))
            parts.append(words(x - 6, y + 4, f"{value:{form}}", text_anchor="end"))
        for value, name in ticks:
            x, y = self.at(value, self.y[0])
            parts.append(words(x, y + 15, name, text_anchor="middle"))
        parts.append(words((LEFT + self.width - RIGHT) / 2, self.height - 4, names[0], text_anchor="middle"))
        turned = f"translate(11 {self.height / 2:.0f}) rotate(-90)"
        parts.append(element("text", names[1], transform=turned, text_anchor="middle"))
        return picture(label, self.width, self.height, *parts, *body)


def reliability_svg(bins: Sequence[ReliabilityBin]) -> Markup:
    """Draw the predicted probability against the share that came true, with 95 % day-block intervals. Empty without signals."""
    if not bins:
        return Markup("")
    known = [(one.confidence, one.precision) for one in bins]
    low = min(min(c, p.low) for c, p in known)
    high = max(max(c, p.high) for c, p in known)
    edge = (max(0.0, np.floor(low * 20) / 20), min(1.0, np.ceil(high * 20) / 20))
    spread = max(max(c for c, _ in known) - min(c for c, _ in known), 0.02)
    across = (min(c for c, _ in known) - 0.1 * spread, max(c for c, _ in known) + 0.1 * spread)
    plane = Plane(across, edge)
    ideal = (max(across[0], edge[0]), min(across[1], edge[1]))
    parts = [plane.line((ideal[0], ideal[0]), (ideal[1], ideal[1]), "ideal")]
    for confidence, precision in known:
        x, y = plane.at(confidence, precision.value)
        parts.append(plane.line((confidence, precision.low), (confidence, precision.high), "line c0"))
        interval = f"[{precision.low:.1%}, {precision.high:.1%}]"
        shown = f"predicted {confidence:.1%}, came true {precision.value:.1%} {interval}, n = {precision.n}"
        parts.append(element("circle", element("title", shown), class_="c0", cx=f"{x:.1f}", cy=f"{y:.1f}", r=4))
    ticks = [(value, f"{value:.1%}") for value in round_ticks(*across)]
    return plane.frame(
        "reliability of issued signals",
        parts,
        names=("predicted probability", "share that came true"),
        ticks=ticks,
        form=".0%",
    )


def coverage_svg(points: Sequence[CoveragePoint], asked: float, issued_coverage: float) -> Markup:
    """Draw precision against coverage, with the precision that G1 requires and the coverage of the frozen threshold."""
    values = [point for point in points if point.precision.n]
    low = min(0.5, *(point.precision.low for point in values))
    high = max(asked, *(point.precision.high for point in values))
    plane = Plane((-2.0, 0.0), (np.floor(low * 20) / 20, np.ceil(high * 20) / 20))
    xs = [float(np.log10(point.coverage)) for point in values]
    band = plane.along([*xs, *xs[::-1]], [*(p.precision.low for p in values), *(p.precision.high for p in values[::-1])])
    parts = [
        element("polygon", class_="band c0", points=places(band)),
        plane.curve(xs, [p.precision.value for p in values], "c0"),
        plane.line((-2.0, asked), (0.0, asked), "asked"),
        plane.line((-2.0, 0.5), (0.0, 0.5), "ideal"),
    ]
    x, y = plane.at(-2.0, asked)
    parts.append(words(x + 4, y - 4, "required by G1"))
    if issued_coverage > 0.01:
        at = float(np.log10(issued_coverage))
        parts.append(plane.line((at, plane.y[0]), (at, plane.y[1]), "ideal"))
        x, y = plane.at(at, plane.y[0])
        parts.append(words(x + 4, y - 6, "issued"))
    ticks = [(float(np.log10(c)), f"{c:.0%}") for c in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)]
    return plane.frame(
        "precision by coverage", parts, names=("share of decisions, largest margins first", "precision"), ticks=ticks, form=".0%"
    )


def equity_svg(equity: Equity, cost: str) -> Markup:
    """Draw the percent of capital earned, before costs and after those of one model. Empty with fewer than two days."""
    if len(equity.days) < 2:
        return Markup("")
    series: Mapping[str, list[float]] = {"before costs": equity.gross, f"after {cost}": equity.net[cost]}
    low, high = min(min(s) for s in series.values()), max(max(s) for s in series.values())
    pad = max(0.05 * (high - low), 0.5)
    plane = Plane((0.0, len(equity.days) - 1.0), (min(low, 0.0) - pad, max(high, 0.0) + pad), width=1040.0)
    parts = [plane.line((0.0, 0.0), (plane.x[1], 0.0), "axis")]
    for i, (name, values) in enumerate(series.items()):
        parts.append(plane.curve(list(range(len(values))), values, f"c{i % 3}"))
        parts.append(words(LEFT + 10 + 240 * i, TOP - 1, f"{name}: {values[-1]:+.1f} %", class_=f"key c{i % 3}"))
    labels = [
        f"{day}: " + ", ".join(f"{name} {values[i]:+.1f} %" for name, values in series.items())
        for i, day in enumerate(equity.days)
    ]
    parts.append(plane.hover(list(range(len(equity.days))), labels))
    months = [(i, list(group)) for i, (_, group) in enumerate(groupby(enumerate(equity.days), lambda day: day[1][:7]))]
    every = -(-len(months) // 12)
    ticks = [(float(group[0][0]), group[0][1][:7]) for i, group in months if i % every == 0 and len(group) > 7]
    names = ("UTC day", "% of capital, not compounded")
    return plane.frame("equity, one position a symbol", parts, names=names, ticks=ticks, form="+.0f")


def hours_svg(cells: Sequence[HourCell]) -> Markup:
    """Draw precision by UTC hour and day of the week; hours with fewer than twenty signals stay empty."""
    size, left = 38.0, 46.0
    rows = [*DAYS_OF_WEEK, "all"]
    parts = [words(left + (h + 0.5) * size, 12, f"{h:02d}", text_anchor="middle") for h in range(24)]
    whole = [_of_hour(cells, hour) for hour in range(24)]
    for r, name in enumerate(rows):
        y = 20 + r * 26.0 + (6 if name == "all" else 0)
        parts.append(words(left - 8, y + 16, name, text_anchor="end"))
        for hour in range(24):
            n, precision = whole[hour] if name == "all" else (cells[r * 24 + hour].n, cells[r * 24 + hour].precision)
            colour = _heat(precision) if n >= _MIN_CELL else "var(--card)"
            share = f"{100 * precision:.0f}" if n >= _MIN_CELL else ""
            x = left + hour * size
            shown = f"{name} {hour:02d}:00 UTC: {n} signals" + (f", {precision:.1%} right" if n else "")
            cell = element("rect", x=f"{x:.0f}", y=f"{y:.0f}", width=f"{size - 2:.0f}", height=24, fill=colour)
            said = words(x + size / 2 - 1, y + 16, share, class_="cell")
            parts.append(element("g", cell, said, element("title", shown)))
    return picture("precision by hour", left + 24 * size, 20 + 26 * len(rows) + 8, *parts)


def _of_hour(cells: Sequence[HourCell], hour: int) -> tuple[int, float]:
    own = [cell for cell in cells if cell.hour == hour and cell.n]
    n = sum(cell.n for cell in own)
    return n, sum(cell.n * cell.precision for cell in own) / n if n else float("nan")


def _heat(precision: float) -> str:
    """Return red below one half and green above it; the colour is full 20 percentage points away."""
    strength = min(abs(precision - 0.5) / 0.2, 1.0)
    target = (76, 195, 138) if precision >= 0.5 else (255, 138, 128)
    red, green, blue = (round(245 + (channel - 245) * strength) for channel in target)
    return f"rgb({red},{green},{blue})"


def round_ticks(low: float, high: float) -> list[float]:
    """Return four to ten round values between low and high."""
    rough = (high - low) / 5.0
    scale = 10.0 ** np.floor(np.log10(rough))
    step = float(next(s * scale for s in (1.0, 2.0, 2.5, 5.0, 10.0) if s * scale >= rough))
    first = int(np.ceil(low / step - 1e-9))
    return [i * step for i in range(first, int(np.floor(high / step + 1e-9)) + 1)]
