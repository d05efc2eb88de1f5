"""Schedules are on time or not at all; subscriptions lose nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.infrastructure.assembly import Assembly, Resource

pytestmark = pytest.mark.infra


def _schedules(assembly: Assembly) -> dict[str, dict[str, Any]]:
    return {r.stack: r.properties for r in assembly.resources("AWS::Scheduler::Schedule")}


@pytest.mark.parametrize(
    ("stack", "job", "expression", "age"),
    [
        ("market", "collect_candles", "cron(0/5 * * * ? *)", 240),
        ("messaging", "relay_outbox", "cron(* * * * ? *)", 60),
        ("trading", "monitor_risk", "cron(* * * * ? *)", 60),
        ("lake", "compact_candles", "cron(20 0 * * ? *)", 3600),
        ("reports", "publish_reports", "cron(40 1 * * ? *)", 3600),
    ],
)
def test_schedule_is_exact_and_retried_within_its_bar(
    assembly: Assembly, stack: str, job: str, expression: str, age: int
) -> None:
    schedule = _schedules(assembly)[stack]
    assert schedule["ScheduleExpression"] == expression
    assert schedule["FlexibleTimeWindow"] == {"Mode": "OFF"}
    assert schedule["Target"]["RetryPolicy"] == {"MaximumRetryAttempts": 2, "MaximumEventAgeInSeconds": age}
    assert "DeadLetters" in json.dumps(schedule["Target"]["DeadLetterConfig"])
    assert json.loads(schedule["Target"]["Input"]) == {"job": job, "scheduled_at": "<aws.scheduler.scheduled-time>"}
    assert schedule["GroupName"] == f"signalbox-{assembly.stage}"
    assert schedule["State"] == ("DISABLED" if assembly.stage == "local" else "ENABLED")


def test_there_are_no_other_schedules(assembly: Assembly) -> None:
    assert len(assembly.resources("AWS::Scheduler::Schedule")) == 6
    assert [r.properties["Name"] for r in assembly.resources("AWS::Scheduler::ScheduleGroup")] == [f"signalbox-{assembly.stage}"]


def _queue_of(assembly: Assembly, mapping: Resource) -> Resource:
    logical_id = mapping.properties["EventSourceArn"]["Fn::GetAtt"][0]
    (found,) = (q for q in assembly.resources("AWS::SQS::Queue") if q.logical_id == logical_id)
    return found


def test_every_subscription_has_dead_letters_and_partial_answers(assembly: Assembly) -> None:
    mappings = assembly.resources("AWS::Lambda::EventSourceMapping")
    assert {m.stack for m in mappings} == {"execution", "signals", "alerts", "trading", "training"}
    for mapping in mappings:
        assert mapping.properties["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
        queue = _queue_of(assembly, mapping).properties
        assert "DeadLetters" in json.dumps(queue["RedrivePolicy"]["deadLetterTargetArn"])
        assert 3 <= queue["RedrivePolicy"]["maxReceiveCount"] <= 10
        named = {"Ref": mapping.properties["FunctionName"]["Ref"]}
        (function,) = (f for f in assembly.resources("AWS::Lambda::Function") if {"Ref": f.logical_id} == named)
        assert queue["VisibilityTimeout"] >= 6 * function.properties["Timeout"]


@pytest.mark.parametrize("stack", ["alerts", "trading"])
def test_a_message_put_back_counts_no_delivery_of_another(assembly: Assembly, stack: str) -> None:
    (mapping,) = (m for m in assembly.resources("AWS::Lambda::EventSourceMapping") if m.stack == stack)
    assert _queue_of(assembly, mapping).properties["FifoQueue"] is True
    assert mapping.properties["BatchSize"] == 1


def test_queues_are_encrypted_and_dead_letters_stay_two_weeks(assembly: Assembly) -> None:
    queues = assembly.resources("AWS::SQS::Queue")
    assert len(queues) == 20
    for queue in queues:
        assert queue.properties["SqsManagedSseEnabled"] is True, queue
        if "DeadLetters" in queue.logical_id:
            assert queue.properties["MessageRetentionPeriod"] == 1_209_600, queue


def _patterns(assembly: Assembly, stack: str) -> list[dict[str, Any]]:
    rules = [r for r in assembly.resources("AWS::Events::Rule") if r.stack == stack]
    return sorted((r.properties["EventPattern"] for r in rules), key=lambda p: str(p["detail-type"]))


def test_signals_hear_closed_candles(assembly: Assembly) -> None:
    assert _patterns(assembly, "signals") == [{"source": ["signalbox"], "detail-type": ["CandlesClosed"]}]


def test_alerts_hear_issued_timely_signals_and_conditions(assembly: Assembly) -> None:
    assert _patterns(assembly, "alerts") == [
        {
            "source": ["signalbox"],
            "detail-type": [
                "MarketDataStale",
                "MarketDataRecovered",
                "ModelRefused",
                "ModelRegistered",
                "ModelNotQualified",
                "ModelEvaluated",
                "TrainingFailed",
                "EvaluationFailed",
            ],
        },
        {
            "source": ["signalbox"],
            "detail-type": [
                "OrderRefused",
                "TradeOpened",
                "TradeClosed",
                "RiskWarning",
                "AccountExhausted",
                "TradingHalted",
                "TradingResumed",
                "RuleBreached",
                "TargetReached",
            ],
        },
        {
            "source": ["signalbox"],
            "detail-type": ["SignalGenerated"],
            "detail": {"issued": [True], "late": [False]},
        },
    ]


def test_trading_hears_issued_signals_decided_cycles_and_venues(assembly: Assembly) -> None:
    assert _patterns(assembly, "trading") == [
        {"source": ["signalbox"], "detail-type": ["CycleDecided", "ExecutionReported", "VenueViewReported"]},
        {"source": ["signalbox"], "detail-type": ["SignalGenerated"], "detail": {"issued": [True]}},
    ]


@pytest.mark.parametrize("stack", ["alerts", "trading"])
def test_alerts_and_trading_are_in_order(assembly: Assembly, stack: str) -> None:
    queues = [q for q in assembly.resources("AWS::SQS::Queue") if q.stack == stack and "EveryMinute" not in q.logical_id]
    assert all(q.properties["FifoQueue"] is True for q in queues)
    (main,) = (q for q in queues if "RedrivePolicy" in q.properties)
    assert main.properties["ContentBasedDeduplication"] is True
    for rule in (r for r in assembly.resources("AWS::Events::Rule") if r.stack == stack):
        assert [t["SqsParameters"] for t in rule.properties["Targets"]] == [{"MessageGroupId": stack}]


def test_only_the_rule_may_write_into_its_queue(assembly: Assembly) -> None:
    for policy in (p for p in assembly.resources("AWS::SQS::QueuePolicy")):
        for statement in policy.properties["PolicyDocument"]["Statement"]:
            if statement["Effect"] == "Allow":
                assert statement["Principal"] == {"Service": "events.amazonaws.com"}
                assert "aws:SourceArn" in json.dumps(statement["Condition"])


def test_prod_archives_the_bus(assemblies: dict[str, Assembly]) -> None:
    found = {stage: len(a.resources("AWS::Events::Archive")) for stage, a in assemblies.items()}
    assert found == {"local": 0, "dev": 0, "prod": 1}
