"""Declares `signalbox mt5 ...` for typer; command.py runs it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from local.cli.options import Stage

if TYPE_CHECKING:
    from local.cli.mt5.command import Mailbox

mt5_app = typer.Typer(
    help="The agent of a MetaTrader 5 account: its configuration and the key it signs with.", no_args_is_help=True
)
Name = Annotated[str, typer.Argument(help="Name of the account, one of the stage's mt5_accounts.")]
Out = Annotated[Path, typer.Option(help="Key file for the agent's machine, readable only by its owner.")]


@mt5_app.callback()
def _group() -> None:
    """Configure the agent of a MetaTrader 5 account."""


def _mailbox(stage: str | None, name: str, *, changes: bool = False) -> Mailbox:
    from local.cli.mt5.command import mailbox_of  # noqa: PLC0415 - boto3 is imported by the command that needs it
    from local.cli.stage import announce, stage_of  # noqa: PLC0415 - as above
    from local.settings import load_settings  # noqa: PLC0415 - as above

    settings = load_settings()
    mailbox = mailbox_of(stage_of(stage, settings), name, settings)
    if changes:
        announce(mailbox.stage, mailbox.session)
    return mailbox


@mt5_app.command("config")
def config(name: Name, stage: Stage = None) -> None:
    """Print agent.toml of an account."""
    from local.cli.mt5.command import agent_toml  # noqa: PLC0415 - as above

    typer.echo(agent_toml(_mailbox(stage, name)), nl=False)


@mt5_app.command("key")
def key(name: Name, out: Out = Path("signing.key"), stage: Stage = None) -> None:
    """Write the key that the deployment made to a file. The key is never shown."""
    from local.cli.mt5.command import write_key  # noqa: PLC0415 - as above

    typer.echo(write_key(_mailbox(stage, name), out))


@mt5_app.command("rotate")
def rotate(
    name: Name,
    out: Out = Path("signing.key"),
    finish: Annotated[bool, typer.Option("--finish", help="Disable the old key, once the agent has the new one.")] = False,  # noqa: FBT002
    now: Annotated[bool, typer.Option("--now", help="Replace the old key at once, because somebody else has it.")] = False,  # noqa: FBT002
    stage: Stage = None,
) -> None:
    """Replace an account's key in two steps: without an option it makes the next key; --finish makes that the only valid one."""
    from local.cli.mt5.command import begin_rotation, finish_rotation, replace_at_once  # noqa: PLC0415 - as above

    if finish and now:
        raise typer.BadParameter("give either --finish or --now, not both")
    mailbox = _mailbox(stage, name, changes=True)
    if finish:
        typer.echo(finish_rotation(mailbox))
    else:
        typer.echo(replace_at_once(mailbox, out) if now else begin_rotation(mailbox, out))
