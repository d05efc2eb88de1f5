"""Declares `signalbox trace` for typer; `local.cloud.trace` runs it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from local.cli.instants import parse_instant
from local.cli.options import Json


def trace(
    cycle: Annotated[
        str | None, typer.Argument(help="Time of the cycle, ISO 8601, UTC without an offset; default: the newest.")
    ] = None,
    recorded: Annotated[
        Path | None, typer.Option(help="Folder of a finished demo (its --out); default: the running `signalbox up`.")
    ] = None,
    json_output: Json = False,  # noqa: FBT002 - of typer
) -> None:
    """Show one cycle end to end: logs of all functions and ledger rows."""
    from local.cli.accounts.command import session_of  # noqa: PLC0415 - see the docstring of catalogue.py
    from local.cloud.function_logs import FunctionLogs  # noqa: PLC0415 - as above
    from local.cloud.trace import RECORDING, trace_recorded, trace_running, trace_text  # noqa: PLC0415 - as above
    from local.settings import STAGE, load_settings  # noqa: PLC0415 - as above

    at = parse_instant(cycle, "CYCLE")
    if recorded is None:
        settings = load_settings()
        session, url = session_of(STAGE, settings)
        found = trace_running(FunctionLogs(session.client("logs", endpoint_url=url)), settings, at)
    else:
        found = trace_recorded(recorded / "logs" / RECORDING, at)
    print(json.dumps(found.to_json(), default=str) if json_output else trace_text(found))
