"""Says in S3 which bundle is deployed, and fetches its files.

A pointer object in the models bucket names the deployed bundle. Until there is a pointer, the bundle shipped with the stack is
used. Bundles are single zip objects, so that nobody can see a half-uploaded one.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from signalbox.contracts import BUNDLES_PREFIX, DEPLOYMENT_POINTER_KEY
from signalbox.errors import SignalboxError
from signalbox.inference.archive import unpack_bundle
from signalbox.limits import MAX_BUNDLE_BYTES, MAX_POINTER_BYTES
from signalbox.signals.signal import DeploymentStage

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


_MAX_PACKED: Final = MAX_BUNDLE_BYTES + 1024 * 1024  # a bundle's files are stored uncompressed, plus some bytes for each


class DeploymentError(SignalboxError):
    """The deployment pointer, or the bundle that it names, cannot be read."""


class DeploymentPointer(BaseModel):
    """The content of `deployments/current.json`."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    deployment: str
    bundle_key: Annotated[str, Field(pattern=rf"^{BUNDLES_PREFIX}/.+\.zip$")]  # only accepted bundles have such keys
    stage: Literal["shadow", "active"]


@dataclass(frozen=True, slots=True)
class Deployment:
    """A deployed bundle and its location. version: changes whenever either does."""

    name: str
    stage: DeploymentStage
    bucket: str
    key: str
    version: str


class S3Deployments:
    """Reads the pointer (cheap, every cycle) and fetches bundles (once each)."""

    def __init__(self, client: S3Client, *, models_bucket: str, starter_bucket: str, starter_key: str) -> None:
        self._client = client
        self._models_bucket = models_bucket
        self._starter = Deployment(
            "starter", DeploymentStage.SHADOW, starter_bucket, starter_key, f"starter:{starter_bucket}/{starter_key}"
        )

    def current(self) -> Deployment:
        """Return the current deployment. Raises DeploymentError if there is a pointer but it cannot be read."""
        try:
            answer = self._client.get_object(Bucket=self._models_bucket, Key=DEPLOYMENT_POINTER_KEY)
        except self._client.exceptions.NoSuchKey:
            return self._starter
        if (size := answer["ContentLength"]) > MAX_POINTER_BYTES:
            answer["Body"].close()
            raise DeploymentError(f"{DEPLOYMENT_POINTER_KEY}: expected at most {MAX_POINTER_BYTES} bytes, got {size}")
        try:
            pointer = DeploymentPointer.model_validate_json(answer["Body"].read())
        except ValidationError as error:
            raise DeploymentError(
                f"s3://{self._models_bucket}/{DEPLOYMENT_POINTER_KEY} is not a valid deployment pointer: {error}"
            ) from error
        return Deployment(
            pointer.deployment,
            DeploymentStage(pointer.stage),
            self._models_bucket,
            pointer.bundle_key,
            f"{pointer.deployment}:{pointer.stage}:{answer['ETag']}",
        )

    @contextmanager
    def fetched(self, deployment: Deployment) -> Iterator[Path]:
        """Download a bundle and unpack it into a temporary folder, which exists for the length of the block.

        Raises DeploymentError if the bundle is missing or too large, BundleError if it is unsafe to unpack.
        """
        try:
            answer = self._client.get_object(Bucket=deployment.bucket, Key=deployment.key)
        except self._client.exceptions.NoSuchKey as error:
            raise DeploymentError(f"{deployment.name}: no bundle at s3://{deployment.bucket}/{deployment.key}") from error
        if (size := answer["ContentLength"]) > _MAX_PACKED:
            answer["Body"].close()
            raise DeploymentError(f"{deployment.name}: expected a bundle of at most {_MAX_PACKED} bytes, got {size}")
        with tempfile.TemporaryDirectory(prefix="bundle-") as folder:
            yield unpack_bundle(answer["Body"].read(), Path(folder))
