"""The equity curve of a period and its deepest drawdown. Figures are exact, although the picture leaves points out.

profit = equity - transfers, so that money paid in is no gain and money taken out no loss. peak is the highest profit so far. The
drawdown is peak - profit; as a share it is divided by peak + all transfers, that is by the account as if all its money had been
there from the start. Of each time span only the points needed for figures and picture are kept, so a year of minutes stays small.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Final

from markupsafe import Markup

from signalbox.exact import ZERO, exactly, ratio
from signalbox.reports.plane import Line, Tick, figure, stamp, time_chart

SPANS: Final = 200  # number of time spans in a period; of each at most four points are kept


@dataclass(frozen=True, slots=True)
class EquitySample:
    """The part of an equity snapshot that a curve needs, in account currency."""

    at: datetime
    equity: Decimal
    transfers: Decimal  # total since the account began
    exposure: Decimal = ZERO


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """One point of the curve."""

    at: datetime
    profit: Decimal
    peak: Decimal

    @property
    @exactly
    def drawdown(self) -> Decimal:
        """How far profit is below its peak; 0 at the peak."""
        return self.peak - self.profit


@dataclass(frozen=True, slots=True)
class Exposure:
    """The largest exposure relative to equity, and when it occurred."""

    at: datetime
    share: Decimal  # of equity, 6 places


@dataclass(frozen=True, slots=True)
class EquityCurve:
    """The points kept of `count` snapshots."""

    points: tuple[CurvePoint, ...] = ()
    count: int = 0
    exposure: Exposure | None = None

    @property
    def deepest(self) -> CurvePoint | None:
        """The point of the deepest drawdown, the first if several are equal; None if there is no drawdown."""
        found = max(self.points, key=lambda point: point.drawdown, default=None)
        return found if found is not None and found.drawdown > 0 else None

    def between(self, opening: EquitySample, closing: EquitySample) -> EquityCurve:
        """Return the curve between two valuations of the account, which become its ends; points outside are dropped."""
        first = _profit(opening)
        inside = [replace(p, peak=max(p.peak, first)) for p in self.points if opening.at < p.at < closing.at]
        last = _profit(closing)
        peak = max([first, last, *(p.peak for p in inside)])
        return replace(
            self, points=(CurvePoint(opening.at, first, first), *inside, CurvePoint(closing.at, last, peak)), count=self.count + 2
        )


def fold(points: Iterable[EquitySample], start: datetime, end: datetime, spans: int = SPANS) -> EquityCurve:
    """Return the curve of snapshots in time order. They may be a stream: one pass is made, and few points are held."""
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
    """Return, in time order, the first point of a span, its lowest, the one deepest below its peak, and the last."""
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
    """Return the drawdown as a share of its peak, to 6 places; None if there was no money."""
    base = point.peak + transfers
    return ratio(point.drawdown, base, 6) if base > 0 else None


def curve_charts(curve: EquityCurve, transfers: Decimal, currency: str) -> Markup:
    """Return pictures of equity and of drawdown over time; empty for fewer than two points.

    Equity here is profit plus all transfers up to the end, so that paying in does not make a step.
    """
    if len(curve.points) < 2:
        return Markup("")
    times = [point.at.timestamp() for point in curve.points]
    equity = [float(point.profit + transfers) for point in curve.points]
    falls = [-float(point.drawdown) for point in curve.points]
    titles = [
        f"{stamp(at)}: equity {figure(y)}, {figure(-fall)} below the highest"
        for at, y, fall in zip(times, equity, falls, strict=True)
    ]
    above = Line("equity", "c0", list(zip(times, equity, strict=True)))
    below = Line("drawdown", "c2", list(zip(times, falls, strict=True)), is_area=True)
    start = Tick(equity[0], "equity at the start")
    return time_chart("equity", [above], unit=currency, start=start, hover=titles) + time_chart(
        "drawdown", [below], unit=f"{currency} below the highest", height="low"
    )
