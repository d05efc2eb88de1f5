"""The equity of a period as a curve, and its deepest drawdown: exact, whatever is left out of the picture.

profit = equity - transfers, so that money paid in is no gain and money taken out no loss. peak is the highest profit until
then; the drawdown is peak - profit, and as a share it is of peak + all transfers: the account as if all of its money had been
there from the start. Of each span only what the figures and the picture need is kept, so a year of minutes stays small.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Final

from markupsafe import Markup

from signalbox.exact import ZERO, exactly, ratio
from signalbox.reports.drawing import element, hover_strips, line_through, picture, places, words

SPANS: Final = 200  # of a period; at most four points are kept of each
_WIDTH, _EQUITY_HEIGHT, _DRAWDOWN_HEIGHT, _LEFT = 1000.0, 190.0, 70.0, 78.0


@dataclass(frozen=True, slots=True)
class EquitySample:
    """An equity snapshot, as far as a curve needs it; the account's currency."""

    at: datetime
    equity: Decimal
    transfers: Decimal  # since the account began
    exposure: Decimal = ZERO


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """One point that is kept."""

    at: datetime
    profit: Decimal
    peak: Decimal

    @property
    @exactly
    def drawdown(self) -> Decimal:
        """How far below the peak; 0 at it."""
        return self.peak - self.profit


@dataclass(frozen=True, slots=True)
class Exposure:
    """The largest exposure in terms of equity that was seen, and when."""

    at: datetime
    share: Decimal  # of equity, 6 places


@dataclass(frozen=True, slots=True)
class EquityCurve:
    """What is kept of `count` snapshots."""

    points: tuple[CurvePoint, ...] = ()
    count: int = 0
    exposure: Exposure | None = None

    @property
    def deepest(self) -> CurvePoint | None:
        """The point of the deepest drawdown, the first of equals; None without one."""
        found = max(self.points, key=lambda point: point.drawdown, default=None)
        return found if found is not None and found.drawdown > 0 else None

    def between(self, opening: EquitySample, closing: EquitySample) -> EquityCurve:
        """Return the curve with the account's own valuations at both ends; what lies outside of them is left out."""
        first = _profit(opening)
        inside = [replace(p, peak=max(p.peak, first)) for p in self.points if opening.at < p.at < closing.at]
        last = _profit(closing)
        peak = max([first, last, *(p.peak for p in inside)])
        return replace(
            self, points=(CurvePoint(opening.at, first, first), *inside, CurvePoint(closing.at, last, peak)), count=self.count + 2
        )


def fold(points: Iterable[EquitySample], start: datetime, end: datetime, spans: int = SPANS) -> EquityCurve:
    """Return the curve of snapshots in time order, which may be a stream: one pass, and little is held."""
    width = (end - start) / spans
    kept: list[CurvePoint] = []
    span: list[CurvePoint] = []
    number, count = -1, 0
    peak: Decimal | None = None
    exposure: Exposure | None = None
    for point in points:
        profit = _profit(point)
        peak = profit if peak is None else max(peak, profit)
        exposure = _larger(exposure, point)
        count += 1
        here = (point.at - start) // width
        if here != number:
            kept += span
            span, number = [], here
        span = _kept([*span, CurvePoint(point.at, profit, peak)])
    return EquityCurve((*kept, *span), count, exposure)


def _kept(span: list[CurvePoint]) -> list[CurvePoint]:
    """Return the first, the lowest, the deepest below its peak and the last of a span, in order of time."""
    if len(span) <= 2:
        return span
    lowest = min(span, key=lambda p: p.profit)
    deepest = max(span, key=lambda p: p.drawdown)
    return [p for i, p in enumerate(span) if i in {0, len(span) - 1} or p is lowest or p is deepest]


def _larger(before: Exposure | None, point: EquitySample) -> Exposure | None:
    if not point.exposure or point.equity <= 0:
        return before
    share = ratio(point.exposure, point.equity, 6)
    return Exposure(point.at, share) if before is None or share > before.share else before


@exactly
def _profit(point: EquitySample) -> Decimal:
    return point.equity - point.transfers


@exactly
def drawdown_share(point: CurvePoint, transfers: Decimal) -> Decimal | None:
    """Return the drawdown as a share of its peak, 6 places; None where there was no money."""
    base = point.peak + transfers
    return ratio(point.drawdown, base, 6) if base > 0 else None


def curve_svg(curve: EquityCurve, transfers: Decimal) -> Markup:
    """Return equity (above) and drawdown (below) over time as one picture; nothing for fewer than two points.

    Equity here is profit plus all transfers until the end, so that paying in makes no step.
    """
    if len(curve.points) < 2:
        return Markup("")
    times = [point.at.timestamp() for point in curve.points]
    equity = [float(point.profit + transfers) for point in curve.points]
    falls = [float(point.drawdown) for point in curve.points]
    across = [_LEFT + (_WIDTH - _LEFT) * (t - times[0]) / (times[-1] - times[0]) for t in times]
    low, high = min(equity), max(equity)
    room = (high - low) or max(abs(high), 1.0) * 0.001
    deep = max(falls) or 1.0
    top = _EQUITY_HEIGHT + 14
    height = top + _DRAWDOWN_HEIGHT + 22
    line = [(x, 8 + (_EQUITY_HEIGHT - 16) * (1 - (y - low) / room)) for x, y in zip(across, equity, strict=True)]
    area = [(x, top + _DRAWDOWN_HEIGHT * fall / deep) for x, fall in zip(across, falls, strict=True)]
    first, last = curve.points[0].at, curve.points[-1].at
    ticks: Sequence[tuple[float, str]] = (
        (14.0, f"{high:,.2f}"),
        (_EQUITY_HEIGHT - 6, f"{low:,.2f}"),
        (top + 8, "0"),
        (top + _DRAWDOWN_HEIGHT, f"-{max(falls):,.2f}"),
    )
    labels = [
        f"{point.at:%Y-%m-%d %H:%M} UTC: equity {y:,.2f}, {fall:,.2f} below the highest"
        for point, y, fall in zip(curve.points, equity, falls, strict=True)
    ]
    return picture(
        "equity above, drawdown below",
        _WIDTH,
        height,
        *(words(0, y, label) for y, label in ticks),
        words(_LEFT, height - 6, f"{first:%Y-%m-%d %H:%M} UTC"),
        words(_WIDTH, height - 6, f"{last:%Y-%m-%d %H:%M} UTC", text_anchor="end"),
        line_through(line, fill="none", stroke="#3d6a99", stroke_width="1.6"),
        element("polygon", points=places([(across[0], top), *area, (across[-1], top)]), fill="#b3261e", opacity="0.35"),
        hover_strips(across, labels, 0.0, top + _DRAWDOWN_HEIGHT),
    )
