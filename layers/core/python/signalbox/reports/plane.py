"""Charts of figures over time or over a value: inline SVG for the lines, HTML for the words. No script, and readable on a phone.

The SVG is stretched to whatever width the page has (strokes keep theirs), while ticks and legends are text of the page and keep
its size. On a narrow page two of three ticks of the time axis are left out by the stylesheet. Floats: charts are only looked at.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from markupsafe import Markup

from signalbox.reports.drawing import element, hover_strips, line_through, places

SIDE: Final = 1000.0  # of the SVG in user units; the page decides how large a unit is
MAX_TICKS: Final = 9
_MINUTE, _HOUR, _DAY = 60.0, 3600.0, 86_400.0
_STEPS: Final = (
    *(minutes * _MINUTE for minutes in (1, 2, 5, 10, 15, 30)),
    *(hours * _HOUR for hours in (1, 2, 3, 6, 12)),
    *(days * _DAY for days in (1, 2, 5, 10)),
)
_MONTH_STEPS: Final = (1, 2, 3, 6, 12, 24, 60, 120)


@dataclass(frozen=True, slots=True)
class Tick:
    """One mark of an axis."""

    value: float
    label: str


@dataclass(frozen=True, slots=True)
class Line:
    """One curve of a chart over time. colour: c0 to c3 of the stylesheet. points: (seconds since 1970 in UTC, value)."""

    name: str
    colour: str
    points: Sequence[tuple[float, float]]
    is_dashed: bool = False
    is_area: bool = False  # filled from 0


@dataclass(frozen=True, slots=True)
class Plane:
    """The area of a chart. Maps values to user units of the SVG."""

    x: tuple[float, float]
    y: tuple[float, float]

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Return the pixel position (x, y) of a data point."""
        return (x - self.x[0]) / (self.x[1] - self.x[0]) * SIDE, SIDE - (y - self.y[0]) / (self.y[1] - self.y[0]) * SIDE

    def along(self, xs: Iterable[float], ys: Iterable[float]) -> list[tuple[float, float]]:
        """Return the places of points."""
        return [self.at(x, y) for x, y in zip(xs, ys, strict=True)]

    def line(self, a: tuple[float, float], b: tuple[float, float], kind: str, hover: str = "") -> Markup:
        """Return a straight line of a class of the stylesheet. hover: its text on hover."""
        (x1, y1), (x2, y2) = self.at(*a), self.at(*b)
        title = (element("title", hover),) if hover else ()
        return element("line", *title, class_=kind, x1=f"{x1:.1f}", y1=f"{y1:.1f}", x2=f"{x2:.1f}", y2=f"{y2:.1f}")

    def level(self, y: float, kind: str, hover: str = "") -> Markup:
        """Return a horizontal line over the whole width."""
        return self.line((self.x[0], y), (self.x[1], y), kind, hover)

    def curve(self, xs: Iterable[float], ys: Iterable[float], kind: str) -> Markup:
        """Return a line through points."""
        return line_through(self.along(xs, ys), class_=f"line {kind}")

    def area(self, xs: Sequence[float], low: Sequence[float], high: Sequence[float], kind: str) -> Markup:
        """Return the area between two curves over the same xs."""
        return element("polygon", class_=f"band {kind}", points=places(self.along([*xs, *reversed(xs)], [*low, *reversed(high)])))

    def dot(self, x: float, y: float, kind: str, hover: str) -> Markup:
        """Return a round dot: a line of no length with round ends, because a circle would be stretched with the picture."""
        px, py = self.at(x, y)
        return element("path", element("title", hover), class_=f"dot {kind}", d=f"M{px:.1f} {py:.1f}h0.01")

    def bar(self, left: float, right: float, top: float, kind: str, hover: str) -> Markup:
        """Return a bar from 0 to a value, between two xs."""
        (x1, y1), (x2, y2) = self.at(left, max(top, 0.0)), self.at(right, min(top, 0.0))
        sizes = {"width": f"{max(x2 - x1, 0.5):.1f}", "height": f"{max(y2 - y1, 0.5):.1f}"}
        return element("rect", element("title", hover), class_=f"bar {kind}", x=f"{x1:.1f}", y=f"{y1:.1f}", **sizes)

    def hover(self, xs: Sequence[float], labels: Sequence[str]) -> Markup:
        """Return strips that show the label of the x value under the pointer. labels: one for each of xs."""
        return hover_strips([self.at(x, self.y[0])[0] for x in xs], labels, 0.0, SIDE)

    def frame(
        self,
        label: str,
        body: Iterable[Markup],
        *,
        names: tuple[str, str],
        ticks: Sequence[Tick],
        levels: Sequence[Tick] | None = None,
        legend: Sequence[tuple[str, str]] = (),
        height: str = "tall",
        notes: Sequence[tuple[float, float, str]] = (),
    ) -> Markup:
        """Return the chart as a figure.

        names: of both axes. levels: ticks of the y axis, None for round ones. legend: (name, classes). height: tall, middle or
        low. notes: (x, y, words) inside the chart.
        """
        levels = value_ticks(*self.y) if levels is None else levels
        grid = [self.level(tick.value, "grid") for tick in levels]
        rules = [self.line((tick.value, self.y[0]), (tick.value, self.y[1]), "grid") for tick in ticks]
        drawn = element(
            "svg",
            *grid,
            *rules,
            *body,
            role="img",
            aria_label=label,
            viewBox=f"0 0 {SIDE:.0f} {SIDE:.0f}",
            preserveAspectRatio="none",
        )
        words = [_label("ty", self.at(self.x[0], tick.value), tick.label, "top") for tick in levels]
        for i, tick in enumerate(ticks):
            place = self.at(tick.value, self.y[0])
            edge = " first" if place[0] < 0.04 * SIDE else " last" if place[0] > 0.96 * SIDE else ""
            words.append(_label(f"tx{edge}{'' if i % 3 == 0 else ' minor'}", place, tick.label, "left"))
        for x, y, text in notes:
            px, py = self.at(x, y)
            words.append(Markup('<span class="note" style="left:{:.1f}%;top:{:.1f}%">{}</span>').format(px / 10, py / 10, text))
        keys = Markup("").join(Markup('<span><i class="{}"></i>{}</span>').format(kind, name) for name, kind in legend)
        return Markup(
            '<figure class="chart"><figcaption><span class="unit">{unit}</span>{keys}</figcaption>'
            '<div class="plot {height}">{drawn}{words}</div><p class="under">{under}</p></figure>'
        ).format(unit=names[1], keys=keys, height=height, drawn=drawn, words=Markup("").join(words), under=names[0])


