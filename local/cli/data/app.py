"""Declares `signalbox collect` and `signalbox data ...` for typer; `collection` and `report` run them."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from local.cli.options import Data, Database, End, Json, Stage, Start

data_app = typer.Typer(help="Import, export and check candles.", no_args_is_help=True)


@data_app.callback()
def _group() -> None:
    """Import, export and check candles."""


collect_app = typer.Typer(help="Fill a lake: candles of an exchange, or alternative data.", no_args_is_help=True)


@collect_app.callback(invoke_without_command=True)
def collect(  # noqa: PLR0917 - typer passes by keyword
    context: typer.Context,
    out: Annotated[Path | None, typer.Option(help="Folder of the lake; continues an earlier run there.")] = None,
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
    """Back-fill 1-minute candles of an exchange into a lake; run again to continue, also after a crash."""
    if context.invoked_subcommand is not None:
        return
    from local.errors import DataError  # noqa: PLC0415 - as below

    if out is None:
        raise DataError("--out is missing: name the folder of the lake, such as --out lake")
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


@collect_app.command("alt")
def collect_alternative(  # noqa: PLR0917 - typer passes by keyword
    out: Annotated[Path, typer.Option(help="Folder of the lake; adds what is new.")],
    sources: Annotated[
        str, typer.Option(help="Sources, separated by commas: binanceusdm, bybit, okx, alternativeme.")
    ] = "okx,alternativeme",
    symbols: Annotated[str, typer.Option(help="Symbols, separated by commas.")] = "BTC-USD,ETH-USD,SOL-USD",
    start: Start = None,
    end: End = None,
    calendar: Annotated[
        Path | None, typer.Option(help="A CSV of economic releases: scheduled_at,name,importance[,published_at].")
    ] = None,
    source_url: Annotated[str, typer.Option(help="Another address of the source, for example of a test server.")] = "",
    json_output: Json = False,  # noqa: FBT002 - of typer
) -> None:
    """Add funding rates, open interest, ratios, liquidations, sentiment and a calendar; each value with when it was known."""
    from local.cli.arguments import out_folder  # noqa: PLC0415 - as below
    from local.cli.data.alternative.command import AlternativeRequest, run_collect_alternative  # noqa: PLC0415 - ccxt
    from local.cli.instants import parse_bounds  # noqa: PLC0415 - as below

    first, last = parse_bounds(start, end)
    names = tuple(name.strip().upper().replace("/", "-") for name in symbols.split(",") if name.strip())
    chosen = tuple(name.strip() for name in sources.split(",") if name.strip())
    request = AlternativeRequest(out_folder(out), chosen, names, first, last, calendar, source_url, json_output)
    raise typer.Exit(run_collect_alternative(request))


@data_app.command("report")
def report(
    data: Data = None,
    out: Annotated[Path | None, typer.Option(help="Folder for report.json and coverage.png; default: write nothing.")] = None,
    stage: Stage = None,
    database: Database = None,
    json_output: Json = False,  # noqa: FBT002 - of typer
) -> None:
    """Show rows, gaps, empty minutes, outages, staleness and bad rows by venue and symbol, and draw the coverage.

    With --stage or --database it also says what was decided on a fallback venue.
    """
    from local.cli.arguments import candles_of, out_folder  # noqa: PLC0415 - as above
    from local.cli.data.report.command import run_data_report  # noqa: PLC0415 - numpy and pyarrow
    from local.settings import load_settings  # noqa: PLC0415 - as above

    folder = candles_of(data, load_settings())
    if out is not None:
        out_folder(out)
    ledger_of = None
    if stage is not None or database is not None:
        from local.cli.accounts.ledger import ledger  # noqa: PLC0415 - psycopg

        ledger_of = partial(ledger, stage, database, load_settings())
    raise typer.Exit(run_data_report(folder, out, json_output=json_output, now=datetime.now(UTC), ledger_of=ledger_of))


@data_app.command("import")
def import_files(  # noqa: PLR0917 - typer passes by keyword
    paths: Annotated[list[Path], typer.Argument(help="Files, zip archives, or folders, which are read with their subfolders.")],
    out: Annotated[Path, typer.Option(help="Folder of the lake; bars that it has are kept.")],
    symbol: Annotated[str | None, typer.Option(help="The pair, such as BTC-USD, if the files do not name it.")] = None,
    venue: Annotated[str | None, typer.Option(help="The exchange, such as binance, if the files do not name it.")] = None,
    time_zone: Annotated[
        str | None, typer.Option(help="Time zone of times that state none, such as UTC or Europe/Berlin.")
    ] = None,
    base_volume: Annotated[str | None, typer.Option(help="The column of volume in base currency (BTC of BTC-USD).")] = None,
    quote_volume: Annotated[
        str | None, typer.Option(help="The column of volume in quote currency; it is divided by each bar's mean price.")
    ] = None,
    columns: Annotated[str, typer.Option(help="Names of the columns, separated by commas, of files without a header.")] = "",
    replace: Annotated[bool, typer.Option("--replace", help="Where a file and the lake differ, take the file's bar.")] = False,  # noqa: FBT002 - of typer
    empty_minutes: Annotated[  # noqa: FBT002 - of typer
        bool,
        typer.Option(
            "--empty-minutes",
            help="Fill gaps of up to 30 minutes with bars without a trade, because coinbase and kucoin publish no such bars.",
        ),
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Recognise and check everything, write nothing.")] = False,  # noqa: FBT002 - of typer
    json_output: Json = False,  # noqa: FBT002 - of typer
) -> None:
    """Convert candle files of Binance, CryptoDataDownload, freqtrade or with named columns into a lake."""
    from local.cli.arguments import out_folder  # noqa: PLC0415 - as above
    from local.cli.data.importing.columns import ColumnOptions  # noqa: PLC0415 - as above
    from local.cli.data.importing.command import run_data_import  # noqa: PLC0415 - as above
    from local.cli.data.importing.request import ImportRequest  # noqa: PLC0415 - as above
    from local.cli.data.importing.times import check_zone  # noqa: PLC0415 - as above

    request = ImportRequest(
        paths=tuple(paths),
        out=out,
        now=datetime.now(UTC),
        symbol=symbol,
        venue=venue,
        time_zone=None if time_zone is None else check_zone(time_zone),
        columns=ColumnOptions(base_volume, quote_volume, tuple(name.strip() for name in columns.split(",") if name.strip())),
        replace=replace,
        empty_minutes=empty_minutes,
        dry_run=dry_run,
    )
    if not dry_run:
        out_folder(out)
    raise typer.Exit(run_data_import(request, json_output=json_output))


@data_app.command("export")
def export(  # noqa: PLR0917 - typer passes by keyword
    out: Annotated[Path, typer.Option(help="Folder of the files, one for each symbol.")],
    data: Data = None,
    form: Annotated[str, typer.Option("--format", help="csv (exact) or freqtrade (feather).")] = "csv",
    start: Start = None,
    end: End = None,
    json_output: Json = False,  # noqa: FBT002 - of typer
) -> None:
    """Write candles as CSV, or as the files that freqtrade reads."""
    from local.cli.arguments import candles_of, out_folder  # noqa: PLC0415 - as above
    from local.cli.data.export import run_data_export  # noqa: PLC0415 - as above
    from local.cli.instants import parse_bounds  # noqa: PLC0415 - as above
    from local.settings import load_settings  # noqa: PLC0415 - as above

    first, last = parse_bounds(start, end)
    folder = candles_of(data, load_settings())
    out_folder(out)
    raise typer.Exit(run_data_export(folder, out, form=form, start=first, end=last, json_output=json_output))


@data_app.command("sample")
def sample(
    out: Annotated[Path, typer.Option(help="Folder of the lake.")],
    days: Annotated[int, typer.Option(help="Number of days; `train --quick` needs 48.", min=1, max=730)] = 60,
    seed: Annotated[int, typer.Option(help="Seed of the simulator; another seed gives another market.", min=0)] = 7,
    json_output: Json = False,  # noqa: FBT002 - of typer
) -> None:
    """Write a small synthetic lake, marked as such, to try things with no data at all."""
    from local.cli.arguments import out_folder  # noqa: PLC0415 - as above
    from local.cli.data.sample import run_data_sample  # noqa: PLC0415 - as above

    raise typer.Exit(run_data_sample(out_folder(out), days=days, seed=seed, json_output=json_output))
