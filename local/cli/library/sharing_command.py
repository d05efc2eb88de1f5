"""`signalbox library keys|export|import|catalogue|add`."""

from __future__ import annotations

import hashlib
import json
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import typer

from local.cli.accounts.command import session_of
from local.cli.arguments import out_file, out_folder
from local.cli.ledger import connection_source, require_reachable
from local.cli.rows import print_rows
from local.cli.stage import stage_of
from local.cli.stage_outputs import stage_outputs
from local.errors import DataError
from local.library.catalogue import fetch_package, open_catalogue, read_index, write_catalogue
from local.library.errors import PackageError
from local.library.exports import FORMATS, write_export
from local.library.package import Package, open_package, read_package_file
from local.library.publishers import (
    PRIVATE_FILE,
    TRUST_FILE,
    PublisherKey,
    TrustList,
    is_encrypted,
    load_key,
    new_key,
    read_public_key,
    read_trust,
    replace_file,
    trust_locked,
    write_key,
    write_trust,
)
from local.library.registry import StageModels
from local.library.sharing import SharedVersion, make_package, register_package, version_of_bundle, write_folder
from local.settings import STAGE, Settings, load_settings
from signalbox.adapters.postgres.connection import LedgerUnavailableError
from signalbox.adapters.postgres.library import PostgresLibrary
from signalbox.contracts import Function, StackOutput, database_user
from signalbox.inference.manifest import MANIFEST_FILE

PACKAGE: Final = "package"
LEDGER_MS: Final = 60_000  # of a statement
_MODEL: Final = re.compile(r"(?P<name>[a-z0-9][a-z0-9.-]{0,63})(?:@(?P<number>[1-9][0-9]{0,8}))?")
_MAX_PASSPHRASE: Final = 1_000


@dataclass(frozen=True, slots=True)
class ModelSource:
    """--stage, --database and the settings: where the library is."""

    stage: str | None
    database: str | None
    settings: Settings

    def require_unnamed(self, why: str) -> None:
        """Raise DataError if --stage or --database name a library that the command would not use."""
        named = "--stage" if self.stage is not None else "--database" if self.database is not None else None
        if named is not None:
            raise DataError(f"{named}: {why}, so no library is asked; leave the option out")

    @contextmanager
    def models(self) -> Iterator[StageModels]:
        """Open the library of the stage, as the user that records models. Raises DataError if it does not answer."""
        require_reachable(self.stage, self.database, self.settings)
        stage = stage_of(self.stage or (None if self.database is None else self.settings.stage or STAGE), self.settings)
        session, url = session_of(stage, self.settings)
        bucket = stage_outputs(session, stage, endpoint=url)[StackOutput.MODELS_BUCKET]
        user = database_user(Function.REGISTER_MODEL)  # the reader of the operator's tools sees no library
        try:
            with connection_source(
                self.database, self.settings, name="signalbox library", timeout_ms=LEDGER_MS, user=user
            ) as source:
                yield StageModels(source, session.client("s3", endpoint_url=url), bucket)
        except LedgerUnavailableError as error:
            raise DataError(f"no ledger answers ({error}); start `signalbox up`, or give --database") from error


def run_new_key(name: str, key: Path | None, trusted: Path | None, now: datetime, *, has_passphrase: bool, as_json: bool) -> None:
    """Make a key pair and trust it. Raises PublisherKeyError."""
    private = _private_file(key)
    with trust_locked(_trust_file(trusted)) as trust:
        made = new_key()
        trusting = trust.trusting(made.public, name, now)  # first, because the name may be wrong
        write_key(private, made, _passphrase(private, is_new=True) if has_passphrase else None)
        write_trust(_trust_file(trusted), trusting)
    _show({"key": made.public, "file": str(private)}, as_json=as_json)


