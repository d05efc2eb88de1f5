"""Charts of a backtest: equity with the limits of the rules, drawdown, and the outcome of every start date."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

import numpy as np
from markupsafe import Markup

from signalbox.reports.drawing import element, places, words
from signalbox.risk.ftmo.state import AccountDay
from training.backtest.backtest import BacktestResult
from training.backtest.engine import BacktestEnding
from training.backtest.figures import drawdowns
from training.backtest.starts import Attempt
from training.write.pictures import LEFT, TOP, Plane

_WIDTH: Final = 1040.0
_POINTS: Final = 1_500  # per line; of neighbouring points the lowest is drawn, so no fall is lost
_DAY: Final = 86_400.0
_COLOURS: Final = {BacktestEnding.TARGET_REACHED: "c1", BacktestEnding.END_OF_DATA: "c0"}


def equity_svg(result: BacktestResult) -> Markup:
    """Draw equity with both limits, in percent of the capital. Empty with fewer than two points."""
    rows, capital = result.run.record.equity, result.account.capital
    if len(rows) < 2:
        return Markup("")
    xs, ys = _thinned([row.at for row in rows], [_percent(row.equity, capital) for row in rows])
    days = result.run.record.days
    lines = [("equity", "c0", xs, ys)]
    if days:
        lines.append(("daily limit", "c2", *_limit_line(days, capital)))
    rules = result.account.rules
    overall = None if rules is None else -100.0 * float(rules.max_loss_fraction)
    low = min([*ys, *(min(line[3]) for line in lines), overall or 0.0])
    high = max([*ys, 0.0])
    pad = max(0.05 * (high - low), 0.2)
    plane = Plane((xs[0], max(xs[-1], xs[0] + 1.0)), (low - pad, high + pad), width=_WIDTH)
    parts = [plane.line((plane.x[0], 0.0), (plane.x[1], 0.0), "axis")]
    for i, (name, colour, x, y) in enumerate(lines):
        parts.append(plane.curve(x, y, colour))
        parts.append(words(LEFT + 10 + 160 * i, TOP - 1, name, class_=f"key {colour}"))
    if overall is not None:
        parts.append(plane.line((plane.x[0], overall), (plane.x[1], overall), "asked"))
        parts.append(words(LEFT + 10 + 160 * len(lines), TOP - 1, "overall limit (dashed)", class_="key c2"))
    parts.append(plane.hover(xs, [f"{_date(x)}: {y:+.2f} % of capital" for x, y in zip(xs, ys, strict=True)]))
    return plane.frame("equity", parts, names=("UTC", "% of capital"), ticks=_months(plane.x), form="+.1f")


def drawdown_svg(result: BacktestResult) -> Markup:
    """Draw how far equity is below its highest value so far, in percent. Empty with fewer than two points."""
    rows = result.run.record.equity
    if len(rows) < 2:
        return Markup("")
    falls = -100 * drawdowns([row.equity for row in rows], result.account.capital)
    xs, ys = _thinned([row.at for row in rows], falls.tolist())
    plane = Plane((xs[0], max(xs[-1], xs[0] + 1.0)), (min([*ys, -0.5]) * 1.08, 0.0), width=_WIDTH, height=220.0)
    area = plane.along([xs[0], *xs, xs[-1]], [0.0, *ys, 0.0])
    parts = [
        element("polygon", class_="band c2", points=places(area)),
        plane.curve(xs, ys, "c2"),
        plane.hover(xs, [f"{_date(x)}: {y:.2f} % below the highest" for x, y in zip(xs, ys, strict=True)]),
    ]
    return plane.frame("drawdown", parts, names=("UTC", "% below highest"), ticks=_months(plane.x), form=".1f")


def starts_svg(attempts: Sequence[Attempt]) -> Markup:
    """Draw the outcome of every start date: how long it lasted and the profit at its end. Empty without attempts."""
    if not attempts:
        return Markup("")
    xs = [_day(one.start) for one in attempts]
    ys = [100 * one.profit for one in attempts]
    high, low = max([*ys, 10.5]), min([*ys, -10.5])
    plane = Plane(
        (xs[0] - 5, max(xs[-1], *(_day(one.ended_at) for one in attempts)) + 5), (low, high), width=_WIDTH, height=300.0
    )
    parts = [plane.line((plane.x[0], 0.0), (plane.x[1], 0.0), "axis")]
    for one, x, y in zip(attempts, xs, ys, strict=True):
        colour = _COLOURS.get(one.ending, "c2")
        parts.append(plane.line((x, 0.0), (_day(one.ended_at), y), f"line {colour}"))
        px, py = plane.at(_day(one.ended_at), y)
        label = f"{one.start:%Y-%m-%d}: {one.ending.value}, {one.profit:+.1%} after {one.days:.0f} days, {one.trades} trades"
        parts.append(element("circle", element("title", label), class_=colour, cx=f"{px:.1f}", cy=f"{py:.1f}", r=4))
    names = ("from the start date to its end", "% of capital at the end")
    return plane.frame("start dates", parts, names=names, ticks=_months(plane.x), form="+.0f")


def _limit_line(days: Sequence[AccountDay], capital: Decimal) -> tuple[list[float], list[float]]:
    xs = [float((day.date.toordinal() - 719_163) + shift) for day in days for shift in (0.0, 1.0)]
    ys = [_percent(day.daily_limit, capital) for day in days for _ in range(2)]
    return xs, ys


def _percent(amount: Decimal, capital: Decimal) -> float:
    return 100 * float((amount - capital) / capital)


def _day(instant: datetime) -> float:
    return instant.timestamp() / _DAY


def _date(day: float) -> str:
    return f"{datetime.fromtimestamp(day * _DAY, UTC):%Y-%m-%d %H:%M} UTC"


def _thinned(at: Sequence[datetime], values: Sequence[float]) -> tuple[list[float], list[float]]:
    """Return at most about _POINTS points: the lowest of each group of neighbours, and the first and last point."""
    every = max(-(-len(values) // _POINTS), 1)
    kept = [min(range(i, min(i + every, len(values))), key=values.__getitem__) for i in range(0, len(values), every)]
    kept = sorted({0, *kept, len(values) - 1})
    return [_day(at[i]) for i in kept], [values[i] for i in kept]


def _months(across: tuple[float, float]) -> list[tuple[float, str]]:
    first, last = (np.datetime64(int(np.ceil(day)), "D") for day in across)
    months = np.arange(first.astype("datetime64[M]"), last.astype("datetime64[M]") + 1)
    if months.shape[0] < 3:
        days = np.arange(first, last + 1)
        every = max(-(-days.shape[0] // 10), 1)
        found = [(float(day.astype(np.int64)), str(day)) for day in days[::every]]
    else:
        every = max(-(-months.shape[0] // 12), 1)
        found = [(float(month.astype("datetime64[D]").astype(np.int64)), str(month)) for month in months[::every]]
    return [(x, name) for x, name in found if across[0] <= x <= across[1]]
