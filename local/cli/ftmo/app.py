"""Declares `signalbox ftmo ...` for typer; command.py runs it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from local.cli.options import Json

ftmo_app = typer.Typer(help="Prop-firm rules: replay an account.", no_args_is_help=True)


@ftmo_app.callback()
def _group() -> None:
    """Prop-firm rules: replay an account."""


@ftmo_app.command("simulate")
def simulate(  # noqa: PLR0917 - typer passes by keyword
    rules: Annotated[str, typer.Option(help="Rule set: ftmo-2step or ftmo-1step.")],
    capital: Annotated[str, typer.Option(help="Initial capital, such as 100000.")],
    events: Annotated[Path, typer.Option(help="JSONL file of open, close, mark and swap events, in time order.")],
    phase: Annotated[str | None, typer.Option(help="challenge or (2-step) verification; default: the first.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the chart (and result.json, with --json).")] = None,
    json_output: Json = False,  # noqa: FBT002 - of typer
) -> None:
    """Replay an account: breaches with their time, each day's figures, trading days, and whether the target was reached."""
    from local.cli.ftmo.command import run_simulate  # noqa: PLC0415 - pydantic and the rules

    run_simulate(rules, capital, events, phase=phase, out=out, json_output=json_output)
