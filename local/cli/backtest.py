"""Declares `signalbox backtest` for typer; `training.backtest` runs it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from local.cli.options import Data, End, Fresh, Json, Scores, Start
from local.errors import DataError


def backtest(  # noqa: PLR0917 - typer passes by keyword
    bundle: Annotated[Path, typer.Argument(help="Folder of the bundle; or `compare`, with the folders of two runs.")],
    runs: Annotated[list[Path] | None, typer.Argument(help="After `compare`: two folders that --out named.")] = None,
    data: Data = None,
    account: Annotated[str, typer.Option(help="Account as KIND-CAPITALk, such as paper-25k.")] = "ftmo-2step-100k",
    start: Start = None,
    end: End = None,
    starts: Annotated[
        int, typer.Option(min=0, max=1000, help="Number of start dates to estimate the probability of passing; 0: skip it.")
    ] = 12,
    phase: Annotated[str | None, typer.Option(help="Phase of the rules: challenge (default) or verification.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of backtest.json, report.html, chart.png and trades.parquet.")] = None,
    scores: Scores = None,
    fresh: Fresh = False,  # noqa: FBT002 - of typer
    json_output: Json = False,  # noqa: FBT002 - of typer
) -> None:
    """Trade a bundle's signals as the deployed functions would, over years; or `compare A B`: two runs side by side."""
    if str(bundle) == "compare":
        _compare(runs or [], out, as_json=json_output)
        return
    if runs:
        raise DataError(f"expected one bundle, got {bundle} {' '.join(map(str, runs))}; two runs are compared by `compare A B`")
    from local.cli.arguments import out_folder, scored_candles  # noqa: PLC0415 - see catalogue.py
    from local.settings import load_settings  # noqa: PLC0415 - as above
    from training.backtest.chosen_account import chosen_account  # noqa: PLC0415 - as above

    settings = load_settings()
    chosen_account(account, phase)
    folder, first, last = scored_candles(bundle, data, settings, start=start, end=end)
    if out is not None:
        out_folder(out)
    if scores is not None:
        out_folder(scores, "--scores")
    from training.backtest.backtest import BacktestRequest  # noqa: PLC0415 - seconds: what is wrong has been said by now
    from training.backtest.command import run_backtest  # noqa: PLC0415 - as above

    kept = None if fresh else scores or settings.scores
    request = BacktestRequest(bundle, folder, account, first, last, starts, phase, kept)
    run_backtest(request, as_json=json_output, out=out)


def _compare(runs: list[Path], out: Path | None, *, as_json: bool) -> None:
    if len(runs) != 2:
        raise DataError(f"compare: expected the folders of two runs, got {len(runs)}")
    from local.cli.arguments import out_folder  # noqa: PLC0415 - see catalogue.py
    from training.backtest.compare import write_comparison  # noqa: PLC0415 - as above

    page = write_comparison(runs[0], runs[1], out_folder(out or Path("out/compare")))
    typer.echo(json.dumps({"page": str(page)}) if as_json else f"written: {page}")
