"""Live orders: each venue waits for itself, the agent's identity may do four things, nothing else reaches the mailbox."""

from __future__ import annotations

import json

import pytest

from signalbox.contracts import ROUTED_EVENTS, Function, StackOutput
from tests.infrastructure.assembly import Assembly

pytestmark = pytest.mark.infra


def test_requests_reach_the_function_by_route_events_alone(assembly: Assembly) -> None:
    assert [r for r in assembly.resources("AWS::Events::Rule") if r.stack == "execution"] == []
    rules = [r.properties["EventPattern"]["detail-type"] for r in assembly.resources("AWS::Events::Rule") if r.stack == "routing"]
    assert sorted(rules, key=len) == [["AccountReviewDue"], [kind.value for kind in ROUTED_EVENTS]]


def test_requests_and_reports_come_one_by_one_and_in_order(assembly: Assembly) -> None:
    mappings = [m.properties for m in assembly.resources("AWS::Lambda::EventSourceMapping") if m.stack == "execution"]
    assert [m["BatchSize"] for m in mappings] == [1, 1]
    queues = [q.properties for q in assembly.resources("AWS::SQS::Queue") if q.stack == "execution"]
    assert len(queues) == 6
    assert all(q["FifoQueue"] is True for q in queues)


def test_commands_that_nobody_takes_are_gone_within_the_hour(assembly: Assembly) -> None:
    (commands,) = (
        q.properties
        for q in assembly.resources("AWS::SQS::Queue")
        if q.stack == "execution" and q.logical_id.startswith("Commands") and "RedrivePolicy" in q.properties
    )
    assert commands["MessageRetentionPeriod"] == 3600


def test_an_agent_that_does_not_take_commands_alarms(assembly: Assembly) -> None:
    (alarm,) = (a for a in assembly.resources("AWS::CloudWatch::Alarm") if a.logical_id.startswith("AgentAway"))
    assert alarm.properties["MetricName"] == "ApproximateAgeOfOldestMessage"
    assert "Commands" in json.dumps(alarm.properties["Dimensions"])


def test_the_agent_takes_commands_and_puts_reports_and_no_more(assembly: Assembly) -> None:
    (policy,) = assembly.resources("AWS::IAM::ManagedPolicy")
    take, put, ask = policy.properties["PolicyDocument"]["Statement"]
    assert set(take["Action"]) == {"sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility"}
    assert put["Action"] == "sqs:SendMessage"
    assert "Commands" in json.dumps(take["Resource"])
    assert "Reports" in json.dumps(put["Resource"])
    assert take["Resource"] != put["Resource"]
    assert (ask["Action"], ask["Resource"]) == ("sqs:GetQueueAttributes", [take["Resource"], put["Resource"]])


def test_the_secret_begins_without_accounts_and_with_a_key_of_its_own(assembly: Assembly) -> None:
    (secret,) = (s for s in assembly.resources("AWS::SecretsManager::Secret") if s.logical_id.startswith("Exchange"))
    generated = secret.properties["GenerateSecretString"]
    assert json.loads(generated["SecretStringTemplate"]) == {"accounts": {}}
    assert generated["GenerateStringKey"] == "mt5_signing_key"


def test_a_live_function_is_at_the_edge(assembly: Assembly) -> None:
    assert "VpcConfig" not in assembly.function(Function.EXECUTE_ORDERS.value.replace("_", "-")).properties
    outputs = json.dumps([s.value for s in StackOutput])
    assert "Mt5AgentPolicyArn" in outputs
