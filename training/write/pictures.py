"""Inline SVG pictures of a report. Colours are those of the page, so they follow its light and dark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

import numpy as np

from signalbox.reports.page import text
from training.judge.curves import DAYS_OF_WEEK, CoveragePoint, Equity, HourCell, ReliabilityBin

PICTURE_STYLE: Final = """
svg{width:100%;height:auto}svg .grid{stroke:var(--line);stroke-width:1}svg .axis{stroke:var(--soft);stroke-width:1}
svg .ideal{stroke:var(--soft);stroke-dasharray:5 4;fill:none}svg .asked{stroke:var(--sell);stroke-dasharray:2 3;fill:none}
svg .line{fill:none;stroke-width:2}svg .band{opacity:.18;stroke:none}
.c0{stroke:#3d6a99;fill:#3d6a99}.c1{stroke:#127a4b;fill:#127a4b}.c2{stroke:#b3261e;fill:#b3261e}
svg text.key{stroke:none}svg text.cell{text-anchor:middle;font-size:10px;fill:#1f2933}
.pair{display:grid;grid-template-columns:repeat(auto-fit,minmax(420px,1fr));gap:1.2rem}
"""
_WIDTH: Final = 520.0
_HEIGHT: Final = 340.0
LEFT, RIGHT, TOP, BOTTOM = 52.0, 14.0, 12.0, 36.0
_MIN_CELL: Final = 20  # signals, below which an hour has no colour


@dataclass(frozen=True, slots=True)
class Plane:
    """A chart's area; maps values to places."""

    x: tuple[float, float]
    y: tuple[float, float]
    width: float = _WIDTH
    height: float = _HEIGHT

    def at(self, x: float, y: float) -> tuple[float, float]:
        right = (x - self.x[0]) / (self.x[1] - self.x[0]) * (self.width - LEFT - RIGHT)
        up = (y - self.y[0]) / (self.y[1] - self.y[0]) * (self.height - TOP - BOTTOM)
        return LEFT + right, self.height - BOTTOM - up

    def path(self, xs: Sequence[float], ys: Sequence[float]) -> str:
        places = (self.at(x, y) for x, y in zip(xs, ys, strict=True))
        return " ".join(f"{px:.1f},{py:.1f}" for px, py in places)

    def line(self, a: tuple[float, float], b: tuple[float, float], kind: str) -> str:
        (x1, y1), (x2, y2) = self.at(*a), self.at(*b)
        return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'

    def frame(self, label: str, body: str, *, names: tuple[str, str], ticks: Sequence[tuple[float, str]], form: str) -> str:
        parts = []
        for value in round_ticks(*self.y):
            x, y = self.at(self.x[0], value)
            parts.append(self.line((self.x[0], value), (self.x[1], value), "grid"))
            parts.append(f'<text x="{x - 6:.0f}" y="{y + 4:.0f}" text-anchor="end">{value:{form}}</text>')
        for value, name in ticks:
            x, y = self.at(value, self.y[0])
            parts.append(f'<text x="{x:.0f}" y="{y + 15:.0f}" text-anchor="middle">{text(name)}</text>')
        middle = (LEFT + self.width - RIGHT) / 2
        parts.append(f'<text x="{middle:.0f}" y="{self.height - 4:.0f}" text-anchor="middle">{text(names[0])}</text>')
        parts.append(
            f'<text transform="translate(11 {self.height / 2:.0f}) rotate(-90)" text-anchor="middle">{text(names[1])}</text>'
        )
        box = f"0 0 {self.width:.0f} {self.height:.0f}"
        return f'<svg role="img" aria-label="{text(label)}" viewBox="{box}">{"".join(parts)}{body}</svg>'


def reliability_svg(bins: Sequence[ReliabilityBin]) -> str:
    """Draw what was promised against what came true; bars are 95 % day-block intervals. Empty without signals."""
    if not bins:
        return ""
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
        shown = f"said {confidence:.1%}, came true {precision.value:.1%} {interval}, n = {precision.n}"
        parts.append(f'<circle class="c0" cx="{x:.1f}" cy="{y:.1f}" r="4"><title>{shown}</title></circle>')
    ticks = [(value, f"{value:.1%}") for value in round_ticks(*across)]
    return plane.frame(
        "reliability of issued signals",
        "".join(parts),
        names=("probability it gave", "share that came true"),
        ticks=ticks,
        form=".0%",
    )


def coverage_svg(points: Sequence[CoveragePoint], asked: float, issued_coverage: float) -> str:
    """Draw precision against coverage, with what the gate asks and where the frozen threshold lies."""
    values = [point for point in points if point.precision.n]
    low = min(0.5, *(point.precision.low for point in values))
    high = max(asked, *(point.precision.high for point in values))
    plane = Plane((-2.0, 0.0), (np.floor(low * 20) / 20, np.ceil(high * 20) / 20))
    xs = [float(np.log10(point.coverage)) for point in values]
    band = plane.path([*xs, *xs[::-1]], [*(p.precision.low for p in values), *(p.precision.high for p in values[::-1])])
    parts = [
        f'<polygon class="band c0" points="{band}"/>',
        f'<polyline class="line c0" style="fill:none" points="{plane.path(xs, [p.precision.value for p in values])}"/>',
        plane.line((-2.0, asked), (0.0, asked), "asked"),
        plane.line((-2.0, 0.5), (0.0, 0.5), "ideal"),
    ]
    x, y = plane.at(-2.0, asked)
    parts.append(f'<text x="{x + 4:.0f}" y="{y - 4:.0f}">asked by G1</text>')
    if issued_coverage > 0.01:
        at = float(np.log10(issued_coverage))
        parts.append(plane.line((at, plane.y[0]), (at, plane.y[1]), "ideal"))
        x, y = plane.at(at, plane.y[0])
        parts.append(f'<text x="{x + 4:.0f}" y="{y - 6:.0f}">issued</text>')
    ticks = [(float(np.log10(c)), f"{c:.0%}") for c in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)]
    return plane.frame(
        "precision by coverage", "".join(parts), names=("surest share of all decisions", "precision"), ticks=ticks, form=".0%"
    )


def equity_svg(equity: Equity, cost: str) -> str:
    """Draw percent of capital earned, before and after the costs of one model. Empty with fewer than two days."""
    if len(equity.days) < 2:
        return ""
    series: Mapping[str, list[float]] = {"before costs": equity.gross, f"after {cost}": equity.net[cost]}
    low, high = min(min(s) for s in series.values()), max(max(s) for s in series.values())
    pad = max(0.05 * (high - low), 0.5)
    plane = Plane((0.0, len(equity.days) - 1.0), (min(low, 0.0) - pad, max(high, 0.0) + pad), width=1040.0)
    parts = [plane.line((0.0, 0.0), (plane.x[1], 0.0), "axis")]
    for i, (name, values) in enumerate(series.items()):
        points = plane.path(list(range(len(values))), values)
        parts.append(f'<polyline class="line c{i % 3}" style="fill:none" points="{points}"/>')
        key = f"{name}: {values[-1]:+.1f} %"
        parts.append(f'<text class="key c{i % 3}" x="{LEFT + 10 + 240 * i:.0f}" y="{TOP - 1:.0f}">{text(key)}</text>')
    months = [(i, list(group)) for i, (_, group) in enumerate(groupby(enumerate(equity.days), lambda day: day[1][:7]))]
    every = -(-len(months) // 12)
    ticks = [(float(group[0][0]), group[0][1][:7]) for i, group in months if i % every == 0 and len(group) > 7]
    names = ("UTC day", "% of capital, not compounded")
    return plane.frame("equity, one position a symbol", "".join(parts), names=names, ticks=ticks, form="+.0f")


def hours_svg(cells: Sequence[HourCell]) -> str:
    """Draw precision by UTC hour and day of the week; hours with fewer than twenty signals stay empty."""
    size, left = 38.0, 46.0
    rows = [*DAYS_OF_WEEK, "all"]
    parts = [f'<text x="{left + (h + 0.5) * size:.0f}" y="12" text-anchor="middle">{h:02d}</text>' for h in range(24)]
    whole = [_of_hour(cells, hour) for hour in range(24)]
    for r, name in enumerate(rows):
        y = 20 + r * 26.0 + (6 if name == "all" else 0)
        parts.append(f'<text x="{left - 8:.0f}" y="{y + 16:.0f}" text-anchor="end">{name}</text>')
        for hour in range(24):
            n, precision = whole[hour] if name == "all" else (cells[r * 24 + hour].n, cells[r * 24 + hour].precision)
            colour = _heat(precision) if n >= _MIN_CELL else "var(--card)"
            share = f"{100 * precision:.0f}" if n >= _MIN_CELL else ""
            x = left + hour * size
            shown = f"{name} {hour:02d}:00 UTC: {n} signals" + (f", {precision:.1%} right" if n else "")
            parts.append(f'<g><rect x="{x:.0f}" y="{y:.0f}" width="{size - 2:.0f}" height="24" fill="{colour}"/>')
            parts.append(
                f'<text class="cell" x="{x + size / 2 - 1:.0f}" y="{y + 16:.0f}">{share}</text><title>{shown}</title></g>'
            )
    box = f"0 0 {left + 24 * size:.0f} {20 + 26 * len(rows) + 8}"
    return f'<svg role="img" aria-label="precision by hour" viewBox="{box}">{"".join(parts)}</svg>'


def _of_hour(cells: Sequence[HourCell], hour: int) -> tuple[int, float]:
    own = [cell for cell in cells if cell.hour == hour and cell.n]
    n = sum(cell.n for cell in own)
    return n, sum(cell.n * cell.precision for cell in own) / n if n else float("nan")


def _heat(precision: float) -> str:
    """Red below one half, green above, full colour at 20 points away."""
    strength = min(abs(precision - 0.5) / 0.2, 1.0)
    target = (76, 195, 138) if precision >= 0.5 else (255, 138, 128)
    red, green, blue = (round(245 + (channel - 245) * strength) for channel in target)
    return f"rgb({red},{green},{blue})"


def round_ticks(low: float, high: float) -> list[float]:
    """Return four to ten round values within."""
    rough = (high - low) / 5.0
    scale = 10.0 ** np.floor(np.log10(rough))
    step = float(next(s * scale for s in (1.0, 2.0, 2.5, 5.0, 10.0) if s * scale >= rough))
    first = int(np.ceil(low / step - 1e-9))
    return [i * step for i in range(first, int(np.floor(high / step + 1e-9)) + 1)]
