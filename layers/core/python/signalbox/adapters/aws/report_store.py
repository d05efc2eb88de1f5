"""Published reports in a bucket. A put is atomic; nothing is read or removed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from signalbox.errors import SignalboxError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


class ReportStoreError(SignalboxError):
    """The bucket did not accept a report. Publishing it again is harmless."""


class S3ReportStore:
    """`reports.publishing.ReportStore` on one bucket."""

    def __init__(self, client: S3Client, bucket: str) -> None:
        self._client, self._bucket = client, bucket

    def put(self, path: str, content: bytes, content_type: str) -> None:
        """Write a file atomically. Raises ReportStoreError."""
        try:
            self._client.put_object(Bucket=self._bucket, Key=path, Body=content, ContentType=content_type)
        except (BotoCoreError, ClientError) as error:
            raise ReportStoreError(f"cannot write s3://{self._bucket}/{path}: {error}") from error
