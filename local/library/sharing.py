"""Makes packages of bundles, and writes what is in a verified package: as a folder, in one step, or as versions of the library.

As a folder: everything is written beside its place under a fixed name, checked as in serving, and then renamed. A crash leaves
that name behind, and the next import starts over. As versions: the bundles' archives first, under keys made from their content,
then all rows in one transaction; so a crash leaves at most archives that the next import finds again.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Final, Self

from pydantic import AwareDatetime, Field, StrictBool, ValidationError, model_validator

from local.library.errors import PackageError
from local.library.package import (
    NOT_STATED,
    PACKAGE_FILE,
    SIGNATURE_FILE,
    Package,
    PackagedVersion,
    pack,
)
from local.library.publishers import PublisherKey
from signalbox.frozen import FrozenModel
from signalbox.inference import bundle_sha256, load_bundle, pack_bundle
from signalbox.inference.manifest import MANIFEST_FILE, REPORT_FILE, BundleManifest, Gate, Verdict, read_manifest
from signalbox.labels import CONTRACTS
from signalbox.library.card import card_markdown, read_card
from signalbox.library.entries import (
    TRAINING,
    EntityKey,
    EntityKind,
    NewVersion,
    VersionEvaluation,
    VersionKey,
    VersionState,
)
from signalbox.library.judgements import MAX_EVALUATION_BYTES, period_of, plain, read_object, registers
from signalbox.library.parameters import RegisterWhen
from signalbox.library.ports import ArtifactStore, Library
from signalbox.library.registration import add_bundle_version, bundle_key, lineage
from signalbox.wire import OneLine

CARD_FILE: Final = "card.md"
MAX_EVALUATIONS: Final = 50  # of one version


@dataclass(frozen=True, slots=True)
class SharedVersion:
    """One version to be packed. folder: its verified bundle. evaluations: what the library has beyond the bundle's own."""

    number: int
    origin: str
    created_at: datetime
    folder: Path
    evaluations: Sequence[VersionEvaluation] = ()
    depends_on: Sequence[tuple[EntityKey, str]] = ()  # with the origin of the version


class _PackagedPeriod(FrozenModel):
    start: AwareDatetime
    end: AwareDatetime


class PackagedEvaluation(FrozenModel):
    """A file below `evaluations`: one judgement of a version, as the library has it."""

    source: Annotated[OneLine, Field(min_length=1, max_length=300)]
    evaluated_at: AwareDatetime
    qualifies: StrictBool
    headline: str
    gates: dict[Gate, Verdict]
    report: dict[str, Any]
    period: _PackagedPeriod | None

    @model_validator(mode="after")
    def _parts_agree(self) -> Self:
        if self.qualifies != registers(self.gates, RegisterWhen.PROMOTION):
            raise ValueError("qualifies must be true if the promotion gates pass, and false otherwise")
        if self.period is not None and self.evaluation().period is None:
            raise ValueError("expected a period whose end is after its start")
        return self

    @classmethod
    def of(cls, one: VersionEvaluation) -> PackagedEvaluation:
        """Return the file of an evaluation. Raises ValidationError if the library has what no package may have."""
        period = None if one.period is None else {"start": one.period.start, "end": one.period.end}
        facts = {name: getattr(one, name) for name in ("source", "evaluated_at", "qualifies", "headline", "gates")}
        return cls.model_validate({**facts, "report": json.loads(one.report), "period": period})

    def evaluation(self) -> VersionEvaluation:
        """Return the evaluation as the library keeps it."""
        period = None if self.period is None else period_of({"period": self.period.model_dump(mode="json")})
        report = json.dumps(self.report, allow_nan=False)
        return VersionEvaluation(self.source, self.evaluated_at, self.qualifies, plain(self.headline), self.gates, report, period)


@dataclass(frozen=True, slots=True)
class ImportedVersion:
    """A version of a package and what it became in the library. new: False if it was there before."""

    number: int  # the publisher's
    version: VersionKey
    new: bool


