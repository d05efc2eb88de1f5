"""Charts of a backtest: equity with the limits of the rules, drawdown, returns of trades, and the outcome of every start date."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Final

import numpy as np
from markupsafe import Markup

from signalbox.reports.period import midnight
from signalbox.reports.plane import Line, Plane, Tick, bars_chart, figure, stamp, time_chart, time_ticks, value_ticks
from training.backtest.backtest import BacktestResult
from training.backtest.engine import BacktestEnding, BacktestRun
from training.backtest.performance import Excursion, Floats
from training.backtest.starts import Attempt

_POINTS: Final = 1_200  # of a line; of neighbouring points the lowest is drawn, so no fall is lost
_SHOWN_TRADES: Final = 2_000  # dots of a picture
_BIN: Final = 0.25  # R
_COLOURS: Final = {BacktestEnding.TARGET_REACHED: "c1", BacktestEnding.END_OF_DATA: "c0"}


def equity_chart(result: BacktestResult) -> Markup:
    """Draw the equity of every minute with the capital and, of an account with loss rules, both limits."""
    capital = float(result.account.capital)
    lines = [Line("equity", "c0", _thinned(result, result.minutes.close))]
    rules = result.account.rules
    if rules is not None:
        lines.append(
            Line("daily limit", "c2", limit_line(result.run, result.grid.instant(result.minutes.first), rules.time_zone))
        )
    levels = [] if rules is None else [Tick(capital * (1 - float(rules.max_loss_fraction)), "overall limit")]
    unit = result.account.currency
    return time_chart("equity", lines, unit=unit, start=Tick(capital, "capital at the start"), levels=levels)


def drawdown_chart(result: BacktestResult) -> Markup:
    """Draw how far the worst price of each minute put equity below its highest value so far, in percent."""
    falls = -100 * result.minutes.falls(float(result.account.capital))
    line = Line("drawdown", "c2", _thinned(result, falls), is_area=True)
    return time_chart("drawdown", [line], unit="% below the highest equity", height="low")


def returns_chart(excursions: Sequence[Excursion]) -> Markup:
    """Draw how many trades ended in each range of R; empty without trades."""
    values = [one.r for one in excursions if math.isfinite(one.r)]
    if not values:
        return Markup("")
    edges = np.arange(math.floor(min(values) / _BIN), math.floor(max(values) / _BIN) + 2) * _BIN
    counts, _ = np.histogram(values, edges)
    bars = [
        (a, b, float(count), "c1" if a >= 0 else "c2", f"{a:+.2f} to {b:+.2f} R: {count} trades")
        for (a, b), count in zip(pairwise(edges.tolist()), counts.tolist(), strict=True)
    ]
    return bars_chart("distribution of R", bars, names=("profit after fees, R", "trades"))


def excursion_chart(excursions: Sequence[Excursion], *, favourable: bool) -> Markup:
    """Draw the result of each trade against how far its price went for it (MFE) or against it (MAE); empty without trades."""
    known = [one for one in excursions if math.isfinite(one.r) and math.isfinite(one.adverse)][-_SHOWN_TRADES:]
    if not known:
        return Markup("")
    name = "MFE" if favourable else "MAE"
    xs = [one.favourable if favourable else one.adverse for one in known]
    ys = [one.r for one in known]
    low, high = min([*ys, -0.5]), max([*ys, 0.5])
    plane = Plane((0.0, max([*xs, 0.5]) * 1.05), (low - 0.08 * (high - low), high + 0.08 * (high - low)))
    parts = [plane.level(0.0, "axis")]
    parts += [
        plane.dot(x, y, "small c1" if y > 0 else "small c2", f"{name} {x:.2f} R, ended at {y:+.2f} R")
        for x, y in zip(xs, ys, strict=True)
    ]
    return plane.frame(
        f"{name} against the result", parts, names=(f"{name}, R", "result, R"), ticks=value_ticks(*plane.x), height="middle"
    )


def starts_chart(attempts: Sequence[Attempt]) -> Markup:
    """Draw the outcome of every start date: how long it lasted and the profit at its end. Empty without attempts."""
    if not attempts:
        return Markup("")
    xs = [one.start.timestamp() for one in attempts]
    ends = [one.ended_at.timestamp() for one in attempts]
    ys = [100 * one.profit for one in attempts]
    margin = 0.01 * (max(ends) - xs[0]) + 3_600.0
    plane = Plane((xs[0] - margin, max(*ends, xs[-1] + 1) + margin), (min([*ys, -10.5]), max([*ys, 10.5])))
    parts = [plane.level(0.0, "axis")]
    for one, x, end, y in zip(attempts, xs, ends, ys, strict=True):
        colour = _COLOURS.get(one.ending, "c2")
        label = f"{one.start:%Y-%m-%d}: {one.ending.value}, {one.profit:+.1%} after {one.days:.0f} days, {one.trades} trades"
        parts += [plane.line((x, 0.0), (end, y), f"line {colour}"), plane.dot(end, y, colour, label)]
    names = ("UTC, from the start date to its end", "% of capital at the end")
    legend = [("target reached", "c1"), ("candles ended", "c0"), ("rule broken or no headroom left", "c2")]
    return plane.frame("start dates", parts, names=names, ticks=time_ticks(*plane.x), legend=legend)


def compared_chart(results: Sequence[tuple[str, Sequence[tuple[datetime, Decimal]], Decimal]]) -> Markup:
    """Draw the equity of runs in percent of their capital on one time axis. results: (name, equity rows, capital)."""
    lines = []
    for i, (name, rows, capital) in enumerate(results):
        points = [(at.timestamp(), 100 * float((equity - capital) / capital)) for at, equity in rows]
        every = max(-(-len(points) // _POINTS), 1)
        lines.append(Line(name, f"c{i % 4}", [*points[::every], *points[-1:]]))
    hover = [f"{stamp(x)}: {figure(y)} %" for x, y in lines[0].points] if lines else None
    return time_chart("equity of both", lines, unit="% of the capital", start=Tick(0.0, "start"), hover=hover)


def limit_line(found: BacktestRun, start: datetime, zone: str) -> list[tuple[float, float]]:
    """Return the daily limit as steps, from midnight to midnight in the rules' time zone, between the run's start and end."""
    points = []
    for day in found.days:
        begins, ends = (midnight(day.date + timedelta(days=after), zone) for after in (0, 1))
        points += [(at.timestamp(), float(day.daily_limit)) for at in (max(begins, start), min(ends, found.ended_at))]
    return points


def _thinned(result: BacktestResult, values: Floats) -> list[tuple[float, float]]:
    """Return at most about _POINTS points: the lowest of each group of neighbouring minutes, and the first and last minute."""
    every = max(-(-values.size // _POINTS), 1)
    kept = [i + int(np.argmin(values[i : i + every])) for i in range(0, values.size, every)]
    kept = sorted({0, *kept, values.size - 1})
    began = result.grid.instant(result.minutes.first).timestamp()
    return [(began + 60.0 * (i + 1), float(values[i])) for i in kept]
