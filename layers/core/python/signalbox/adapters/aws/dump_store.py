"""The files of a dump in a bucket, below a prefix. A put is atomic; nothing is removed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from signalbox.backup.errors import DumpStorageError
from signalbox.limits import MAX_DUMP_FILE_BYTES

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


class S3DumpStore:
    """`backup.store.DumpStore` on one prefix."""

    def __init__(self, client: S3Client, bucket: str, prefix: str) -> None:
        self._client, self._bucket, self._prefix = client, bucket, prefix.rstrip("/")

    @property
    def name(self) -> str:
        return f"s3://{self._bucket}/{self._prefix}"

    def put(self, file: str, content: bytes) -> None:
        try:
            self._client.put_object(Bucket=self._bucket, Key=f"{self._prefix}/{file}", Body=content)
        except (BotoCoreError, ClientError) as error:
            raise DumpStorageError(f"cannot write {self.name}/{file}: {error}") from error

    def get(self, file: str) -> bytes | None:
        try:
            answer = self._client.get_object(Bucket=self._bucket, Key=f"{self._prefix}/{file}")
            if (size := answer["ContentLength"]) > MAX_DUMP_FILE_BYTES:
                raise DumpStorageError(f"{self.name}/{file}: expected at most {MAX_DUMP_FILE_BYTES} bytes, got {size}")
            return answer["Body"].read()
        except self._client.exceptions.NoSuchKey:
            return None
        except (BotoCoreError, ClientError) as error:
            raise DumpStorageError(f"cannot read {self.name}/{file}: {error}") from error
