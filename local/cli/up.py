"""Declares `signalbox up` for typer; `local.cloud.up` runs it."""

from __future__ import annotations

from typing import Annotated

import typer


def up(
    port: Annotated[
        int | None, typer.Option(min=1, max=65_535, help="Port of the AWS emulator on 127.0.0.1; default: a free one.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the simulated market, used when no exchange can be reached.")] = 7,
) -> None:
    """Run the local cloud on the real five-minute clock until Ctrl-C."""
    from local.cloud.up import run_up  # noqa: PLC0415 - see the docstring of catalogue.py
    from local.settings import load_settings  # noqa: PLC0415 - as above

    raise typer.Exit(run_up(load_settings(), port=port, seed=seed))
