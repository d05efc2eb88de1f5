"""`signalbox train` as typer sees it; it runs in `training`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from local.cli.instants import parse_bounds
from local.cli.options import Data, End, Json, Start


def train(  # noqa: PLR0917 - typer passes by keyword
    out: Annotated[Path, typer.Option(help="Folder the bundle is written to.")],
    data: Data = None,
    start: Start = None,
    end: End = None,
    quick: Annotated[bool, typer.Option("--quick", help="The same as --config training/configs/quick.toml.")] = False,  # noqa: FBT002
    config: Annotated[Path | None, typer.Option(help="What to train, as TOML.")] = None,
    folds: Annotated[
        int | None, typer.Option(help="Walk-forward folds, at least 6, so that G6 can be judged; 0 is none.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="What the model is called; default: by its configuration and seed.")] = None,
    families: Annotated[
        str | None, typer.Option(help="Of the configuration's sections, those to train, as in xgboost,lstm,transformer.")
    ] = None,
    checkpoints: Annotated[
        Path | None, typer.Option(help="Directory for resuming an interrupted run; default: OUT.checkpoints beside --out.")
    ] = None,
    tracking: Annotated[Path | None, typer.Option(help="Folder of mlflow runs; default: tracking in the state folder.")] = None,
    tracking_uri: Annotated[str | None, typer.Option(help="Address of an mlflow server, instead of a folder.")] = None,
    json_output: Json = False,  # noqa: FBT002 - of typer
) -> None:
    """Train a model on recorded candles and write a bundle. Run it again after an interruption to resume."""
    from local.cli.arguments import candles_of, check_covers, out_folder  # noqa: PLC0415 - see the docstring of catalogue.py
    from local.settings import load_settings  # noqa: PLC0415 - as above
    from training.command import run_train  # noqa: PLC0415 - as above
    from training.config import QUICK  # noqa: PLC0415 - as above

    if quick == (config is not None):
        raise typer.BadParameter("expected either --quick or --config FILE")
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
        config=config or QUICK,
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
