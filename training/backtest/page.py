"""The report of a backtest for a trader: first whether money was lost or made, then how, in charts and tables."""

from __future__ import annotations

import math
from calendar import month_abbr
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Final

from signalbox.reports.data_table import data_table
from signalbox.reports.page import Table, gain_or_loss, render
from signalbox.reports.price_chart import page_script
from training.backtest.backtest import BacktestResult
from training.backtest.figures import FiguresPart, Month
from training.backtest.performance import Performance
from training.backtest.pictures import drawdown_chart, equity_chart, excursion_chart, returns_chart, starts_chart
from training.backtest.price_view import COLUMNS, trade_rows
from training.backtest.record import TradeRow
from training.backtest.starts import Passing
from training.write.report_page import TEMPLATES, number, share

TEMPLATE: Final = Path(__file__).with_name("templates") / "backtest.html.jinja"


def render_page(result: BacktestResult) -> str:
    """Return the page as HTML that loads nothing from elsewhere."""
    figures, account, trades = result.figures, result.account, result.run.record.trades
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
        performance=performance_table([("", result.performance)], account.currency),
        equity=equity_chart(result),
        equity_note=_equity_note(result),
        drawdown=drawdown_chart(result),
        prices=result.prices.markup(),
        all_trades=data_table(COLUMNS, trade_rows(result.decisions.signals, trades, result.excursions), opens_chart=True)
        if trades
        else "",
        returns=returns_chart(result.excursions),
        adverse=excursion_chart(result.excursions, favourable=False),
        favourable=excursion_chart(result.excursions, favourable=True),
        starts=starts_chart(() if result.passing is None else result.passing.attempts),
        passing=_passing(result.passing),
        passing_note=_passing_note(result.passing),
        months=_months(result),
        years=calendar_table(result.figures.months),
        trades=_parts({"all": figures.whole}, ""),
        by_symbol=_parts(figures.by_symbol, "symbol"),
        by_side=_parts(figures.by_side, "side"),
        by_tier=_parts(figures.by_tier, "tier"),
        by_hour=_hours(trades, account.currency),
        by_exit=_parts(figures.by_leg, "exit"),
        reasons=_reasons(result),
        facts=_facts(result),
        script=page_script(),
    )


def performance_table(runs: Sequence[tuple[str, Performance]], currency: str) -> Table:
    """Return the figures of runs, a column each. Their definitions are in performance.py."""
    named: tuple[tuple[str, Callable[[Performance], str]], ...] = (
        ("net return, of the capital", lambda p: _percent(p.net_return, "+.2%")),
        ("gross return, before fees", lambda p: _percent(p.gross_return, "+.2%")),
        ("buy and hold, mean of the symbols", lambda p: _percent(p.buy_and_hold, "+.2%")),
        ("CAGR", lambda p: _percent(p.cagr, "+.2%")),
        ("volatility, a year", lambda p: _percent(p.volatility, ".2%")),
        ("Sharpe ratio", lambda p: _number(p.sharpe)),
        ("Sortino ratio", lambda p: _number(p.sortino)),
        ("Calmar ratio", lambda p: _number(p.calmar)),
        ("deepest drawdown, at every minute's worst price", lambda p: _percent(p.max_drawdown, ".3%")),
        ("deepest drawdown, of the ends of days", lambda p: _percent(p.max_drawdown_daily, ".3%")),
        ("trades closed", lambda p: f"{p.trades:,}"),
        ("win rate, after fees", lambda p: _percent(p.win_rate, ".1%")),
        ("profit factor", lambda p: "no loss" if math.isinf(p.profit_factor) else _number(p.profit_factor)),
        (f"expectancy a trade, {currency} (R)", lambda p: f"{_number(p.expectancy)} ({_number(p.expectancy_r)})"),
        (f"average win / loss, {currency}", lambda p: f"{_number(p.average_win)} / {_number(p.average_loss)}"),
        ("longest losing run, trades", lambda p: f"{p.longest_losing_run:,}"),
        ("exposure, share of the time with a position", lambda p: _percent(p.exposure, ".1%")),
        ("turnover, value of fills over the capital", lambda p: f"{p.turnover:,.1f}"),
        (f"fees, {currency} (of the gross gains)", lambda p: f"{p.fees:,.2f} ({_percent(p.fees_of_gross, '.1%')})"),
        ("UTC days", lambda p: f"{p.days:,}"),
    )
    rows = [[name, *(shown(one) for _, one in runs)] for name, shown in named]
    head = ["", *(name for name, _ in runs)] if len(runs) > 1 else ["", ""]
    return Table(head, rows, range(1, len(runs) + 1))


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{0.0 if abs(value) < 0.005 else value:,.2f}"


def _percent(value: float, form: str) -> str:
    return "-" if math.isnan(value) else f"{value + 0.0:{form}}"


def _hours(trades: Sequence[TradeRow], currency: str) -> Table:
    """Return the trades by the UTC hour in which they were opened."""
    groups: dict[int, list[TradeRow]] = defaultdict(list)
    for trade in trades:
        groups[trade.opened_at.hour].append(trade)
    rows = []
    for hour, own in sorted(groups.items()):
        net = sum((trade.realised for trade in own), Decimal(0))
        won = sum(trade.realised > 0 for trade in own) / len(own)
        rows.append([f"{hour:02d}:00", f"{len(own):,}", f"{won:.1%}", gain_or_loss(net, f"{net:+,.2f}")])
    return Table(["hour opened (UTC)", "trades", "won after costs", f"net, {currency}"], rows, (1, 2, 3))


def _tone(result: BacktestResult) -> str:
    """Return the colour of the verdict: red for a loss alone, green for a profit that counts."""
    if result.figures.change < 0:
        return "bad"
    counts = result.manifest.passes_promotion and not result.overlap.in_sample
    return "ok" if counts and result.figures.change > 0 else "shadow"


def _figures(result: BacktestResult) -> Mapping[str, object]:
    figures, whole, passing = result.figures, result.figures.whole, result.passing
    found: dict[str, object] = {
        "of the capital, after costs": gain_or_loss(figures.change, f"{figures.change:+.2%}"),
        "deepest drawdown, at the worst price": f"{result.performance.max_drawdown:.2%}",
        "trades": f"{whole.trades:,}",
        "profit factor": _number(result.performance.profit_factor),
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
        return "At the close of every minute. This account has no loss rules."
    daily, overall = result.account.rules.daily_loss_fraction, result.account.rules.max_loss_fraction
    return (
        f"At the close of every minute. The day's limit is {daily:.0%} of the capital below the midnight balance, the overall "
        f"one {overall:.0%} below the capital."
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


def calendar_table(months: Sequence[Month]) -> Table:
    """Return a row a year with the change of each month, and of the year as the months compounded."""
    years: dict[str, dict[str, float]] = defaultdict(dict)
    for month in months:
        year, _, number = month.month.partition("-")
        years[year][number] = month.change
    rows = []
    for year, own in sorted(years.items()):
        whole = math.prod(1 + change for change in own.values()) - 1
        cells = [own.get(f"{number:02d}") for number in range(1, 13)]
        rows.append([year, *("" if one is None else gain_or_loss(one, f"{one:+.1%}") for one in (*cells, whole))])
    return Table(["", *month_abbr[1:], "year"], rows, range(1, 14))


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
