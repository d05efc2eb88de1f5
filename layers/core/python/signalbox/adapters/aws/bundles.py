"""Bundles in the models bucket by address (`library.ports.BundleStore`): the exact archive that the ledger recorded, or none."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from signalbox.contracts import BUNDLES_PREFIX
from signalbox.library.errors import BundleMissingError
from signalbox.limits import MAX_BUNDLE_BYTES

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

MAX_PACKED_BUNDLE: Final = MAX_BUNDLE_BYTES + 1024 * 1024  # a bundle's files are stored uncompressed, plus some bytes for each


class S3Bundles:
    """The accepted bundles of the models bucket."""

    def __init__(self, client: S3Client, *, bucket: str) -> None:
        self._client = client
        self._bucket = bucket

    def archive(self, key: str, sha256: str) -> bytes:
        """Return a bundle's archive. Raises BundleMissingError; botocore's errors if S3 does not answer."""
        where = f"s3://{self._bucket}/{key}"
        if not key.startswith(f"{BUNDLES_PREFIX}/") or "/../" in key:
            raise BundleMissingError(f"{where}: expected an accepted bundle below {BUNDLES_PREFIX}/")
        try:
            answer = self._client.get_object(Bucket=self._bucket, Key=key)
        except self._client.exceptions.NoSuchKey as error:
            raise BundleMissingError(f"no bundle at {where}; register it again with `signalbox library register`") from error
        if (size := answer["ContentLength"]) > MAX_PACKED_BUNDLE:
            answer["Body"].close()
            raise BundleMissingError(f"{where}: expected a bundle of at most {MAX_PACKED_BUNDLE} bytes, got {size}")
        content = answer["Body"].read()
        found = hashlib.sha256(content).hexdigest()
        if found != sha256:
            raise BundleMissingError(f"{where}: expected sha256 {sha256}, got {found} of {len(content)} bytes")
        return content
