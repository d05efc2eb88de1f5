"""Packages of a tiny model, signed and taken apart again."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from local.library.package import PACKAGE_FILE, SIGNATURE_FILE, PackageSignature
from local.library.publishers import PublisherKey, TrustList, new_key
from local.library.sharing import make_package, version_of_bundle
from tests.unit.inference.tiny_bundle import write_bundle

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
KEY = new_key()
TRUST = TrustList().trusting(KEY.public, "anna", NOW)


@cache
def tiny_package(licence: str = "Apache-2.0") -> bytes:
    """A package of one version of the tiny model."""
    with TemporaryDirectory() as scratch:
        return make_package([version_of_bundle(write_bundle(Path(scratch) / "tiny"))], KEY, NOW, licence=licence)[1]


def entries(package: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(package)) as opened:
        return {entry.filename: opened.read(entry) for entry in opened.infolist()}


def zipped(
    contents: Mapping[str, bytes],
    *,
    compression: int = zipfile.ZIP_STORED,
    change: Callable[[zipfile.ZipInfo], None] | None = None,
) -> bytes:
    """As a package is written, unless `change` does something to each entry."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        first = [PACKAGE_FILE, SIGNATURE_FILE]
        for name in (*(one for one in first if one in contents), *sorted(set(contents) - set(first))):
            entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            entry.external_attr, entry.create_system, entry.compress_type = 0o100644 << 16, 3, compression
            if change is not None:
                change(entry)
            archive.writestr(entry, contents[name])
    return buffer.getvalue()


def signed_again(
    contents: dict[str, bytes], change: Callable[[dict[str, Any]], None], key: PublisherKey = KEY
) -> dict[str, bytes]:
    """What a trusted publisher could send who writes packages with other code: package.json changed, and signed rightly."""
    manifest = json.loads(contents[PACKAGE_FILE])
    manifest["publisher"] = key.public
    change(manifest)
    about = canonical(manifest)
    signature = PackageSignature(key=key.public, signature=key.sign(b"signalbox package 1\n" + about))
    return {**contents, PACKAGE_FILE: about, SIGNATURE_FILE: canonical(signature.model_dump(mode="json"))}


def canonical(document: Any) -> bytes:
    return (json.dumps(document, sort_keys=True, separators=(",", ":")) + "\n").encode()
