"""Reading an assembly: stacks in order, assets resolved, placeholders replaced. And how a failure is told."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.cloud.assembly import PLACEHOLDERS, read_stacks
from local.cloud.deploy import deploy, first_failure, zip_folder
from local.errors import DeployError

ENDPOINTS = {
    "database_host": '/tmp/a "b"',
    "venue_url": "http://127.0.0.1:1",
    "telegram_url": "http://127.0.0.1:2",
    "api_url": "http://127.0.0.1:3",
}


def write_assembly(folder: Path, needs: dict[str, list[str]]) -> Path:
    """Write an assembly of stacks with one zipped asset each."""
    artifacts: dict[str, Any] = {}
    for name, others in needs.items():
        (folder / f"asset.{name}").mkdir(parents=True)
        (folder / f"asset.{name}" / "handler.py").write_text(f"# {name}")
        template = {"Resources": {"F": {"Type": "X", "Properties": {"Env": list(PLACEHOLDERS.values())}}}}
        (folder / f"{name}.template.json").write_text(json.dumps(template))
        destinations = {"d": {"bucketName": "assets-${AWS::AccountId}-${AWS::Region}", "objectKey": f"{name}.zip"}}
        files = {
            "1": {"source": {"path": f"asset.{name}", "packaging": "zip"}, "destinations": destinations},
            "2": {"source": {"path": f"{name}.template.json", "packaging": "file"}, "destinations": destinations},
        }
        (folder / f"{name}.assets.json").write_text(json.dumps({"files": files}))
        artifacts[f"{name}.assets"] = {"type": "cdk:asset-manifest", "properties": {"file": f"{name}.assets.json"}}
        artifacts[name] = {
            "type": "aws:cloudformation:stack",
            "properties": {"templateFile": f"{name}.template.json", "stackName": f"box-{name}"},
            "dependencies": [*others, f"{name}.assets"],
        }
    (folder / "manifest.json").write_text(json.dumps({"artifacts": artifacts}))
    return folder


def test_stacks_come_after_what_they_need(tmp_path: Path) -> None:
    needs = {"alerts": ["bus", "data"], "bus": ["data"], "data": ["network"], "network": []}
    order = [stack.name for stack in read_stacks(write_assembly(tmp_path, needs))]
    assert order == ["box-network", "box-data", "box-bus", "box-alerts"]


def test_stacks_in_a_circle_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DeployError, match="circle"):
        read_stacks(write_assembly(tmp_path, {"a": ["b"], "b": ["a"]}))


def test_assets_are_resolved_and_templates_are_no_assets(tmp_path: Path) -> None:
    (stack,) = read_stacks(write_assembly(tmp_path, {"data": []}))
    (asset,) = stack.assets
    assert (asset.bucket, asset.key, asset.zipped) == ("assets-000000000000-us-east-1", "data.zip", True)


def test_placeholders_become_addresses_and_the_template_stays_json(tmp_path: Path) -> None:
    (stack,) = read_stacks(write_assembly(tmp_path, {"data": []}))
    template = json.loads(stack.template(ENDPOINTS))
    assert template["Resources"]["F"]["Properties"]["Env"] == [ENDPOINTS[name] for name in PLACEHOLDERS]


def test_zip_of_a_folder_depends_on_its_content_alone(tmp_path: Path) -> None:
    for name, order in (("one", ["b.py", "a.py"]), ("two", ["a.py", "b.py"])):
        (tmp_path / name / "__pycache__").mkdir(parents=True)
        (tmp_path / name / "__pycache__" / "a.pyc").write_text("bytecode of a layer")
        for file in order:
            (tmp_path / name / file).write_text(file)
    assert zip_folder(tmp_path / "one") == zip_folder(tmp_path / "two")
    with zipfile.ZipFile(io.BytesIO(zip_folder(tmp_path / "one"))) as archive:
        assert archive.namelist() == ["__pycache__/a.pyc", "a.py", "b.py"]


def test_first_failure_is_the_oldest_with_a_reason_of_its_own() -> None:
    def event(resource: str, status: str, reason: str | None) -> dict[str, Any]:
        return {"LogicalResourceId": resource, "ResourceType": "T", "ResourceStatus": status, "ResourceStatusReason": reason}

    newest_first = [
        event("Stack", "CREATE_FAILED", "The following resource(s) failed"),
        event("Other", "CREATE_FAILED", "Resource creation cancelled"),
        event("Queue", "CREATE_FAILED", "no such thing"),
        event("Bucket", "CREATE_COMPLETE", None),
    ]
    failure = first_failure(newest_first)
    assert failure is not None
    assert (failure.resource, failure.reason) == ("Queue", "no such thing")
    assert first_failure([event("Bucket", "CREATE_COMPLETE", None)]) is None


class FakeS3:
    def __init__(self, refuses: str | None = None) -> None:
        """refuses: the code of the error that a bucket's creation ends with."""
        self.objects: dict[str, bytes] = {}
        self._refuses = refuses

    def create_bucket(self, *, Bucket: str) -> None:  # noqa: N803 - boto3's names
        if self._refuses is not None:
            raise ClientError({"Error": {"Code": self._refuses, "Message": f"not {Bucket}"}}, "CreateBucket")

    def head_object(self, *, Bucket: str, Key: str) -> None:  # noqa: N803 - boto3's names
        if Key not in self.objects:
            raise ClientError({"Error": {"Code": "404", "Message": Bucket}}, "HeadObject")

    def put_object(self, *, Bucket: str, Key: str, Body: bytes) -> None:  # noqa: N803 - boto3's names
        assert Bucket
        self.objects[Key] = Body


