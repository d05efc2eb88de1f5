"""A deployment from its checks to the test alarm: what stands in its way is told with what to do, and repeating goes on."""

from __future__ import annotations

import fcntl
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError
from moto import mock_aws

from local.cli.cost import app as cost_app
from local.cli.deploy import command
from local.cli.deploy.app import deploy
from local.cli.deploy.checks import BOOTSTRAP_PARAMETER, NotReadyError, findings, target_of
from local.cli.deploy.command import StageDeployment
from local.errors import DeployError
from local.settings import Settings, load_settings
from signalbox.contracts import Env, StackOutput

TEMPLATE = {"Resources": {"Topic": {"Type": "AWS::SNS::Topic"}}}
OUTPUTS = {StackOutput.TELEGRAM_SECRET_ARN.value: "telegram", StackOutput.EXCHANGE_SECRET_ARN.value: "exchange"}


class Person:
    """Somebody who types what the test says, and what was shown to them."""

    def __init__(self, *, yes: bool = True, typed: Sequence[str] = ("12:abc", "7")) -> None:
        self.yes, self.typed = yes, list(typed)
        self.shown: list[str] = []
        self.asked: list[str] = []

    def say(self, text: str) -> None:
        self.shown.append(text)

    def agrees(self, question: str) -> bool:
        self.asked.append(question)
        return self.yes

    def secret(self, question: str) -> str:
        self.asked.append(question)
        return self.typed.pop(0)


class Stacks:
    """CloudFormation as far as it is read here."""

    def __init__(self) -> None:
        self.stacks: list[dict[str, Any]] = []

    def get_paginator(self, _: str) -> Stacks:
        return self

    def paginate(self) -> list[dict[str, Any]]:
        return [{"Stacks": self.stacks}]


class LimitedSession:
    """boto3 on moto, with the answers that moto has not."""

    def __init__(self, executions: int = 1000, region: str | None = "eu-central-1") -> None:
        self.executions, self.region_name = executions, region
        self.cloudformation = Stacks()
        self.invoked: list[dict[str, Any]] = []
        self.failed: dict[str, str] = {}
        self.library: dict[str, Any] = {"version": "starter@1", "deployment": {"deployment": "starter-v1"}}

    def invoke(self, **call: Any) -> dict[str, Any]:
        """Answer as library_api does, which moto cannot run."""
        self.invoked.append(call)
        return {"Payload": io.BytesIO(json.dumps(self.library).encode()), **self.failed}

    def client(self, service: str, **options: Any) -> Any:
        if service == "cloudformation":
            return self.cloudformation
        made: Any = boto3.client(service, **options)  # type: ignore[call-overload]
        if service == "lambda":
            made.get_account_settings = lambda: {"AccountLimit": {"ConcurrentExecutions": self.executions}}
            made.invoke = self.invoke
        return made


class FailingSession:
    """A session whose credentials or network do not work."""

    region_name = "eu-central-1"

    def __init__(self, error: Exception) -> None:
        self.error = error

    def client(self, *_: str) -> FailingSession:
        return self

    def get_caller_identity(self) -> None:
        raise self.error


@pytest.fixture
def account(aws: None) -> Iterator[None]:
    """An account that is bootstrapped, with what a deployment of dev leaves in it."""
    with mock_aws():
        boto3.client("ssm").put_parameter(Name=BOOTSTRAP_PARAMETER, Value="21", Type="String")
        yield


def deploy_stack(session: LimitedSession) -> None:
    outputs = [{"OutputKey": key, "OutputValue": value} for key, value in OUTPUTS.items()]
    session.cloudformation.stacks.append(
        {"StackName": "signalbox-dev-secrets", "StackStatus": "CREATE_COMPLETE", "Outputs": outputs}
    )
    shape = json.dumps({"bot_token": "generated", "chat_ids": []})
    for name in OUTPUTS.values():
        boto3.client("secretsmanager").create_secret(Name=name, SecretString=shape)
    boto3.client("cloudwatch").put_metric_alarm(
        AlarmName="signalbox-dev-market-NoCandles", MetricName="x", Namespace="x", Period=60, EvaluationPeriods=1,
        Statistic="Sum", Threshold=1, ComparisonOperator="LessThanThreshold",
    )  # fmt: skip


