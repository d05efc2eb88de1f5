"""Declares `signalbox library serve` and `score` for typer; scoring_server.py and scoring_client.py run them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from local.cli.options import Json, Stage


def add_serving(library_app: typer.Typer) -> None:
    """Add the commands to the group `library`."""
    library_app.command("serve")(serve)
    library_app.command("score")(score)


def serve(
    bundle: Annotated[Path, typer.Option(help="Folder of the bundle.")] = Path("training/starter_bundle"),
    data: Annotated[Path | None, typer.Option(help="Candles that symbols are scored on: a lake or recorded files.")] = None,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port on 127.0.0.1.")] = 8360,
    json_output: Json = False,  # noqa: FBT002 - of typer
) -> None:
    """Serve the scores of a bundle over HTTP on this machine until Ctrl-C."""
    from local.cli.arguments import check_bundle  # noqa: PLC0415 - see catalogue.py
    from local.cli.library.scoring_server import run_serve  # noqa: PLC0415 - onnxruntime and Powertools

    check_bundle(bundle, "--bundle")
    run_serve(bundle, data, port, as_json=json_output)


def score(
    symbols: Annotated[list[str], typer.Argument(help="Symbols, such as BTC-USD.", metavar="SYMBOL...")],
    at: Annotated[str | None, typer.Option(help="Instant to score at, such as 2026-11-28T12:00Z; default: now.")] = None,
    stage: Stage = None,
    json_output: Json = False,  # noqa: FBT002 - of typer
) -> None:
    """Ask a stage for scores of symbols by the model that serves. Nothing is recorded."""
    from local.cli.arguments import symbol_name  # noqa: PLC0415 - see catalogue.py
    from local.cli.instants import parse_instant  # noqa: PLC0415 - as above
    from local.cli.library.scoring_client import run_score  # noqa: PLC0415 - boto3

    names = [symbol_name(text, "SYMBOL") for text in symbols]
    run_score(names, parse_instant(at, "--at"), stage, as_json=json_output)
