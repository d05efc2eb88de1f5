"""`signalbox evaluate` as typer sees it; it runs in `training`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from local.cli.instants import parse_instant
from local.errors import DataError


def evaluate(  # noqa: PLR0917 - typer passes by keyword
    bundle: Annotated[Path, typer.Argument(help="Folder of the bundle.")],
    data: Annotated[Path | None, typer.Option(help="Folder of recorded candles, or a lake.")] = None,
    start: Annotated[str | None, typer.Option(help="First decision, ISO 8601, UTC unless it says otherwise.")] = None,
    end: Annotated[str | None, typer.Option(help="When the last outcome must be known.")] = None,
    json_out: Annotated[Path | None, typer.Option("--json", help="Write the gates and every figure here.")] = None,
    predictions: Annotated[Path | None, typer.Option(help="Write one row a decision here, as Parquet.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write the report for a trader here.")] = None,
    coinbase_taker_bps: Annotated[float, typer.Option(min=0, help="Your taker fee at Coinbase, basis points a side.")] = 60.0,
    scores: Annotated[Path | None, typer.Option(help="Where scores are kept for the next run; default: state folder.")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Score every decision again, and keep none.")] = False,  # noqa: FBT002 - of typer
) -> None:
    """Score a bundle on any period and judge it by the gates."""
    from local.settings import load_settings  # noqa: PLC0415 - see the docstring of local/cli/command.py
    from training.command import run_evaluate  # noqa: PLC0415 - as above
    from training.evaluate import EvaluateRequest  # noqa: PLC0415 - as above
    from training.judge.costs import cost_models  # noqa: PLC0415 - as above

    settings = load_settings()
    folder = data or settings.recorded_candles
    if folder is None:
        raise DataError("no recorded candles: give --data DIR or set SIGNALBOX_DATA")
    request = EvaluateRequest(
        bundle,
        folder,
        parse_instant(start),
        parse_instant(end),
        cost_models(coinbase_taker_bps),
        None if fresh else scores or settings.scores,
    )
    run_evaluate(request, as_json=json_out, predictions=predictions, page=html)