class Runs:
    """The commands of a deployment; what CloudFormation would have made is made at `deploy`."""

    def __init__(self, fails_at: str = "") -> None:
        self.fails_at = fails_at
        self.done: list[str] = []
        self.session = LimitedSession()

    def __call__(self, arguments: Sequence[str]) -> int:
        name = next((word for word in ("diff", "deploy") if word in arguments), "synth")
        self.done.append(name)
        if name == self.fails_at:
            return 7
        if name == "deploy" and not self.session.cloudformation.stacks:
            deploy_stack(self.session)
        return 0


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setattr(command, "stage_templates", lambda *_: {})
    monkeypatch.setattr(command, "stage_cost", lambda *_: [])
    return replace(load_settings(), state=tmp_path)


def deployment(settings: Settings, person: Person, runs: Runs) -> StageDeployment:
    return StageDeployment(settings, "dev", person, runs, runs.session)


def test_a_deployment_ends_with_secrets_an_alarm_and_the_dashboards_address(settings: Settings, account: None) -> None:
    person, runs = Person(), Runs()
    assert deployment(settings, person, runs).deploy()
    assert runs.done == ["synth", "diff", "deploy"]
    starter = {"FunctionName": "signalbox-dev-library-api", "Qualifier": "live", "Payload": b'{"starter": true}'}
    assert runs.session.invoked == [starter]
    assert "the library has starter@1; deployed is starter-v1" in person.shown
    held = json.loads(boto3.client("secretsmanager").get_secret_value(SecretId="telegram")["SecretString"])
    assert held == {"bot_token": "12:abc", "chat_ids": ["7"]}
    (alarm,) = boto3.client("cloudwatch").describe_alarms()["MetricAlarms"]
    assert alarm["StateValue"] == "ALARM"
    assert "dashboards/dashboard/signalbox-dev" in person.shown[-1]
    assert not [line for line in person.shown if "12:abc" in line]


def test_a_library_that_fails_ends_the_deployment_with_its_reason(settings: Settings, account: None) -> None:
    runs = Runs()
    runs.session.failed, runs.session.library = {"FunctionError": "Unhandled"}, {"errorMessage": "no ledger"}
    with pytest.raises(DeployError, match=r"signalbox-dev-library-api did not register the starter model: .*no ledger"):
        deployment(settings, Person(), runs).deploy()


def test_a_repeated_deployment_asks_for_nothing_that_is_there(settings: Settings, account: None) -> None:
    runs = Runs()
    assert deployment(settings, Person(), runs).deploy()
    person = Person(typed=())
    assert deployment(settings, person, runs).deploy()
    assert len(person.asked) == 1  # whether to deploy


def test_a_deployment_that_broke_off_is_gone_on_with_by_the_same_command(settings: Settings, account: None) -> None:
    runs = Runs("deploy")
    with pytest.raises(DeployError, match="run the same command again"):
        deployment(settings, Person(), runs).deploy()
    runs.fails_at = ""
    assert deployment(settings, Person(), runs).deploy()


def test_a_no_deploys_nothing(settings: Settings, account: None) -> None:
    runs = Runs()
    assert not deployment(settings, Person(yes=False), runs).deploy()
    assert runs.done == ["synth", "diff"]


def test_a_secret_that_is_left_for_later_says_how(settings: Settings, account: None) -> None:
    person = Person(typed=("", ""))
    assert deployment(settings, person, Runs()).deploy()
    assert any("signalbox secrets set telegram.bot_token --stage dev" in line for line in person.shown)


def test_two_deployments_at_once_are_one(settings: Settings, account: None) -> None:
    folder = settings.state / "deploy"
    folder.mkdir()
    with (folder / "dev.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(NotReadyError, match="another `signalbox deploy`"):
            deployment(settings, Person(), Runs()).deploy()


def refused(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "no"}}, "GetCallerIdentity")


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (NoCredentialsError(), "aws configure sso"),
        (refused("ExpiredToken"), "aws sso login"),
        (refused("InvalidClientTokenId"), "rejects these credentials"),
        (refused("AccessDenied"), "did not accept your credentials"),
        (EndpointConnectionError(endpoint_url="https://sts"), "cannot be reached in region eu-central-1"),
    ],
)
def test_credentials_that_do_not_work_are_one_message_with_what_to_do(error: Exception, told: str) -> None:
    with pytest.raises(NotReadyError, match=told):
        target_of(FailingSession(error))


def test_without_a_region_nothing_is_asked() -> None:
    with pytest.raises(NotReadyError, match="AWS_REGION"):
        target_of(LimitedSession(region=None))


