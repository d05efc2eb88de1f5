"""Declares `signalbox library serve` for typer; scoring_server.py runs it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from local.cli.options import Json


def add_serving(library_app: typer.Typer) -> None:
    """Add the command to the group `library`."""
    library_app.command("serve")(serve)


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
