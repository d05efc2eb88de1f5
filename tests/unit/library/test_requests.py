"""Requests to SageMaker: valid for the service's own model, isolated, and what they name is what the jobs read."""

from __future__ import annotations

import json
import math
import re
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import botocore.session
import pytest
from botocore.validate import ParamValidator
from hypothesis import given
from hypothesis import strategies as st

from signalbox.library.errors import TrainingPlanError
from signalbox.library.job_events import job_of_pipeline
from signalbox.library.metrics import (
    DRAWN,
    MAX_DEFINITIONS,
    EpochFigure,
    JobMetric,
    epoch_line,
    metric_line,
    metric_pattern,
    training_definitions,
)
from signalbox.library.parameters import EvaluateParameters, FeaturesParameters, Registration, TrainParameters
from signalbox.library.pipeline import pipeline_definition
from signalbox.library.plan import read_plan
from signalbox.library.training_jobs import evaluation_request, job_name, scheduled_parameters, training_request
from tests.unit.library.plans import plan
from training.config import read_config
from training.job import config_path

SUNDAY = datetime(2026, 11, 15, 2, 0, tzinfo=UTC)
NAME = job_name("test", "train", SUNDAY)
SERVICE = botocore.session.get_session().get_service_model("sagemaker")


def faults(operation: str, request: dict[str, Any]) -> str:
    """What SageMaker's own model of the request says about it, as boto3 would before sending it."""
    shape = SERVICE.operation_model(operation).input_shape
    assert shape is not None
    return str(ParamValidator().validate(request, shape).generate_report())


def test_the_name_of_a_scheduled_job_is_a_function_of_its_instant() -> None:
    assert NAME == "signalbox-test-train-20261115t020000z"
    prague = SUNDAY.astimezone(timezone(timedelta(hours=1)))
    assert job_name("test", "train", prague) == NAME
    assert job_name("test", "train", SUNDAY + timedelta(seconds=1)) != NAME


