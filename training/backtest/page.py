"""The report of a backtest for a trader: first whether money was lost or made, then how, in charts and tables."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from signalbox.reports.page import Table, render
from training.backtest.backtest import BacktestResult
from training.backtest.figures import FiguresPart
from training.backtest.pictures import drawdown_svg, equity_svg, starts_svg
from training.backtest.starts import Passing
from training.write.report_page import TEMPLATES, number, share

TEMPLATE: Final = Path(__file__).with_name("templates") / "backtest.html.jinja"


def render_page(result: BacktestResult) -> str:
    """Return the page as HTML that loads nothing from elsewhere."""
    figures, account = result.figures, result.account
    return render(
        TEMPLATE,
        TEMPLATES,
        title=f"Signalbox backtest of {result.manifest.name}",
        tone=_tone(result),
        verdict=result.headline,
        heading=f"{result.manifest.name} on {account.account}",
        period=f"{result.start:%Y-%m-%d %H:%M} to {result.end:%Y-%m-%d %H:%M} UTC, {len(result.decisions):,} decisions, "
        f"{', '.join(result.decisions.symbols)}. Policy {account.policy.version}, limits "
        f"{account.limits.version}. Brackets are 95 % intervals from resampled days.",
        figures=_figures(result),
        equity=equity_svg(result),
        equity_note=_equity_note(result),
        drawdown=drawdown_svg(result),
        starts=starts_svg(() if result.passing is None else result.passing.attempts),
        passing=_passing(result.passing),
        passing_note=_passing_note(result.passing),
        months=_months(result),
        trades=_parts({"all": figures.whole}, ""),
        by_symbol=_parts(figures.by_symbol, "symbol"),
        by_side=_parts(figures.by_side, "side"),
        by_tier=_parts(figures.by_tier, "tier"),
        by_exit=_parts(figures.by_leg, "exit"),
        reasons=_reasons(result),
        facts=_facts(result),
    )


def _tone(result: BacktestResult) -> str:
    """Return the colour of the verdict: red for a loss alone, green for a profit that counts."""
    if result.figures.change < 0:
        return "bad"
    counts = result.manifest.passes_promotion and not result.overlap.in_sample
    return "ok" if counts and result.figures.change > 0 else "shadow"


def _figures(result: BacktestResult) -> Mapping[str, object]:
    figures, whole, passing = result.figures, result.figures.whole, result.passing
    found: dict[str, object] = {
        "of the capital, after costs": f"{figures.change:+.2%}",
        "deepest drawdown": f"{figures.max_drawdown:.2%}",
        "trades": f"{whole.trades:,}",
        "won after costs / a coin toss": "-" if not whole.trades else f"{whole.wins.value:.1%} / {whole.coin:.1%}",
        "paid in fees, of the capital": f"{whole.fees / figures.capital:.2%}",
    }
    if figures.max_day_loss is not None:
        found["worst day, of the capital"] = f"{figures.max_day_loss:.2%}"
    if passing is not None and passing.probability is not None:
        found["passed, of decided start dates"] = f"{passing.probability.value:.0%}"
    return found


def _equity_note(result: BacktestResult) -> str:
    if result.account.rules is None:
        return "Percent of the capital. This account has no loss rules."
    daily, overall = result.account.rules.daily_loss_fraction, result.account.rules.max_loss_fraction
    return (
        f"Red line: the day's limit, {daily:.0%} of the capital below the midnight balance. Dashed line: {overall:.0%} overall."
    )


def _passing(passing: Passing | None) -> Table:
    if passing is None:
        return Table(["", ""], ())
    facts = passing.to_json()
    rows = [["probability of passing, of decided attempts", "-" if passing.probability is None else share(passing.probability)]]
    rows.append(["start dates, decided", f"{facts['starts']}, {facts['decided']}"])
    rows += [[f"ended: {name}", f"{count}"] for name, count in facts["endings"].items()]
    rows += [[f"broke {rule}", f"{count}"] for rule, count in facts["breached_by_rule"].items()]
    days = facts["days_to_pass"]
    spread = "none passed" if days is None else f"{days['median']:.0f} (from {days['p10']:.0f} to {days['p90']:.0f})"
    rows.append(["days to pass, median (10 % to 90 %)", spread])
    return Table(["", ""], rows, (1,))


def _passing_note(passing: Passing | None) -> str:
    if passing is None:
        return "This account has no prop-firm rules, so there is no phase to pass."
    return (
        "The account starts anew on each date and runs until its phase is decided or the candles end. Attempts that start close "
        f"together see the same market: they are worth about {passing.independent_runs:.1f} independent ones. "
        f"Interval: {passing.interval}. Undecided attempts are not counted."
    )


def _months(result: BacktestResult) -> Table:
    rows = [[month.month, f"{month.change:+.2%}", f"{month.trades:,}", f"{month.worst:.2%}"] for month in result.figures.months]
    return Table(["month", "change", "trades closed", "deepest drawdown"], rows, (1, 2, 3))


def _parts(parts: Mapping[str, FiguresPart], name: str) -> Table:
    rows = [
        [
            key,
            f"{part.trades:,}",
            share(part.wins),
            "-" if math.isnan(part.coin) else f"{part.coin:.1%}",
            number(part.net_bps, "+.2f"),
            f"{part.net:+,.0f}",
            f"{part.fees:,.0f}",
            f"{part.modelled:,.0f}",
            "-" if math.isnan(part.minutes_held) else f"{part.minutes_held:.0f}",
        ]
        for key, part in parts.items()
        if part.trades
    ]
    head = [name, "trades", "won after costs", "a coin toss", "net bps a trade", "net", "fees", "spread and slippage", "minutes"]
    return Table(head, rows, range(1, 9))


def _reasons(result: BacktestResult) -> Table:
    figures = result.figures
    kinds = (
        ("signal held back", figures.held_back),
        ("order refused", figures.refused),
        ("protection locked", figures.locked),
        ("loss limit used", figures.limits_used),
    )
    rows = [[kind, code, f"{count:,}"] for kind, counts in kinds for code, count in counts.items()]
    if left := figures.signals["after_it_was_over"]:
        rows.append(["not judged", f"issued after the run was over ({result.run.ending.value})", f"{left:,}"])
    return Table(["", "reason", "times"], rows, (2,))


def _facts(result: BacktestResult) -> Table:
    gates = ", ".join(f"{gate.value} {verdict.value}" for gate, verdict in result.manifest.gates.items())
    facts = {
        "gates of the bundle": gates,
        "seen in training": "none of this period"
        if not result.overlap.in_sample
        else f"{result.overlap.days:.0f} days ({', '.join(result.overlap.periods)})",
        "ended": f"{result.run.ending.value}, {result.run.ended_at:%Y-%m-%d %H:%M} UTC",
        "halts": "; ".join(f"{h.since:%Y-%m-%d %H:%M} {h.level.value}: {h.why}" for h in result.run.record.halts) or "none",
        "open at the end": f"{len(result.run.state.trades)} trades, valued at the last closes",
        "execution": "the steps of the deployed functions on a paper venue, without market impact or queue. The path in a bar is "
        "unknown, so of two possible outcomes the worse one is taken",
        "candles": ", ".join(f"{source.name} {source.sha256()[:12]}" for source in result.sources),
    }
    return Table(["", ""], facts.items())
