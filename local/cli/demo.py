"""Declares `signalbox demo` for typer; `local.replay.demo` runs it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from local.cli.instants import parse_bounds
from local.cli.options import Data, End, Json, Start
from local.errors import DataError


def demo(  # noqa: PLR0917 - typer passes by keyword
    data: Data = None,
    start: Start = None,
    end: End = None,
    hours: Annotated[float | None, typer.Option(help="How much history to replay, instead of --end; default: 6.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for the summary, the page and the chart.")] = Path("out/demo"),
    bundle: Annotated[
        Path | None, typer.Option(help="Model bundle to deploy in stage shadow; default: the bundle that ships with Signalbox.")
    ] = None,
    json_output: Json = False,  # noqa: FBT002 - of typer
) -> None:
    """Replay history through the local cloud and report what it did.

    Without --data and the setting `data`, candles come from a live exchange, or if none can be reached from a seeded simulator.
    """
    from local.cli.arguments import check_bundle  # noqa: PLC0415 - see the docstring of catalogue.py
    from local.replay.demo import DEFAULT_HOURS, DemoOptions, run_demo  # noqa: PLC0415 - as above
    from local.settings import load_settings  # noqa: PLC0415 - as above

    first, last = parse_bounds(start, end)
    if last is not None:
        if first is None or hours is not None:
            raise DataError("--end needs --start and excludes --hours")
        hours = (last - first).total_seconds() / 3600
    if bundle is not None:
        check_bundle(bundle, "--bundle")
    options = DemoOptions(data, first, DEFAULT_HOURS if hours is None else hours, out, bundle, json_output)
    raise typer.Exit(run_demo(options, load_settings()))
