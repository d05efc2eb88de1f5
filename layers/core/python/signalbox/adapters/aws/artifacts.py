"""Outputs of training jobs in S3, and the accepted bundles (`library.ports.ArtifactStore`).

Both are in the models bucket. Nothing is fetched from anywhere else, whatever address an event names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from signalbox.library.errors import ArtifactError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


class S3Artifacts:
    """The models bucket. Objects of jobs are below `prefix`."""

    def __init__(self, client: S3Client, *, bucket: str, prefix: str) -> None:
        self._client = client
        self._bucket = bucket
        self._top = f"s3://{bucket}/{prefix}/"

    def fetch(self, uri: str, *, at_most: int) -> bytes:
        """Return an object that a job wrote. Raises ArtifactError, and botocore's errors if S3 does not answer."""
        if not uri.startswith(self._top) or "/../" in uri:
            raise ArtifactError(f"{uri}: expected an object below {self._top}")
        key = uri.removeprefix(f"s3://{self._bucket}/")
        try:
            answer = self._client.get_object(Bucket=self._bucket, Key=key)
        except self._client.exceptions.NoSuchKey as error:
            raise ArtifactError(f"{uri} does not exist") from error
        if answer["ContentLength"] > at_most:
            answer["Body"].close()
            raise ArtifactError(f"{uri}: expected at most {at_most} bytes, got {answer['ContentLength']}")
        return answer["Body"].read()

    def keep_bundle(self, key: str, content: bytes) -> None:
        """Store a bundle's archive under a key made from its content. Storing it again changes nothing."""
        self._client.put_object(Bucket=self._bucket, Key=key, Body=content, ContentType="application/zip")
