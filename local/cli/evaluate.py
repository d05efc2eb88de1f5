"""Declares `signalbox evaluate` for typer; `training` runs it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from local.cli.options import Data, End, Fresh, Json, Scores, Start


def evaluate(  # noqa: PLR0917 - typer passes by keyword
    bundle: Annotated[Path, typer.Argument(help="Folder of the bundle.")],
    data: Data = None,
    start: Start = None,
    end: End = None,
    out: Annotated[Path | None, typer.Option(help="Folder of evaluation.json, report.html and predictions.parquet.")] = None,
    coinbase_taker_bps: Annotated[
        float, typer.Option(min=0, help="Your taker fee at Coinbase, in basis points per side.")
    ] = 60.0,
    scores: Scores = None,
    fresh: Fresh = False,  # noqa: FBT002 - of typer
    json_output: Json = False,  # noqa: FBT002 - of typer
) -> None:
    """Score a bundle on any period and judge it by the gates."""
    from local.cli.arguments import out_folder, scored_candles  # noqa: PLC0415 - see catalogue.py
    from local.settings import load_settings  # noqa: PLC0415 - as above
    from training.command import run_evaluate  # noqa: PLC0415 - as above
    from training.evaluate import EvaluateRequest  # noqa: PLC0415 - as above
    from training.judge.costs import cost_models  # noqa: PLC0415 - as above

    settings = load_settings()
    folder, first, last = scored_candles(bundle, data, settings, start=start, end=end)
    if scores is not None:
        out_folder(scores, "--scores")
    kept = None if fresh else scores or settings.scores
    request = EvaluateRequest(bundle, folder, first, last, cost_models(coinbase_taker_bps), kept)
    if out is None:
        run_evaluate(request, printed=json_output)
        return
    out_folder(out)
    run_evaluate(
        request,
        as_json=out / "evaluation.json",
        predictions=out / "predictions.parquet",
        page=out / "report.html",
        printed=json_output,
    )
