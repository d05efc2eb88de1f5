"""Declares `signalbox report` for typer; command.py runs it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from local.cli.options import Database, Json, Stage


def report(  # noqa: PLR0917 - typer passes by keyword
    account: Annotated[str, typer.Option(help="Name of the account, such as ftmo-2step-100k.")],
    period: Annotated[str, typer.Option(help="A day (2026-11-20), a month (2026-11) or a year (2026).")],
    out: Annotated[Path, typer.Option(help="Folder for the files.")],
    kind: Annotated[str, typer.Option(help="pnl, blotter, tax, compliance, quality or all.")] = "all",
    zone: Annotated[
        str | None,
        typer.Option(help="Time zone of the period, such as Europe/Prague; default: of the account's rules, else UTC."),
    ] = None,
    stage: Stage = None,
    database: Database = None,
    pdf: Annotated[bool, typer.Option("--pdf", help="Also write a PDF of each page (needs Chromium or Chrome).")] = False,  # noqa: FBT002 - of typer
    json_output: Json = False,  # noqa: FBT002 - of typer
) -> None:
    """Write reports of an account as CSV and HTML: profit and loss, blotter, tax, compliance, execution quality."""
    from local.cli.arguments import out_folder  # noqa: PLC0415 - as above
    from local.cli.ledger import require_reachable  # noqa: PLC0415 - as above
    from local.cli.report.command import run_report  # noqa: PLC0415 - psycopg and rich
    from local.settings import load_settings  # noqa: PLC0415 - as above

    settings = load_settings()
    require_reachable(stage, database, settings)
    code = run_report(
        account,
        period,
        kind,
        out_folder(out),
        zone=zone,
        database=database,
        json_output=json_output,
        settings=settings,
        now=datetime.now(UTC),
        pdf=pdf,
    )
    raise typer.Exit(code)
