"""The screen of `signalbox ftmo simulate`: one row per day, then breaches and the account's status."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

from rich.console import Console
from rich.table import Table

from local.cli.ftmo.replay import FtmoReplay
from signalbox.risk.ftmo import AccountStatus

_STYLE = {AccountStatus.ACTIVE: "bold", AccountStatus.TARGET_REACHED: "bold green", AccountStatus.BREACHED: "bold red"}


def print_replay(replay: FtmoReplay, chart: Path) -> None:
    """Print the result for an account."""
    console = Console()
    title = f"{replay.rules.name} {replay.rules.version}, {replay.phase}, {money(replay.capital)}"
    table = Table(title=title, title_justify="left")
    table.add_column(f"day ({replay.rules.time_zone})")
    for name in ("baseline", "daily limit", "closing balance", "worst equity"):
        table.add_column(name, justify="right")
    for day in replay.days:
        low = day.worst_equity < day.daily_limit
        numbers = (day.baseline, day.daily_limit, day.closing_balance, day.worst_equity)
        table.add_row(day.date.isoformat(), *(money(n) for n in numbers), style="red" if low else "")
    console.print(table)
    for breach in replay.breaches:
        when = breach.time.astimezone(replay.zone)
        facts = f"equity {money(breach.equity)} below {money(breach.limit)}"
        console.print(f"[bold red]{breach.rule}[/] broken {when:%Y-%m-%d %H:%M:%S %Z}: {facts}", highlight=False, soft_wrap=True)
    share = "none" if replay.best_day_share is None else f"{replay.best_day_share * 100:.1f} %"
    console.print(f"[{_STYLE[replay.status]}]{replay.status}[/]", end="", highlight=False)
    console.print(f", {replay.trading_days} trading days, best day {share} of the profit", highlight=False)
    console.print(f"chart: {chart}", highlight=False, soft_wrap=True)


def money(value: Decimal) -> str:
    """Return an amount with thousands separators and cents."""
    return f"{value:,.2f}"
