"""`signalbox telegram ...` as typer sees it; it runs in `simulate.py`."""

from __future__ import annotations

from typing import Annotated

import typer

from local.cli.options import Database, Json, Stage

ROLES = ("viewer", "operator", "owner")
telegram_app = typer.Typer(help="Talk to the bot on this terminal.", no_args_is_help=True)


@telegram_app.callback()
def _group() -> None:
    """Talk to the bot on this terminal."""


@telegram_app.command("simulate")
def simulate(
    role: Annotated[str, typer.Option(help="Your role to the bot: viewer, operator or owner.")] = "owner",
    stage: Stage = None,
    database: Database = None,
    json_output: Json = False,  # noqa: FBT002 - of typer
) -> None:
    """Type commands to the bot and press its buttons by their number, without Telegram.

    The bot reads the ledger and sends commands as `signalbox accounts` does, in your own name. From a pipe it reads a line a
    command and ends with the input.
    """
    from local.errors import DataError  # noqa: PLC0415 - as the others: imported by the command that needs it

    if role not in ROLES:
        raise DataError(f"--role: expected {', '.join(ROLES)}, got {role}")
    from local.cli.telegram.simulate import run_simulate  # noqa: PLC0415 - boto3 and psycopg
    from local.settings import load_settings  # noqa: PLC0415 - as above
    from signalbox.access import Role  # noqa: PLC0415 - as above

    run_simulate(Role(role), stage, database, load_settings(), as_json=json_output)