def version_of_bundle(folder: Path) -> SharedVersion:
    """Return a bundle folder as version 1 of its model, with the lineage in its manifest. Raises BundleError."""
    manifest = load_bundle(folder, contracts=CONTRACTS.values()).manifest
    return SharedVersion(1, f"bundle of {manifest.created_at.isoformat()}", manifest.created_at, folder, (), lineage(manifest))


def make_package(
    versions: Sequence[SharedVersion], key: PublisherKey, now: datetime, *, licence: str = NOT_STATED
) -> tuple[str, bytes]:
    """Return the model's name and the signed package of its versions. Raises BundleError for a bundle that does not load."""
    files: dict[str, bytes] = {}
    listed: list[dict[str, Any]] = []
    names = set()
    for one in versions:
        names.add(load_bundle(one.folder, contracts=CONTRACTS.values()).manifest.name)
        archive = pack_bundle(one.folder)
        top = f"versions/{one.number}"
        files |= {f"{top}/bundle/{path.name}": path.read_bytes() for path in sorted(one.folder.iterdir())}
        files[f"{top}/{CARD_FILE}"] = card_markdown(read_card(one.folder)).encode()
        files |= {
            f"{top}/evaluations/{_file_of(found)}.json": PackagedEvaluation.of(found).model_dump_json().encode()
            for found in one.evaluations
        }
        listed.append(
            {
                "number": one.number,
                "origin": one.origin,
                "created_at": one.created_at,
                "sha256": hashlib.sha256(archive).hexdigest(),
                "depends_on": [
                    {"kind": entity.kind, "name": entity.name, "origin": origin} for entity, origin in sorted(one.depends_on)
                ],
            }
        )
    if len(names) != 1:
        raise PackageError(f"expected bundles of one model, got {', '.join(sorted(names)) or 'none'}")
    facts = {"name": names.pop(), "created_at": now, "licence": licence, "versions": listed}
    return str(facts["name"]), pack(facts, files, key)


@contextmanager
def bundles_checked(package: Package) -> Iterator[Mapping[int, Path]]:
    """Give each version's bundle as a folder, checked as in serving. Raises PackageError; BundleError for a bad bundle."""
    with tempfile.TemporaryDirectory(prefix="signalbox-package-") as scratch:
        found: dict[int, Path] = {}
        for version in package.manifest.versions:
            folder = Path(scratch) / str(version.number)
            folder.mkdir()
            for name, content in package.bundle_of(version).items():
                (folder / name).write_bytes(content)
            _check(package, version, folder)
            found[version.number] = folder
        yield found


def _check(package: Package, version: PackagedVersion, folder: Path) -> None:
    manifest = load_bundle(folder, contracts=CONTRACTS.values()).manifest
    if manifest.name != package.manifest.name:
        raise PackageError(f"version {version.number}: expected a bundle of {package.manifest.name}, got one of {manifest.name}")
    if (found := bundle_sha256(folder)) != version.sha256:
        raise PackageError(f"version {version.number}: expected a bundle with sha256 {version.sha256}, got {found}")
    _evaluations(package, version)  # all of them are readable


