"""Every call to SageMaker and S3 that training makes, against moto."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber
from hypothesis import given
from hypothesis import strategies as st
from moto import mock_aws

from signalbox.adapters.aws.artifacts import S3Artifacts
from signalbox.adapters.aws.training_jobs import SageMakerJobs, TrainingServiceError, _token
from signalbox.application.start_training import StartTraining
from signalbox.library.errors import ArtifactError
from signalbox.library.parameters import EvaluateParameters
from signalbox.library.pipeline import pipeline_definition
from signalbox.library.training_jobs import evaluation_request, job_name, scheduled_parameters, training_request
from tests.unit.library.plans import plan

pytestmark = pytest.mark.usefixtures("aws")
SUNDAY = datetime(2026, 11, 15, 2, 0, tzinfo=UTC)


@pytest.fixture
def sagemaker() -> Iterator[Any]:
    with mock_aws():
        yield boto3.client("sagemaker")


def test_a_scheduled_training_is_what_was_asked_for(sagemaker: Any) -> None:
    first = StartTraining(plan(), SageMakerJobs(sagemaker)).start(SUNDAY)
    assert first.new
    (job,) = sagemaker.list_training_jobs()["TrainingJobSummaries"]
    assert job["TrainingJobName"] == "signalbox-test-train-20261115t020000z"
    described = sagemaker.describe_training_job(TrainingJobName=job["TrainingJobName"])
    assert described["HyperParameters"]["end"] == "2026-11-15T00:00:00Z"
    assert described["EnableNetworkIsolation"] is True
    assert described["EnableManagedSpotTraining"] is True
    assert {"Key": "stage", "Value": "test"} in sagemaker.list_tags(ResourceArn=first.arn)["Tags"]


def test_a_duplicate_is_the_job_that_runs_already() -> None:
    """moto lets two jobs have one name; SageMaker answers as below."""
    client = boto3.client("sagemaker")
    arn = "arn:aws:sagemaker:eu-central-1:123456789012:training-job/signalbox-test-train-20261115t020000z"
    described: dict[str, Any] = {
        "TrainingJobName": "signalbox-test-train-20261115t020000z",
        "TrainingJobArn": arn,
        "ModelArtifacts": {"S3ModelArtifacts": ""},
        "TrainingJobStatus": "InProgress",
        "SecondaryStatus": "Training",
        "AlgorithmSpecification": {"TrainingInputMode": "File"},
        "ResourceConfig": {"VolumeSizeInGB": 50},
        "StoppingCondition": {},
        "CreationTime": SUNDAY,
    }
    request = training_request(plan(), described["TrainingJobName"], scheduled_parameters(plan(), SUNDAY))
    described |= {"HyperParameters": request["HyperParameters"], "InputDataConfig": request["InputDataConfig"]}
    reported = "Job name must be unique within an AWS account and region, and a job with this name already exists"
    with Stubber(client) as answers:
        answers.add_client_error("create_training_job", "ResourceInUse", reported)
        answers.add_response("describe_training_job", described, {"TrainingJobName": described["TrainingJobName"]})
        again = StartTraining(plan(), SageMakerJobs(client)).start(SUNDAY)
        assert (again.new, again.arn) == (False, arn)
        answers.add_client_error("create_training_job", "ResourceInUse", reported)
        answers.add_response("describe_training_job", described, {"TrainingJobName": described["TrainingJobName"]})
        with pytest.raises(TrainingServiceError, match=r"exists with another request .seed: not given, asked for 8"):
            SageMakerJobs(client).start_training_job({**request, "HyperParameters": {**request["HyperParameters"], "seed": "8"}})
        answers.add_client_error("create_training_job", "ResourceLimitExceeded", "ml.g5.xlarge for spot training job usage: 0")
        with pytest.raises(TrainingServiceError, match=r"ResourceLimitExceeded: ml\.g5\.xlarge for spot"):
            StartTraining(plan(), SageMakerJobs(client)).start(SUNDAY)


def test_the_newest_jobs_of_a_stage_are_listed_and_no_other_stages() -> None:
    client, asked = boto3.client("sagemaker"), {"NameContains": "signalbox-test-", "SortBy": "CreationTime"}
    asked |= {"SortOrder": "Descending", "MaxResults": 100}  # type: ignore[dict-item]

    def page(*names: str, token: str | None = None) -> dict[str, Any]:
        jobs = [
            {"TrainingJobName": name, "TrainingJobArn": f"arn:{name}", "TrainingJobStatus": "Completed", "CreationTime": SUNDAY}
            for name in names
        ]
        return {"TrainingJobSummaries": jobs, **({} if token is None else {"NextToken": token})}

    with Stubber(client) as answers:
        answers.add_response("list_training_jobs", page("signalbox-test-c", "my-signalbox-test-x", token="2"), asked)
        answers.add_response("list_training_jobs", page("signalbox-test-b", "signalbox-test-a"), {**asked, "NextToken": "2"})
        found = SageMakerJobs(client).training_jobs("signalbox-test-", at_most=2)
    assert [one.name for one in found] == ["signalbox-test-c", "signalbox-test-b"]
    assert found[0].ended_at is None


@given(st.text("abcz0-", min_size=1, max_size=80), st.text("abcz0-", min_size=1, max_size=80))
def test_a_token_is_taken_and_of_its_name_alone(name: str, other: str) -> None:
    """A shorter name was filled up with zeros before, and `x` and `x0` were one."""
    assert re.fullmatch(r"[a-zA-Z0-9-]{32,128}", _token(name))
    assert (_token(name) == _token(other)) is (name == other)


def test_the_next_week_is_another_job(sagemaker: Any) -> None:
    app = StartTraining(plan(), SageMakerJobs(sagemaker))
    names = {app.start(SUNDAY).name, app.start(SUNDAY.replace(day=22)).name}
    assert len(names) == len(sagemaker.list_training_jobs()["TrainingJobSummaries"]) == 2


def test_an_evaluation_is_started(sagemaker: Any) -> None:
    name = job_name("test", "evaluate", SUNDAY)
    request = evaluation_request(plan(), name, "s3://models/training/artifacts/x/output/model.tar.gz", EvaluateParameters())
    assert SageMakerJobs(sagemaker).start_training_job(request).new
    assert sagemaker.describe_training_job(TrainingJobName=name)["InputDataConfig"][1]["ChannelName"] == "model"


def test_what_sagemaker_refuses_is_one_error_that_quotes_it(sagemaker: Any) -> None:
    with pytest.raises(TrainingServiceError, match="execution of pipeline absent: SageMaker answered"):
        SageMakerJobs(sagemaker).start_pipeline("absent", "execution", {})


def test_a_pipeline_is_made_once_and_then_given_the_new_definition(sagemaker: Any) -> None:
    jobs, name = SageMakerJobs(sagemaker), "signalbox-test"
    role = plan().pipeline_role_arn
    first = jobs.put_pipeline(name, pipeline_definition(plan()), role_arn=role, tags=plan().tags)
    again = jobs.put_pipeline(name, pipeline_definition(plan(model="other")), role_arn=role, tags=plan().tags)
    assert (first.new, again.new, first.arn) == (True, False, again.arn)
    found = json.loads(sagemaker.describe_pipeline(PipelineName=name)["PipelineDefinition"])
    assert found == pipeline_definition(plan(model="other"))
    assert len(sagemaker.list_pipelines()["PipelineSummaries"]) == 1


def test_with_a_pipeline_the_schedule_starts_an_execution_of_it(sagemaker: Any) -> None:
    with_pipeline = plan(pipeline="signalbox-test")
    jobs = SageMakerJobs(sagemaker)
    jobs.put_pipeline("signalbox-test", pipeline_definition(with_pipeline), role_arn=with_pipeline.pipeline_role_arn, tags=[])
    started = StartTraining(with_pipeline, jobs).start(SUNDAY)
    (execution,) = sagemaker.list_pipeline_executions(PipelineName="signalbox-test")["PipelineExecutionSummaries"]
    assert execution["PipelineExecutionArn"] == started.arn
    reported = sagemaker.list_pipeline_parameters_for_execution(PipelineExecutionArn=started.arn)["PipelineParameters"]
    assert {one["Name"]: one["Value"] for one in reported} == {"Start": "2025-11-15T00:00:00Z", "End": "2026-11-15T00:00:00Z"}
    assert sagemaker.list_training_jobs()["TrainingJobSummaries"] == []


class RecordingClient:
    """Keeps the requests of executions: moto takes no notice of their token."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []

    def start_pipeline_execution(self, **request: Any) -> dict[str, Any]:
        self.requests.append(request)
        return {"PipelineExecutionArn": "arn"}


