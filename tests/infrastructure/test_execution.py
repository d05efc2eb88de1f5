"""Live orders: each venue waits for itself, each agent's identity may do four things in its own mailbox, and no more."""

from __future__ import annotations

import json

import pytest

from cdk.stage import stage_from_context
from cdk.stage_file import StageError
from signalbox.contracts import (
    ACKNOWLEDGE_SECONDS,
    ROUTED_EVENTS,
    Function,
    MailboxQueue,
    Metric,
    mailbox_key_name,
    mailbox_queue_name,
    reporting_account,
)
from tests.infrastructure.assembly import Assembly

pytestmark = pytest.mark.infra


def test_requests_reach_the_function_by_route_events_alone(assembly: Assembly) -> None:
    assert [r for r in assembly.resources("AWS::Events::Rule") if r.stack == "execution"] == []
    rules = [r.properties["EventPattern"]["detail-type"] for r in assembly.resources("AWS::Events::Rule") if r.stack == "routing"]
    assert sorted(rules, key=len) == [["AccountReviewDue"], [kind.value for kind in ROUTED_EVENTS]]


ACCOUNTS = ("ftmo-live", "swing-2")


def test_without_accounts_of_metatrader_there_is_no_mailbox_and_no_agent(prod: Assembly) -> None:
    queues = [q for q in prod.resources("AWS::SQS::Queue") if q.stack == "execution"]
    assert len(queues) == 2  # requests, with their dead letters
    assert prod.resources("AWS::IAM::ManagedPolicy") == []
    assert [s for s in prod.resources("AWS::SecretsManager::Secret") if s.stack == "execution"] == []


def test_one_agent_takes_two_workers_at_most_whatever_groups_it_names(with_mailboxes: Assembly) -> None:
    limits = [
        m.properties.get("ScalingConfig", {}).get("MaximumConcurrency")
        for m in with_mailboxes.resources("AWS::Lambda::EventSourceMapping")
        if m.stack == "execution"
    ]
    assert sorted(limits, key=str) == [2, 2, None, None]  # reports of two agents; requests and checks come from our own functions


def test_accounts_behind_agents_need_an_owner() -> None:
    with pytest.raises(StageError, match="mt5_accounts needs `owners`"):
        stage_from_context({"stage": "dev", "mt5_accounts": "ftmo-1"})


def test_requests_reports_and_checks_come_one_by_one(with_mailboxes: Assembly) -> None:
    mappings = [m.properties for m in with_mailboxes.resources("AWS::Lambda::EventSourceMapping") if m.stack == "execution"]
    assert [m["BatchSize"] for m in mappings] == [1] * 4
    assert len([q for q in with_mailboxes.resources("AWS::SQS::Queue") if q.stack == "execution"]) == 12


@pytest.mark.parametrize("account", ACCOUNTS)
def test_each_account_has_two_queues_and_a_key_under_its_name(with_mailboxes: Assembly, account: str) -> None:
    named = {
        q.properties["QueueName"]: q.properties
        for q in with_mailboxes.resources("AWS::SQS::Queue")
        if "QueueName" in q.properties
    }
    commands, reports = (named[mailbox_queue_name("prod", account, which)] for which in MailboxQueue)
    assert commands["FifoQueue"] is reports["FifoQueue"] is True
    assert "RedrivePolicy" in commands
    assert "RedrivePolicy" in reports
    assert commands["MessageRetentionPeriod"] == 3600  # commands that nobody takes are gone within the hour
    (key,) = (
        s.properties
        for s in with_mailboxes.resources("AWS::SecretsManager::Secret")
        if s.properties.get("Name") == mailbox_key_name("prod", account)
    )
    generated = key["GenerateSecretString"]
    assert json.loads(generated["SecretStringTemplate"]) == {"next": ""}
    assert (generated["GenerateStringKey"], generated["PasswordLength"]) == ("current", 64)


