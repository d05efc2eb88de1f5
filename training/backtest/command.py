"""Terminal side of `signalbox backtest`. The work itself is in backtest.py."""

from __future__ import annotations

import math
import sys
import time
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table

from training.backtest.backtest import BacktestRequest, BacktestResult, backtest
from training.backtest.figures import FiguresPart
from training.backtest.page import render_page
from training.backtest.record import TradeRow
from training.errors import TrainingError
from training.terminal import terminal_progress
from training.write.report_page import number, share
from training.write.writer import report_bytes

_TEXT: Final = ("entry", "symbol", "stage")
_INSTANTS: Final = ("decided_at", "opened_at", "closed_at")
_AMOUNTS: Final = ("quantity", "entry_price", "exit_price", "stop_loss", "take_profit", "fees", "realised")


def run_backtest(request: BacktestRequest, *, as_json: bool = False, out: Path | None = None) -> BacktestResult:
    """Run a backtest, print the result, and write its files into a folder if one is given. Raises SignalboxError.

    as_json: every figure as JSON on standard output, all else on standard error. out: backtest.json, report.html,
    chart.png and trades.parquet.
    """
    console = Console(stderr=as_json)
    began = time.monotonic()
    with terminal_progress(Console(stderr=True)) as progress:
        result = backtest(request, progress)
    content = report_bytes(result.to_json())
    written = "nothing" if out is None else _write(result, content, out)
    if as_json:
        sys.stdout.write(content.decode())
    show(console, result)
    speed, closed = result.speed, result.figures.whole.trades
    console.print(
        f"{len(result.decisions):,} decisions at {speed.decisions_a_second:,.0f} a second ({speed.decisions_reused:,} scored in "
        f"earlier runs), {closed:,} trades at {speed.trades_a_second:,.0f} a second; {time.monotonic() - began:.1f} s in all; "
        f"written: {written}",
        highlight=False,
    )
    return result


def trades_table(trades: list[TradeRow]) -> pa.Table:
    """Return one row per closed trade. Amounts are exact decimal text, times are UTC."""
    columns: dict[str, pa.Array] = {name: pa.array([getattr(t, name) for t in trades], pa.string()) for name in _TEXT}
    columns |= {name: pa.array([getattr(t, name).value for t in trades], pa.string()) for name in ("side", "leg")}
    columns |= {name: pa.array([getattr(t, name) for t in trades], pa.timestamp("us", tz="UTC")) for name in _INSTANTS}
    for name in _AMOUNTS:
        values = [getattr(t, name) for t in trades]
        columns[name] = pa.array([None if value is None else f"{value:f}" for value in values], pa.string())
    return pa.table(columns)


def show(console: Console, result: BacktestResult) -> None:
    """Print the verdict in words, the figures and the months."""
    console.print(f"[bold]{result.headline}[/bold]", highlight=False)
    console.print(_figures(result))
    parts = Table(
        "trades", "count", "won after costs", "a coin toss", "net bps a trade", "net", title="By part, 95 % day-block intervals"
    )
    figures = result.figures
    groups = {"all": figures.whole, **figures.by_symbol, **figures.by_side, **figures.by_tier, **figures.by_leg}
    for name, part in groups.items():
        parts.add_row(name, *_cells(part))
    console.print(parts)
    months = Table("month", "change", "trades", "drawdown", title="Months")
    for month in figures.months:
        months.add_row(month.month, f"{month.change:+.2%}", f"{month.trades:,}", f"{month.worst:.2%}")
    console.print(months)


def _cells(part: FiguresPart) -> tuple[str, ...]:
    if not part.trades:
        return ("0", "-", "-", "-", "-")
    return (
        f"{part.trades:,}",
        share(part.wins),
        "-" if math.isnan(part.coin) else f"{part.coin:.1%}",
        number(part.net_bps, "+.2f"),
        f"{part.net:+,.0f}",
    )


def _figures(result: BacktestResult) -> Table:
    figures, run = result.figures, result.run
    table = Table("figure", "", title=f"{result.account.account}, {result.start:%Y-%m-%d} to {result.end:%Y-%m-%d}")
    table.add_row("equity", f"{figures.equity:,.2f} ({figures.change:+.2%})")
    table.add_row("deepest drawdown", f"{figures.max_drawdown:.3%}, at every minute's worst price")
    found = result.performance
    ratios = (found.sharpe, found.sortino, found.calmar)
    table.add_row("Sharpe; Sortino; Calmar", "; ".join("-" if math.isnan(ratio) else f"{ratio:.2f}" for ratio in ratios))
    table.add_row("buy and hold", "-" if math.isnan(found.buy_and_hold) else f"{found.buy_and_hold:+.2%}")
    if figures.max_day_loss is not None:
        table.add_row("worst day, of the capital", f"{figures.max_day_loss:.2%}")
    table.add_row("fees; spread and slippage", f"{figures.whole.fees:,.0f}; {figures.whole.modelled:,.0f}")
    table.add_row("ended", f"{run.ending.value} {run.ended_at:%Y-%m-%d %H:%M}")
    table.add_row("signals held back", _counts(figures.held_back))
    table.add_row("orders refused", _counts(figures.refused))
    if result.passing is not None:
        passing, p = result.passing.to_json(), result.passing.probability
        table.add_row("passed, of decided start dates", "-" if p is None else share(p))
        table.add_row("start dates", f"{passing['starts']}: {_counts(passing['endings'])}")
        table.add_row("equivalent independent runs", f"{result.passing.independent_runs:.1f} ({result.passing.interval})")
    return table


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in counts.items()) or "none"


def _write(result: BacktestResult, content: bytes, out: Path) -> str:
    """Write the files of a run and return their names. Raises TrainingError."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        (out / "backtest.json").write_bytes(content)
        (out / "report.html").write_bytes(render_page(result).encode())
        (out / "chart.png").write_bytes(chart_picture(result))
        pq.write_table(trades_table(result.run.record.trades), out / "trades.parquet")
    except OSError as error:
        raise TrainingError(f"{error.filename}: cannot be written ({error.strerror})") from error
    return ", ".join(str(out / name) for name in ("backtest.json", "report.html", "chart.png", "trades.parquet"))


def chart_picture(result: BacktestResult) -> bytes:
    """Return the price chart of a run as PNG."""
    from training.write.price_picture import draw_prices  # noqa: PLC0415 - matplotlib is loaded when there is something to draw

    period = f"{result.start:%Y-%m-%d %H:%M} to {result.run.ended_at:%Y-%m-%d %H:%M} UTC"
    return draw_prices(result.prices, f"Backtest of {result.manifest.name} on {result.account.account}, {period}")
