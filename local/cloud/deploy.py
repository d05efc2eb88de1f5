"""Deploys an assembly to the emulator as CloudFormation would: assets first, then stack after stack, outputs at the end."""

from __future__ import annotations

import io
import time
import zipfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from botocore.exceptions import ClientError

from local.cloud.assembly import Stack, StackAsset
from local.cloud.emulator import Emulator
from local.errors import DeployError

STACK_SECONDS: Final = 180.0
POLL_SECONDS: Final = 0.05
ZIP_EPOCH: Final = (1980, 1, 1, 0, 0, 0)  # the zip format's zero: the same folder always gives the same bytes
DONE: Final = frozenset({"CREATE_COMPLETE", "UPDATE_COMPLETE"})
CAPABILITIES: Final = ("CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND")


@dataclass(frozen=True, slots=True)
class DeployFailure:
    """The first failure in a stack."""

    resource: str
    kind: str
    reason: str


def deploy(
    emulator: Emulator, stacks: Iterable[Stack], endpoints: Mapping[str, str], *, progress: Callable[[str], None] = lambda _: None
) -> dict[str, str]:
    """Create or update every stack in order and return all outputs. Raises DeployError with the failing resource and reason."""
    outputs: dict[str, str] = {}
    cloudformation = emulator.client("cloudformation")
    uploader = _Uploader(emulator)
    for stack in stacks:
        progress(stack.name)
        for asset in stack.assets:
            uploader.upload(asset)
        if _submit(cloudformation, stack.name, stack.template(endpoints)):
            _wait(cloudformation, stack.name)
        outputs.update(_outputs(cloudformation, stack.name))
    return outputs


def zip_folder(folder: Path) -> bytes:
    """Return a zip of a folder; the same files give the same bytes."""
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():  # of an assembly: what is deployed and nothing else, the bytecode of a layer with it
                entry = zipfile.ZipInfo(path.relative_to(folder).as_posix(), ZIP_EPOCH)
                entry.compress_type = zipfile.ZIP_DEFLATED
                entry.external_attr = (path.stat().st_mode & 0o777) << 16
                archive.writestr(entry, path.read_bytes())
    return sink.getvalue()


class _Uploader:
    """Puts assets into their buckets, once; keys carry the content's hash."""

    def __init__(self, emulator: Emulator) -> None:
        self._s3 = emulator.client("s3")
        self._buckets: set[str] = set()
        self._done: set[tuple[str, str]] = set()

    def upload(self, asset: StackAsset) -> None:
        if (asset.bucket, asset.key) in self._done:
            return
        if asset.bucket not in self._buckets:
            self._create(asset.bucket)
            self._buckets.add(asset.bucket)
        if not self._exists(asset):
            body = zip_folder(asset.path) if asset.zipped else asset.path.read_bytes()
            self._s3.put_object(Bucket=asset.bucket, Key=asset.key, Body=body)
        self._done.add((asset.bucket, asset.key))

    def _create(self, bucket: str) -> None:
        """Create a bucket that may be there: an emulator that was killed keeps its buckets and forgets their region."""
        try:
            self._s3.create_bucket(Bucket=bucket)
        except ClientError as error:
            if error.response["Error"]["Code"] != "BucketAlreadyOwnedByYou":
                raise DeployError(f"bucket {bucket} was refused: {error.response['Error']['Message']}") from error

    def _exists(self, asset: StackAsset) -> bool:
        try:
            self._s3.head_object(Bucket=asset.bucket, Key=asset.key)
        except ClientError:
            return False
        return True


def _submit(cloudformation: Any, name: str, template: str) -> bool:
    """Ask for the stack; False when it already is what the template says."""
    arguments = {"StackName": name, "TemplateBody": template, "Capabilities": list(CAPABILITIES)}
    try:
        if _status(cloudformation, name) is None:
            cloudformation.create_stack(**arguments, DisableRollback=True)
        else:
            cloudformation.update_stack(**arguments)
    except ClientError as error:
        message = error.response["Error"]["Message"]
        if "No updates are to be performed" in message:
            return False
        raise DeployError(f"stack {name} was refused: {message}") from error
    return True


def _status(cloudformation: Any, name: str) -> str | None:
    try:
        stacks = cloudformation.describe_stacks(StackName=name)["Stacks"]
    except ClientError:
        return None
    status = str(stacks[0]["StackStatus"])
    return None if status == "DELETE_COMPLETE" else status


def _wait(cloudformation: Any, name: str) -> None:
    deadline = time.monotonic() + STACK_SECONDS
    while True:
        status = _status(cloudformation, name) or "DELETE_COMPLETE"
        if status in DONE:
            return
        if not status.endswith("_IN_PROGRESS"):
            failure = first_failure(cloudformation.describe_stack_events(StackName=name)["StackEvents"])
            cause = f": {failure.resource} ({failure.kind}): {failure.reason}" if failure else ""
            raise DeployError(f"stack {name} ended in {status}{cause}")
        if time.monotonic() > deadline:
            raise DeployError(f"stack {name} was still {status} after {STACK_SECONDS:.0f} s")
        time.sleep(POLL_SECONDS)


def first_failure(events: Iterable[Mapping[str, Any]]) -> DeployFailure | None:
    """Return the oldest failure that states its own reason, from stack events in the API's order (newest first)."""
    failed = [e for e in events if str(e.get("ResourceStatus", "")).endswith("_FAILED")]
    causes = [e for e in failed if e.get("ResourceStatusReason") and "cancelled" not in e["ResourceStatusReason"].lower()]
    chosen = (causes or failed)[-1:]
    return next(
        (DeployFailure(e["LogicalResourceId"], e["ResourceType"], e.get("ResourceStatusReason", "")) for e in chosen), None
    )


def _outputs(cloudformation: Any, name: str) -> dict[str, str]:
    stack = cloudformation.describe_stacks(StackName=name)["Stacks"][0]
    return {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}