@given(st.datetimes(min_value=datetime(2020, 1, 1), max_value=datetime(2099, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001
def test_every_name_is_one_that_sagemaker_takes(instant: datetime) -> None:
    assert re.fullmatch(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}", job_name("local", "evaluate", instant))


def test_a_name_over_the_limit_is_refused() -> None:
    with pytest.raises(TrainingPlanError, match="at most 63 characters"):
        job_name("test", "train", SUNDAY, "x" * 40)


def test_a_scheduled_training_uses_whole_days_before_its_instant() -> None:
    found = scheduled_parameters(plan(), SUNDAY)
    assert (found.start, found.end) == (datetime(2025, 11, 15, tzinfo=UTC), datetime(2026, 11, 15, tzinfo=UTC))
    assert found.registration is Registration.ON_COMPLETION


@pytest.mark.parametrize("spot", [True, False])
def test_a_training_request_is_what_the_service_takes(spot: bool) -> None:
    request = training_request(plan(spot=spot), NAME, scheduled_parameters(plan(), SUNDAY))
    assert faults("CreateTrainingJob", request) == ""
    assert request["EnableNetworkIsolation"] is True
    assert request["EnableManagedSpotTraining"] is spot
    assert ("MaxWaitTimeInSeconds" in request["StoppingCondition"]) is spot
    assert request["CheckpointConfig"] == {
        "S3Uri": f"s3://models/training/checkpoints/{NAME}",
        "LocalPath": "/opt/ml/checkpoints",
    }
    assert request["StoppingCondition"]["MaxRuntimeInSeconds"] == 21_600
    assert {"Key": "stage", "Value": "test"} in request["Tags"]
    assert "VpcConfig" not in request


def test_the_job_reads_back_the_parameters_its_launcher_wrote() -> None:
    asked = TrainParameters(model="dir60", config="quick", seed=7, folds=6, start=SUNDAY, end=SUNDAY + timedelta(days=1))
    request = training_request(plan(), NAME, asked)
    assert TrainParameters.parse(request["HyperParameters"]) == asked
    quoted = {key: json.dumps(value) for key, value in request["HyperParameters"].items()}
    assert TrainParameters.parse(quoted) == asked
    assert all(isinstance(value, str) for value in request["HyperParameters"].values())


@pytest.mark.parametrize(
    ("kind", "reported"),
    [
        (TrainParameters, {"model": "m", "seed": [1]}),
        (TrainParameters, {"model": {}}),
        (EvaluateParameters, {"coinbase_taker_bps": "inf"}),
    ],
)
def test_a_value_of_another_kind_is_a_fault_of_its_parameter(
    kind: type[TrainParameters | EvaluateParameters], reported: Any
) -> None:
    """The container's tools read each text as JSON where they can: what arrives may be any JSON."""
    with pytest.raises(TrainingPlanError, match=r"parameters of the job: (seed|model|coinbase_taker_bps)"):
        kind.parse(reported)
    assert TrainParameters.parse({"model": "m", "folds": 0, "seed": ""}).folds == 0


def test_the_code_travels_as_a_channel_because_there_is_no_network() -> None:
    request = training_request(plan(), NAME, TrainParameters(model="dir60"))
    assert request["HyperParameters"]["sagemaker_submit_directory"] == "/opt/ml/input/data/code/sourcedir.tar.gz"
    assert [one["ChannelName"] for one in request["InputDataConfig"]] == ["candles", "code"]


def test_an_evaluation_runs_on_spot_too_and_keeps_no_checkpoints() -> None:
    request = evaluation_request(plan(), NAME, "s3://models/training/artifacts/x/output/model.tar.gz", EvaluateParameters())
    assert faults("CreateTrainingJob", request) == ""
    assert request["EnableManagedSpotTraining"] is True
    assert "CheckpointConfig" not in request
    assert request["HyperParameters"]["sagemaker_program"] == "evaluate.py"
    assert EvaluateParameters.parse(request["HyperParameters"]) == EvaluateParameters()


@pytest.mark.parametrize(
    "uri", ["model.tar.gz", "s3://other/training/m.tar.gz", "s3://models/bundles/m.zip", "s3://models/training/"]
)
def test_a_model_that_no_job_could_read_is_refused_before_a_machine_is_paid_for(uri: str) -> None:
    with pytest.raises(TrainingPlanError, match="below s3://models/training/"):
        evaluation_request(plan(), NAME, uri, EvaluateParameters())


def test_tracking_needs_a_network_and_is_refused_without_one() -> None:
    tracked = TrainParameters(model="dir60", tracking_uri="arn:aws:sagemaker:eu-central-1:1:mlflow-tracking-server/x")
    with pytest.raises(TrainingPlanError, match="without a network"):
        training_request(plan(), NAME, tracked)
    with_server = plan(tracking_uri=tracked.tracking_uri)
    assert training_request(with_server, NAME, tracked)["EnableNetworkIsolation"] is False


def test_without_an_image_nothing_can_be_started_and_the_error_says_what_to_deploy() -> None:
    with pytest.raises(TrainingPlanError, match="-c training_image="):
        training_request(plan(image_uri=""), NAME, TrainParameters(model="dir60"))


def test_a_plan_with_faults_names_each_of_them() -> None:
    text = json.dumps({**plan().model_dump(), "role_arn": "role", "candles_uri": "s3://market/candles/", "extra": 1})
    with pytest.raises(TrainingPlanError) as caught:
        read_plan(text)
    assert all(name in str(caught.value) for name in ("role_arn", "candles_uri", "extra"))
    with pytest.raises(TrainingPlanError, match="the wait includes the run"):
        read_plan(json.dumps({**plan().model_dump(), "max_wait_seconds": 700}))


@given(st.floats(allow_nan=False, allow_infinity=False, min_value=-1e12, max_value=1e12), st.sampled_from(JobMetric))
def test_a_printed_figure_is_found_again(value: float, metric: JobMetric) -> None:
    (found,) = re.findall(metric_pattern(metric), f"2026-11-15 some log {metric_line(metric, value)} more")
    assert float(found) == pytest.approx(value, abs=1e-6, rel=1e-9)
    others = [other for other in JobMetric if other is not metric]
    assert not any(re.search(metric_pattern(other), metric_line(metric, value)) for other in others)


@given(
    st.sampled_from([f"{family}-{n}" for family, (members, _) in DRAWN.items() for n in range(members)]),
    st.integers(0, 500),
    st.dictionaries(st.sampled_from(list(EpochFigure)), st.floats(-1e9, 1e9) | st.just(math.nan), min_size=1),
)
def test_an_epochs_figure_is_found_by_its_own_definition_and_by_no_other(
    member: str, epoch: int, figures: dict[EpochFigure, float]
) -> None:
    line = (
        f"2026-11-15T03:00:00 {epoch_line(f'whole/{member}', epoch, {str(name): value for name, value in figures.items()})} more"
    )
    found = {one["Name"]: hits for one in training_definitions() if (hits := re.findall(one["Regex"], line))}
    drawn = DRAWN[member.rpartition("-")[0]][1]
    assert {name: float(hits[0]) for name, hits in found.items()} == pytest.approx(
        {f"{member}:{figure}": value for figure, value in figures.items() if math.isfinite(value) and figure in drawn}, abs=1e-6
    )


def test_a_folds_line_is_in_the_log_and_in_no_curve_of_the_run() -> None:
    line = epoch_line("fold-0/lstm-0", 3, {"train_loss": 0.69, "stopping_loss": 0.69})
    assert line == "[metric] fold-0/lstm-0 epoch=3; train_loss=0.690000; stopping_loss=0.690000;"
    assert not [one["Name"] for one in training_definitions() if re.search(one["Regex"], line)]


def test_the_definitions_are_as_many_and_as_long_as_sagemaker_takes() -> None:
    names = [one["Name"] for one in training_definitions()]
    assert len(set(names)) == len(names) <= MAX_DEFINITIONS
    assert all(0 < len(one["Regex"]) <= 500 and len(one["Name"]) <= 255 for one in training_definitions())


@pytest.mark.parametrize("name", ["quick", "full"])
def test_every_network_of_a_shipped_configuration_has_its_curve(name: str) -> None:
    config = read_config(config_path(name))
    for family, (members, _) in DRAWN.items():
        section = getattr(config, family)
        assert section is not None
        assert section.members <= members, f"{family}: more members than curves"


class TestPipeline:
    definition = pipeline_definition(plan(pipeline="signalbox-test"))
    steps = {step["Name"]: step for step in definition["Steps"]}  # noqa: RUF012 - of a test

    def test_steps_are_in_their_order_and_the_last_decides(self) -> None:
        assert list(self.steps) == ["Features", "Train", "Evaluate", "RegisterOnPass"]
        assert json.loads(json.dumps(self.definition)) == self.definition
        decide = self.steps["RegisterOnPass"]["Arguments"]
        assert [step["Type"] for step in decide["IfSteps"] + decide["ElseSteps"]] == ["Lambda", "Lambda", "Fail"]
        assert decide["ElseSteps"][1]["DependsOn"] == [decide["ElseSteps"][0]["Name"]]

    def test_both_sides_of_the_condition_tell_the_library_and_which_side_it_was(self) -> None:
        decide = self.steps["RegisterOnPass"]["Arguments"]
        register, refuse = decide["IfSteps"][0]["Arguments"], decide["ElseSteps"][0]["Arguments"]
        assert (register["passed"], refuse["passed"]) == (True, False)
        assert {**register, "passed": None} == {**refuse, "passed": None}
        known = dict.fromkeys(register, "x") | {
            "model": register["model"],
            "finished_at": "2026-11-15T03:40:00Z",
            "register_when": "promotion",
        }
        assert job_of_pipeline(known | {"passed": refuse["passed"]}).evaluation.passed is False  # type: ignore[union-attr]

    @pytest.mark.parametrize(
        ("step", "operation"), [("Features", "ProcessingJob"), ("Evaluate", "ProcessingJob"), ("Train", "TrainingJob")]
    )
    def test_each_job_is_what_the_service_takes(self, step: str, operation: str) -> None:
        request = resolved(self.steps[step]["Arguments"]) | {f"{operation}Name": "pipelines-x"}
        assert faults(f"Create{operation}", request) == ""

    @pytest.mark.parametrize("step", ["Features", "Evaluate"])
    def test_processing_has_no_network(self, step: str) -> None:
        assert self.steps[step]["Arguments"]["NetworkConfig"] == {"EnableNetworkIsolation": True}

    def test_every_reference_names_a_parameter_or_an_earlier_step(self) -> None:
        parameters = {one["Name"] for one in self.definition["Parameters"]}
        before: set[str] = set()
        for name, step in self.steps.items():
            for reference in references(step):
                kind, _, rest = reference.partition(".")
                known = {"Parameters": parameters, "Steps": before, "Execution": {"PipelineExecutionId", "StartDateTime"}}[kind]
                assert rest.partition(".")[0] in known, reference
            before.add(name)

    def test_the_condition_reads_the_file_that_the_evaluation_writes(self) -> None:
        (found,) = self.steps["Evaluate"]["PropertyFiles"]
        assert (found["PropertyFileName"], found["FilePath"]) == ("Verdict", "verdict.json")
        (condition,) = self.steps["RegisterOnPass"]["Arguments"]["Conditions"]
        assert condition["LeftValue"]["Std:JsonGet"]["Path"] == "registers"

    def test_its_training_is_not_registered_by_its_completion(self) -> None:
        reported = self.steps["Train"]["Arguments"]["HyperParameters"]
        plain = {key: value for key, value in reported.items() if isinstance(value, str)}
        assert TrainParameters.parse(plain).registration is Registration.ON_PASS

    def test_an_empty_parameter_is_not_given(self) -> None:
        found = FeaturesParameters.parse({"config": "quick", "start": "", "end": ""})
        assert (found.start, found.end) == (None, None)

    def test_what_training_reads_is_what_the_features_step_froze(self) -> None:
        train = next(one for one in self.steps["Train"]["Arguments"]["InputDataConfig"] if one["ChannelName"] == "candles")
        uri = train["DataSource"]["S3DataSource"]["S3Uri"]
        assert uri == {"Get": "Steps.Features.ProcessingOutputConfig.Outputs['result'].S3Output.S3Uri"}


def references(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [value["Get"]] if set(value) == {"Get"} else []
        return own + [one for part in value.values() for one in references(part)]
    return [one for part in value for one in references(part)] if isinstance(value, list) else []


def resolved(value: Any) -> Any:
    """The request as the pipeline would send it: each reference a text."""
    if isinstance(value, dict):
        if set(value) & {"Get", "Std:Join"}:
            return "s3://resolved"
        return {key: resolved(part) for key, part in value.items()}
    return [resolved(part) for part in value] if isinstance(value, list) else value
