"""What SageMaker announces, read as it comes."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from signalbox.library.errors import TrainingPlanError
from signalbox.library.evaluations import FinishedEvaluation
from signalbox.library.job_events import JobEventError, event_of, finished_job, job_of_pipeline
from signalbox.library.parameters import EvaluateParameters, RegisterWhen, Registration, TrainParameters
from signalbox.library.registration import FinishedJob, JobEvaluation, JobOutcome
from signalbox.library.training_jobs import evaluation_request, training_request
from tests.unit.library.plans import plan
from tests.unit.library.samples import FINISHED, URI

EVALUATION = "signalbox-test-evaluate-20261115t030000z"
NAME = "signalbox-test-train-20261115t020000z"


def announced(status: str = "Completed", request: dict[str, Any] | None = None, **detail: Any) -> dict[str, Any]:
    """The event of a job that was started with `request`: its detail repeats the request, as DescribeTrainingJob does."""
    asked = request or training_request(plan(), NAME, TrainParameters(model="dir60-v31-tiny"))
    return {
        "version": "0",
        "id": "844e2571-85d4-695f-b930-0153b71dcb42",
        "detail-type": "SageMaker Training Job State Change",
        "source": "aws.sagemaker",
        "account": "123456789012",
        "time": "2026-11-15T03:40:00Z",
        "region": "eu-central-1",
        "resources": [f"arn:aws:sagemaker:eu-central-1:123456789012:training-job/{NAME}"],
        "detail": {
            **asked,
            "TrainingJobArn": f"arn:aws:sagemaker:eu-central-1:123456789012:training-job/{NAME}",
            "TrainingJobStatus": status,
            "SecondaryStatus": status,
            "CreationTime": 1_794_700_800_000,
            "LastModifiedTime": 1_794_706_800_000,
            "SecondaryStatusTransitions": [],
            **detail,
        },
    }


def test_a_completed_training_says_where_its_model_is() -> None:
    job = finished_job(announced())
    assert isinstance(job, FinishedJob)
    assert (job.name, job.model, job.outcome, job.finished_at) == (NAME, "dir60-v31-tiny", JobOutcome.COMPLETED, FINISHED)
    assert job.artifact_uri == URI


@pytest.mark.parametrize("status", ["Failed", "Stopped"])
def test_a_training_without_a_model_keeps_its_reason(status: str) -> None:
    job = finished_job(announced(status, FailureReason="AlgorithmError: ConfigError"))
    assert job is not None
    assert (job.outcome, job.reason) == (JobOutcome(status), "AlgorithmError: ConfigError")


@pytest.mark.parametrize("status", ["InProgress", "Stopping"])
def test_a_job_that_goes_on_is_nothing_yet(status: str) -> None:
    assert finished_job(announced(status)) is None


def judged(status: str = "Completed", **detail: Any) -> dict[str, Any]:
    """The event of an evaluation by itself."""
    request = evaluation_request(plan(), EVALUATION, URI, EvaluateParameters())
    return announced(status, request=request, **detail)


def test_an_evaluation_says_what_it_judged_and_where_its_files_are() -> None:
    job = finished_job(judged())
    assert job == FinishedEvaluation(
        name=EVALUATION,
        outcome=JobOutcome.COMPLETED,
        finished_at=FINISHED,
        model_uri=URI,
        output_uri=f"s3://models/training/artifacts/{EVALUATION}/output/output.tar.gz",
    )
    failed = finished_job(judged("Failed", FailureReason="MarketDataError: no decision"))
    assert failed is not None
    assert (failed.outcome, failed.reason) == (JobOutcome.FAILED, "MarketDataError: no decision")
    assert finished_job(judged("InProgress")) is None


@pytest.mark.parametrize("status", ["Completed", "Failed", "Stopped"])
@pytest.mark.parametrize("made", [announced, judged])
def test_a_description_makes_the_event_that_was_lost(made: Any, status: str) -> None:
    lost = made(status, FailureReason="x")
    description = {**lost["detail"], "TrainingEndTime": FINISHED, "LastModifiedTime": FINISHED + timedelta(hours=1)}
    event = event_of(description)
    assert finished_job(json.loads(json.dumps(event))) == finished_job(lost)
    with pytest.raises(JobEventError, match="expected a job that has ended, got InProgress"):
        event_of({**description, "TrainingJobStatus": "InProgress"})


def test_a_job_of_another_purpose_is_not_ours() -> None:
    event = announced()
    event["detail"]["HyperParameters"]["purpose"] = "tune"
    assert finished_job(event) is None


def test_a_pipelines_training_waits_for_its_evaluation_but_its_failure_is_told() -> None:
    waits = training_request(plan(), NAME, TrainParameters(model="dir60", registration=Registration.ON_PASS))
    assert finished_job(announced(request=waits)) is None
    assert finished_job(announced("Failed", request=waits)) is not None


@pytest.mark.parametrize("missing", ["TrainingJobName", "TrainingJobStatus", "HyperParameters", "OutputDataConfig"])
def test_an_event_without_what_is_needed_names_it(missing: str) -> None:
    event = announced()
    del event["detail"][missing]
    with pytest.raises(JobEventError, match=missing):
        finished_job(event)


def test_another_services_event_is_refused() -> None:
    with pytest.raises(JobEventError, match="got Something from elsewhere"):
        finished_job({**announced(), "source": "elsewhere", "detail-type": "Something"})


def test_parameters_that_no_launcher_of_ours_wrote_are_refused() -> None:
    event = announced()
    event["detail"]["HyperParameters"]["epochs"] = "7"
    with pytest.raises(TrainingPlanError, match="epochs"):
        finished_job(event)


def test_a_pipelines_last_step_names_the_job_and_its_evaluation() -> None:
    reported = {
        "job": "pipelines-abc-Train-xyz",
        "model": "dir60",
        "finished_at": "2026-11-15T03:40:00Z",
        "artifact_uri": "s3://models/training/artifacts/pipelines-abc-Train-xyz/output/model.tar.gz",
        "evaluation": "pipelines-abc-Evaluate-xyz",
        "evaluation_uri": "s3://models/training/artifacts/evaluations/abc/evaluation.json",
        "register_when": "integrity",
        "passed": False,
    }
    job = job_of_pipeline(reported)
    assert job.outcome is JobOutcome.COMPLETED
    assert job.evaluation == JobEvaluation(
        "pipelines-abc-Evaluate-xyz", str(reported["evaluation_uri"]), RegisterWhen.INTEGRITY, passed=False
    )
    for name in ("artifact_uri", "register_when", "passed"):
        with pytest.raises(JobEventError, match=name):
            job_of_pipeline({key: value for key, value in reported.items() if key != name})
    with pytest.raises(JobEventError, match="expected the name of an evaluation job"):
        job_of_pipeline({**reported, "evaluation": "training"})
