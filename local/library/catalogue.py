"""A catalogue: index.json, a page for each model, and the signed packages, as files that any bucket or web server can hold.

Whoever takes a model from a catalogue trusts the signature in the package, not the place it lies in. index.json names each
package with its sha256 and size, so that a download is bounded before it begins. It is not signed: whoever may write to the
place can take a model away or show an older package of it, but cannot make one that is accepted. Decision: 0124.
"""

from __future__ import annotations

import hashlib
import math
import os
import re
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Protocol, Self
from urllib.parse import urljoin, urlsplit, urlunsplit

from pydantic import AwareDatetime, Field, ValidationError, model_validator

from local.library.addresses import HttpsReader
from local.library.errors import ModelCatalogueError
from local.library.package import SUFFIX, Package
from local.library.publishers import KEY_PATTERN, replace_file
from local.library.sharing import bundles_checked
from signalbox.frozen import FrozenModel
from signalbox.inference.manifest import REPORT_FILE, Gate, Sha256, Verdict
from signalbox.library.card import GATE_QUESTIONS, ModelCard, read_card
from signalbox.library.judgements import read_object
from signalbox.limits import MAX_PACKAGE_BYTES
from signalbox.reports.page import Table, badge, render
from signalbox.wire import OneLine, WireError, parse_object
from training.judge.curves import ReliabilityBin
from training.judge.estimates import Estimate
from training.write.pictures import reliability_svg
from training.write.report_page import TEMPLATES as VERDICT_TEMPLATES

INDEX_FILE: Final = "index.json"
MAX_INDEX_BYTES: Final = 1024 * 1024
MAX_MODELS: Final = 1_000
_TEMPLATES: Final = Path(__file__).with_name("templates")
_BADGES: Final = {Verdict.PASS: ("ok", "yes"), Verdict.FAIL: ("bad", "no"), Verdict.NOT_EVALUATED: ("shadow", "not evaluated")}
_BINS: Final = 50


