"""Declares `signalbox library ...` for typer; command.py runs it. Sharing and serving add their own commands."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from local.cli.library.serving import add_serving
from local.cli.library.sharing import add_sharing
from local.cli.options import Json, RequestId, Stage, Why, reason_given, request_id_of

if TYPE_CHECKING:
    from local.cli.library.command import LibraryClient

library_app = typer.Typer(
    help="Register, approve, deploy, roll back, share and serve models of a stage, in your own name.", no_args_is_help=True
)
KINDS = ("model", "strategy", "feature_set", "dataset")
STAGES = ("shadow", "active")
_REFERENCE = re.compile(r"[a-z0-9][a-z0-9.-]{0,63}(@[0-9]{1,9}(\.[0-9]{1,9}\.[0-9]{1,9})?)?")
_TAG = re.compile(r"[a-z0-9][a-z0-9.-]{0,39}")


def _version(text: str | None) -> str | None:
    if text is None or _REFERENCE.fullmatch(text):
        return text
    raise typer.BadParameter(f"expected MODEL (its newest version), MODEL@NUMBER or MODEL@1.2.0, got {text[:100]!r}")


def _tags(texts: list[str] | None) -> list[str]:
    for text in texts or []:
        if not _TAG.fullmatch(text):
            raise typer.BadParameter(f"expected a tag of up to 40 of a-z, 0-9, '.' and '-', got {text[:60]!r}")
    return texts or []


def _one_of(text: str | None, choices: tuple[str, ...]) -> str | None:
    if text is None or text in choices:
        return text
    raise typer.BadParameter(f"expected {' or '.join(choices)}, got {text[:60]!r}")


def _kind(text: str) -> str | None:
    return _one_of(text, KINDS)


def _deployed_stage(text: str) -> str | None:
    return _one_of(text, STAGES)


def _tag(text: str | None) -> str | None:
    return text if text is None else _tags([text])[0]


Version = Annotated[
    str, typer.Argument(help="MODEL (its newest version), MODEL@NUMBER, or MODEL@1.2.0.", callback=_version, metavar="MODEL[@N]")
]
Kind = Annotated[str, typer.Option(help="model, strategy, feature_set or dataset.", callback=_kind)]
Limit = Annotated[int, typer.Option(help="How many at most.", min=1, max=500)]


@library_app.callback()
def _group() -> None:
    """Register, approve, deploy, roll back, share and serve models of a stage."""


def _client(stage: str | None, *, changes: bool = False) -> LibraryClient:
    from local.cli.library.command import library_client  # noqa: PLC0415 - boto3 is imported by the command that needs it
    from local.cli.stage import announce, stage_of  # noqa: PLC0415 - as above
    from local.settings import load_settings  # noqa: PLC0415 - as above

    settings = load_settings()
    named = stage_of(stage, settings)
    client = library_client(named, settings)
    if changes:
        announce(named, client.api.session)
    return client


def _changed(where: str | None, verb: str, request_id: str | None, *, as_json: bool, **facts: Any) -> None:
    from local.cli.library.command import print_answer  # noqa: PLC0415 - as above

    given = {key: value for key, value in facts.items() if value is not None}
    found = _client(where, changes=True).ask(verb, {"request_id": request_id_of(request_id), **given})
    print_answer(verb, found, as_json=as_json)


def _asked(stage: str | None, verb: str, *, as_json: bool, **facts: Any) -> None:
    from local.cli.library.command import print_answer  # noqa: PLC0415 - as above

    found = _client(stage).ask(verb, {key: value for key, value in facts.items() if value is not None})
    print_answer(verb, found, as_json=as_json)


@library_app.command("list")
def list_versions(  # noqa: PLR0917 - typer passes by keyword
    name: Annotated[str | None, typer.Argument(help="Only versions of this model.", callback=_version)] = None,
    kind: Kind = "model",
    tag: Annotated[str | None, typer.Option(help="Only versions with this tag.", callback=_tag)] = None,
    limit: Limit = 50,
    stage: Stage = None,
    json_output: Json = False,  # noqa: FBT002 - of typer
) -> None:
    """List versions, newest first, with where each stands and what is deployed."""
    _asked(stage, "list", as_json=json_output, name=name, kind=kind, tag=tag, limit=limit)


@library_app.command("search")
def search_versions(
    words: Annotated[str, typer.Argument(help="Words of the name, description, reason or tags.", callback=reason_given)],
    limit: Limit = 50,
    stage: Stage = None,
    json_output: Json = False,  # noqa: FBT002 - of typer
) -> None:
    """Find versions by words."""
    _asked(stage, "search", as_json=json_output, words=words, limit=limit)


@library_app.command("show")
def show_version(
    version: Version,
    kind: Kind = "model",
    stage: Stage = None,
    json_output: Json = False,  # noqa: FBT002 - of typer
) -> None:
    """Show a version: its gates, who decided what about it, and what an approval lacks."""
    _asked(stage, "show", as_json=json_output, version=version, kind=kind)


@library_app.command("lineage")
def lineage(
    version: Version,
    kind: Kind = "model",
    stage: Stage = None,
    json_output: Json = False,  # noqa: FBT002 - of typer
) -> None:
    """Show what a version was made from, and what was made from it."""
    _asked(stage, "lineage", as_json=json_output, version=version, kind=kind)


@library_app.command("history")
def history(
    version: Annotated[str | None, typer.Argument(help="Only of this version.", callback=_version)] = None,
    limit: Limit = 50,
    stage: Stage = None,
    json_output: Json = False,  # noqa: FBT002 - of typer
) -> None:
    """Show what is deployed, and every change with who, when and why."""
    _asked(stage, "history", as_json=json_output, version=version, limit=limit)


@library_app.command("compare")
def compare(
    version: Version,
    other: Annotated[str, typer.Argument(help="The version to compare with.", callback=_version)],
    live: Annotated[  # noqa: FBT002 - of typer
        bool, typer.Option("--live", help="How they did on the decisions that both made, instead of in what they differ.")
    ] = False,
    stage: Stage = None,
    json_output: Json = False,  # noqa: FBT002 - of typer
) -> None:
    """Show in what two versions differ: what they were made from, members, thresholds, figures and gates."""
    _asked(stage, "compare-live" if live else "compare", as_json=json_output, version=version, other=other)


@library_app.command("register")
def register(  # noqa: PLR0917 - typer passes by keyword
    bundle: Annotated[Path, typer.Argument(help="Folder of a bundle, as `signalbox train` writes it.")],
    why: Why,
    tag: Annotated[list[str] | None, typer.Option(help="A tag; may be given several times.", callback=_tags)] = None,
    request_id: RequestId = None,
    stage: Stage = None,
    json_output: Json = False,  # noqa: FBT002 - of typer
) -> None:
    """Upload a bundle and record it as a version. The same bundle is one version, however often it is registered."""
    from local.cli.library.command import packed, print_answer  # noqa: PLC0415 - as above
    from signalbox.inference import read_manifest  # noqa: PLC0415 - as above

    archive = packed(bundle)
    facts = {"request_id": request_id_of(request_id), "name": read_manifest(bundle).name, "why": why, "tags": tag or []}
    client = _client(stage, changes=True)
    found = client.ask("register", {**facts, "sha256": client.upload(archive)})
    print_answer("register", found, as_json=json_output)


@library_app.command("approve")
def approve(  # noqa: PLR0917 - typer passes by keyword
    version: Version,
    why: Why,
    override: Annotated[  # noqa: FBT002 - of typer
        bool,
        typer.Option("--override", help="Although gates did not pass. It stays visible on every signal, and cannot replace G0."),
    ] = False,
    request_id: RequestId = None,
    stage: Stage = None,
    json_output: Json = False,  # noqa: FBT002 - of typer
) -> None:
    """Approve a candidate, so that it may be deployed as active. The gates G0 to G3 have to pass."""
    _changed(stage, "approve", request_id, as_json=json_output, version=version, why=why, override=override)


@library_app.command("reject")
def reject(
    version: Version,
    why: Why,
    request_id: RequestId = None,
    stage: Stage = None,
    json_output: Json = False,  # noqa: FBT002
) -> None:
    """Reject a draft or a candidate, for good."""
    _changed(stage, "reject", request_id, as_json=json_output, version=version, why=why)


@library_app.command("retire")
def retire(
    version: Version,
    why: Why,
    request_id: RequestId = None,
    stage: Stage = None,
    json_output: Json = False,  # noqa: FBT002
) -> None:
    """Retire an approved or rejected version, for good. A rollback passes over it."""
    _changed(stage, "retire", request_id, as_json=json_output, version=version, why=why)


@library_app.command("deploy")
def deploy(  # noqa: PLR0917 - typer passes by keyword
    version: Version,
    why: Why,
    as_: Annotated[
        str, typer.Option("--as", help="shadow, or active for an approved version.", callback=_deployed_stage)
    ] = "shadow",
    beside: Annotated[  # noqa: FBT002 - of typer
        bool, typer.Option("--beside", help="Decide each cycle beside what serves, instead of taking its place; shadow only.")
    ] = False,
    request_id: RequestId = None,
    stage: Stage = None,
    json_output: Json = False,  # noqa: FBT002 - of typer
) -> None:
    """Deploy a version; a cycle verifies it, decides with it, and so confirms it."""
    _changed(stage, "deploy", request_id, as_json=json_output, version=version, why=why, stage=as_, beside=beside or None)


@library_app.command("withdraw")
def withdraw(
    version: Version,
    why: Why,
    request_id: RequestId = None,
    stage: Stage = None,
    json_output: Json = False,  # noqa: FBT002
) -> None:
    """Take back a model that decides beside the one that serves. It takes effect at the next cycle."""
    _changed(stage, "withdraw", request_id, as_json=json_output, version=version, why=why)


@library_app.command("promote")
def promote(
    why: Why,
    version: Annotated[
        str | None, typer.Argument(help="An approved version; default: what serves as shadow.", callback=_version)
    ] = None,
    request_id: RequestId = None,
    stage: Stage = None,
    json_output: Json = False,  # noqa: FBT002 - of typer
) -> None:
    """Deploy as active what serves as shadow, once it is approved."""
    _changed(stage, "promote", request_id, as_json=json_output, version=version, why=why)


@library_app.command("rollback")
def rollback(
    why: Why,
    to: Annotated[
        int | None,
        typer.Option(help="Number of an earlier deployment (`library history`); default: the previous healthy.", min=1),
    ] = None,
    request_id: RequestId = None,
    stage: Stage = None,
    json_output: Json = False,  # noqa: FBT002 - of typer
) -> None:
    """Withdraw what is on its way, or go back to the previous healthy deployment. It takes effect at the next cycle."""
    _changed(stage, "rollback", request_id, as_json=json_output, to=to, why=why)


add_sharing(library_app)
add_serving(library_app)
