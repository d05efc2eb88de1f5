"""Declares `signalbox library ...` for typer; each part adds its own commands."""

from __future__ import annotations

import typer

from local.cli.library.serving import add_serving
from local.cli.library.sharing import add_sharing

library_app = typer.Typer(help="Share models safely, and serve them.", no_args_is_help=True)


@library_app.callback()
def _group() -> None:
    """Share models safely, and serve them."""


add_sharing(library_app)
add_serving(library_app)
