"""Declares `signalbox signals ...` for typer; command.py runs it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from local.cli.instants import parse_instant, parse_period
from local.cli.options import Database, End, Json, Stage, Start

signals_app = typer.Typer(help="List signals, and see how they turned out.", no_args_is_help=True)
Symbol = Annotated[str | None, typer.Option(help="Show only this symbol, such as BTC-USD.")]
Issued = Annotated[bool, typer.Option("--issued", help="Show only issued signals: BUY or SELL, within the rate limit.")]


@signals_app.callback()
def _group() -> None:
    """List signals, and see how they turned out."""


@signals_app.command("list")
def list_signals(  # noqa: PLR0917 - typer passes by keyword
    start: Start = "1d",
    end: End = None,
    symbol: Symbol = None,
    issued: Issued = False,  # noqa: FBT002 - of typer
    stage: Stage = None,
    database: Database = None,
    json_output: Json = False,  # noqa: FBT002 - of typer
) -> None:
    """List the signals of a period, oldest first."""
    from local.cli.signals.command import run_list  # noqa: PLC0415 - psycopg and rich
    from local.settings import load_settings  # noqa: PLC0415 - as above

    period, where = parse_period(start, end), (stage, database, load_settings())
    run_list(*period, _symbol(symbol), where, is_issued=issued, as_json=json_output)


@signals_app.command("show")
def show(  # noqa: PLR0917 - typer passes by keyword
    symbol: Annotated[str, typer.Argument(help="Symbol, such as BTC-USD.")],
    at: Annotated[str, typer.Argument(help="Time of the decision, ISO 8601, UTC without an offset.")],
    out: Annotated[
        Path | None, typer.Option(help="Folder of signal.html and chart.png: the candles around it, and its trades.")
    ] = None,
    stage: Stage = None,
    database: Database = None,
    json_output: Json = False,  # noqa: FBT002 - of typer
) -> None:
    """Show a signal with its features and the trades that followed it."""
    from local.cli.arguments import out_folder, symbol_name  # noqa: PLC0415 - see catalogue.py
    from local.cli.signals.command import run_show  # noqa: PLC0415 - psycopg and rich
    from local.settings import load_settings  # noqa: PLC0415 - as above

    instant = parse_instant(at, "AT") or datetime.now(UTC)
    folder = None if out is None else out_folder(out)
    run_show(symbol_name(symbol, "SYMBOL"), instant, (stage, database, load_settings()), as_json=json_output, out=folder)


@signals_app.command("outcome")
def outcome(  # noqa: PLR0917 - typer passes by keyword
    start: Start = "1d",
    end: End = None,
    symbol: Symbol = None,
    minutes: Annotated[
        int,
        typer.Option(min=1, max=1440, help="Minutes from the decision to the price that decides whether the signal was right."),
    ] = 60,
    stage: Stage = None,
    database: Database = None,
    json_output: Json = False,  # noqa: FBT002 - of typer
) -> None:
    """Show the price move after each issued signal of a period, before costs, and how many were right."""
    from local.cli.signals.command import run_outcome  # noqa: PLC0415 - psycopg and rich
    from local.settings import load_settings  # noqa: PLC0415 - as above

    period, where = parse_period(start, end), (stage, database, load_settings())
    run_outcome(*period, _symbol(symbol), where, minutes=minutes, as_json=json_output)


def _symbol(text: str | None) -> str | None:
    from local.cli.arguments import symbol_name  # noqa: PLC0415 - see catalogue.py

    return None if text is None else symbol_name(text)
