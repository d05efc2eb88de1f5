"""`signalbox jobs`: sends jobs to SageMaker, according to the plan of a deployed stage; `--dry-run` sends nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final, cast

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, NoRegionError

from local.cli.jobs.package import package_code
from local.cli.jobs.view import job_facts, listed_job, show_job, show_jobs
from local.cli.stage import announce, aws_session, stage_of
from local.errors import WorkbenchError
from local.settings import STAGE, load_settings
from signalbox.adapters.aws.training_jobs import SageMakerClient, SageMakerJobs
from signalbox.contracts import PRODUCT, Env, Function, function_name
from signalbox.library.job_events import event_of
from signalbox.library.parameters import EvaluateParameters, JobPurpose, RegisterWhen, TrainParameters
from signalbox.library.pipeline import pipeline_definition
from signalbox.library.plan import TrainingPlan, read_plan
from signalbox.library.training_jobs import CODE_ARCHIVE, Request, StartedJob, evaluation_request, job_name, training_request
from training.data.walk_forward import MIN_FOLDS

FAMILIES: Final = ("xgboost", "lstm", "transformer")
ANSWER_SECONDS: Final = 150  # register_model may take two minutes; asking it again would only give the same answer


class JobsError(WorkbenchError):
    """AWS could not be reached, or gave an unexpected answer."""


@dataclass(frozen=True, slots=True)
class JobsOptions:
    """The options of every command in the group. stage: as given on the command line; without it the plan names the stage."""

    stage: str | None
    plan: Path | None
    dry_run: bool
    as_json: bool
    at: datetime


def _aws(service: str) -> Any:
    patient = Config(read_timeout=ANSWER_SECONDS, retries={"total_max_attempts": 1}) if service == "lambda" else None
    return aws_session(load_settings()).client(service, config=patient)  # type: ignore[call-overload]


def _stage(options: JobsOptions) -> str:
    stage = stage_of(options.stage, load_settings())
    if stage == STAGE:
        raise JobsError("jobs run in AWS, not in the local cloud: give --stage dev or --stage prod")
    return stage


def _jobs() -> SageMakerJobs:
    return SageMakerJobs(cast("SageMakerClient", _aws("sagemaker")))


@contextmanager
def aws_errors_reported() -> Iterator[None]:
    """Turn errors of the AWS library into one line that says what to do."""
    try:
        yield
    except NoCredentialsError:
        raise JobsError(
            "no AWS credentials: run `aws configure sso` or set AWS_PROFILE; --dry-run --plan FILE needs none"
        ) from None
    except NoRegionError:
        raise JobsError("no AWS region: set AWS_REGION, for example eu-central-1") from None
    except ClientError as error:
        answer = error.response.get("Error", {})
        raise JobsError(f"{error.operation_name}: AWS answered {answer.get('Code')}: {answer.get('Message')}") from error
    except BotoCoreError as error:
        raise JobsError(f"AWS could not be reached: {error}") from error


def load_plan(options: JobsOptions) -> TrainingPlan:
    """Return the plan from a file, or from the deployed stage. Raises JobsError, TrainingPlanError."""
    if options.plan is not None:
        try:
            found = read_plan(options.plan.read_bytes())
        except OSError as error:
            raise JobsError(f"{options.plan}: cannot be read ({error.strerror})") from error
        if options.stage not in {None, found.stage}:
            raise JobsError(f"--stage: {options.plan} is the plan of stage {found.stage}, got {options.stage!r}")
        return found
    stage = _stage(options)
    name = function_name(stage, Function.START_TRAINING)
    with aws_errors_reported():
        found = _aws("lambda").get_function_configuration(FunctionName=name)
    text = found.get("Environment", {}).get("Variables", {}).get(Env.TRAINING_PLAN.value)
    if not text:
        raise JobsError(f"{name} has no {Env.TRAINING_PLAN.value}; deploy the stack {PRODUCT}-{stage}-training")
    return read_plan(text)


def run_train(options: JobsOptions, given: dict[str, Any]) -> None:
    """Start a training. given: the parameters that the user gave; the plan has the others. Raises SignalboxError."""
    plan = load_plan(options)
    _check_training(given, load_settings().repository)
    base = {"model": plan.model, "config": plan.config, "tracking_uri": plan.tracking_uri}
    request = training_request(plan, job_name(plan.stage, "train", options.at), TrainParameters.parse(base | given))
    _send(options, plan.stage, "CreateTrainingJob", request, lambda jobs: jobs.start_training_job(request))


def _check_training(given: Mapping[str, Any], repository: Path) -> None:
    """Raise JobsError for input that the job would otherwise refuse only after its machine has started and costs money."""
    configs = sorted(path.stem for path in (repository / "training" / "configs").glob("*.toml"))
    if given.get("config", configs[0]) not in configs:
        raise JobsError(f"--config: expected one of {', '.join(configs)}, got {given['config']!r}")
    if not set(str(given.get("families", FAMILIES[0])).split(",")) <= set(FAMILIES):
        raise JobsError(f"--families: expected some of {','.join(FAMILIES)}, got {given['families']!r}")
    if 0 < int(given.get("folds", 0)) < MIN_FOLDS:
        raise JobsError(f"--folds: expected 0 or at least {MIN_FOLDS}, got {given['folds']}")


def run_evaluate(options: JobsOptions, model_uri: str, given: dict[str, Any]) -> None:
    """Start an evaluation of a model in S3. Raises SignalboxError."""
    plan = load_plan(options)
    name = job_name(plan.stage, "evaluate", options.at)
    request = evaluation_request(plan, name, model_uri, EvaluateParameters.parse(given))
    _send(options, plan.stage, "CreateTrainingJob", request, lambda jobs: jobs.start_training_job(request))


def run_pipeline(options: JobsOptions, *, start: bool, parameters: dict[str, str]) -> None:
    """Create or replace the stage's pipeline, and start it if asked to. Raises SignalboxError."""
    if (when := parameters.get("RegisterWhen")) is not None and when not in set(RegisterWhen):
        raise JobsError(f"register-when: expected one of {', '.join(RegisterWhen)}, got {when!r}")
    plan = load_plan(options)
    name = plan.pipeline or f"{PRODUCT}-{plan.stage}"
    definition = pipeline_definition(plan)

    def put(jobs: SageMakerJobs) -> StartedJob:
        made = jobs.put_pipeline(name, definition, role_arn=plan.pipeline_role_arn, tags=plan.tags)
        return jobs.start_pipeline(name, job_name(plan.stage, "train", options.at), parameters) if start else made

    shown = {"PipelineName": name, "RoleArn": plan.pipeline_role_arn, "PipelineDefinition": definition, "Tags": plan.tags}
    _send(options, plan.stage, "CreatePipeline", shown, put)