def _label(kind: str, place: tuple[float, float], label: str, side: str) -> Markup:
    value = place[1] if side == "top" else place[0]
    return Markup('<span class="{}" style="{}:{:.2f}%">{}</span>').format(kind, side, value / SIDE * 100, label)


def time_chart(
    label: str,
    lines: Sequence[Line],
    *,
    unit: str,
    start: Tick | None = None,
    levels: Sequence[Tick] = (),
    height: str = "tall",
    hover: Sequence[str] | None = None,
) -> Markup:
    """Return a chart of lines over time in UTC; empty if the first line has fewer than two points.

    start: the value at the beginning, drawn as a line with its label. levels: further horizontal lines, such as limits.
    hover: the text of each point of the first line on hover; None for its instant and value.
    """
    if not lines or len(lines[0].points) < 2:
        return Markup("")
    xs = [x for line in lines for x, _ in line.points]
    marked = [*levels] if start is None else [start, *levels]
    ys = [y for line in lines for _, y in line.points] + [tick.value for tick in marked]
    if any(line.is_area for line in lines):
        ys.append(0.0)
    plane = Plane(_wide(min(xs), max(xs), _MINUTE), padded(min(ys), max(ys)))
    body: list[Markup] = []
    legend: list[tuple[str, str]] = []
    for line in lines:
        at, values = [x for x, _ in line.points], [y for _, y in line.points]
        if line.is_area:
            body.append(plane.area(at, [0.0] * len(at), values, line.colour))
        body.append(plane.curve(at, values, f"{line.colour}{' dashed' if line.is_dashed else ''}"))
        legend.append((line.name, f"{line.colour}{' dashed' if line.is_dashed else ''}"))
    for tick in marked:
        kind = "start" if tick is start else "asked"
        body.append(plane.level(tick.value, kind, tick.label))
        legend.append((tick.label, kind))
    first = lines[0].points
    shown = hover if hover is not None else [f"{stamp(x)}: {figure(y)} {unit}" for x, y in first]
    body.append(plane.hover([x for x, _ in first], shown))
    return plane.frame(
        label, body, names=("UTC", unit), ticks=time_ticks(*plane.x), legend=legend if len(legend) > 1 else (), height=height
    )


