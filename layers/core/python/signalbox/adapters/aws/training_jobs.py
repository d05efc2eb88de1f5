"""The part of SageMaker that the product uses: starts jobs and pipelines, and reads their state.

If a name is taken by the same request, the job was started before, which is no error. If another request took it, that is one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Protocol

from botocore.exceptions import ClientError

from signalbox.library.errors import LibraryError
from signalbox.library.training_jobs import Request, StartedJob

_PAGE: Final = 100  # SageMaker's largest number of jobs in one answer


class SageMakerClient(Protocol):
    """The SageMaker calls that are used."""

    def create_training_job(self, **request: Any) -> dict[str, Any]: ...

    def describe_training_job(self, *, TrainingJobName: str) -> dict[str, Any]: ...  # noqa: N803 - the API's name

    def list_training_jobs(self, **request: Any) -> dict[str, Any]: ...

    def create_pipeline(self, **request: Any) -> dict[str, Any]: ...

    def update_pipeline(self, **request: Any) -> dict[str, Any]: ...

    def describe_pipeline(self, *, PipelineName: str) -> dict[str, Any]: ...  # noqa: N803 - as above

    def start_pipeline_execution(self, **request: Any) -> dict[str, Any]: ...


class TrainingServiceError(LibraryError):
    """SageMaker refused a request, or has another job under the same name."""


@dataclass(frozen=True, slots=True)
class JobSummary:
    """A job in a list of jobs."""

    name: str
    status: str
    created_at: datetime
    ended_at: datetime | None


class SageMakerJobs:
    """Starts jobs and pipelines, and reads their state."""

    def __init__(self, client: SageMakerClient) -> None:
        self._client = client

    def start_training_job(self, request: Request) -> StartedJob:
        """Start a job once: if the same request was sent before, its job is returned.

        Raises TrainingServiceError, also if a job with other parameters or inputs has the name.
        """
        name = str(request["TrainingJobName"])
        try:
            answer = self._client.create_training_job(**request)
        except ClientError as error:
            if not _is_taken(error):
                raise _refused(f"training job {name}", error) from error
            return StartedJob(name, self._existing_job(request), new=False)
        return StartedJob(name, str(answer["TrainingJobArn"]), new=True)

    def put_pipeline(self, name: str, definition: Request, *, role_arn: str, tags: list[dict[str, str]]) -> StartedJob:
        """Create a pipeline, or replace the definition of the existing one. Raises TrainingServiceError."""
        request = {
            "PipelineName": name,
            "PipelineDefinition": json.dumps(definition, sort_keys=True),
            "PipelineDescription": "Signalbox: features, train, evaluate, register on pass",
            "RoleArn": role_arn,
        }
        try:
            if self._pipeline_exists(name):
                return StartedJob(name, str(self._client.update_pipeline(**request)["PipelineArn"]), new=False)
            answer = self._client.create_pipeline(**request, ClientRequestToken=_token(name), Tags=tags)
        except ClientError as error:
            raise _refused(f"pipeline {name}", error) from error
        return StartedJob(name, str(answer["PipelineArn"]), new=True)

    def start_pipeline(self, name: str, execution: str, parameters: dict[str, str]) -> StartedJob:
        """Start an execution once: the token is made from its name, so that SageMaker returns the first one again."""
        request = {
            "PipelineName": name,
            "PipelineExecutionDisplayName": execution,
            "PipelineParameters": [{"Name": key, "Value": value} for key, value in parameters.items()],
            "ClientRequestToken": _token(execution),
        }
        try:
            answer = self._client.start_pipeline_execution(**request)
        except ClientError as error:
            raise _refused(f"execution of pipeline {name}", error) from error
        return StartedJob(execution, str(answer["PipelineExecutionArn"]), new=True)

    def describe_training_job(self, name: str) -> dict[str, Any]:
        """Return SageMaker's description of a job. Raises TrainingServiceError if there is none."""
        try:
            return self._client.describe_training_job(TrainingJobName=name)
        except ClientError as error:
            raise _refused(f"training job {name}", error) from error

    def training_jobs(self, prefix: str, *, at_most: int) -> list[JobSummary]:
        """Return the newest jobs whose name begins with `prefix`, newest first. Raises TrainingServiceError."""
        found: list[JobSummary] = []
        request: dict[str, Any] = {
            "NameContains": prefix,
            "SortBy": "CreationTime",
            "SortOrder": "Descending",
            "MaxResults": _PAGE,
        }
        while len(found) < at_most:
            try:
                answer = self._client.list_training_jobs(**request)
            except ClientError as error:
                raise _refused("the list of training jobs", error) from error
            found += [_summary(one) for one in answer["TrainingJobSummaries"] if one["TrainingJobName"].startswith(prefix)]
            if not answer.get("NextToken"):
                break
            request["NextToken"] = answer["NextToken"]
        return found[:at_most]

    def _existing_job(self, request: Request) -> str:
        name = str(request["TrainingJobName"])
        found = self.describe_training_job(name)
        if different := _differences(_asked(found), _asked(request)):
            raise TrainingServiceError(
                f"training job {name} exists with another request ({different}); start yours for another instant"
            )
        return str(found["TrainingJobArn"])

    def _pipeline_exists(self, name: str) -> bool:
        try:
            self._client.describe_pipeline(PipelineName=name)
        except ClientError as error:
            if _code(error) in {"ResourceNotFound", "ResourceNotFoundException", "ValidationException"}:  # the last is moto's
                return False
            raise
        return True


def _token(name: str) -> str:
    """Return a token that depends on the name alone and has a length that SageMaker accepts; other names give other tokens."""
    return hashlib.sha256(name.encode()).hexdigest()


def _asked(request: Mapping[str, Any]) -> dict[str, str]:
    """Return what identifies a job's work: its parameters, and the addresses of its inputs."""
    channels = {one["ChannelName"]: one["DataSource"]["S3DataSource"]["S3Uri"] for one in request.get("InputDataConfig", ())}
    return {**request.get("HyperParameters", {}), **{f"channel {name}": uri for name, uri in channels.items()}}


def _differences(there: Mapping[str, str], asked: Mapping[str, str]) -> str:
    names = sorted(name for name in there.keys() | asked.keys() if there.get(name) != asked.get(name))
    return "; ".join(f"{name}: {there.get(name, 'not given')}, asked for {asked.get(name, 'none')}" for name in names)


def _summary(described: Mapping[str, Any]) -> JobSummary:
    return JobSummary(
        str(described["TrainingJobName"]),
        str(described["TrainingJobStatus"]),
        described["CreationTime"],
        described.get("TrainingEndTime"),
    )


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _is_taken(error: ClientError) -> bool:
    return _code(error) in {"ResourceInUse", "ResourceInUseException"}


def _refused(what: str, error: ClientError) -> TrainingServiceError:
    answer = error.response.get("Error", {})
    return TrainingServiceError(f"{what}: SageMaker answered {answer.get('Code')}: {answer.get('Message')}")
