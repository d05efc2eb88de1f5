"""`signalbox rollback code`."""

from __future__ import annotations

import json
from typing import Annotated

import typer

rollback_app = typer.Typer(name="rollback", help="Switch every function back to the previous release.", no_args_is_help=True)


@rollback_app.callback()
def _group() -> None:
    """Keep `code` a command of its own."""


@rollback_app.command("code")
def code(
    stage: Annotated[str, typer.Option(help="A deployed stage: dev or prod.")],
    json_output: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,  # noqa: FBT002
) -> None:
    """Switch every function back to its version in the previous release. The ledger's schema and the templates stay."""
    from local.cli.rollback.release import Release  # noqa: PLC0415 - loads boto3
    from local.cli.stage import announce, aws_session, stage_of  # noqa: PLC0415 - as above
    from local.errors import StageUnclearError  # noqa: PLC0415 - as above
    from local.settings import STAGE, load_settings  # noqa: PLC0415 - as above

    settings = load_settings()
    if (named := stage_of(stage, settings)) == STAGE:
        raise StageUnclearError("--stage: expected a deployed stage; the local cloud runs the release that is checked out")
    session = aws_session(settings)
    announce(named, session)
    moved = Release(session, named).back()
    if json_output:
        print(json.dumps({function: {"was": was, "is": now} for function, (was, now) in moved.items()}))
        return
    for function, (was, now) in moved.items():
        print(f"{function}: version {was} -> {now}")
    print(
        f"stage {named} runs the previous release"
        if moved
        else f"stage {named} runs the previous release already; nothing changed"
    )
