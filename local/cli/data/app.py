"""`signalbox collect` and `signalbox data ...` as typer sees them; they run in `collection` and `report`."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from local.cli.options import Data, Json

data_app = typer.Typer(help="Look at recorded candles.", no_args_is_help=True)


@data_app.callback()
def _group() -> None:
    """Look at recorded candles."""


def collect(  # noqa: PLR0917 - typer passes by keyword
    out: Annotated[Path, typer.Option(help="Folder of the lake; an earlier run there is continued.")],
    symbols: Annotated[str, typer.Option(help="Symbols of the venue, separated by commas.")] = "BTC-USD,ETH-USD,SOL-USD",
    venue: Annotated[str, typer.Option(help="Exchange: coinbase, or any name that ccxt knows.")] = "coinbase",
    start: Annotated[str, typer.Option(help="From when: an age such as 30d or 2y, or ISO 8601; whole UTC days.")] = "30d",
    end: Annotated[str | None, typer.Option(help="Until when, in the same way; default: now.")] = None,
    refresh: Annotated[int, typer.Option(help="Ask again for so many of the newest days: venues revise bars.", min=0)] = 0,
    venue_url: Annotated[str, typer.Option(help="Another address of the exchange, such as a stand-in.")] = "",
    json_output: Json = False,  # noqa: FBT002 - of typer
) -> None:
    """Back-fill 1-minute candles of an exchange into a lake; run again to continue, also after a crash."""
    from local.cli.arguments import out_folder  # noqa: PLC0415 - as below
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
    out_folder(out)
    raise typer.Exit(run_collect(request))


@data_app.command("report")
def report(
    data: Data = None,
    out: Annotated[Path | None, typer.Option(help="Where report.json and coverage.png go; default: nothing is written.")] = None,
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
