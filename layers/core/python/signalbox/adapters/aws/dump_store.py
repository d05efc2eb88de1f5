"""The files of a dump in a bucket, below a prefix. A put is atomic; nothing is removed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from botocore.exceptions import BotoCoreError, ClientError

from signalbox.backup.errors import DumpStorageError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_LARGEST: Final = 512 * 1024 * 1024  # of a file: far above any part, and below a function's memory


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
            if answer["ContentLength"] > _LARGEST:
                raise DumpStorageError(f"{self.name}/{file}: expected at most {_LARGEST} bytes, got {answer['ContentLength']}")
            return answer["Body"].read()
        except self._client.exceptions.NoSuchKey:
            return None
        except (BotoCoreError, ClientError) as error:
            raise DumpStorageError(f"cannot read {self.name}/{file}: {error}") from error