def run_list(options: JobsOptions, *, purpose: str | None, at_most: int) -> None:
    """Show the newest jobs of a stage, or only those of one purpose. Raises SignalboxError."""
    if purpose is not None and purpose not in set(JobPurpose):
        raise JobsError(f"purpose: expected one of {', '.join(JobPurpose)}, got {purpose!r}")
    stage = _stage(options)
    prefix = f"{PRODUCT}-{stage}-" + (f"{purpose}-" if purpose else "")
    with aws_errors_reported():
        found = _jobs().training_jobs(prefix, at_most=at_most)
    if options.as_json:
        print(json.dumps([listed_job(one, stage) for one in found]))
    else:
        show_jobs(found, stage)


def run_show(name: str, *, as_json: bool) -> None:
    """Show one job: its parameters, its end and its figures. Raises SignalboxError."""
    with aws_errors_reported():
        found = job_facts(_jobs().describe_training_job(name))
    if as_json:
        print(json.dumps(found))
    else:
        show_job(found)


def run_register(options: JobsOptions, name: str) -> None:
    """Register a finished job in the library, as its event would have done. Use it if the event was lost or arrived too early.

    Raises SignalboxError; JobsError for a job that still runs or has another role, or if the function fails.
    """
    plan = load_plan(options)
    with aws_errors_reported():
        description = _jobs().describe_training_job(name)
        if (role := description.get("RoleArn")) != plan.role_arn:
            raise JobsError(f"{name} is not a job of stage {plan.stage}: expected role {plan.role_arn}, got {role}")
        event = event_of(description)
        if options.dry_run:
            print(json.dumps({"operation": "Invoke", "request": event}, indent=None if options.as_json else 2))
            return
        announce(plan.stage, aws_session(load_settings()))
        answer = _aws("lambda").invoke(FunctionName=plan.register_function_arn, Payload=json.dumps(event).encode())
        reply = json.loads(answer["Payload"].read())
    if "FunctionError" in answer:
        raise JobsError(f"{name}: register_model failed: {reply.get('errorMessage', reply)}")
    _show(options, {"job": name, **reply})


def run_package(
    options: JobsOptions, repository: Path, *, wheels: Path | None, out: Path | None, cuda_trees: bool = False
) -> None:
    """Pack the code, and upload it to where jobs load it from or write it to a file. Raises SignalboxError."""
    package = package_code(repository, wheels, cuda_trees=cuda_trees)
    facts: dict[str, Any] = {"bytes": len(package.content), "sha256": package.sha256, "files": len(package.files)}
    facts["trees"] = "cuda" if cuda_trees else "cpu"
    if out is not None:
        try:
            out.parent.mkdir(parents=True, exist_ok=True)
            out.write_bytes(package.content)
        except OSError as error:
            raise JobsError(f"{out}: cannot be written ({error.strerror})") from error
        _show(options, {**facts, "written": str(out)})
        return
    plan = load_plan(options)
    bucket, _, prefix = plan.code_uri.removeprefix("s3://").partition("/")
    key = f"{prefix}/{CODE_ARCHIVE}"
    if not options.dry_run:
        with aws_errors_reported():
            announce(plan.stage, aws_session(load_settings()))
            _aws("s3").put_object(Bucket=bucket, Key=key, Body=package.content)
    _show(options, {**facts, "dry_run" if options.dry_run else "written": f"s3://{bucket}/{key}"})


def _send(
    options: JobsOptions, stage: str, operation: str, request: Request, call: Callable[[SageMakerJobs], StartedJob]
) -> None:
    if options.dry_run:
        print(json.dumps({"operation": operation, "request": request}, indent=None if options.as_json else 2))
        return
    with aws_errors_reported():
        announce(stage, aws_session(load_settings()))
        started = call(_jobs())
    _show(options, {"name": started.name, "arn": started.arn, "new": started.new})


def _show(options: JobsOptions, facts: dict[str, Any]) -> None:
    if options.as_json:
        print(json.dumps(facts))
        return
    for key, value in facts.items():
        print(f"{key}: {value}")
