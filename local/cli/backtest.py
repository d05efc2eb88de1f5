"""`signalbox backtest` as typer sees it; it runs in `training.backtest`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from local.cli.instants import parse_instant
from local.errors import DataError


def backtest(  # noqa: PLR0917 - typer passes by keyword
    bundle: Annotated[Path, typer.Argument(help="Folder of the bundle.")],
    data: Annotated[Path | None, typer.Option(help="Folder of recorded candles, or a lake.")] = None,
    account: Annotated[str, typer.Option(help="KIND-CAPITALk, such as ftmo-2step-100k or paper-25k.")] = "ftmo-2step-100k",
    start: Annotated[str | None, typer.Option(help="When the account is opened, ISO 8601, UTC unless it says otherwise.")] = None,
    end: Annotated[str | None, typer.Option(help="The last decision.")] = None,
    starts: Annotated[int, typer.Option(min=0, max=1000, help="Start dates of the probability of passing; 0: none.")] = 12,
    phase: Annotated[str | None, typer.Option(help="Phase of the rules: challenge (default) or verification.")] = None,
    json_out: Annotated[Path | None, typer.Option("--json", help="Write every figure here.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write the report for a trader here.")] = None,
    trades: Annotated[Path | None, typer.Option(help="Write one row a trade here, as Parquet.")] = None,
    scores: Annotated[Path | None, typer.Option(help="Where scores are kept for the next run; default: state folder.")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Score every decision again, and keep none.")] = False,  # noqa: FBT002 - of typer
) -> None:
    """Trade a bundle's signals over years as the deployed functions would."""
    from local.settings import load_settings  # noqa: PLC0415 - see the docstring of local/cli/command.py
    from training.backtest.backtest import BacktestRequest  # noqa: PLC0415 - as above
    from training.backtest.command import run_backtest  # noqa: PLC0415 - as above

    settings = load_settings()
    folder = data or settings.recorded_candles
    if folder is None:
        raise DataError("no recorded candles: give --data DIR or set SIGNALBOX_DATA")
    request = BacktestRequest(
        bundle,
        folder,
        account,
        parse_instant(start),
        parse_instant(end),
        starts,
        phase,
        None if fresh else scores or settings.scores,
    )
    run_backtest(request, as_json=json_out, page=html, trades=trades)
