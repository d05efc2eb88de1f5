"""`signalbox backup` and `signalbox restore`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def backup(
    out: Annotated[Path | None, typer.Option(help="Folder for the dump; default .signalbox/backups/INSTANT.")] = None,
    stage: Annotated[str | None, typer.Option(help="A deployed stage, whose dump goes to its backups bucket.")] = None,
    database: Annotated[str | None, typer.Option(help="Another ledger: a libpq connection string, without a password.")] = None,
    json_output: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,  # noqa: FBT002
) -> None:
    """Dump a ledger, whole and at one instant. Without options: that of the local cloud."""
    from local.cli.backup.command import Backups, print_dump  # noqa: PLC0415 - loads boto3 and psycopg
    from local.settings import load_settings  # noqa: PLC0415 - as above

    print_dump(Backups(load_settings()).dump(out, stage, database), as_json=json_output)


def restore(  # noqa: PLR0917 - options of a command
    source: Annotated[str, typer.Option("--from", help="A dump: its folder, or s3://BUCKET/dumps/INSTANT.")],
    stage: Annotated[str | None, typer.Option(help="A deployed stage; default: the local cloud, running or not.")] = None,
    database: Annotated[str | None, typer.Option(help="Another ledger: a libpq connection string, as its owner.")] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Move the ledger's rows aside; nothing is dropped.")] = False,  # noqa: FBT002
    rebuild: Annotated[bool, typer.Option("--rebuild", help="Rebuild accounts that differ from their events.")] = False,  # noqa: FBT002
    json_output: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,  # noqa: FBT002
) -> None:
    """Restore a dump into an empty ledger. After an interruption, run the command again: it continues where it stopped."""
    from local.cli.backup.command import Backups, print_restore  # noqa: PLC0415 - loads boto3 and psycopg
    from local.settings import load_settings  # noqa: PLC0415 - as above

    done = Backups(load_settings()).restore(source, stage, database, replace_all=replace, rebuild_accounts=rebuild)
    print_restore(done, as_json=json_output)
    if not done.is_done:
        raise typer.Exit(1)
