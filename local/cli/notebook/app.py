"""Declares `signalbox notebook` for typer; command.py runs it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from local.cli.options import Data, Database, Json


def notebook(  # noqa: PLR0917 - typer passes by keyword
    out: Annotated[Path, typer.Option(help="Folder for the notebooks; existing files are kept.")] = Path("notebooks"),
    opens: Annotated[bool, typer.Option("--open/--no-open", help="Open them in Jupyter, where it is installed.")] = True,  # noqa: FBT002
    data: Data = None,
    bundle: Annotated[Path | None, typer.Option(help="Model that they use; default: the one that ships with Signalbox.")] = None,
    account: Annotated[str, typer.Option(help="Account whose trades they analyse.")] = "ftmo-2step-100k",
    database: Database = None,
    json_output: Json = False,  # noqa: FBT002 - of typer
) -> None:
    """Write three worked notebooks of data, a model and an account, and open them in Jupyter."""
    from local.cli.arguments import (  # noqa: PLC0415 - see catalogue.py
        account_name,
        candles_of,
        check_bundle,
        check_covers,
        out_folder,
    )
    from local.cli.ledger import settings_and_password  # noqa: PLC0415 - psycopg
    from local.cli.notebook.command import NotebookFacts, run_notebook  # noqa: PLC0415 - as above
    from local.settings import load_settings  # noqa: PLC0415 - as above

    account_name(account)
    if database is not None:
        settings_and_password(database)
    settings = load_settings()
    folder = candles_of(data, settings)
    check_covers(folder, None, None)
    model = bundle or settings.repository / "training" / "starter_bundle"
    check_bundle(model, "--bundle")
    facts = NotebookFacts(folder.resolve(), model.resolve(), account, database)
    run_notebook(out_folder(out), facts, opens=opens, as_json=json_output)
