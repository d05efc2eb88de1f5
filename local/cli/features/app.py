"""Declares `signalbox features ...` for typer. The group's own callback writes the matrix; sub-commands check features."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from local.cli.instants import parse_bounds
from local.cli.options import Data, Database, End, Json, Start

features_app = typer.Typer(help="Compute features of recorded candles, and check stored features.", no_args_is_help=True)
SpareMissing = Annotated[bool, typer.Option("--spare-missing", help="The hash whose rule spares one older missing minute.")]


@features_app.callback(invoke_without_command=True)
def features(  # noqa: PLR0917 - typer passes by keyword
    context: typer.Context,
    data: Data = None,
    schema: Annotated[str, typer.Option(help="Feature schema: v31 or v50.")] = "v31",
    start: Start = None,
    end: End = None,
    out: Annotated[Path | None, typer.Option(help="The Parquet file to write.")] = None,
    json_output: Json = False,  # noqa: FBT002 - of typer
) -> None:
    """Write the feature matrix of every symbol to one Parquet file, or check stored features."""
    if context.invoked_subcommand is not None:
        return
    from local.cli.arguments import candles_of, check_covers, out_file  # noqa: PLC0415 - as above
    from local.cli.features.command import FeaturesOptions, run_features  # noqa: PLC0415 - as above
    from local.errors import DataError  # noqa: PLC0415 - heavy packages are imported by the command that needs them
    from local.settings import load_settings  # noqa: PLC0415 - as above

    first, last = parse_bounds(start, end)
    folder = candles_of(data, load_settings())
    if out is None:
        raise DataError("--out is missing: name the file to write, such as out/features.parquet")
    check_covers(folder, first, last)
    run_features(FeaturesOptions(folder, schema, out_file(out), first, last, json_output))


@features_app.command("rehash")
def rehash(
    bundle: Annotated[Path, typer.Argument(help="Bundle that is to name another hash of its feature schema.")],
    data: Annotated[Path, typer.Option(help="Lake or folder of candles that the bundle was trained on.")],
    out: Annotated[Path, typer.Option(help="New folder for the bundle with the current hash.")],
    spare_missing: SpareMissing = False,  # noqa: FBT002 - of typer
    json_output: Json = False,  # noqa: FBT002 - of typer
) -> None:
    """Give a bundle the current hash of its feature schema, if its golden rows prove that the features are the same."""
    from training.rehash import rehash_bundle  # noqa: PLC0415 - heavy packages are imported by the command that needs them

    proof = rehash_bundle(bundle, data, out, spares_missing=spare_missing)
    print(json.dumps(asdict(proof)) if json_output else proof.in_words())


@features_app.command("value")
def value(  # noqa: PLR0917 - typer passes by keyword
    data: Data = None,
    alternative: Annotated[Path | None, typer.Option(help="Lake with alternative data; default: the one of --data.")] = None,
    assume_lag: Annotated[
        float | None,
        typer.Option(help="Assume that each value was known this many minutes after its publication.", min=0, max=10_080),
    ] = None,
    start: Start = None,
    end: End = None,
    out: Annotated[Path | None, typer.Option(help="Write the features of every decision to this Parquet file too.")] = None,
    json_output: Json = False,  # noqa: FBT002 - of typer
) -> None:
    """Measure on unseen days whether alternative data (schema v64x) adds anything to the features of v50."""
    from local.cli.arguments import candles_of, out_file  # noqa: PLC0415 - as above
    from local.cli.features.value import ValueOptions, run_value  # noqa: PLC0415 - xgboost
    from local.settings import load_settings  # noqa: PLC0415 - as above

    first, last = parse_bounds(start, end)
    folder = candles_of(data, load_settings())
    file = None if out is None else out_file(out)
    run_value(ValueOptions(folder, alternative or folder, assume_lag, first, last, file, json_output))


@features_app.command("verify")
def verify(
    day: Annotated[datetime, typer.Option(formats=["%Y-%m-%d"], help="UTC day whose signals are verified.")],
    data: Annotated[
        str | None,
        typer.Option(help="A lake, a folder of recorded candles or s3://BUCKET; default: the ledger's own lake and candles."),
    ] = None,
    venue: Annotated[str, typer.Option(help="Venue to read from a bucket.")] = "coinbase",
    database: Database = None,
    json_output: Json = False,  # noqa: FBT002 - of typer
) -> None:
    """Derive the stored features of a day's signals again from their bars. Exit 1 on a mismatch, 3 if there are no bars."""
    from local.cli.features.verification import run_verify  # noqa: PLC0415 - as above
    from local.settings import load_settings  # noqa: PLC0415 - as above

    settings = load_settings()
    raise typer.Exit(run_verify(day.date(), data, database, venue=venue, json_output=json_output, settings=settings))
