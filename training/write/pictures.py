"""Charts of an evaluation: inline SVG, drawn with reports/plane.py."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

import numpy as np
from markupsafe import Markup

from signalbox.reports.drawing import element, picture, words
from signalbox.reports.plane import Line, Plane, Tick, round_values, time_chart
from training.judge.curves import DAYS_OF_WEEK, CoveragePoint, Equity, HourCell, ReliabilityBin

_MIN_CELL: Final = 20  # an hour with fewer signals has no colour


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
        parts.append(plane.line((confidence, precision.low), (confidence, precision.high), "line c0"))
        interval = f"[{precision.low:.1%}, {precision.high:.1%}]"
        shown = f"predicted {confidence:.1%}, came true {precision.value:.1%} {interval}, n = {precision.n}"
        parts.append(plane.dot(confidence, precision.value, "c0", shown))
    ticks = [Tick(value, f"{value:.1%}") for value in round_values(*across)]
    return plane.frame(
        "reliability of issued signals",
        parts,
        names=("predicted probability", "share that came true"),
        ticks=ticks,
        levels=_percents(*edge),
        height="middle",
    )


def coverage_svg(points: Sequence[CoveragePoint], asked: float, issued_coverage: float) -> Markup:
    """Draw precision against coverage, with the precision that G1 requires and the coverage of the frozen threshold."""
    values = [point for point in points if point.precision.n]
    low = min(0.5, *(point.precision.low for point in values))
    high = max(asked, *(point.precision.high for point in values))
    plane = Plane((-2.0, 0.0), (np.floor(low * 20) / 20, np.ceil(high * 20) / 20))
    xs = [float(np.log10(point.coverage)) for point in values]
    parts = [
        plane.area(xs, [p.precision.low for p in values], [p.precision.high for p in values], "c0"),
        plane.curve(xs, [p.precision.value for p in values], "c0"),
        plane.line((-2.0, asked), (0.0, asked), "asked"),
        plane.line((-2.0, 0.5), (0.0, 0.5), "ideal"),
    ]
    notes = [(-2.0, asked, "required by G1")]
    if issued_coverage > 0.01:
        at = float(np.log10(issued_coverage))
        parts.append(plane.line((at, plane.y[0]), (at, plane.y[1]), "ideal"))
        notes.append((min(at, -0.35), plane.y[1], "issued"))
    ticks = [Tick(float(np.log10(c)), f"{c:.0%}") for c in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)]
    names = ("share of decisions, largest margins first", "precision")
    return plane.frame(
        "precision by coverage", parts, names=names, ticks=ticks, levels=_percents(*plane.y), height="middle", notes=notes
    )


def equity_svg(equity: Equity, cost: str) -> Markup:
    """Draw the percent of capital earned, before costs and after those of one model. Empty with fewer than two days."""
    if len(equity.days) < 2:
        return Markup("")
    series: Mapping[str, list[float]] = {"before costs": equity.gross, f"after {cost}": equity.net[cost]}
    days = [datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp() for day in equity.days]
    lines = [
        Line(f"{name}: {values[-1]:+.1f} %", f"c{i}", list(zip(days, values, strict=True)))
        for i, (name, values) in enumerate(series.items())
    ]
    hover = [
        f"{day}: " + ", ".join(f"{name} {values[i]:+.1f} %" for name, values in series.items())
        for i, day in enumerate(equity.days)
    ]
    unit = "% of capital, not compounded"
    return time_chart("equity, one position a symbol", lines, unit=unit, start=Tick(0.0, "start"), hover=hover)


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
            hover = words(x + size / 2 - 1, y + 16, share, class_="cell")
            parts.append(element("g", cell, hover, element("title", shown)))
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


def _percents(low: float, high: float) -> list[Tick]:
    return [Tick(value, f"{value:.0%}") for value in round_values(low, high)]