def run_list_keys(trusted: Path | None, *, as_json: bool) -> None:
    """Print the trusted keys. Raises PublisherKeyError."""
    path = _trust_file(trusted)
    rows = [
        {
            "key": one.key,
            "name": one.name,
            "trusted_at": one.trusted_at,
            "revoked_at": one.revoked_at,
            "why": one.why,
        }
        for one in read_trust(path).publishers
    ]
    print_rows("keys", rows, {"file": str(path)}, as_json=as_json)


def run_trust(text: str, name: str, trusted: Path | None, now: datetime, *, as_json: bool) -> None:
    """Add a key to the trust list. Raises PublisherKeyError."""
    key, path = read_public_key(text), _trust_file(trusted)
    with trust_locked(path) as trust:
        write_trust(path, trust.trusting(key, name, now))
    _show({"trusted": key, "name": name, "file": str(path)}, as_json=as_json)


def run_revoke(text: str, why: str, trusted: Path | None, now: datetime, *, as_json: bool) -> None:
    """Revoke a key of the trust list. Raises PublisherKeyError."""
    key, path = read_public_key(text), _trust_file(trusted)
    with trust_locked(path) as trust:
        write_trust(path, trust.revoking(key, why, now))
    _show({"revoked": key, "why": why, "file": str(path)}, as_json=as_json)


def run_export(  # noqa: PLR0917 - the options of one command
    model: str,
    out: Path,
    form: str,
    source: ModelSource,
    key: Path | None,
    now: datetime,
    *,
    licence: str,
    as_json: bool,
) -> None:
    """Write a model as a package, or as a folder of another server. Raises SignalboxError."""
    if form not in {PACKAGE, *FORMATS}:
        raise DataError(f"--format: expected {PACKAGE}, {' or '.join(FORMATS)}, got {form!r}")
    if form != PACKAGE:
        out_folder(out.parent)
        with _versions(model, source) as versions:
            write_export(form, versions[-1].folder, out)
        _show({"format": form, "folder": str(out), "version": versions[-1].number}, as_json=as_json)
        return
    out_file(out)
    signer = _signer(key)
    with _versions(model, source) as versions:
        name, content = make_package(versions, signer, now, licence=licence)
    open_package(content, TrustList().trusting(signer.public, "me", now))  # what cannot be taken in again is not written
    replace_file(out, content)
    facts = {"model": name, "versions": [one.number for one in versions], "file": str(out), "size": len(content)}
    _show({**facts, "sha256": hashlib.sha256(content).hexdigest(), "signed_by": signer.public}, as_json=as_json)


def run_import(file: Path, out: Path | None, source: ModelSource, trusted: Path | None, now: datetime, *, as_json: bool) -> None:
    """Take a package into a folder or into a stage's library. Raises SignalboxError."""
    _check_goal(out, source)
    package = open_package(read_package_file(file), read_trust(_trust_file(trusted)), str(file))
    _take(package, out, source, now, as_json=as_json)


def run_catalogue(  # noqa: PLR0917 - the options of one command
    models: Sequence[str],
    out: Path | None,
    source: ModelSource,
    key: Path | None,
    trusted: Path | None,
    now: datetime,
    *,
    licence: str,
    as_json: bool,
) -> None:
    """Write a catalogue of packages, bundles and models of the library. Raises SignalboxError."""
    if out is None:
        raise DataError("--out is missing: name the folder of the catalogue")
    folder, trust = out_folder(out), read_trust(_trust_file(trusted))
    packages = []
    for model in models or _all_models(source):
        if Path(model).is_file():
            source.require_unnamed(f"{model} is a file")
            content = read_package_file(Path(model))
            packages.append((open_package(content, trust, model), content))
            continue
        signer = _signer(key)
        with _versions(model, source) as versions:
            _, content = make_package(versions, signer, now, licence=licence)
        packages.append((open_package(content, TrustList().trusting(signer.public, "me", now)), content))
    index = write_catalogue(packages, folder, now)
    rows = [
        {"model": one.name, "versions": ", ".join(map(str, one.versions)), "qualifies": one.qualifies, "package": one.package}
        for one in index.models
    ]
    print_rows("models", rows, {"folder": str(folder)}, as_json=as_json)


