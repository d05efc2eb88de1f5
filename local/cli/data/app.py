"""`signalbox collect` and `signalbox data ...` as typer sees them; they run in `collection` and `report`."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

data_app = typer.Typer(help="Look at recorded candles.", no_args_is_help=True)


def collect(  # noqa: PLR0917 - typer passes by keyword
    out: Annotated[Path, typer.Option(help="Folder of the lake; an earlier run there is continued.")],
    symbols: Annotated[str, typer.Option(help="Symbols of the venue, separated by commas.")] = "BTC-USD,ETH-USD,SOL-USD",
    venue: Annotated[str, typer.Option(help="Exchange: coinbase, or any name that ccxt knows.")] = "coinbase",
    since: Annotated[str, typer.Option(help="From when: an age such as 30d or 2y, or ISO 8601; whole UTC days.")] = "30d",
    until: Annotated[str | None, typer.Option(help="Until when, ISO 8601; default: now.")] = None,
    venue_url: Annotated[str, typer.Option(help="Another address of the exchange, such as a stand-in.")] = "",
    json_output: Annotated[bool, typer.Option("--json", help="Print the result as JSON, progress as plain lines.")] = False,  # noqa: FBT002
) -> None:
    """Back-fill 1-minute candles of an exchange into a lake; run again to continue, also after a crash."""
    from local.cli.data.collection.command import run_collect  # noqa: PLC0415 - ccxt takes a second to import
    from local.cli.data.collection.request import parse_request  # noqa: PLC0415 - as above

    request = parse_request(
        symbols=symbols,
        venue=venue,
        since=since,
        until=until,
        out=out,
        venue_url=venue_url,
        json_output=json_output,
        now=datetime.now(UTC),
    )
    raise typer.Exit(run_collect(request))


@data_app.command("report")
def report(
    data: Annotated[Path | None, typer.Option(help="A lake or a folder of recorded candles.")] = None,
    out: Annotated[Path | None, typer.Option(help="Where report.json and coverage.png go; default: nothing is written.")] = None,
    json_output: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,  # noqa: FBT002
) -> None:
    """Show rows, gaps, outages, staleness, duplicates and bad rows by symbol, and draw the coverage."""
    from local.cli.data.report.command import run_data_report  # noqa: PLC0415 - numpy and pyarrow
    from local.errors import DataError  # noqa: PLC0415 - as above
    from local.settings import load_settings  # noqa: PLC0415 - as above

    folder = data or load_settings().recorded_candles
    if folder is None:
        raise DataError("no candles: give --data DIR or set SIGNALBOX_DATA")
    raise typer.Exit(run_data_report(folder, out, json_output=json_output, now=datetime.now(UTC)))
