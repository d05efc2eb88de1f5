"""Declares `signalbox collect` and `signalbox data ...` for typer; `collection` and `report` run them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from local.cli.options import Data, Json

data_app = typer.Typer(help="Check recorded candles.", no_args_is_help=True)


@data_app.callback()
def _group() -> None:
    """Check recorded candles."""


def collect(  # noqa: PLR0917 - typer passes by keyword
    out: Annotated[Path, typer.Option(help="Folder of the lake; continues an earlier run there.")],
    symbols: Annotated[str, typer.Option(help="Symbols, separated by commas.")] = "BTC-USD,ETH-USD,SOL-USD",
    venue: Annotated[str, typer.Option(help="Exchange: coinbase, or any name that ccxt knows.")] = "coinbase",
    start: Annotated[str, typer.Option(help="Start: an age such as 30d or 2y, or ISO 8601; rounded down to a UTC day.")] = "30d",
    end: Annotated[str | None, typer.Option(help="End, in the same form; default: now.")] = None,
    refresh: Annotated[
        int, typer.Option(help="Fetch this many of the newest days again, because venues revise bars.", min=0)
    ] = 0,
    venue_url: Annotated[str, typer.Option(help="Another address of the exchange, for example of a test server.")] = "",
    json_output: Json = False,  # noqa: FBT002 - of typer
) -> None:
    """Back-fill 1-minute candles of an exchange into a lake. Run it again to continue, even after a crash."""
    from local.cli.data.collection.command import run_collect  # noqa: PLC0415 - ccxt takes a second to import
    from local.cli.data.collection.request import parse_request  # noqa: PLC0415 - as above

    request = parse_request(
        symbols=symbols,
        venue=venue,
        start=start,
        end=end,
        out=out,
        venue_url=venue_url,
        json_output=json_output,
        now=datetime.now(UTC),
        refresh_days=refresh,
    )
    raise typer.Exit(run_collect(request))


@data_app.command("report")
def report(
    data: Data = None,
    out: Annotated[Path | None, typer.Option(help="Folder for report.json and coverage.png; default: write nothing.")] = None,
    json_output: Json = False,  # noqa: FBT002 - of typer
) -> None:
    """Show rows, gaps, outages, staleness, duplicates and bad rows by symbol, and draw the coverage."""
    from local.cli.arguments import candles_of, out_folder  # noqa: PLC0415 - as above
    from local.cli.data.report.command import run_data_report  # noqa: PLC0415 - numpy and pyarrow
    from local.settings import load_settings  # noqa: PLC0415 - as above

    folder = candles_of(data, load_settings())
    if out is not None:
        out_folder(out)
    raise typer.Exit(run_data_report(folder, out, json_output=json_output, now=datetime.now(UTC)))