def run_add(place: str, out: Path | None, source: ModelSource, trusted: Path | None, now: datetime, *, as_json: bool) -> None:
    """Take a model from a catalogue. Raises SignalboxError."""
    _check_goal(out, source)
    files, name = open_catalogue(place)
    model = read_index(files).choose(name)
    package = open_package(fetch_package(files, model), read_trust(_trust_file(trusted)), model.package)
    if package.manifest.name != model.name:
        raise PackageError(f"{model.package}: expected a package of {model.name}, got one of {package.manifest.name}")
    _take(package, out, source, now, as_json=as_json)


def _check_goal(out: Path | None, source: ModelSource) -> None:
    if out is not None:
        source.require_unnamed("--out names a folder")
        out_folder(out.parent)


def _take(package: Package, out: Path | None, source: ModelSource, now: datetime, *, as_json: bool) -> None:
    facts: dict[str, Any] = {
        "model": package.manifest.name,
        "signed_by": f"{package.publisher.name} ({package.publisher.key})",
        "licence": package.manifest.licence,
    }
    if out is not None:
        is_new = write_folder(package, out)
        bundles = [str(out / one.folder / "bundle") for one in package.manifest.versions]
        _show({**facts, "folder": str(out), "bundles": bundles, "new": is_new}, as_json=as_json)
        return
    with source.models() as models:
        found = register_package(package, library=PostgresLibrary(models.source), artifacts=models, now=now)
    rows = [{"publisher_version": one.number, "version": one.version.number, "new": one.new} for one in found]
    print_rows("versions", rows, facts, as_json=as_json)


@contextmanager
def _versions(model: str, source: ModelSource) -> Iterator[Sequence[SharedVersion]]:
    """Give the versions that a word names: those of a stage's library, or the bundle of a folder."""
    folder = Path(model)
    if folder.is_dir():
        if not (folder / MANIFEST_FILE).is_file():
            raise DataError(f"MODEL: no {MANIFEST_FILE} in {folder}")
        source.require_unnamed(f"{folder} is a folder")
        yield [version_of_bundle(folder)]
        return
    match = _MODEL.fullmatch(model)
    if match is None:
        raise DataError(f"MODEL: expected NAME, NAME@VERSION or the folder of a bundle, got {model!r}")
    with source.models() as models, tempfile.TemporaryDirectory(prefix="signalbox-export-") as scratch:
        yield models.versions(match["name"], None if match["number"] is None else int(match["number"]), Path(scratch))


def _all_models(source: ModelSource) -> list[str]:
    with source.models() as models:
        found = models.names()
    if not found:
        raise DataError("MODELS: the library of this stage has no model with a bundle; name packages or bundle folders")
    return found


def _signer(key: Path | None) -> PublisherKey:
    path = _private_file(key)
    return load_key(path, _passphrase(path) if is_encrypted(path) else None)


def _passphrase(path: Path, *, is_new: bool = False) -> str:
    """Return a passphrase from a prompt, or the first line of standard input."""
    if sys.stdin.isatty():
        typed = str(typer.prompt(f"passphrase of {path}", hide_input=True, confirmation_prompt=is_new))
    else:
        typed = sys.stdin.readline(_MAX_PASSPHRASE + 1).rstrip("\n")
    if not 0 < len(typed) <= _MAX_PASSPHRASE:
        raise DataError(f"expected a passphrase of 1 to {_MAX_PASSPHRASE} characters")
    return typed


def _private_file(key: Path | None) -> Path:
    return key or load_settings().state / "library" / PRIVATE_FILE


def _trust_file(trusted: Path | None) -> Path:
    return trusted or load_settings().state / "library" / TRUST_FILE


def _show(facts: Mapping[str, object], *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps(facts) + "\n")
        return
    for name, value in facts.items():
        shown = ", ".join(map(str, value)) if isinstance(value, list) else value
        sys.stdout.write(f"{name.replace('_', ' ')}: {shown}\n")