def test_the_token_of_an_execution_is_a_function_of_its_instant() -> None:
    client = RecordingClient()
    app = StartTraining(plan(pipeline="signalbox-test"), SageMakerJobs(client))  # type: ignore[arg-type]
    for instant in (SUNDAY, SUNDAY, SUNDAY.replace(day=22)):
        app.start(instant)
    first, again, later = (request["ClientRequestToken"] for request in client.requests)
    assert first == again != later
    assert 32 <= len(first) <= 128


class TestArtifacts:
    TOP = "s3://models/training/"

    @pytest.fixture
    def store(self) -> Iterator[S3Artifacts]:
        with mock_aws():
            client = boto3.client("s3")
            client.create_bucket(Bucket="models", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
            client.put_object(Bucket="models", Key="training/a/output/model.tar.gz", Body=b"model")
            client.put_object(Bucket="models", Key="deployments/current.json", Body=b"secret")
            yield S3Artifacts(client, bucket="models", prefix="training")

    def test_what_a_job_left_is_read(self, store: S3Artifacts) -> None:
        assert store.fetch(f"{self.TOP}a/output/model.tar.gz", at_most=5) == b"model"

    def test_what_is_too_large_is_not_read(self, store: S3Artifacts) -> None:
        with pytest.raises(ArtifactError, match="expected at most 4 bytes, got 5"):
            store.fetch(f"{self.TOP}a/output/model.tar.gz", at_most=4)

    def test_what_is_absent_is_an_artifact_error(self, store: S3Artifacts) -> None:
        with pytest.raises(ArtifactError, match="does not exist"):
            store.fetch(f"{self.TOP}b/output/model.tar.gz", at_most=5)

    @pytest.mark.parametrize(
        "uri",
        [
            "s3://models/deployments/current.json",
            "s3://other/training/x",
            "https://models/training/x",
            "s3://models/training/../x",
        ],
    )
    def test_nothing_is_read_from_elsewhere(self, store: S3Artifacts, uri: str) -> None:
        with pytest.raises(ArtifactError, match="expected an object below s3://models/training/"):
            store.fetch(uri, at_most=100)

    def test_a_kept_bundle_can_be_kept_again(self, store: S3Artifacts) -> None:
        for _ in range(2):
            store.keep_bundle("bundles/m/0.zip", b"zip")
        assert boto3.client("s3").get_object(Bucket="models", Key="bundles/m/0.zip")["Body"].read() == b"zip"
