"""`signalbox report` as typer sees it; it runs in `command.py`."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer


def report(  # noqa: PLR0917 - typer passes by keyword
    account: Annotated[str, typer.Option(help="Name of the account, such as ftmo-2step-100k.")],
    period: Annotated[str, typer.Option(help="A day 2026-11-20, a month 2026-11 or a year 2026.")],
    out: Annotated[Path, typer.Option(help="Folder the files go to.")],
    kind: Annotated[str, typer.Option(help="pnl, blotter, tax, compliance, quality or all.")] = "all",
    zone: Annotated[
        str | None, typer.Option(help="Whose days, as in Europe/Prague; default: the zone of the account's rules, else UTC.")
    ] = None,
    database: Annotated[
        str | None,
        typer.Option(help="libpq connection string without a password (PGPASSWORD, ~/.pgpass); default: that of `signalbox up`."),
    ] = None,
    json_output: Annotated[bool, typer.Option("--json", help="Print figures and files as JSON.")] = False,  # noqa: FBT002
) -> None:
    """Write reports of an account: profit and loss, blotter, tax, compliance, execution quality; as CSV and HTML."""
    from local.cli.report.command import run_report  # noqa: PLC0415 - psycopg and rich
    from local.settings import load_settings  # noqa: PLC0415 - as above

    code = run_report(
        account,
        period,
        kind,
        out,
        zone=zone,
        database=database,
        json_output=json_output,
        settings=load_settings(),
        now=datetime.now(UTC),
    )
    raise typer.Exit(code)
