"""SageMaker as far as the product starts things there. A name that is taken by the same request is done, not an error."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final, Protocol

from botocore.exceptions import ClientError

from signalbox.library.errors import LibraryError
from signalbox.library.training_jobs import Request

MIN_TOKEN: Final = 32  # characters of a ClientRequestToken


class SageMakerClient(Protocol):
    """The calls that are made."""

    def create_training_job(self, **request: Any) -> dict[str, Any]: ...

    def describe_training_job(self, *, TrainingJobName: str) -> dict[str, Any]: ...  # noqa: N803 - the API's name

    def create_pipeline(self, **request: Any) -> dict[str, Any]: ...

    def update_pipeline(self, **request: Any) -> dict[str, Any]: ...

    def describe_pipeline(self, *, PipelineName: str) -> dict[str, Any]: ...  # noqa: N803 - as above

    def start_pipeline_execution(self, **request: Any) -> dict[str, Any]: ...


class TrainingServiceError(LibraryError):
    """SageMaker refused a request, or has something else under the same name."""


@dataclass(frozen=True, slots=True)
class Started:
    """What runs now; `new` is false when it was started before."""

    name: str
    arn: str
    new: bool


class SageMakerJobs:
    """Starts jobs and pipelines."""

    def __init__(self, client: SageMakerClient) -> None:
        self._client = client

    def start_training_job(self, request: Request) -> Started:
        """Start a job once: its name is taken by the request itself when it was started before. Raises TrainingServiceError."""
        name = str(request["TrainingJobName"])
        try:
            answer = self._client.create_training_job(**request)
        except ClientError as error:
            if not _is_taken(error):
                raise _refused(f"training job {name}", error) from error
            return Started(name, self._existing_job(name), new=False)
        return Started(name, str(answer["TrainingJobArn"]), new=True)

    def put_pipeline(self, name: str, definition: Request, *, role_arn: str, tags: list[dict[str, str]]) -> Started:
        """Create a pipeline, or give the one there is this definition. Raises TrainingServiceError."""
        described = {
            "PipelineName": name,
            "PipelineDefinition": json.dumps(definition, sort_keys=True),
            "PipelineDescription": "Signalbox: features, train, evaluate, register on pass",
            "RoleArn": role_arn,
        }
        try:
            if self._pipeline_exists(name):
                return Started(name, str(self._client.update_pipeline(**described)["PipelineArn"]), new=False)
            answer = self._client.create_pipeline(**described, ClientRequestToken=_token(name), Tags=tags)
        except ClientError as error:
            raise _refused(f"pipeline {name}", error) from error
        return Started(name, str(answer["PipelineArn"]), new=True)

    def start_pipeline(self, name: str, execution: str, parameters: dict[str, str]) -> Started:
        """Start an execution once: the token is made of its name, so SageMaker answers the first one again."""
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
        return Started(execution, str(answer["PipelineExecutionArn"]), new=True)

    def _existing_job(self, name: str) -> str:
        try:
            return str(self._client.describe_training_job(TrainingJobName=name)["TrainingJobArn"])
        except ClientError as error:
            raise _refused(f"training job {name}", error) from error

    def _pipeline_exists(self, name: str) -> bool:
        try:
            self._client.describe_pipeline(PipelineName=name)
        except ClientError as error:
            if _code(error) in {"ResourceNotFound", "ResourceNotFoundException", "ValidationException"}:  # the last is moto's
                return False
            raise
        return True


def _token(name: str) -> str:
    """Return a token that depends on the name alone, as long as it must be."""
    return name.ljust(MIN_TOKEN, "0")


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _is_taken(error: ClientError) -> bool:
    return _code(error) in {"ResourceInUse", "ResourceInUseException"}


def _refused(what: str, error: ClientError) -> TrainingServiceError:
    told = error.response.get("Error", {})
    return TrainingServiceError(f"{what}: SageMaker answered {told.get('Code')}: {told.get('Message')}")
