"""Declares `signalbox secrets set NAME.FIELD` and `signalbox secrets rotate KEY`."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import Annotated

import typer

secrets_app = typer.Typer(name="secrets", help="Set a stage's credentials, and replace its signing keys.", no_args_is_help=True)


@secrets_app.command("set")
def set_field(
    field: Annotated[str, typer.Argument(help="telegram.bot_token, .chat_ids, .alerts, or exchange.accounts.ACCOUNT.FIELD.")],
    stage: Annotated[str, typer.Option(help="A deployed stage, or local for the running `signalbox up`.")],
) -> None:
    """Set one field and keep the others. The value comes from a prompt or from standard input, never from an argument."""
    from local.cli.accounts.command import session_of  # noqa: PLC0415 - loads boto3
    from local.cli.secrets.command import SecretField, StageSecrets  # noqa: PLC0415 - as above
    from local.cli.stage import announce  # noqa: PLC0415 - as above
    from local.cli.stage_outputs import stage_outputs  # noqa: PLC0415 - as above
    from local.settings import load_settings  # noqa: PLC0415 - as above

    found = SecretField.parse(field)
    session, url = session_of(stage, load_settings())
    secrets = StageSecrets(session.client("secretsmanager", endpoint_url=url), stage_outputs(session, stage, endpoint=url))
    announce(stage, session)
    typed = typer.prompt(str(found), hide_input=True) if sys.stdin.isatty() else sys.stdin.read()
    lacking = secrets.set(found, found.value_of(typed))
    print(f"{found} of stage {stage} is set; the functions use it within five minutes")
    for one in lacking:
        print(f"  still missing: {found.name}.{one}")


@secrets_app.command("rotate")
def rotate(
    key: Annotated[
        str, typer.Argument(help="request-key (of order requests), report-key (of venue reports) or people-key (of the bot).")
    ],
    stage: Annotated[str, typer.Option(help="A deployed stage, or local for the running `signalbox up`.")],
    leaked: Annotated[bool, typer.Option("--leaked", help="Somebody else knows the key: replace it twice.")] = False,  # noqa: FBT002
) -> None:
    """Replace a signing key of the functions. The previous key stays accepted, so that nothing stops; no key is shown."""
    from local.cli.accounts.command import session_of  # noqa: PLC0415 - loads boto3
    from local.cli.secrets.command import SecretsError  # noqa: PLC0415 - as above
    from local.cli.secrets.rotation import KEYS, rotate_key  # noqa: PLC0415 - as above
    from local.cli.stage import announce  # noqa: PLC0415 - as above
    from local.cli.stage_outputs import stage_outputs  # noqa: PLC0415 - as above
    from local.settings import load_settings  # noqa: PLC0415 - as above

    if key not in KEYS:
        raise SecretsError(
            f"unknown key {key}: expected one of {', '.join(KEYS)}; an agent's key is replaced by `signalbox mt5 rotate`"
        )
    session, url = session_of(stage, load_settings())
    outputs = stage_outputs(session, stage, endpoint=url)
    announce(stage, session)
    client = session.client("dynamodb", endpoint_url=url)
    print(rotate_key(client, outputs, key, datetime.now(UTC), leaked=leaked))
