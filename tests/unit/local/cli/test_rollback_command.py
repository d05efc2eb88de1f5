"""A release goes back as a whole, to what ran before it, and by itself when an alarm begins to ring."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws
from typing_extensions import override

from local.cli.deploy import command
from local.cli.deploy.command import StageDeployment
from local.cli.rollback.release import POLL_SECONDS, WATCHED, Release
from local.errors import DeployError
from local.settings import Settings, load_settings
from signalbox.contracts import LIVE_ALIAS, Function, function_name
from tests.unit.local.cli.test_deploy_command import Person, Runs, deploy_stack
from tests.unit.local.cli.test_deploy_command import account as account  # noqa: PLC0414 - a fixture

CHANGED = (Function.MANAGE_ORDERS, Function.GENERATE_SIGNALS)
NAMES = (*CHANGED, Function.ROUTE_EVENTS)  # the last is the same in both releases


def _zip(text: str) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("handler.py", text)
    return content.getvalue()


def first_release() -> None:
    role = boto3.client("iam").create_role(RoleName="r", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    client = boto3.client("lambda")
    for function in NAMES:
        name = function_name("dev", function)
        client.create_function(
            FunctionName=name,
            Runtime="python3.13",
            Role=role,
            Handler="handler.handler",
            Code={"ZipFile": _zip("1")},
            Publish=True,
        )
        client.create_alias(FunctionName=name, Name=LIVE_ALIAS, FunctionVersion="1")


def next_release(*functions: Function) -> None:
    client = boto3.client("lambda")
    for function in functions:
        name = function_name("dev", function)
        version = client.update_function_code(FunctionName=name, ZipFile=_zip(f"{function} 2"), Publish=True)["Version"]
        client.update_alias(FunctionName=name, Name=LIVE_ALIAS, FunctionVersion=version)


@pytest.fixture
def deployed(aws: None) -> Iterator[Release]:
    with mock_aws():
        first_release()
        yield Release(boto3.Session(region_name="eu-central-1"), "dev", wait=lambda _: None)


def test_what_changed_goes_back_together_and_what_did_not_stays(deployed: Release) -> None:
    deployed.remember()
    next_release(*CHANGED)
    deployed.succeeded()
    moved = deployed.back()
    assert set(moved) == {function.value for function in CHANGED}
    assert set(deployed.versions().values()) == {"1"}
    assert deployed.back() == {}  # no second step: the schema is compatible with one release


def test_a_repeated_deployment_keeps_the_way_back_to_the_release_before(deployed: Release) -> None:
    deployed.remember()
    next_release(CHANGED[0])  # and then it breaks off
    deployed.remember()
    next_release(CHANGED[1])
    deployed.succeeded()
    deployed.back()
    assert set(deployed.versions().values()) == {"1"}


def test_the_next_deployment_has_its_own_way_back(deployed: Release) -> None:
    for _ in range(2):
        deployed.remember()
        next_release(*CHANGED)
        deployed.succeeded()
    two = deployed.versions()
    deployed.back()
    one = deployed.versions()
    assert all(int(two[function.value]) - int(one[function.value]) == 1 for function in CHANGED)


def test_nothing_moves_when_one_version_is_gone(deployed: Release) -> None:
    deployed.remember()
    next_release(*CHANGED)
    now = deployed.versions()
    boto3.client("lambda").delete_function(FunctionName=function_name("dev", CHANGED[0]), Qualifier="1")
    with pytest.raises(DeployError, match=r"manage_orders: version 1 cannot be used, so no function was moved"):
        deployed.back()
    assert deployed.versions() == now


@pytest.mark.parametrize("version", ["$LATEST", "live", "0", "1:x", 1, None])
def test_an_alias_is_pointed_to_the_number_of_a_version_and_nothing_else(deployed: Release, version: object) -> None:
    """Whoever may write the parameter had the live alias point to $LATEST, which is whatever is uploaded next."""
    deployed.remember()
    next_release(*CHANGED)
    now = deployed.versions()
    text = json.dumps({CHANGED[0].value: version})
    boto3.client("ssm").put_parameter(Name="/signalbox/dev/release/previous", Value=text, Type="String", Overwrite=True)
    with pytest.raises(DeployError, match="expected the number of a version"):
        deployed.back()
    assert deployed.versions() == now


def test_a_first_release_has_none_before_it(aws: None) -> None:
    with mock_aws():
        release = Release(boto3.Session(region_name="eu-central-1"), "dev")
        release.remember()
        assert not release.is_second()
        with pytest.raises(DeployError, match="nothing to go back to"):
            release.back()


def alarm(name: str, state: str) -> None:
    client = boto3.client("cloudwatch")
    client.put_metric_alarm(
        AlarmName=name, MetricName="x", Namespace="x", Period=60, EvaluationPeriods=1, Statistic="Sum", Threshold=1,
        ComparisonOperator="LessThanThreshold",
    )  # fmt: skip
    client.set_alarm_state(AlarmName=name, StateValue=state, StateReason="a test")


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setattr(command, "stage_templates", lambda *_: {})
    monkeypatch.setattr(command, "stage_cost", lambda *_: [])
    return replace(load_settings(), state=tmp_path)


class Upgrade(Runs):
    """A stage that is deployed, and a deployment that brings another release."""

    def __init__(self) -> None:
        super().__init__()
        deploy_stack(self.session)
        first_release()

    @override
    def __call__(self, arguments: Any) -> int:
        status = super().__call__(arguments)
        if "deploy" in arguments:
            next_release(*CHANGED)
        return status


@pytest.mark.parametrize("name", ["signalbox-dev-trading-NotMonitored", "signalbox-prod-trading-NotMonitored"])
def test_an_alarm_of_the_stage_that_begins_to_ring_takes_the_release_back(settings: Settings, account: None, name: str) -> None:
    runs, person, looks = Upgrade(), Person(), []
    alarm("signalbox-dev-lake-BadDayFile", "ALARM")  # which rang before, and is no sign of this release
    alarm(name, "OK")

    def wait(seconds: float) -> None:
        looks.append(seconds)
        if len(looks) == 3:
            alarm(name, "ALARM")

    stays = StageDeployment(settings, "dev", person, runs, runs.session, wait=wait).deploy()
    versions = set(Release(runs.session, "dev").versions().values())
    if "-dev-" in name:
        assert not stays
        assert len(looks) == 3
        assert versions == {"1"}
        assert any(name in line for line in person.shown)
    else:
        assert stays
        assert len(looks) == WATCHED.total_seconds() / POLL_SECONDS
        assert versions == {"1", "2"}


def test_what_was_written_down_is_readable_by_a_person(deployed: Release) -> None:
    deployed.remember()
    value = boto3.client("ssm").get_parameter(Name="/signalbox/dev/release/previous")["Parameter"]["Value"]
    assert json.loads(value) == {function.value: "1" for function in NAMES}
