"""The lake in a bucket. A put is atomic and nothing is removed: a bad file is copied to quarantine and later replaced."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from signalbox.adapters.lake.stores import LakeStorageError, require_size

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


class S3Store:
    """LakeStore on one bucket."""

    def __init__(self, client: S3Client, bucket: str) -> None:
        self._client, self._bucket = client, bucket

    @property
    def name(self) -> str:
        return f"s3://{self._bucket}"

    def read(self, path: str) -> bytes | None:
        with self._explained("read", path):
            try:
                answer = self._client.get_object(Bucket=self._bucket, Key=path)
            except self._client.exceptions.NoSuchKey:
                return None
            require_size(f"s3://{self._bucket}/{path}", answer["ContentLength"])
            return answer["Body"].read()

    def write(self, path: str, content: bytes) -> None:
        kinds = {".json": "application/json", ".gz": "application/gzip"}
        kind = next((kind for end, kind in kinds.items() if path.endswith(end)), "application/vnd.apache.parquet")
        with self._explained("write", path):
            self._client.put_object(Bucket=self._bucket, Key=path, Body=content, ContentType=kind)

    def paths(self, prefix: str) -> list[str]:
        with self._explained("list", prefix):
            pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix)
            return [item["Key"] for page in pages for item in page.get("Contents", [])]

    def set_aside(self, path: str, content: bytes, to: str) -> None:  # noqa: ARG002 - the file stays until it is replaced
        self.write(to, content)

    @contextmanager
    def _explained(self, what: str, path: str) -> Iterator[None]:
        try:
            yield
        except (BotoCoreError, ClientError) as error:
            raise LakeStorageError(f"cannot {what} {self.name}/{path}: {error}") from error
