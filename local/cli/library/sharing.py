"""Declares the commands that share models: keys, export, import, catalogue, add; sharing_command.py runs them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from local.cli.options import Database, Json, Stage, Why

Key = Annotated[Path | None, typer.Option(help="File of the private key; default: publisher.pem in the state folder.")]
Trusted = Annotated[Path | None, typer.Option(help="File of the trusted keys; default: trusted.json in the state folder.")]
Licence = Annotated[str, typer.Option(help="Licence of the model, such as Apache-2.0.")]
Passphrase = Annotated[bool, typer.Option("--passphrase", help="Encrypt it with a passphrase, typed or from standard input.")]
PublicKey = Annotated[str, typer.Argument(help="Public key: ed25519: and 64 hexadecimal digits.")]
Folder = Annotated[Path | None, typer.Option(help="New folder to write to, instead of the library of a stage.")]
keys_app = typer.Typer(help="Make the key that signs your packages, and say whose packages you accept.", no_args_is_help=True)


def add_sharing(library_app: typer.Typer) -> None:
    """Add the commands to the group `library`."""
    library_app.add_typer(keys_app, name="keys")
    library_app.command("export")(export)
    library_app.command("import")(import_package)
    library_app.command("catalogue")(catalogue)
    library_app.command("add")(add)


@keys_app.callback()
def _group() -> None:
    """Make the key that signs your packages, and say whose packages you accept."""


@keys_app.command("new")
def new_key(
    name: Annotated[str, typer.Option(help="Your name, as you trust your own packages.")] = "me",
    passphrase: Passphrase = False,  # noqa: FBT002 - of typer
    key: Key = None,
    trusted: Trusted = None,
    json_output: Json = False,  # noqa: FBT002 - of typer
) -> None:
    """Make an Ed25519 key pair, and trust it yourself."""
    from local.cli.library.sharing_command import run_new_key  # noqa: PLC0415 - cryptography and pydantic

    run_new_key(name, key, trusted, datetime.now(UTC), has_passphrase=passphrase, as_json=json_output)


@keys_app.command("list")
def list_keys(trusted: Trusted = None, json_output: Json = False) -> None:  # noqa: FBT002 - of typer
    """List the keys whose packages you accept, your own too, and those that were revoked."""
    from local.cli.library.sharing_command import run_list_keys  # noqa: PLC0415 - as above

    run_list_keys(trusted, as_json=json_output)


@keys_app.command("trust")
def trust_key(
    public_key: PublicKey,
    name: Annotated[str, typer.Option(help="Whose key it is.")],
    trusted: Trusted = None,
    json_output: Json = False,  # noqa: FBT002 - of typer
) -> None:
    """Accept packages that are signed by a key. Ask its owner for it over another channel than the package's."""
    from local.cli.library.sharing_command import run_trust  # noqa: PLC0415 - as above

    run_trust(public_key, name, trusted, datetime.now(UTC), as_json=json_output)


@keys_app.command("revoke")
def revoke_key(
    public_key: PublicKey,
    why: Why,
    trusted: Trusted = None,
    json_output: Json = False,  # noqa: FBT002 - of typer
) -> None:
    """Accept nothing more of a key. It stays in the list, so that it is not trusted again by mistake."""
    from local.cli.library.sharing_command import run_revoke  # noqa: PLC0415 - as above

    run_revoke(public_key, why, trusted, datetime.now(UTC), as_json=json_output)


def export(  # noqa: PLR0917 - typer passes by keyword
    model: Annotated[str, typer.Argument(help="NAME or NAME@VERSION of a stage's library, or the folder of a bundle.")],
    out: Annotated[Path, typer.Option(help="File of the package; with another --format a new folder.")],
    form: Annotated[str, typer.Option("--format", help="package (signed), bentoml (service) or mlflow (pyfunc).")] = "package",
    licence: Licence = "not stated",
    key: Key = None,
    stage: Stage = None,
    database: Database = None,
    json_output: Json = False,  # noqa: FBT002 - of typer
) -> None:
    """Write a model as one signed package, or as a folder that BentoML or MLflow serves."""
    from local.cli.library.sharing_command import ModelSource, run_export  # noqa: PLC0415 - onnxruntime and pydantic
    from local.settings import load_settings  # noqa: PLC0415 - as above

    source = ModelSource(stage, database, load_settings())
    run_export(model, out, form, source, key, datetime.now(UTC), licence=licence, as_json=json_output)


def import_package(  # noqa: PLR0917 - typer passes by keyword
    package: Annotated[Path, typer.Argument(help="File of a package.")],
    out: Folder = None,
    trusted: Trusted = None,
    stage: Stage = None,
    database: Database = None,
    json_output: Json = False,  # noqa: FBT002 - of typer
) -> None:
    """Verify a signed package and take its model into the library of a stage, or with --out into a folder."""
    from local.cli.library.sharing_command import ModelSource, run_import  # noqa: PLC0415 - as above
    from local.settings import load_settings  # noqa: PLC0415 - as above

    source = ModelSource(stage, database, load_settings())
    run_import(package, out, source, trusted, datetime.now(UTC), as_json=json_output)


def catalogue(  # noqa: PLR0917 - typer passes by keyword
    models: Annotated[
        list[str] | None, typer.Argument(help="Packages, bundle folders, NAME or NAME@VERSION; default: all of the library.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder to write to; put it into any bucket.")] = None,
    licence: Licence = "not stated",
    key: Key = None,
    trusted: Trusted = None,
    stage: Stage = None,
    database: Database = None,
    json_output: Json = False,  # noqa: FBT002 - of typer
) -> None:
    """Write a static catalogue: index.json, and each model's page and signed package."""
    from local.cli.library.sharing_command import ModelSource, run_catalogue  # noqa: PLC0415 - as above
    from local.settings import load_settings  # noqa: PLC0415 - as above

    source = ModelSource(stage, database, load_settings())
    run_catalogue(models or [], out, source, key, trusted, datetime.now(UTC), licence=licence, as_json=json_output)


def add(  # noqa: PLR0917 - typer passes by keyword
    place: Annotated[str, typer.Argument(help="Catalogue: an https address or a folder; #NAME chooses a model.")],
    out: Folder = None,
    trusted: Trusted = None,
    stage: Stage = None,
    database: Database = None,
    json_output: Json = False,  # noqa: FBT002 - of typer
) -> None:
    """Take a model from a catalogue, verified as by `import`."""
    from local.cli.library.sharing_command import ModelSource, run_add  # noqa: PLC0415 - as above
    from local.settings import load_settings  # noqa: PLC0415 - as above

    source = ModelSource(stage, database, load_settings())
    run_add(place, out, source, trusted, datetime.now(UTC), as_json=json_output)
