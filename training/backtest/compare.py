"""Two backtests side by side, from the `backtest.json` that each run wrote: equity on one time axis, and every figure of both."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Final

from signalbox import wire
from signalbox.reports.page import Table, render
from training.backtest.page import performance_table
from training.backtest.performance import Performance, performance_from
from training.backtest.pictures import compared_chart
from training.errors import TrainingError
from training.write.report_page import TEMPLATES

TEMPLATE: Final = Path(__file__).with_name("templates") / "compare.html.jinja"
_MAX_BYTES: Final = 1 << 28


@dataclass(frozen=True, slots=True)
class StoredBacktest:
    """What a comparison needs of a run that was written."""

    name: str
    headline: str
    currency: str
    capital: Decimal
    equity: tuple[tuple[datetime, Decimal], ...]
    performance: Performance
    facts: dict[str, str]


def read_backtest(path: Path) -> StoredBacktest:
    """Return a run from its folder or its backtest.json. Raises TrainingError."""
    file = path / "backtest.json" if path.is_dir() else path
    try:
        found: dict[str, Any] = wire.parse_object(file.read_bytes(), max_bytes=_MAX_BYTES)
        account, period = found["account"], found["period"]
        return StoredBacktest(
            name=f"{found['bundle']} on {account['account']}",
            headline=str(found["headline"]),
            currency=str(account["currency"]),
            capital=Decimal(str(account["capital"])),
            equity=tuple((datetime.fromisoformat(at), Decimal(equity)) for at, _, equity in found["equity"]),
            performance=performance_from(found["performance"]),
            facts={
                "bundle": str(found["bundle"]),
                "account": str(account["account"]),
                "limits": str(found["limits"]),
                "period": f"{_minute(period['start'])} to {_minute(period['end'])} UTC",
                "symbols": ", ".join(found["symbols"]),
                "ended": f"{found['outcome']['ending']} {_minute(found['outcome']['at'])} UTC",
                "open at the end": str(found["outcome"]["open_trades"]),
            },
        )
    except OSError as error:
        raise TrainingError(
            f"{file}: cannot be read ({error.strerror}); give a folder that `signalbox backtest --out` wrote"
        ) from error
    except (KeyError, TypeError, ValueError, InvalidOperation) as error:
        raise TrainingError(f"{file}: expected a backtest.json of this version ({error}); run the backtest again") from error


def comparison_page(one: StoredBacktest, other: StoredBacktest) -> str:
    """Return the page. Raises TrainingError for accounts in different currencies."""
    if one.currency != other.currency:
        raise TrainingError(f"expected two accounts in one currency, got {one.currency} and {other.currency}")
    names = _names(one, other)
    runs = (one, other)
    differing = [[name, *(run.facts[name] for run in runs)] for name in one.facts]
    return render(
        TEMPLATE,
        TEMPLATES,
        title=f"{one.name} and {other.name}",
        runs=list(zip(names, (run.headline for run in runs), strict=True)),
        differing=Table(["", *names], differing),
        equity=compared_chart([(name, run.equity, run.capital) for name, run in zip(names, runs, strict=True)]),
        figures=performance_table([(name, run.performance) for name, run in zip(names, runs, strict=True)], one.currency),
        note=""
        if one.facts["period"] == other.facts["period"]
        else "The periods differ: the figures are not of the same market.",
    )


def write_comparison(one: Path, other: Path, out: Path) -> Path:
    """Write `compare.html` into a folder and return its path. Raises TrainingError."""
    page = comparison_page(read_backtest(one), read_backtest(other))
    path = out / "compare.html"
    try:
        out.mkdir(parents=True, exist_ok=True)
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise TrainingError(f"{path}: cannot be written ({error.strerror})") from error
    return path


def _minute(instant: str) -> str:
    return f"{datetime.fromisoformat(instant):%Y-%m-%d %H:%M}"


def _names(one: StoredBacktest, other: StoredBacktest) -> tuple[str, str]:
    return (one.name, other.name) if one.name != other.name else (f"A: {one.name}", f"B: {other.name}")