class FakeCloudFormation:
    """Creates at once; stack `broken` fails."""

    def __init__(self, broken: str | None = None) -> None:
        self.created: list[str] = []
        self._broken = broken

    def describe_stacks(self, *, StackName: str) -> dict[str, Any]:  # noqa: N803 - boto3's names
        if StackName not in self.created:
            raise ClientError({"Error": {"Code": "ValidationError", "Message": "does not exist"}}, "DescribeStacks")
        status = "CREATE_FAILED" if StackName == self._broken else "CREATE_COMPLETE"
        return {"Stacks": [{"StackStatus": status, "Outputs": [{"OutputKey": f"Out{StackName}", "OutputValue": StackName}]}]}

    def create_stack(self, *, StackName: str, **_: Any) -> None:  # noqa: N803 - boto3's names
        self.created.append(StackName)

    def describe_stack_events(self, *, StackName: str) -> dict[str, Any]:  # noqa: N803 - boto3's names
        assert StackName == self._broken
        event = {"LogicalResourceId": "Queue", "ResourceType": "AWS::SQS::Queue", "ResourceStatus": "CREATE_FAILED"}
        return {"StackEvents": [{**event, "ResourceStatusReason": "bad name"}]}


class FakeEmulator:
    def __init__(self, **clients: Any) -> None:
        self._clients = clients

    def client(self, service: str, **_: Any) -> Any:
        return self._clients[service]


def test_stacks_are_deployed_in_order_with_their_assets_and_outputs_collected(tmp_path: Path) -> None:
    s3, cloudformation = FakeS3(), FakeCloudFormation()
    stacks = read_stacks(write_assembly(tmp_path, {"b": ["a"], "a": []}))
    outputs = deploy(FakeEmulator(s3=s3, cloudformation=cloudformation), stacks, ENDPOINTS)  # type: ignore[arg-type]
    assert cloudformation.created == ["box-a", "box-b"]
    assert set(s3.objects) == {"a.zip", "b.zip"}
    assert outputs == {"Outbox-a": "box-a", "Outbox-b": "box-b"}


def test_a_bucket_that_an_earlier_start_left_is_used_and_any_other_refusal_is_told(tmp_path: Path) -> None:
    stacks = read_stacks(write_assembly(tmp_path, {"a": []}))
    s3 = FakeS3(refuses="BucketAlreadyOwnedByYou")
    deploy(FakeEmulator(s3=s3, cloudformation=FakeCloudFormation()), stacks, ENDPOINTS)  # type: ignore[arg-type]
    assert set(s3.objects) == {"a.zip"}
    s3 = FakeS3(refuses="BucketAlreadyExists")
    with pytest.raises(DeployError, match="bucket assets-000000000000-us-east-1 was refused: not assets-"):
        deploy(FakeEmulator(s3=s3, cloudformation=FakeCloudFormation()), stacks, ENDPOINTS)  # type: ignore[arg-type]


def test_failed_stack_names_the_resource_and_the_reason_and_stops_the_rest(tmp_path: Path) -> None:
    cloudformation = FakeCloudFormation(broken="box-a")
    stacks = read_stacks(write_assembly(tmp_path, {"b": ["a"], "a": []}))
    with pytest.raises(DeployError, match=r"box-a ended in CREATE_FAILED: Queue \(AWS::SQS::Queue\): bad name"):
        deploy(FakeEmulator(s3=FakeS3(), cloudformation=cloudformation), stacks, ENDPOINTS)  # type: ignore[arg-type]
    assert cloudformation.created == ["box-a"]