def write_folder(package: Package, out: Path) -> bool:
    """Write a package's files into a new folder, all or nothing; return False if the same package is there already.

    Raises PackageError if the folder is in use, BundleError for a bundle that may not be used.
    """
    if out.exists() and any(out.iterdir()):
        if (out / PACKAGE_FILE).is_file() and (out / PACKAGE_FILE).read_bytes() == package.about:
            return False
        raise PackageError(f"--out: {out} is in use and does not hold this package; name a new folder")
    partial = out.with_name(f".{out.name}.importing")
    shutil.rmtree(partial, ignore_errors=True)  # of an import that did not end
    try:
        with bundles_checked(package):
            partial.mkdir(parents=True)
            for path, content in {**package.files, PACKAGE_FILE: package.about, SIGNATURE_FILE: package.signature}.items():
                target = partial / path
                target.parent.mkdir(parents=True, exist_ok=True)
                with target.open("xb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
        partial.rename(out)  # an empty folder is replaced
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return True


def register_package(
    package: Package, *, library: Library, artifacts: ArtifactStore, now: datetime
) -> tuple[ImportedVersion, ...]:
    """Record a package's versions as candidates of the library; a bundle that is there already is recorded once.

    Their gates are the publisher's word, which the trust in the key covers; `signalbox evaluate` judges them on own candles.
    Raises PackageError, BundleError for a bundle that may not be used, and the ledger's errors; then nothing is recorded.
    """
    entity = EntityKey(EntityKind.MODEL, package.manifest.name)
    with bundles_checked(package) as folders:
        rows = [(one, *_rows(entity, package, one, folders[one.number], now)) for one in package.manifest.versions]
        for one, _, version, _ in rows:
            if version.bundle_key is not None:
                artifacts.keep_bundle(version.bundle_key, pack_bundle(folders[one.number]))
    imported: list[ImportedVersion] = []
    edges: list[tuple[VersionKey, VersionKey]] = []  # added last: every lock of an entity comes before that of dependencies
    with library.transaction() as tx:
        tx.lock(entity)
        known = {sha256: key for key, sha256 in tx.bundles_of(entity) if sha256 is not None}
        for one, manifest, version, evaluations in rows:
            there = known.get(one.sha256) or tx.version_of(entity, version.origin)
            added = there or add_bundle_version(tx, version, manifest, who=f"package of {package.publisher.name}")
            if there is None:
                for evaluation in evaluations:
                    tx.add_evaluation(added, evaluation)
                for needed in sorted(one.depends_on, key=lambda found: (found.kind, found.name)):
                    base = EntityKey(needed.kind, needed.name)
                    tx.lock(base)
                    made_from = tx.version_of(base, needed.origin)
                    if made_from is None and needed.kind in {EntityKind.DATASET, EntityKind.FEATURE_SET}:
                        made_from = tx.add_version(NewVersion(base, needed.origin, VersionState.RECORDED, now))
                    if made_from is not None:
                        edges.append((added, made_from))
            imported.append(ImportedVersion(one.number, added, new=there is None))
        for added, made_from in edges:
            tx.add_dependency(added, made_from)
    return tuple(imported)


def _rows(
    entity: EntityKey, package: Package, one: PackagedVersion, folder: Path, now: datetime
) -> tuple[BundleManifest, NewVersion, tuple[VersionEvaluation, ...]]:
    manifest, report = read_manifest(folder), read_object((folder / REPORT_FILE).read_bytes(), REPORT_FILE)
    version = NewVersion(
        entity,
        f"package of {package.publisher.key}: {one.sha256}",
        VersionState.CANDIDATE,
        now,
        bundle_key=bundle_key(entity.name, one.sha256),
        sha256=one.sha256,
        manifest=(folder / MANIFEST_FILE).read_text(encoding="utf-8"),
    )
    own = VersionEvaluation(
        TRAINING,
        manifest.created_at,
        manifest.passes_promotion,
        plain(str(report.get("headline", ""))),
        manifest.gates,
        json.dumps(report, allow_nan=False),
        period_of(report),
    )
    return manifest, version, (own, *(one for one in _evaluations(package, one) if one.source != TRAINING))


def _file_of(evaluation: VersionEvaluation) -> str:
    return hashlib.sha256(evaluation.source.encode()).hexdigest()[:16]  # a source is any text, a file's name is not


def _evaluations(package: Package, version: PackagedVersion) -> tuple[VersionEvaluation, ...]:
    found = package.evaluations_of(version)
    if len(found) > MAX_EVALUATIONS:
        raise PackageError(f"version {version.number}: expected at most {MAX_EVALUATIONS} evaluations, got {len(found)}")
    return tuple(_read_evaluation(content, f"{version.folder}/evaluations/{name}") for name, content in sorted(found.items()))


def _read_evaluation(content: bytes, name: str) -> VersionEvaluation:
    if len(content) > MAX_EVALUATION_BYTES:
        raise PackageError(f"{name}: expected at most {MAX_EVALUATION_BYTES} bytes, got {len(content)}")
    try:
        return PackagedEvaluation.model_validate(read_object(content, name)).evaluation()
    except ValidationError as error:
        fault = error.errors(include_input=False, include_url=False)[0]
        raise PackageError(f"{name}: {'.'.join(map(str, fault['loc'])) or 'evaluation'}: {fault['msg']}") from error