class CatalogueModel(FrozenModel):
    """One model of a catalogue. package, page: names of files beside index.json. versions: the publisher's numbers."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]{0,63}$")]
    package: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]{0,100}\.signalbox$")]
    page: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]{0,100}\.html$")]
    sha256: Sha256
    size: Annotated[int, Field(gt=0, le=MAX_PACKAGE_BYTES)]  # bytes
    versions: Annotated[tuple[Annotated[int, Field(gt=0)], ...], Field(min_length=1, max_length=100)]
    publisher: Annotated[str, Field(pattern=KEY_PATTERN)]
    licence: Annotated[OneLine, Field(max_length=100)]
    qualifies: bool
    verdict: Annotated[OneLine, Field(max_length=300)]
    gates: dict[Gate, Verdict]


class CatalogueIndex(FrozenModel):
    """index.json."""

    format: Literal[1] = 1
    made_at: AwareDatetime
    models: Annotated[tuple[CatalogueModel, ...], Field(max_length=MAX_MODELS)]

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        names = [one.name for one in self.models]
        if names != sorted(set(names)):
            raise ValueError("expected the models by name, each once")
        return self

    def choose(self, name: str | None) -> CatalogueModel:
        """Return a model by name, or the only one. Raises ModelCatalogueError, which lists the names."""
        listed = ", ".join(one.name for one in self.models[:20]) or "none"
        if name is None and len(self.models) == 1:
            return self.models[0]
        if name is None:
            raise ModelCatalogueError(f"the catalogue has {len(self.models)} models: add #NAME, one of {listed}")
        found = next((one for one in self.models if one.name == name), None)
        if found is None:
            raise ModelCatalogueError(f"the catalogue has no model {name[:80]}, only {listed}")
        return found


class CatalogueFiles(Protocol):
    """Where the files of a catalogue lie."""

    def read(self, name: str, *, at_most: int) -> bytes:
        """Return a file. Raises ModelCatalogueError if it is absent or larger."""


@dataclass(frozen=True, slots=True)
class FolderFiles:
    """A catalogue in a folder of this machine."""

    folder: Path

    def read(self, name: str, *, at_most: int) -> bytes:
        """Return a plain file of the folder. A link is refused, because it may lead anywhere."""
        path = self.folder / name
        try:
            handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError as error:
            raise ModelCatalogueError(f"{path}: expected a plain file ({error.strerror})") from error
        with os.fdopen(handle, "rb") as file:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise ModelCatalogueError(f"{path}: expected a plain file")
            content = file.read(at_most + 1)
        if len(content) > at_most:
            raise ModelCatalogueError(f"{path}: expected at most {at_most} bytes")
        return content


@dataclass(frozen=True, slots=True)
class WebFiles:
    """A catalogue on a web server. base: its address with a slash at the end."""

    base: str
    reader: HttpsReader

    def read(self, name: str, *, at_most: int) -> bytes:
        """Return a file of the server."""
        return self.reader.fetch(urljoin(self.base, name), at_most=at_most)


def open_catalogue(place: str, reader: HttpsReader | None = None) -> tuple[CatalogueFiles, str | None]:
    """Return the files of a catalogue and the model's name after `#`. place: an https address or a folder.

    Raises ModelCatalogueError for any other address, file: above all: a folder is named as a folder.
    """
    where, _, name = place.partition("#")
    if re.match(r"^[A-Za-z][A-Za-z0-9+.-]*:", where):
        try:
            parts = urlsplit(where)
        except ValueError as error:
            raise ModelCatalogueError(f"{where[:100]}: expected an https address ({error})") from error
        if parts.scheme != "https":
            raise ModelCatalogueError(f"{where[:100]}: expected an https address or a folder, got {parts.scheme}:")
        path = parts.path.removesuffix(INDEX_FILE)
        base = urlunsplit(("https", parts.netloc, path if path.endswith("/") else f"{path}/", "", ""))
        return WebFiles(base, reader or HttpsReader()), name or None
    folder = Path(where)
    if not (folder / INDEX_FILE).is_file():
        raise ModelCatalogueError(
            f"no {INDEX_FILE} in {where or 'the empty name'}: expected a folder with a catalogue, or an https address"
        )
    return FolderFiles(folder), name or None


def read_index(files: CatalogueFiles) -> CatalogueIndex:
    """Return the index of a catalogue. Raises ModelCatalogueError for one that is not valid."""
    content = files.read(INDEX_FILE, at_most=MAX_INDEX_BYTES)
    try:
        return CatalogueIndex.model_validate(parse_object(content, max_bytes=MAX_INDEX_BYTES))
    except WireError as error:
        raise ModelCatalogueError(f"{INDEX_FILE}: {error}") from error
    except ValidationError as error:
        fault = error.errors(include_input=False, include_url=False)[0]
        raise ModelCatalogueError(f"{INDEX_FILE}: {'.'.join(map(str, fault['loc']))}: {fault['msg']}") from error


def fetch_package(files: CatalogueFiles, model: CatalogueModel) -> bytes:
    """Return the bytes of a model's package, as the index lists them. Raises ModelCatalogueError. They are not verified yet."""
    content = files.read(model.package, at_most=model.size)
    if (found := hashlib.sha256(content).hexdigest()) != model.sha256:
        raise ModelCatalogueError(f"{model.package}: expected sha256 {model.sha256}, got {found}")
    return content


def write_catalogue(packages: Sequence[tuple[Package, bytes]], out: Path, now: datetime) -> CatalogueIndex:
    """Write index.json, index.html, and for each package its file and its page. The index is replaced last.

    packages: each with the bytes of its file. Of a model, the page shows the newest version. Raises ModelCatalogueError for a
    model that is there twice, BundleError for a bundle that may not be used.
    """
    out.mkdir(parents=True, exist_ok=True)
    models: list[CatalogueModel] = []
    for package, content in sorted(packages, key=lambda one: one[0].manifest.name):
        digest = hashlib.sha256(content).hexdigest()
        name = package.manifest.name
        with bundles_checked(package) as folders:
            newest = package.manifest.versions[-1]
            card = read_card(folders[newest.number])
            report = read_object((folders[newest.number] / REPORT_FILE).read_bytes(), REPORT_FILE)
        model = CatalogueModel(
            name=name,
            package=f"{name}-{digest[:16]}{SUFFIX}",
            page=f"model-{name}.html",  # never index.html, whatever the model is called
            sha256=digest,
            size=len(content),
            versions=tuple(one.number for one in package.manifest.versions),
            publisher=package.publisher.key,
            licence=package.manifest.licence,
            qualifies=card.qualifies,
            verdict=card.verdict,
            gates={one.gate: one.verdict for one in card.gates},
        )
        if any(one.name == name for one in models):
            raise ModelCatalogueError(f"expected one package of each model, got two of {name}")
        replace_file(out / model.package, content)
        replace_file(out / model.page, _model_page(model, package, card, report).encode())
        models.append(model)
    index = CatalogueIndex(made_at=now, models=tuple(models))
    replace_file(out / "index.html", _index_page(index).encode())
    replace_file(out / INDEX_FILE, (index.model_dump_json(indent=2) + "\n").encode())
    return index


