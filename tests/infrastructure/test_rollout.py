"""What invokes a function invokes its alias, so that a release goes back by moving it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from signalbox.contracts import LIVE_ALIAS, Function
from tests.infrastructure.assembly import Assembly, Resource
from tests.infrastructure.test_functions import deployed

pytestmark = pytest.mark.infra

BY_HAND = {Function.MIGRATE_DATABASE, Function.PREPARE_DATABASE, Function.RESTORE_DATABASE}


def alias_of(assembly: Assembly, function: Function) -> Resource:
    found = deployed(assembly, function)
    (alias,) = (
        alias
        for alias in assembly.resources("AWS::Lambda::Alias")
        if alias.stack == found.stack and alias.properties["FunctionName"] == {"Ref": found.logical_id}
    )
    return alias


@pytest.mark.parametrize("function", Function)
def test_each_function_has_an_alias_on_a_version_that_outlives_its_release(assembly: Assembly, function: Function) -> None:
    alias = alias_of(assembly, function)
    assert alias.properties["Name"] == LIVE_ALIAS
    (version_id,) = alias.properties["FunctionVersion"]["Fn::GetAtt"][:1]
    (version,) = (v for v in assembly.resources("AWS::Lambda::Version") if (v.stack, v.logical_id) == (alias.stack, version_id))
    assert version.properties["FunctionName"] == {"Ref": deployed(assembly, function).logical_id}
    assert version.body["DeletionPolicy"] == "Retain"


def targets(assembly: Assembly) -> dict[str, Any]:
    """What schedules, queues and the API invoke, and whose failures are recorded, by where it is written."""
    found = {str(r): r.properties["FunctionName"] for r in assembly.resources("AWS::Lambda::EventSourceMapping")}
    found |= {str(r): r.properties["Target"]["Arn"] for r in assembly.resources("AWS::Scheduler::Schedule")}
    found |= {str(r): r.properties["IntegrationUri"] for r in assembly.resources("AWS::ApiGatewayV2::Integration")}
    return found


def test_every_schedule_queue_and_route_invokes_an_alias(assembly: Assembly) -> None:
    aliases = {(alias.stack, alias.logical_id) for alias in assembly.resources("AWS::Lambda::Alias")}
    for place, target in targets(assembly).items():
        stack, text = place.split("/")[0], json.dumps(target)
        assert [name for of, name in aliases if of == stack and name in text], f"{place}: {text}"
    for configured in assembly.resources("AWS::Lambda::EventInvokeConfig"):
        assert configured.properties["Qualifier"] == LIVE_ALIAS, configured
        # it names the alias, so CloudFormation does not see by itself that the alias comes first
        assert {name for stack, name in aliases if stack == configured.stack} & set(configured.body["DependsOn"]), configured


def test_every_function_but_those_of_a_person_is_invoked_by_something(assembly: Assembly) -> None:
    asks = deployed(assembly, Function.TELEGRAM_BOT).properties["Environment"]  # it names query_ledger
    invoked = json.dumps([*targets(assembly).values(), asks])
    for function in set(Function) - BY_HAND:
        assert alias_of(assembly, function).logical_id in invoked, function


def test_a_role_of_a_schedule_may_invoke_the_alias_and_nothing_else(assembly: Assembly) -> None:
    aliases = {alias.logical_id for alias in assembly.resources("AWS::Lambda::Alias")}
    for policy in assembly.resources("AWS::IAM::Policy"):
        if "Every" in policy.logical_id:
            (invoke,) = (s for s in policy.properties["PolicyDocument"]["Statement"] if s["Action"] == "lambda:InvokeFunction")
            assert invoke["Resource"]["Ref"] in aliases, policy
