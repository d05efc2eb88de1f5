"""Declares `signalbox telegram ...` for typer; `simulate.py` and `setup.py` run it."""

from __future__ import annotations

from typing import Annotated

import typer

from local.cli.options import Database, Json, Stage

ROLES = ("viewer", "operator", "owner")
telegram_app = typer.Typer(help="Talk to the bot, set it up, and say who may use it.", no_args_is_help=True)


@telegram_app.callback()
def _group() -> None:
    """Talk to the bot, set it up, and say who may use it."""


@telegram_app.command("simulate")
def simulate(
    role: Annotated[str, typer.Option(help="The role that you take in the simulation: viewer, operator or owner.")] = "owner",
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


@telegram_app.command("setup")
def setup(stage: Stage = None, json_output: Json = False) -> None:  # noqa: FBT002 - of typer
    """Check the token, set webhook and menus, and send a test message; explain what is wrong."""
    from local.cli.telegram.setup import run_setup  # noqa: PLC0415 - boto3 and the messenger's types
    from local.settings import load_settings  # noqa: PLC0415 - as above

    run_setup(stage, load_settings(), as_json=json_output)


@telegram_app.command("invite")
def invite(
    role: Annotated[str, typer.Option(help="The role that the person gets: viewer, operator or owner.")],
    stage: Stage = None,
    json_output: Json = False,  # noqa: FBT002 - of typer
) -> None:
    """Print a code that lets one person in; it works once, within ten minutes."""
    from local.errors import DataError  # noqa: PLC0415 - as above

    if role not in ROLES:
        raise DataError(f"--role: expected {', '.join(ROLES)}, got {role}")
    from local.cli.telegram.setup import run_invite  # noqa: PLC0415 - as above
    from local.settings import load_settings  # noqa: PLC0415 - as above
    from signalbox.access import Role  # noqa: PLC0415 - as above

    run_invite(Role(role), stage, load_settings(), as_json=json_output)


@telegram_app.command("people")
def people(stage: Stage = None, json_output: Json = False) -> None:  # noqa: FBT002 - of typer
    """List who may speak to the bot, and in which groups."""
    from local.cli.telegram.setup import run_people  # noqa: PLC0415 - as above
    from local.settings import load_settings  # noqa: PLC0415 - as above

    run_people(stage, load_settings(), as_json=json_output)


@telegram_app.command("remove")
def remove(
    user: Annotated[int, typer.Argument(help="The person's number, which `signalbox telegram people` shows after telegram:")],
    stage: Stage = None,
) -> None:
    """Remove a person from the bot's list, for example after they lost their phone. It takes effect within 30 seconds."""
    from local.cli.telegram.setup import run_remove  # noqa: PLC0415 - as above
    from local.settings import load_settings  # noqa: PLC0415 - as above

    run_remove(user, stage, load_settings())


@telegram_app.command("group")
def group(
    chat: Annotated[int, typer.Argument(help="The group's id, which is below 0; write -- before it.")],
    stage: Stage = None,
    remove: Annotated[bool, typer.Option("--remove", help="Remove the group: people can no longer use the bot in it.")] = False,  # noqa: FBT002 - of typer
) -> None:
    """Let the bot's people use it in a group too."""
    from local.cli.telegram.setup import run_group  # noqa: PLC0415 - as above
    from local.settings import load_settings  # noqa: PLC0415 - as above

    run_group(chat, stage, load_settings(), remove=remove)