def _model_page(model: CatalogueModel, package: Package, card: ModelCard, report: Mapping[str, Any]) -> str:
    gates = [
        [f"{one.gate.value} {GATE_QUESTIONS[one.gate]}", badge(*_BADGES[one.verdict]), one.asks, one.found] for one in card.gates
    ]
    versions = [
        [
            one.number,
            f"{one.created_at:%Y-%m-%d}",
            one.origin,
            ", ".join(f"{d.kind.value} {d.name}" for d in one.depends_on) or "-",
            one.sha256,
        ]
        for one in package.manifest.versions
    ]
    shown = {
        "file": model.package,
        "sha256": model.sha256,
        "size": f"{model.size:,} bytes",
        "licence": model.licence,
        "signed by": f"{package.publisher.name}: {model.publisher}",
        "take it": f"signalbox library add ADDRESS#{model.name} --out DIR",
    }
    return render(
        _TEMPLATES / "model.html.jinja",
        VERDICT_TEMPLATES,
        title=f"Signalbox model {card.name}",
        tone="ok" if card.qualifies else "bad",
        verdict=card.verdict,
        heading=card.name,
        period=card.headline,
        gates=Table(["gate", "verdict", "requires", "found"], gates),
        reliability=reliability_svg(_bins(report)),
        tables=[(one.title, Table(one.head, one.rows, range(1, len(one.head))), one.note) for one in card.tables],
        facts=Table(["", ""], card.facts),
        limits=Table([""], [[one] for one in card.limits]),
        versions=Table(["version", "made", "origin", "made from", "sha256 of the bundle"], versions, (0,)),
        package=Table(["", ""], shown.items()),
    )


def _index_page(index: CatalogueIndex) -> str:
    rows = [
        [
            _Link(one.page, one.name),
            badge("ok" if one.qualifies else "bad", "qualifies" if one.qualifies else "shadow only"),
            one.verdict,
            one.licence,
            ", ".join(map(str, one.versions)),
            f"{one.size / 1e6:.1f}",
        ]
        for one in index.models
    ]
    return render(
        _TEMPLATES / "index.html.jinja",
        title="Signalbox models",
        note=f"Made on {index.made_at:%Y-%m-%d %H:%M} UTC. A package is accepted for its signature, not for where it lies.",
        models=Table(["model", "", "verdict", "licence", "versions", "MB"], rows, (5,)),
    )


@dataclass(frozen=True, slots=True)
class _Link:
    """A link to a page beside this one."""

    page: str
    name: str

    def __html__(self) -> str:
        return f'<a href="{self.page}">{self.name}</a>'  # both match their patterns, which have no character of markup


def _bins(report: Mapping[str, Any]) -> list[ReliabilityBin]:
    """Return the reliability curve of a report; empty if it is absent or of another form."""
    curves = report.get("curves")
    found = curves.get("reliability") if isinstance(curves, dict) else None
    bins = []
    for one in found[:_BINS] if isinstance(found, list) else []:
        precision = one.get("precision") if isinstance(one, dict) else None
        if not isinstance(precision, dict):
            return []
        shares = [one.get("confidence"), *(precision.get(name) for name in ("value", "low", "high"))]
        if not all(isinstance(value, int | float) and math.isfinite(value) and 0 <= value <= 1 for value in shares):
            return []
        count = precision.get("n")
        if not isinstance(count, int) or not 0 < count < 10**12:
            return []
        bins.append(ReliabilityBin(shares[0], Estimate(shares[1], shares[2], shares[3], count)))
    return bins