def bars_chart(label: str, bars: Sequence[tuple[float, float, float, str, str]], *, names: tuple[str, str]) -> Markup:
    """Return a chart of bars (left, right, value, class, what it shows on hover); empty without bars."""
    if not bars:
        return Markup("")
    tops = [value for _, _, value, _, _ in bars]
    low, high = min([0.0, *tops]), max([0.0, *tops])
    plane = Plane(_wide(min(one[0] for one in bars), max(one[1] for one in bars), 1.0), (low, high + 0.08 * (high - low or 1.0)))
    body = [plane.bar(*one) for one in bars]
    return plane.frame(label, body, names=names, ticks=value_ticks(*plane.x), height="middle")


def padded(low: float, high: float) -> tuple[float, float]:
    """Return the range of an axis for values from low to high. Equal values get a tenth of a percent around them, at least 1."""
    if high - low <= 1e-9 * max(abs(low), abs(high), 1.0):
        margin = max(abs(high) * 0.001, 1.0)
        return low - margin, high + margin
    return low - 0.06 * (high - low), high + 0.06 * (high - low)


def value_ticks(low: float, high: float) -> list[Tick]:
    """Return four to ten round values between low and high, with as many decimals as they need."""
    values = round_values(low, high)
    step = values[1] - values[0] if len(values) > 1 else max(abs(high), 1.0)
    decimals = next((d for d in range(7) if abs(round(step, d) - step) < 1e-9 * max(abs(step), 1e-9)), 6)
    return [Tick(value, f"{value + 0.0:,.{decimals}f}") for value in values]


def round_values(low: float, high: float) -> list[float]:
    """Return four to ten round values between low and high."""
    rough = (high - low) / 5.0
    scale = 10.0 ** math.floor(math.log10(rough))
    step = next(s * scale for s in (1.0, 2.0, 2.5, 5.0, 10.0) if s * scale >= rough * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [i * step + 0.0 for i in range(first, last + 1)]


def time_ticks(first: float, last: float) -> list[Tick]:
    """Return at most MAX_TICKS round instants in UTC between two instants in seconds. Midnights are labelled as dates."""
    for step in _STEPS:
        begin, end = math.ceil(first / step - 1e-9), math.floor(last / step + 1e-9)
        if end - begin + 1 <= MAX_TICKS:
            return [Tick(i * step, _clock(i * step, step)) for i in range(begin, end + 1)]
    for months in _MONTH_STEPS:
        ticks = [Tick(at, f"{datetime.fromtimestamp(at, UTC):%Y-%m}") for at in _months(first, last, months)]
        if len(ticks) <= MAX_TICKS:
            return ticks
    return []


def _months(first: float, last: float, months: int) -> Iterable[float]:
    begin = datetime.fromtimestamp(first, UTC)
    number = begin.year * 12 + begin.month - 1
    number = -(-number // months) * months
    while (at := datetime(number // 12, number % 12 + 1, 1, tzinfo=UTC).timestamp()) <= last:
        if at >= first:
            yield at
        number += months


def _clock(at: float, step: float) -> str:
    instant = datetime.fromtimestamp(at, UTC)
    return f"{instant:%b %d}" if step >= _DAY or at % _DAY == 0 else f"{instant:%H:%M}"


def stamp(at: float) -> str:
    """Return an instant in seconds as text in UTC, to the minute; to the second where there are any."""
    instant = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=at)
    return f"{instant:%Y-%m-%d %H:%M}{f':{instant:%S}' if instant.second else ''} UTC"


def figure(value: float) -> str:
    """Return a value with two decimals and without a minus before zero."""
    return f"{0.0 if abs(value) < 0.005 else value:,.2f}"


def _wide(low: float, high: float, least: float) -> tuple[float, float]:
    return low, max(high, low + least)
