"""The options that mean the same in every command (docs/decisions/0093-one-grammar-of-the-command-line.md)."""

from __future__ import annotations

import re
import uuid
from pathlib import Path
from typing import Annotated, Final

import typer

Data = Annotated[Path | None, typer.Option(help="Candles: a folder of recorded files or a lake; default: the setting `data`.")]
Start = Annotated[str | None, typer.Option(help="Start: ISO 8601, UTC without an offset, or an age such as 30d.")]
End = Annotated[str | None, typer.Option(help="End, in the same form.")]
Stage = Annotated[
    str | None, typer.Option(help="local or a deployed stage; default: the setting `stage`, else the running local cloud.")
]
Scores = Annotated[Path | None, typer.Option(help="Folder that keeps scores for later runs; default: one in the state folder.")]
Fresh = Annotated[bool, typer.Option("--fresh", help="Score every decision anew; read and store no scores.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON alone on standard output.")]
Database = Annotated[
    str | None,
    typer.Option(
        help="libpq connection string of a ledger, without a password (PGPASSWORD, ~/.pgpass); default: that of `signalbox up`."
    ),
]

MAX_REASON: Final = 500  # characters


def reason_given(text: str) -> str:
    """Return a reason, or other words of a person. Raises typer.BadParameter for one without a word or a very long one."""
    if 0 < len(text.strip()) <= MAX_REASON:
        return text
    raise typer.BadParameter(f"expected a text of 1 to {MAX_REASON} characters, got {len(text.strip())}")


Why = Annotated[str, typer.Option(help="Reason, for the record.", callback=reason_given)]
RequestId = Annotated[
    str | None, typer.Option(help="Request id printed by a failed command, to repeat it safely; default: a new id.")
]
_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{3,47}")  # as commands have it


def request_id_of(given: str | None) -> str:
    """Return the id of a request, a new one unless it was given. Raises DataError."""
    if given is not None and _REQUEST_ID.fullmatch(given) is None:
        from local.errors import DataError  # noqa: PLC0415 - the help of a command needs no errors

        raise DataError(f"--request-id: expected 4 to 48 letters, digits, - and _, got {given[:60]!r}")
    return given or f"cli-{uuid.uuid4().hex[:16]}"
