"""Declares `signalbox backtest` for typer; `training.backtest` runs it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from local.cli.instants import parse_bounds
from local.cli.options import Data, End, Json, Start


def backtest(  # noqa: PLR0917 - typer passes by keyword
    bundle: Annotated[Path, typer.Argument(help="Folder of the bundle.")],
    data: Data = None,
    account: Annotated[str, typer.Option(help="Account as KIND-CAPITALk, such as paper-25k.")] = "ftmo-2step-100k",
    start: Start = None,
    end: End = None,
    starts: Annotated[
        int, typer.Option(min=0, max=1000, help="Number of start dates to estimate the probability of passing; 0: skip it.")
    ] = 12,
    phase: Annotated[str | None, typer.Option(help="Phase of the rules: challenge (default) or verification.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for backtest.json, report.html and trades.parquet.")] = None,
    scores: Annotated[
        Path | None, typer.Option(help="Folder that caches scores for the next run; default: state folder.")
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Score every decision anew, and cache nothing.")] = False,  # noqa: FBT002 - of typer
    json_output: Json = False,  # noqa: FBT002 - of typer
) -> None:
    """Trade a bundle's signals as the deployed functions would, over years of candles."""
    from local.cli.arguments import candles_of, check_bundle, check_covers, out_folder  # noqa: PLC0415 - see catalogue.py
    from local.settings import load_settings  # noqa: PLC0415 - as above
    from training.backtest.backtest import BacktestRequest  # noqa: PLC0415 - as above
    from training.backtest.command import run_backtest  # noqa: PLC0415 - as above

    settings = load_settings()
    first, last = parse_bounds(start, end)
    folder = candles_of(data, settings)
    check_bundle(bundle)
    check_covers(folder, first, last)
    if out is not None:
        out_folder(out)
    kept = None if fresh else scores or settings.scores
    request = BacktestRequest(bundle, folder, account, first, last, starts, phase, kept)
    run_backtest(request, as_json=json_output, out=out)