@pytest.mark.parametrize(("version", "told"), [(None, "are not bootstrapped"), ("5", "got 5")])
def test_an_account_without_bootstrap_is_told_the_command(
    settings: Settings, account: None, version: str | None, told: str
) -> None:
    ssm = boto3.client("ssm")
    if version is None:
        ssm.delete_parameter(Name=BOOTSTRAP_PARAMETER)
    else:
        ssm.put_parameter(Name=BOOTSTRAP_PARAMETER, Value=version, Type="String", Overwrite=True)
    runs = Runs()
    with pytest.raises(NotReadyError, match=rf"{told}.*bootstrap aws://123456789012/eu-central-1"):
        deployment(settings, Person(), runs).deploy()
    assert runs.done == []


def verifying(region_file: str = "/opt/python/signalbox/adapters/postgres/certificates/") -> dict[str, Any]:
    """Templates with one function that verifies the database's certificate."""
    path = {"Fn::Join": ["", [region_file, {"Ref": "AWS::Region"}, ".pem"]]}
    environment = {"Variables": {Env.DATABASE_CA_FILE.value: path}}
    function = {"Type": "AWS::Lambda::Function", "Properties": {"Environment": environment}}
    return {"signalbox-dev-schema": {"Resources": {"Topic": {"Type": "AWS::SNS::Topic"}, "Migrate": function}}}


def test_a_region_whose_authorities_are_unknown_is_refused_before_anything_runs(
    settings: Settings, account: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "stage_templates", lambda *_: verifying())
    runs = Runs()
    runs.session.region_name = "il-central-1"
    monkeypatch.setenv("AWS_DEFAULT_REGION", "il-central-1")
    boto3.client("ssm").put_parameter(Name=BOOTSTRAP_PARAMETER, Value="21", Type="String")
    with pytest.raises(NotReadyError, match=r'got il-central-1: set database_sslmode = "require".*known: .*eu-central-1'):
        deployment(settings, Person(), runs).deploy()
    assert runs.done == []
    runs.session.region_name = "eu-central-1"
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    assert deployment(settings, Person(), runs).deploy()


def test_a_new_accounts_quota_is_told_and_does_not_block(settings: Settings, account: None) -> None:
    person, runs = Person(), Runs()
    runs.session.executions = 10
    assert deployment(settings, person, runs).deploy()
    assert any("L-B99A9384" in line for line in person.shown)


@pytest.mark.parametrize(
    ("status", "told"),
    [
        ("UPDATE_IN_PROGRESS", "wait until it ends"),
        ("ROLLBACK_COMPLETE", "delete-stack --stack-name signalbox-dev-data"),
        ("UPDATE_ROLLBACK_FAILED", "continue-update-rollback"),
    ],
)
def test_a_stack_that_is_stuck_is_told_with_its_command(account: None, status: str, told: str) -> None:
    session = LimitedSession()
    session.cloudformation.stacks = [{"StackName": f"signalbox-{stage}-data", "StackStatus": status} for stage in ("dev", "prod")]
    (found,) = findings(session, target_of(session), "dev")
    assert found.blocks
    assert told in found.text


def test_a_dry_run_asks_nobody_and_runs_nothing(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    synthesised: list[str] = []

    def template(_: Settings, stage: str, out: Path) -> None:
        synthesised.append(stage)
        (out / f"signalbox-{stage}-secrets.template.json").write_text(json.dumps(TEMPLATE))

    monkeypatch.setattr(cost_app, "synthesise_templates", template)
    monkeypatch.setattr(command, "stage_templates", cost_app.stage_templates)
    person = Person()

    def never(_: Sequence[str]) -> int:
        raise AssertionError("expected nothing to be run")

    StageDeployment(settings, "dev", person, never).dry()
    assert person.asked == []
    assert "  signalbox-dev-secrets: 1 SNS" in person.shown
    assert synthesised == ["dev"]  # once: nothing else of a dry run is slow


def test_checks_and_the_cdk_go_to_the_account_and_region_of_the_settings(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "credentials").write_text("[trading]\naws_access_key_id = AKIATRADING\naws_secret_access_key = x\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setattr("local.settings.load_settings", lambda: replace(settings, region="eu-north-1", profile="trading"))
    seen: list[Any] = []

    def noted(made: StageDeployment) -> bool:
        seen.append(made)
        return True

    monkeypatch.setattr(command, "run_in", lambda _, environment: environment)
    monkeypatch.setattr(StageDeployment, "deploy", noted)
    deploy("dev")
    (made,) = seen
    assert (made.session.region_name, made.session.profile_name) == ("eu-north-1", "trading")
    assert (made.run["AWS_REGION"], made.run["AWS_PROFILE"]) == ("eu-north-1", "trading")
