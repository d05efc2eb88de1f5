import errno
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws
from typing_extensions import override

from signalbox.adapters.aws import deployments
from signalbox.adapters.aws.deployed_model import ModelProvider
from signalbox.adapters.aws.deployments import Deployment, S3Deployments
from signalbox.contracts import DEPLOYMENT_POINTER_KEY
from signalbox.inference.archive import pack_bundle
from signalbox.inference.manifest import Gate
from signalbox.signals.signal import DeploymentStage
from tests.unit.inference.hostile import GOLDENS
from tests.unit.inference.tiny_bundle import write_bundle

STARTER = Path(__file__).parents[3] / "training" / "starter_bundle"
pytestmark = pytest.mark.usefixtures("aws")


class Store:
    """The models bucket and the asset bucket, with the starter bundle in the latter."""

    def __init__(self) -> None:
        self.client = boto3.client("s3")
        for bucket in ("models", "assets"):
            self.client.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
        self.archive = pack_bundle(STARTER)
        self.put("assets", "starter.zip", self.archive)
        self.deployments = S3Deployments(self.client, models_bucket="models", starter_bucket="assets", starter_key="starter.zip")
        self.provider = ModelProvider(self.deployments)

    def put(self, bucket: str, key: str, body: bytes) -> None:
        self.client.put_object(Bucket=bucket, Key=key, Body=body)

    def deploy(self, name: str, archive: bytes | None, stage: str = "shadow") -> None:
        if archive is not None:
            self.put("models", f"bundles/{name}.zip", archive)
        pointer = {"deployment": name, "bundle_key": f"bundles/{name}.zip", "stage": stage}
        self.put("models", DEPLOYMENT_POINTER_KEY, json.dumps(pointer).encode())


@pytest.fixture
def store() -> Iterator[Store]:
    with mock_aws():
        yield Store()


def test_until_something_is_deployed_the_starter_runs_as_shadow(store: Store) -> None:
    choice = store.provider.choose()
    assert choice.problem is None
    assert choice.model is not None
    assert (choice.model.deployment, choice.model.stage) == ("starter", DeploymentStage.SHADOW)


def test_a_warm_function_loads_a_deployment_once(store: Store) -> None:
    assert store.provider.choose().model is store.provider.choose().model


def test_a_new_deployment_is_swapped_in_at_the_next_cycle(store: Store) -> None:
    store.provider.choose()
    store.deploy("m2", store.archive)
    model = store.provider.choose().model
    assert model is not None
    assert model.deployment == "m2"


def test_a_bundle_that_did_not_pass_its_gates_is_shadow_whatever_the_pointer_says(store: Store) -> None:
    store.deploy("m2", store.archive, stage="active")
    model = store.provider.choose().model
    assert model is not None
    assert model.stage is DeploymentStage.SHADOW


def test_a_bundle_that_passed_is_active_and_its_verdicts_go_with_it(store: Store, tmp_path: Path) -> None:
    verdicts = dict.fromkeys(Gate, "pass") | {Gate.G4: "fail", Gate.G5: "not evaluated"}

    def passed(content: dict[str, Any]) -> None:
        content |= {"gates": verdicts, "passes_promotion": True}

    store.deploy("m3", pack_bundle(write_bundle(tmp_path / "b", "judged", change=passed)), stage="active")
    model = store.provider.choose().model
    assert model is not None
    assert (model.stage, model.bundle, dict(model.gates)) == (DeploymentStage.ACTIVE, "judged", verdicts)


def tampered(archive: bytes) -> bytes:
    """One byte changed inside the first model file."""
    at = archive.index(b"xgboost-0.onnx") + 5_000
    return archive[:at] + bytes([archive[at] ^ 1]) + archive[at + 1 :]