def test_an_agent_reaches_the_queues_of_its_account_and_no_others(with_mailboxes: Assembly) -> None:
    arns = {q.logical_id: q.properties.get("QueueName", "") for q in with_mailboxes.resources("AWS::SQS::Queue")}
    policies = with_mailboxes.resources("AWS::IAM::ManagedPolicy")
    assert len(policies) == len(ACCOUNTS)
    for policy, account in zip(sorted(policies, key=lambda p: p.logical_id), sorted(ACCOUNTS), strict=True):
        take, put, ask = policy.properties["PolicyDocument"]["Statement"]
        assert set(take["Action"]) == {"sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility"}
        assert (put["Action"], ask["Action"]) == ("sqs:SendMessage", "sqs:GetQueueAttributes")
        assert ask["Resource"] == [take["Resource"], put["Resource"]]
        reached = [arns[resource["Fn::GetAtt"][0]] for resource in (take["Resource"], put["Resource"])]
        assert reached == [mailbox_queue_name("prod", account, which) for which in MailboxQueue]


def test_each_mailbox_alarms_when_its_agent_does_not_take_commands(with_mailboxes: Assembly) -> None:
    alarms = [a for a in with_mailboxes.resources("AWS::CloudWatch::Alarm") if "AgentAway" in a.logical_id]
    assert len(alarms) == len(ACCOUNTS)
    for alarm, account in zip(sorted(alarms, key=lambda a: a.logical_id), sorted(ACCOUNTS), strict=True):
        assert alarm.properties["MetricName"] == "ApproximateAgeOfOldestMessage"
        assert account in alarm.properties["AlarmDescription"]


def test_a_stage_without_agents_pays_for_nothing_of_theirs(dev: Assembly) -> None:
    metrics = {a.properties.get("MetricName") for a in dev.resources("AWS::CloudWatch::Alarm")}
    assert not {Metric.COMMANDS_UNACKNOWLEDGED, Metric.COMMANDS_REFUSED, Metric.ENVELOPES_REFUSED} & metrics
    assert not [q for q in dev.resources("AWS::SQS::Queue") if "Mt5" in q.logical_id]
    assert dev.function("execute-orders").properties["Environment"]["Variables"]["MT5_CHECKS_QUEUE_URL"] == ""


def test_an_answer_is_looked_for_after_the_deadline_and_its_absence_alarms(with_mailboxes: Assembly) -> None:
    (checks,) = (
        q.properties
        for q in with_mailboxes.resources("AWS::SQS::Queue")
        if q.logical_id.startswith("Mt5Checks") and "RedrivePolicy" in q.properties
    )
    assert checks["DelaySeconds"] == ACKNOWLEDGE_SECONDS
    metrics = {a.properties.get("MetricName") for a in with_mailboxes.resources("AWS::CloudWatch::Alarm")}
    assert {Metric.COMMANDS_UNACKNOWLEDGED, Metric.COMMANDS_REFUSED, Metric.ENVELOPES_REFUSED} <= metrics


def test_the_function_sends_to_mailboxes_checks_and_kill_switch_alone(with_mailboxes: Assembly) -> None:
    (policy,) = (
        p for p in with_mailboxes.resources("AWS::IAM::Policy") if p.stack == "execution" and "ExecuteOrders" in p.logical_id
    )
    (send,) = (s for s in policy.properties["PolicyDocument"]["Statement"] if s["Action"] == "sqs:SendMessage")
    assert len(send["Resource"]) == 2 + len(ACCOUNTS)
    assert "KillSwitch" in json.dumps(send["Resource"])
    assert "Reports" not in json.dumps(send["Resource"])


def test_two_accounts_whose_names_differ_in_hyphens_alone_are_refused() -> None:
    with pytest.raises(StageError, match="hyphens"):
        stage_from_context({"stage": "dev", "mt5_accounts": "ftmo-1,ftmo1"})


def test_a_message_is_known_by_the_name_of_its_queue() -> None:
    for account in ("a", "ftmo-reports", "x-commands", "a" * 40):
        name = mailbox_queue_name("prod", account, MailboxQueue.REPORTS)
        assert len(name) <= 80
        assert reporting_account("prod", name) == account
        assert reporting_account("prod", mailbox_queue_name("prod", account, MailboxQueue.COMMANDS)) is None
        assert reporting_account("dev", name) is None


def test_the_secret_of_venues_begins_without_accounts(assembly: Assembly) -> None:
    (secret,) = (s for s in assembly.resources("AWS::SecretsManager::Secret") if s.logical_id.startswith("Exchange"))
    assert json.loads(secret.properties["GenerateSecretString"]["SecretStringTemplate"]) == {"accounts": {}}


def test_a_live_function_is_at_the_edge(assembly: Assembly) -> None:
    assert "VpcConfig" not in assembly.function(Function.EXECUTE_ORDERS.value.replace("_", "-")).properties
