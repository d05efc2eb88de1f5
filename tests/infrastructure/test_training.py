"""Training: roles of least privilege, a schedule that is off, an ear for SageMaker's events, and the plan its readers expect."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cdk.composition import synthesise
from cdk.sources import SourceTree
from cdk.stage import stage_from_context
from cdk.stage_file import StageError
from signalbox.contracts import Env, Function
from signalbox.library.pipeline import pipeline_definition
from signalbox.library.plan import TrainingPlan, read_plan
from tests.infrastructure.assembly import Assembly, Resource
from tests.infrastructure.test_functions import deployed, statements

pytestmark = pytest.mark.infra

IMAGE = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/signalbox-training:7"
SERVER = "arn:aws:sagemaker:eu-central-1:123456789012:mlflow-tracking-server/signalbox"
ASKED = {"training_image": IMAGE, "retrain": "true", "mlflow_server": SERVER, "training_pipeline": "signalbox-weekly"}


@pytest.fixture(scope="session")
def asked(tmp_path_factory: pytest.TempPathFactory, sources: SourceTree) -> Assembly:
    """Stage dev with everything that can be asked for."""
    _, written = synthesise({"stage": "dev", **ASKED}, out=tmp_path_factory.mktemp("asked"), sources=sources, templates_only=True)
    return Assembly("dev", written)


def of_training(assembly: Assembly, type_: str, name: str) -> Resource:
    (found,) = (r for r in assembly.resources(type_) if r.stack == "training" and r.logical_id.startswith(name))
    return found


def allowed(assembly: Assembly, role: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = of_training(assembly, "AWS::IAM::Policy", role).properties["PolicyDocument"]["Statement"]
    return found


def actions(found: list[dict[str, Any]]) -> set[str]:
    return {one for s in found for one in (s["Action"] if isinstance(s["Action"], list) else [s["Action"]])}


def resolved(value: Any) -> Any:
    """A text of the template with a made-up value for each reference."""
    if isinstance(value, str):
        return value
    parts = []
    for part in value["Fn::Join"][1]:
        if isinstance(part, str):
            parts.append(part)
        elif "Fn::GetAtt" in part:
            kind = (
                "lambda:eu-central-1:123456789012:function:f"
                if "Function" in part["Fn::GetAtt"][0]
                else "iam::123456789012:role/r"
            )
            parts.append(f"arn:aws:{kind}")
        else:
            parts.append("bucket")
    return "".join(parts)


def plan_of(assembly: Assembly) -> TrainingPlan:
    variables = deployed(assembly, Function.START_TRAINING).properties["Environment"]["Variables"]
    return read_plan(resolved(variables[Env.TRAINING_PLAN]))


def test_the_plan_in_the_template_is_the_one_its_readers_expect(assembly: Assembly) -> None:
    plan = plan_of(assembly)
    assert plan.stage == assembly.stage
    assert plan.isolated
    assert plan.spot
    assert (plan.image_uri, plan.pipeline) == ("", "")
    assert plan.code_uri == "s3://bucket/training/code"


def test_nothing_is_retrained_unless_it_is_asked_for(assembly: Assembly, asked: Assembly) -> None:
    schedule = of_training(assembly, "AWS::Scheduler::Schedule", "EveryWeek").properties
    assert (schedule["State"], schedule["ScheduleExpression"]) == ("DISABLED", "cron(0 2 ? * SUN *)")
    assert of_training(asked, "AWS::Scheduler::Schedule", "EveryWeek").properties["State"] == "ENABLED"
    assert "LostRuns" in json.dumps(schedule["Target"]["DeadLetterConfig"])


def test_retraining_without_an_image_is_refused() -> None:
    with pytest.raises(StageError, match=r"dev.toml with -c retrain: training: expected an image"):
        stage_from_context({"stage": "dev", "retrain": "true"})


@pytest.mark.parametrize(
    ("key", "value"), [("training_instance", "g5.xlarge"), ("training_model", "Not A Name"), ("mlflow_server", "http://x")]
)
def test_a_malformed_option_is_refused(key: str, value: str) -> None:
    with pytest.raises(StageError, match=f"-c {key}"):
        stage_from_context({"stage": "dev", key: value})


def test_the_library_hears_of_this_stages_trainings_that_ended(assembly: Assembly) -> None:
    rule = of_training(assembly, "AWS::Events::Rule", "FinishedJobs").properties
    assert rule["EventBusName"] == "default"
    pattern = rule["EventPattern"]
    assert (pattern["source"], pattern["detail-type"]) == (["aws.sagemaker"], ["SageMaker Training Job State Change"])
    assert pattern["detail"]["TrainingJobStatus"] == ["Completed", "Failed", "Stopped"]
    assert pattern["detail"]["HyperParameters"] == {"purpose": ["train", "evaluate"]}
    assert "ExecutionRole" in json.dumps(pattern["detail"]["RoleArn"])


def test_jobs_read_candles_and_write_below_one_prefix(assembly: Assembly) -> None:
    found = allowed(assembly, "Execution")
    writes = [json.dumps(s["Resource"]) for s in found if "s3:PutObject" in s["Action"]]
    assert len(writes) == 1
    assert "Models" in writes[0]
    assert '/training/*"' in writes[0]
    lists = [s["Condition"]["StringLike"]["s3:prefix"] for s in found if s["Action"] == "s3:ListBucket"]
    assert lists == [["candles", "candles/*"], ["training", "training/*"]]
    assert actions(found) == {
        "cloudwatch:PutMetricData",
        "logs:CreateLogGroup",
        "logs:CreateLogStream",
        "logs:DescribeLogStreams",
        "logs:PutLogEvents",
        "s3:GetObject",
        "s3:ListBucket",
        "s3:PutObject",
    }


def test_image_and_tracking_are_allowed_when_they_are_configured(asked: Assembly) -> None:
    found = allowed(asked, "Execution")
    (pull,) = (s for s in found if "ecr:BatchGetImage" in s["Action"])
    assert "ecr:eu-central-1:123456789012:repository/signalbox-training" in json.dumps(pull["Resource"])
    (track,) = (s for s in found if any(action.startswith("sagemaker-mlflow:") for action in s["Action"]))
    assert track["Resource"] == SERVER
    plan = plan_of(asked)
    assert (plan.image_uri, plan.pipeline, plan.tracking_uri) == (IMAGE, "signalbox-weekly", SERVER)
    assert not plan.isolated


@pytest.mark.parametrize("role", ["StartTraining", "Pipeline"])
def test_only_the_execution_role_is_handed_on_and_to_sagemaker_alone(assembly: Assembly, role: str) -> None:
    (handed,) = (s for s in allowed(assembly, role) if s["Action"] == "iam:PassRole")
    assert "ExecutionRole" in json.dumps(handed["Resource"])
    assert handed["Condition"] == {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}}


def test_a_pipeline_reads_the_verdict_that_its_condition_asks_for_and_nothing_else(asked: Assembly) -> None:
    found = allowed(asked, "Pipeline")
    (read,) = (s for s in found if s["Action"] == "s3:GetObject")
    assert '/training/artifacts/evaluations/*"' in json.dumps(read["Resource"])
    written = pipeline_definition(plan_of(asked))["Steps"][2]["Arguments"]["ProcessingOutputConfig"]["Outputs"][0]["S3Output"]
    assert written["S3Uri"]["Std:Join"]["Values"][:2] == ["s3://bucket/training/artifacts", "evaluations"]
    assert not [one for one in actions(found) if one.startswith("s3:") and one != "s3:GetObject"]


def test_with_a_pipeline_the_schedule_may_start_that_and_nothing_else(asked: Assembly) -> None:
    found = statements(asked, Function.START_TRAINING)
    beside_its_record = {one for one in actions(found) if not one.startswith(("logs:", "xray:"))}
    assert beside_its_record == {"sagemaker:StartPipelineExecution", "sqs:SendMessage"}  # the second for runs that were lost
    (start,) = (s for s in found if s["Action"] == "sagemaker:StartPipelineExecution")
    assert ":pipeline/signalbox-weekly" in json.dumps(start["Resource"])


@pytest.mark.parametrize("role", ["Execution", "Pipeline"])
def test_roles_of_sagemaker_are_assumed_in_this_account_alone(assembly: Assembly, role: str) -> None:
    (trust,) = of_training(assembly, "AWS::IAM::Role", role).properties["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Principal"] == {"Service": "sagemaker.amazonaws.com"}
    assert trust["Condition"] == {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}


def test_deploying_creates_no_sagemaker_resource(assembly: Assembly, asked: Assembly) -> None:
    for one in (assembly, asked):
        assert not [r for r in one.resources() if r.type.startswith("AWS::SageMaker")]


def test_everything_that_can_be_asked_for_is_clean_for_both_linters(asked: Assembly) -> None:
    report = json.loads((asked.folder / "validation-report.json").read_text())
    assert report["pluginReports"] == []
    template = asked.folder / "signalbox-dev-training.template.json"
    command = [str(Path(sys.executable).with_name("cfn-lint")), "--ignore-checks", "W3005", "--regions", "eu-central-1"]
    done = subprocess.run([*command, "--template", str(template)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
