"""`signalbox jobs`: what it would send, what it sends (against moto), and one clear line when it cannot."""

from __future__ import annotations

import io
import json
import re
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws
from typer.testing import CliRunner

from local.cli.command import app
from local.cli.jobs import command as jobs_command
from local.cli.jobs.package import package_code
from local.errors import StageUnclearError, WorkbenchError
from signalbox.errors import SignalboxError
from signalbox.library.evaluations import FinishedEvaluation
from signalbox.library.job_events import finished_job
from signalbox.library.parameters import TrainParameters
from signalbox.library.pipeline import pipeline_definition
from tests.unit.library.plans import plan

REPOSITORY = Path(__file__).parents[4]
AT = "2026-11-15T02:00:00Z"


@pytest.fixture
def plan_file(tmp_path: Path) -> Path:
    path = tmp_path / "plan.json"
    path.write_text(plan().model_dump_json())
    return path


@pytest.fixture
def cloud(aws: None) -> Iterator[None]:
    with mock_aws():
        yield


def answered(*arguments: str) -> Any:
    done = CliRunner().invoke(app, ["jobs", *arguments, "--json"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def failed(*arguments: str) -> SignalboxError:
    done = CliRunner().invoke(app, ["jobs", *arguments])
    assert isinstance(done.exception, SignalboxError), done.output
    return done.exception


def test_a_dry_run_prints_the_request_that_would_be_sent_and_needs_no_account(
    plan_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    reported = answered("train", "--plan", str(plan_file), "--seed", "7", "--start", "2026-01-01", "--at", AT, "--dry-run")
    assert reported["operation"] == "CreateTrainingJob"
    request = reported["request"]
    assert request["TrainingJobName"] == "signalbox-test-train-20261115t020000z"
    assert TrainParameters.parse(request["HyperParameters"]).seed == 7
    assert request["HyperParameters"]["start"] == "2026-01-01T00:00:00Z"


def test_what_is_sent_is_what_the_dry_run_showed(plan_file: Path, cloud: None) -> None:
    shown = answered("train", "--plan", str(plan_file), "--at", AT, "--dry-run")["request"]
    sent = answered("train", "--plan", str(plan_file), "--at", AT)
    found = boto3.client("sagemaker").describe_training_job(TrainingJobName=sent["name"])
    for key in (
        "HyperParameters",
        "InputDataConfig",
        "OutputDataConfig",
        "ResourceConfig",
        "StoppingCondition",
        "CheckpointConfig",
    ):
        assert found[key] == shown[key], key


def test_an_evaluation_names_the_model_it_judges(plan_file: Path, cloud: None) -> None:
    uri = "s3://models/training/artifacts/x/output/model.tar.gz"
    sent = answered("evaluate", uri, "--plan", str(plan_file), "--at", AT)
    channels = boto3.client("sagemaker").describe_training_job(TrainingJobName=sent["name"])["InputDataConfig"]
    assert {one["ChannelName"]: one["DataSource"]["S3DataSource"]["S3Uri"] for one in channels}["model"] == uri


def test_the_pipeline_is_made_replaced_and_started(plan_file: Path, cloud: None) -> None:
    assert answered("pipeline", "--plan", str(plan_file), "--dry-run")["request"]["PipelineDefinition"] == pipeline_definition(
        plan()
    )
    assert answered("pipeline", "--plan", str(plan_file))["new"] is True
    assert answered("pipeline", "--plan", str(plan_file))["new"] is False
    started = answered("pipeline", "--plan", str(plan_file), "--execute", "--register-when", "integrity", "--at", AT)
    client = boto3.client("sagemaker")
    reported = client.list_pipeline_parameters_for_execution(PipelineExecutionArn=started["arn"])["PipelineParameters"]
    assert reported == [{"Name": "RegisterWhen", "Value": "integrity"}]


def test_a_condition_that_is_none_is_told_before_the_pipeline_is_replaced(plan_file: Path, cloud: None) -> None:
    error = failed("pipeline", "--plan", str(plan_file), "--execute", "--register-when", "always")
    assert "expected one of promotion, integrity, got 'always'" in str(error)
    assert boto3.client("sagemaker").list_pipelines()["PipelineSummaries"] == []


def test_the_code_is_put_where_the_plan_says(plan_file: Path, cloud: None) -> None:
    client = boto3.client("s3")
    client.create_bucket(Bucket="models", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    dry = answered("package", "--plan", str(plan_file), "--dry-run")
    assert "Contents" not in client.list_objects_v2(Bucket="models")
    reported = answered("package", "--plan", str(plan_file))
    assert reported["written"] == dry["dry_run"] == "s3://models/training/code/sourcedir.tar.gz"
    content = client.get_object(Bucket="models", Key="training/code/sourcedir.tar.gz")["Body"].read()
    assert content == package_code(REPOSITORY).content


def test_the_package_holds_what_the_entry_points_import_and_nothing_of_this_machine() -> None:
    package = package_code(REPOSITORY)
    assert {"train.py", "evaluate.py", "features.py", "requirements.txt", "training/configs/quick.toml"} <= set(package.files)
    assert "signalbox/library/parameters.py" in package.files
    templates = {path.name for path in REPOSITORY.joinpath("training").rglob("templates/*.*")} | {"page.html.jinja", "style.css"}
    assert templates <= {Path(name).name for name in package.files if "/templates/" in name}
    assert not [name for name in package.files if "__pycache__" in name or name.endswith((".onnx", ".parquet", ".npz"))]
    assert package.content == package_code(REPOSITORY).content
    with tarfile.open(fileobj=io.BytesIO(package.content)) as archive:
        assert {(entry.uid, entry.mtime, entry.uname) for entry in archive} == {(0, 0, "")}


def test_wheels_travel_with_the_code_and_their_absence_is_told(tmp_path: Path) -> None:
    with pytest.raises(WorkbenchError, match="no wheels"):
        package_code(REPOSITORY, tmp_path)
    wheel(tmp_path, "numpy", "2.4.6")
    wheel(tmp_path, "xgboost_cpu", CPU_VERSION, "numpy")
    assert "wheels/numpy-2.4.6-py3-none-any.whl" in package_code(REPOSITORY, tmp_path).files


def wheel(folder: Path, name: str, version: str, *needs: str) -> Path:
    """A wheel as far as anybody looks into it here."""
    path = folder / f"{name}-{version}-py3-none-any.whl"
    reported = "".join(f"Requires-Dist: {one}\n" for one in needs)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{name}-{version}.dist-info/METADATA", f"Metadata-Version: 2.1\nName: {name}\n{reported}\nText.\n")
    return path


def locked(file: str, name: str) -> str:
    (found,) = re.findall(rf"^{name}==([0-9.]+)", (REPOSITORY / file).read_text(), re.MULTILINE)
    return str(found)


CPU_VERSION = locked("sagemaker/requirements.txt", "xgboost-cpu")
CUDA_VERSION = locked("requirements/training-gpu.lock", "xgboost")
NCCL = "nvidia-nccl-cu12; platform_system == 'Linux'"
OTHERS = ("numpy", "pandas>=1.2; extra == 'pandas'", "nothing; platform_system == 'Windows'")


def packed_requirements(wheels: Path | None, **options: bool) -> str:
    with tarfile.open(fileobj=io.BytesIO(package_code(REPOSITORY, wheels, **options).content)) as archive:
        held = archive.extractfile("requirements.txt")
        assert held is not None
        return held.read().decode()


class TestTrees:
    def test_cuda_trees_have_the_version_of_the_gpu_lock_and_nothing_else_changes(self) -> None:
        usual, cuda = packed_requirements(None).splitlines(), packed_requirements(None, cuda_trees=True).splitlines()
        changed = [(a, b) for a, b in zip(usual, cuda, strict=True) if a != b]
        assert changed == [(f"xgboost-cpu=={CPU_VERSION}", f"xgboost=={CUDA_VERSION}")]

    def test_the_cuda_build_travels_with_what_it_needs(self, tmp_path: Path) -> None:
        wheel(tmp_path, "numpy", "2.4.6")
        wheel(tmp_path, "nvidia_nccl_cu12", "2.27.3")
        wheel(tmp_path, "xgboost", CUDA_VERSION, NCCL, *OTHERS)
        assert f"xgboost=={CUDA_VERSION}" in packed_requirements(tmp_path, cuda_trees=True)
        with pytest.raises(WorkbenchError, match=f"xgboost-cpu=={CPU_VERSION} without --cuda-trees, but has xgboost;"):
            package_code(REPOSITORY, tmp_path)

    def test_a_library_that_is_missing_is_named(self, tmp_path: Path) -> None:
        wheel(tmp_path, "numpy", "2.4.6")
        wheel(tmp_path, "xgboost", CUDA_VERSION, NCCL, *OTHERS)
        with pytest.raises(WorkbenchError, match=r"no wheel of nvidia-nccl-cu12 in .*, which xgboost==.* needs"):
            package_code(REPOSITORY, tmp_path, cuda_trees=True)

    @pytest.mark.parametrize("cuda_trees", [False, True])
    def test_both_builds_are_refused(self, tmp_path: Path, cuda_trees: bool) -> None:
        wheel(tmp_path, "xgboost", CUDA_VERSION)
        wheel(tmp_path, "xgboost_cpu", CPU_VERSION)
        with pytest.raises(WorkbenchError, match="which overwrite each other"):
            package_code(REPOSITORY, tmp_path, cuda_trees=cuda_trees)

    @pytest.mark.parametrize("cuda_trees", [False, True])
    def test_neither_build_is_refused(self, tmp_path: Path, cuda_trees: bool) -> None:
        wheel(tmp_path, "numpy", "2.4.6")
        with pytest.raises(WorkbenchError, match="has none of xgboost-cpu and xgboost"):
            package_code(REPOSITORY, tmp_path, cuda_trees=cuda_trees)

    def test_another_version_than_is_required_is_refused(self, tmp_path: Path) -> None:
        wheel(tmp_path, "xgboost", "1.0.0")
        with pytest.raises(WorkbenchError, match=f"expected xgboost=={CUDA_VERSION}, got xgboost-1.0.0-py3-none-any.whl"):
            package_code(REPOSITORY, tmp_path, cuda_trees=True)

    def test_what_is_no_wheel_is_told(self, tmp_path: Path) -> None:
        (tmp_path / f"xgboost-{CUDA_VERSION}-py3-none-any.whl").write_bytes(b"no zip")
        with pytest.raises(WorkbenchError, match="cannot read the wheel's METADATA"):
            package_code(REPOSITORY, tmp_path, cuda_trees=True)
        (tmp_path / "strange.whl").write_bytes(b"")
        with pytest.raises(WorkbenchError, match=r"strange\.whl is not a valid wheel name"):
            package_code(REPOSITORY, tmp_path, cuda_trees=True)

    def test_the_command_says_which_trees_were_packed(self, tmp_path: Path) -> None:
        reported = answered("package", "--out", str(tmp_path / "code.tar.gz"), "--cuda-trees")
        assert reported["trees"] == "cuda"
        assert reported["written"] == str(tmp_path / "code.tar.gz")


class TestLooking:
    URI = "s3://models/training/artifacts/x/output/model.tar.gz"

    def test_the_list_has_trainings_and_evaluations_of_the_stage_alone(self, plan_file: Path, cloud: None) -> None:
        trained = answered("train", "--plan", str(plan_file), "--at", AT)["name"]
        evaluated = answered("evaluate", self.URI, "--plan", str(plan_file), "--at", AT)["name"]
        found = answered("list", "--stage", "test")
        assert {(one["job"], one["purpose"]) for one in found} == {(trained, "train"), (evaluated, "evaluate")}
        assert all(one["created_at"].endswith("+00:00") and one["status"] for one in found)
        assert [one["job"] for one in answered("list", "--stage", "test", "--purpose", "evaluate")] == [evaluated]
        assert answered("list", "--stage", "dev") == []
        shown = CliRunner().invoke(app, ["jobs", "list", "--stage", "test"], env={"COLUMNS": "200"}).output
        assert evaluated in shown
        assert "no jobs of stage dev" in CliRunner().invoke(app, ["jobs", "list", "--stage", "dev"]).output

    def test_a_purpose_that_is_none_is_told_with_those_there_are(self, cloud: None) -> None:
        assert "expected one of train, evaluate, got 'tune'" in str(failed("list", "--purpose", "tune"))

    def test_a_job_is_shown_with_what_it_was_asked(self, plan_file: Path, cloud: None) -> None:
        name = answered("evaluate", self.URI, "--plan", str(plan_file), "--at", AT, "--start", "2026-01-01")["name"]
        found = answered("show", name)
        assert (found["job"], found["inputs"]["model"]) == (name, self.URI)
        assert found["parameters"]["start"] == "2026-01-01T00:00:00Z"
        assert not [key for key in found["parameters"] if key.startswith("sagemaker_")]
        assert found["output"] == f"s3://models/training/artifacts/{name}/output/"
        shown = CliRunner().invoke(app, ["jobs", "show", name], env={"COLUMNS": "200"}).output
        assert self.URI in shown
        assert "training job absent: SageMaker answered" in str(failed("show", "absent"))

    def test_a_model_out_of_the_jobs_reach_is_told_before_anything_is_started(self, plan_file: Path, cloud: None) -> None:
        assert "below s3://models/training/" in str(failed("evaluate", "s3://elsewhere/m.tar.gz", "--plan", str(plan_file)))
        assert boto3.client("sagemaker").list_training_jobs()["TrainingJobSummaries"] == []


class Functions:
    """Lambda as far as it is invoked."""

    def __init__(self, answer: dict[str, Any], **facts: str) -> None:
        self.answer, self.facts, self.asked = answer, facts, list[dict[str, Any]]()

    def invoke(self, **request: Any) -> dict[str, Any]:
        self.asked.append(request)
        return {"Payload": io.BytesIO(json.dumps(self.answer).encode()), **self.facts}


class TestRegister:
    @pytest.fixture
    def job(self, plan_file: Path, cloud: None) -> str:
        uri = "s3://models/training/artifacts/x/output/model.tar.gz"
        return str(answered("evaluate", uri, "--plan", str(plan_file), "--at", AT)["name"])

    @staticmethod
    def serving(functions: Functions, monkeypatch: pytest.MonkeyPatch) -> None:
        usual = jobs_command._aws
        monkeypatch.setattr(jobs_command, "_aws", lambda service: functions if service == "lambda" else usual(service))

    def test_the_library_is_told_what_the_event_would_have_told_it(
        self, plan_file: Path, job: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        functions = Functions({"version": "3", "state": "evaluated"})
        self.serving(functions, monkeypatch)
        assert answered("register", job, "--plan", str(plan_file)) == {"job": job, "version": "3", "state": "evaluated"}
        (asked,) = functions.asked
        assert asked["FunctionName"] == plan().register_function_arn
        reported = finished_job(json.loads(asked["Payload"]))
        assert isinstance(reported, FinishedEvaluation)
        assert (reported.name, reported.model_uri) == (job, "s3://models/training/artifacts/x/output/model.tar.gz")

    def test_a_dry_run_shows_the_event_and_asks_nobody(self, plan_file: Path, job: str, monkeypatch: pytest.MonkeyPatch) -> None:
        functions = Functions({})
        self.serving(functions, monkeypatch)
        shown = answered("register", job, "--plan", str(plan_file), "--dry-run")
        assert shown["request"]["detail"]["TrainingJobName"] == job
        assert functions.asked == []

    def test_a_job_of_another_role_is_refused(self, tmp_path: Path, job: str) -> None:
        other = tmp_path / "other.json"
        other.write_text(plan(role_arn="arn:aws:iam::123456789012:role/another").model_dump_json())
        assert "is not a job of stage test: expected role" in str(failed("register", job, "--plan", str(other)))

    def test_what_fails_in_the_function_is_told(self, plan_file: Path, job: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.serving(Functions({"errorMessage": "ledger away"}, FunctionError="Unhandled"), monkeypatch)
        assert "register_model failed: ledger away" in str(failed("register", job, "--plan", str(plan_file)))


class TestWithoutAnAccount:
    @pytest.fixture(autouse=True)
    def _nothing_configured(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        names = (
            "AWS_ACCESS_KEY_ID",
            "AWS_SECRET_ACCESS_KEY",
            "AWS_SESSION_TOKEN",
            "AWS_PROFILE",
            "AWS_DEFAULT_REGION",
            "AWS_REGION",
        )
        for name in names:
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "absent"))
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "absent"))
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        boto3.DEFAULT_SESSION = None

    def test_a_missing_region_is_one_line(self, plan_file: Path) -> None:
        error = failed("train", "--plan", str(plan_file))
        assert isinstance(error, StageUnclearError)
        assert "no AWS region: set AWS_REGION" in str(error)

    def test_missing_credentials_are_one_line_that_says_what_to_do(
        self, plan_file: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
        assert "no AWS credentials" in str(failed("train", "--plan", str(plan_file)))
        assert "no AWS credentials" in str(failed("train", "--stage", "dev"))


def test_a_stage_that_is_not_deployed_is_told_by_the_functions_name(cloud: None) -> None:
    assert "signalbox-dev-start-training" in str(failed("train", "--stage", "dev"))


def test_a_plan_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    assert "absent.json: cannot be read" in str(failed("train", "--plan", str(tmp_path / "absent.json"), "--dry-run"))
    (tmp_path / "plan.json").write_text("{}")
    assert "training plan: stage: Field required" in str(failed("train", "--plan", str(tmp_path / "plan.json"), "--dry-run"))


def test_a_period_the_wrong_way_round_is_told_before_anything_is_sent(plan_file: Path) -> None:
    error = failed("train", "--plan", str(plan_file), "--start", "2026-02-01", "--end", "2026-01-01", "--dry-run")
    assert "--start: expected a time before --end" in str(error)
