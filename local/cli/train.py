"""Declares `signalbox train` for typer; `training` runs it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from local.cli.instants import parse_bounds
from local.cli.options import Data, End, Json, Start


def train(  # noqa: PLR0917 - typer passes by keyword
    out: Annotated[Path, typer.Option(help="Folder for the bundle.")],
    data: Data = None,
    start: Start = None,
    end: End = None,
    quick: Annotated[bool, typer.Option("--quick", help="Short for --config training/configs/quick.toml.")] = False,  # noqa: FBT002
    config: Annotated[
        Path | None, typer.Option(help="TOML file with what to train; default: training/configs/standard.toml.")
    ] = None,
    folds: Annotated[
        int | None, typer.Option(help="Walk-forward folds: at least 6, so that gate G6 can be judged, or 0 for none.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the model; default: from its configuration and seed.")] = None,
    families: Annotated[
        str | None,
        typer.Option(help="Model families to train, such as xgboost,lstm,transformer; default: all of the configuration."),
    ] = None,
    checkpoints: Annotated[
        Path | None, typer.Option(help="Directory for resuming an interrupted run; default: OUT.checkpoints beside --out.")
    ] = None,
    tracking: Annotated[Path | None, typer.Option(help="Folder for mlflow runs; default: tracking in the state folder.")] = None,
    tracking_uri: Annotated[str | None, typer.Option(help="Address of an mlflow server to use instead of a folder.")] = None,
    json_output: Json = False,  # noqa: FBT002 - of typer
) -> None:
    """Train a model on recorded candles and write a bundle. Run it again after an interruption to resume."""
    from local.cli.arguments import candles_of, check_covers, out_folder  # noqa: PLC0415 - see the docstring of catalogue.py
    from local.settings import load_settings  # noqa: PLC0415 - as above
    from training.command import run_train  # noqa: PLC0415 - as above
    from training.config import QUICK, STANDARD  # noqa: PLC0415 - as above

    if quick and config is not None:
        raise typer.BadParameter("expected --quick or --config FILE, got both")
    settings = load_settings()
    first, last = parse_bounds(start, end)
    folder = candles_of(data, settings)
    check_covers(folder, first, last)
    out_folder(out.resolve().parent)
    if checkpoints is not None:
        out_folder(checkpoints, "--checkpoints")
    run_train(
        folder,
        out,
        config=config or (QUICK if quick else STANDARD),
        folds=folds,
        start=first,
        end=last,
        name=name,
        families=None if families is None else [name.strip() for name in families.split(",")],
        checkpoints=checkpoints,
        tracking=tracking or settings.state / "tracking",
        tracking_uri=tracking_uri,
        as_json=json_output,
    )
