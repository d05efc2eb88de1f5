"""The library of a stage as packages need it: versions with a bundle, their judgements and lineage, and where bundles lie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from local.library.errors import PackageError
from local.library.sharing import SharedVersion
from signalbox.adapters.aws.bundles import S3Bundles
from signalbox.adapters.postgres.connection import ConnectionSource
from signalbox.inference import read_manifest, unpack_bundle
from signalbox.inference.manifest import Gate, Verdict
from signalbox.library.entries import TRAINING, EvaluationPeriod, VersionEvaluation
from signalbox.library.errors import BundleMissingError
from signalbox.library.registration import lineage
from signalbox.limits import MAX_PACKAGE_VERSIONS

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_VERSIONS: Final = """
SELECT number, origin, created_at, bundle_key, sha256 FROM versions
WHERE kind = 'model' AND name = %(name)s AND bundle_key IS NOT NULL AND (%(number)s::integer IS NULL OR number = %(number)s)
ORDER BY number DESC LIMIT %(most)s
"""
_EVALUATIONS: Final = """
SELECT source, evaluated_at, qualifies, headline, gates, report, period_start, period_end FROM evaluations
WHERE kind = 'model' AND name = %s AND number = %s AND source <> %s ORDER BY evaluated_at, source LIMIT 50
"""
_NAMES: Final = "SELECT DISTINCT name FROM versions WHERE kind = 'model' AND bundle_key IS NOT NULL ORDER BY name"


@dataclass(frozen=True, slots=True)
class StageModels:
    """The models of a stage: rows of its ledger, and bundles in its models bucket."""

    source: ConnectionSource
    client: S3Client
    bucket: str

    def names(self) -> list[str]:
        """Return the models that have a version with a bundle."""
        with self.source.transaction() as connection:
            return [name for (name,) in connection.execute(_NAMES)]

    def versions(self, name: str, number: int | None, scratch: Path) -> Sequence[SharedVersion]:
        """Return the newest versions that have a bundle, or one, with their bundles unpacked below `scratch`.

        Raises PackageError if there is none; BundleError for a bundle that may not be unpacked.
        """
        asked = {"name": name, "number": number, "most": MAX_PACKAGE_VERSIONS}
        with self.source.transaction() as connection:
            rows = connection.execute(_VERSIONS, asked).fetchall()
            if not rows:
                which = "" if number is None else f" {number}"
                raise PackageError(
                    f"the library has no version{which} of {name} with a bundle; signalbox library list lists models"
                )
            judged = {row[0]: connection.execute(_EVALUATIONS, (name, row[0], TRAINING)).fetchall() for row in rows}
        found = []
        for version, origin, created_at, key, sha256 in sorted(rows):
            folder = unpack_bundle(self._fetch(key, sha256), scratch / str(version))
            made_from = lineage(read_manifest(folder))  # what registration recorded; the role reads no other
            evaluations = tuple(_evaluation(row) for row in judged[version])
            found.append(SharedVersion(version, origin, created_at, folder, evaluations, made_from))
        return found

    def keep_bundle(self, key: str, content: bytes) -> None:
        """Store a bundle's archive under a key made from its content. Storing it again changes nothing."""
        self.client.put_object(Bucket=self.bucket, Key=key, Body=content, ContentType="application/zip")

    def fetch(self, uri: str, *, at_most: int) -> bytes:
        """Raise PackageError: a package brings its bundles along."""
        raise PackageError(f"{uri}: a package brings its bundles along; nothing of at most {at_most} bytes is fetched for it")

    def _fetch(self, key: str, sha256: str) -> bytes:
        try:
            return S3Bundles(self.client, bucket=self.bucket).archive(key, sha256)
        except BundleMissingError as error:
            raise PackageError(f"the library lists a bundle, but it is not there as it was recorded: {error}") from error


def _evaluation(row: tuple[Any, ...]) -> VersionEvaluation:
    """Return a row of _EVALUATIONS."""
    source, at, qualifies, headline, gates, report, start, end = row
    verdicts = {Gate(gate): Verdict(verdict) for gate, verdict in gates.items()}
    period = None if start is None else EvaluationPeriod(start, end)
    return VersionEvaluation(source, at, qualifies, headline, verdicts, report, period)