@pytest.mark.parametrize(
    ("archive", "reason"),
    [
        (lambda a: a[: len(a) // 2], "Bundle"),
        (tampered, "Bundle"),
        (lambda _: b"no zip at all", "Bundle"),
        (lambda _: None, "no bundle at"),
    ],
)
def test_a_bad_bundle_leaves_the_old_model_at_work_and_says_why(store: Store, archive: Any, reason: str) -> None:
    before = store.provider.choose().model
    store.deploy("m2", archive(store.archive))
    choice = store.provider.choose()
    assert choice.model is before
    assert choice.problem is not None
    assert (choice.problem.deployment, choice.problem.kept) == ("m2", "starter")
    assert reason in choice.problem.reason
    assert store.provider.choose().problem == choice.problem  # told every cycle, not loaded again


@pytest.mark.parametrize(
    "name", ["header of 10^12 rows", "quarter of a gigabyte of zeros, deflated", "header in brackets without end"]
)
def test_a_bundle_that_asks_for_more_than_there_is_leaves_the_old_model_at_work(store: Store, tmp_path: Path, name: str) -> None:
    before = store.provider.choose().model
    store.deploy("m2", pack_bundle(write_bundle(tmp_path / "b", files={"golden.npz": GOLDENS[name]()})))
    choice = store.provider.choose()
    assert choice.model is before
    assert "BundleGoldenError" in str(choice.problem)


class Failing(S3Deployments):
    """A store whose downloads end in an error."""

    error: Exception

    @override
    @contextmanager
    def fetched(self, deployment: Deployment) -> Iterator[Path]:
        raise self.error
        yield


def fail(store: Store, error: Exception) -> None:
    failing = Failing(store.client, models_bucket="models", starter_bucket="assets", starter_key="starter.zip")
    failing.error = error
    store.provider._deployments = failing


@pytest.mark.parametrize("error", [MemoryError("no room"), RecursionError("too deep"), AssertionError("a bug"), KeyError("x")])
def test_whatever_loading_raises_the_old_model_stays_at_work(store: Store, error: Exception) -> None:
    before = store.provider.choose().model
    store.deploy("m2", store.archive)
    fail(store, error)
    choice = store.provider.choose()
    assert (choice.model, choice.problem is None) == (before, False)
    assert type(error).__name__ in str(choice.problem)


def test_a_full_disk_is_not_the_bundles_fault_and_it_is_tried_again(store: Store) -> None:
    store.provider.choose()
    store.deploy("m2", store.archive)
    fail(store, OSError(errno.ENOSPC, "no space left"))
    assert store.provider.choose().problem is not None
    store.provider._deployments = store.deployments
    choice = store.provider.choose()
    assert choice.problem is None
    assert choice.model is not None
    assert choice.model.deployment == "m2"


def test_a_bad_bundle_with_nothing_before_it_means_no_model(store: Store) -> None:
    store.deploy("m2", b"no zip at all")
    choice = store.provider.choose()
    assert choice.model is None
    assert choice.problem is not None
    assert choice.problem.kept is None


def test_a_bundle_that_is_too_large_to_be_one_is_not_downloaded(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    before = store.provider.choose().model
    monkeypatch.setattr(deployments, "_MAX_PACKED", 1_000)
    store.deploy("m2", bytes(1_001))
    choice = store.provider.choose()
    assert choice.model is before
    assert "expected a bundle of at most 1000 bytes, got 1001" in str(choice.problem)


def test_a_good_deployment_after_a_bad_one_clears_the_problem(store: Store) -> None:
    store.deploy("m2", b"no zip at all")
    store.provider.choose()
    store.deploy("m3", store.archive)
    choice = store.provider.choose()
    assert choice.problem is None
    assert choice.model is not None
    assert choice.model.deployment == "m3"


@pytest.mark.parametrize(
    "pointer",
    [
        b"{",
        b"{}",
        b'{"deployment": "m", "bundle_key": "bundles/m1.zip", "stage": "live"}',
        # what jobs left is not what was accepted
        b'{"deployment": "m", "bundle_key": "training/artifacts/job/output/model.tar.gz", "stage": "shadow"}',
        b'{"deployment": "m", "bundle_key": "training/artifacts/m.zip", "stage": "shadow"}',
        b"[" * 60_000,
        b" " * 70_000,
        b"\xff\xfe",
    ],
)
def test_an_unreadable_pointer_keeps_the_old_model(store: Store, pointer: bytes) -> None:
    before = store.provider.choose().model
    store.put("models", DEPLOYMENT_POINTER_KEY, pointer)
    choice = store.provider.choose()
    assert choice.model is before
    assert choice.problem is not None
