"""Schedules are on time or not at all; subscriptions lose nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cdk.constructs.subscription import GRACE_SECONDS
from cdk.sources import REPOSITORY
from signalbox.trading.account import SEND_WITHIN
from signalbox.trading.events import REVIEW_DELAY
from tests.infrastructure.assembly import Assembly, Resource, is_dead_letter_queue
from tests.infrastructure.policies import Policies

pytestmark = pytest.mark.infra


def _schedules(assembly: Assembly) -> dict[str, dict[str, Any]]:
    """By the job: what else than its function a schedule may ask for has a name of its own."""
    found = [r.properties for r in assembly.resources("AWS::Scheduler::Schedule")]
    return {json.loads(properties["Target"]["Input"])["job"]: properties for properties in found}


@pytest.mark.parametrize(
    ("job", "expression", "age"),
    [
        ("collect_candles", "cron(0/5 * * * ? *)", 240),
        ("relay_outbox", "cron(* * * * ? *)", 60),
        ("monitor_risk", "cron(* * * * ? *)", 60),
        ("compact_candles", "cron(20 0 * * ? *)", 3600),
        ("collect_alternative", "cron(3/15 * * * ? *)", 600),
        ("publish_reports", "cron(40 1 * * ? *)", 3600),
        ("summarise_accounts", "cron(0 7 * * ? *)", 3600),
        ("dump_database", "cron(30 2 * * ? *)", 7200),
    ],
)
def test_schedule_is_exact_and_retried_within_its_bar(assembly: Assembly, job: str, expression: str, age: int) -> None:
    schedule = _schedules(assembly)[job]
    assert schedule["ScheduleExpression"] == expression
    assert schedule["ScheduleExpressionTimezone"] == ("Europe/Prague" if job == "summarise_accounts" else "UTC")
    assert schedule["FlexibleTimeWindow"] == {"Mode": "OFF"}
    assert schedule["Target"]["RetryPolicy"] == {"MaximumRetryAttempts": 2, "MaximumEventAgeInSeconds": age}
    assert "LostRuns" in json.dumps(schedule["Target"]["DeadLetterConfig"])
    assert json.loads(schedule["Target"]["Input"]) == {"job": job, "scheduled_at": "<aws.scheduler.scheduled-time>"}
    assert schedule["GroupName"] == f"signalbox-{assembly.stage}"
    assert schedule["State"] == ("DISABLED" if assembly.stage == "local" else "ENABLED")


@pytest.mark.parametrize(
    ("stack", "age", "retries"),
    [
        ("market", 240, 2),
        ("messaging", 60, 0),
        ("trading", 60, 0),
        ("lake", 3600, 2),
        ("reports", 3600, 2),
        ("backups", 7200, 2),
        ("training", 21600, 2),
    ],
)
def test_a_run_is_on_time_or_is_lost_and_told(assembly: Assembly, stack: str, age: int, retries: int) -> None:
    (configured,) = (r for r in assembly.resources("AWS::Lambda::EventInvokeConfig") if r.stack == stack)
    found = configured.properties
    assert (found["MaximumEventAgeInSeconds"], found["MaximumRetryAttempts"]) == (age, retries)
    assert "LostRuns" in json.dumps(found["DestinationConfig"]["OnFailure"]["Destination"])
    schedule, *others = sorted(
        (r for r in assembly.resources("AWS::Scheduler::Schedule") if r.stack == stack),
        key=lambda one: configured.logical_id not in one.body["DependsOn"],
    )
    assert configured.logical_id in schedule.body["DependsOn"]  # no run before it
    assert [stack for _ in others] == (["reports"] if stack == "reports" else [])  # the second one uses the same alias
    assert _invoked(assembly, stack, schedule.properties["Target"]["Arn"]) == found["FunctionName"]["Ref"]
    assert any("Policy" in needed for needed in configured.body["DependsOn"])  # Lambda asks whether the role may send


def test_what_a_rule_cannot_deliver_is_kept(assembly: Assembly) -> None:
    (queue,) = (q for q in assembly.resources("AWS::SQS::Queue") if q.logical_id.startswith("UndeliveredEvents"))
    assert "FifoQueue" not in queue.properties  # a rule takes no other
    policies = Policies(assembly)
    (policy,) = (p for p in assembly.resources("AWS::SQS::QueuePolicy") if p.properties["Queues"] == [{"Ref": queue.logical_id}])
    statements = list(policies.of_document("messaging", policy.properties["PolicyDocument"]))
    (allowed,) = (s for s in statements if s.effect == "Allow")
    patterns = json.dumps(allowed.condition["ArnLike"]["aws:SourceArn"])
    for rule in assembly.resources("AWS::Events::Rule"):
        for target in rule.properties["Targets"]:
            assert policies._resolved(rule.stack, target["DeadLetterConfig"]["Arn"]) == f"messaging/{queue.logical_id}", rule
    assert f"rule/signalbox-{assembly.stage}-*" in patterns  # of the default bus, by the names that CloudFormation gives
    assert patterns.count("Ref") >= 1


def test_there_are_no_other_schedules(assembly: Assembly) -> None:
    assert len(assembly.resources("AWS::Scheduler::Schedule")) == 9
    assert [r.properties["Name"] for r in assembly.resources("AWS::Scheduler::ScheduleGroup")] == [f"signalbox-{assembly.stage}"]


def _queue_of(assembly: Assembly, mapping: Resource) -> Resource:
    logical_id = mapping.properties["EventSourceArn"]["Fn::GetAtt"][0]
    (found,) = (q for q in assembly.resources("AWS::SQS::Queue") if q.logical_id == logical_id)
    return found


def test_every_subscription_has_dead_letters_and_partial_answers(assembly: Assembly) -> None:
    mappings = [m for m in assembly.resources("AWS::Lambda::EventSourceMapping") if m.stack != "messaging"]
    assert {m.stack for m in mappings} == {"execution", "signals", "alerts", "trading", "training", "routing", "chat"}
    for mapping in mappings:
        assert mapping.properties["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
        found = _queue_of(assembly, mapping)
        queue = found.properties
        assert "DeadLetters" in json.dumps(queue["RedrivePolicy"]["deadLetterTargetArn"])
        timeout, hidden, receives = _timeout_of(assembly, mapping), queue["VisibilityTimeout"], queue["RedrivePolicy"]
        # short where an account or a chat waits behind a hidden message, and then shown more often before it is given up
        assert (hidden >= 6 * timeout and 3 <= receives["maxReceiveCount"] <= 10) or (
            timeout < hidden <= timeout + 15 and receives["maxReceiveCount"] == _times_shown(found)
        )


def test_the_stream_of_outgoing_events_is_read_from_its_start_until_all_is_taken(assembly: Assembly) -> None:
    (mapping,) = (m for m in assembly.resources("AWS::Lambda::EventSourceMapping") if m.stack == "messaging")
    found = mapping.properties
    assert "OutgoingEvents" in json.dumps(found["EventSourceArn"])
    assert found["StartingPosition"] == "TRIM_HORIZON"
    # no limit but the day that a stream lasts: a bus that is away loses nothing, and what it refuses blocks nothing
    limits = {"MaximumRetryAttempts", "MaximumRecordAgeInSeconds", "DestinationConfig", "ParallelizationFactor"}
    assert not limits & set(found)
    assert json.loads(found["FilterCriteria"]["Filters"][0]["Pattern"]) == {"eventName": ["INSERT", "MODIFY"]}
    assert any("RoleDefaultPolicy" in needed for needed in mapping.body["DependsOn"])  # Lambda asks whether it may read
    (table,) = (t for t in assembly.resources("AWS::DynamoDB::Table") if t.logical_id.startswith("OutgoingEvents"))
    assert table.properties["StreamSpecification"] == {"StreamViewType": "NEW_IMAGE"}
    keys = [(k["AttributeName"], k["KeyType"]) for k in table.properties["KeySchema"]]
    assert keys == [("event_type", "HASH"), ("event_id", "RANGE")]


def _times_shown(queue: Resource) -> int:
    """A person who waits for the bot's answer asks again; a delivery ends by its expiry."""
    return 8 if queue.stack == "chat" else 100 if queue.logical_id.startswith("Deliveries") else 20


def _invoked(assembly: Assembly, stack: str, target: object) -> str:
    """The function behind the alias that a target names."""
    (alias,) = (a for a in assembly.resources("AWS::Lambda::Alias") if a.stack == stack and a.logical_id in json.dumps(target))
    return str(alias.properties["FunctionName"]["Ref"])


def _timeout_of(assembly: Assembly, mapping: Resource) -> int:
    named = _invoked(assembly, mapping.stack, mapping.properties["FunctionName"])
    (function,) = (f for f in assembly.resources("AWS::Lambda::Function") if f.logical_id == named)
    return int(function.properties["Timeout"])


def _mapping(assembly: Assembly, stack: str, queue: str) -> Resource:
    (found,) = (
        m
        for m in assembly.resources("AWS::Lambda::EventSourceMapping")
        if m.stack == stack and m.stack != "messaging" and _queue_of(assembly, m).logical_id.startswith(queue)
    )
    return found


@pytest.mark.parametrize(
    ("stack", "queue"),
    [("alerts", "Alerts"), ("trading", "Trading"), ("execution", "Requests")],
)
def test_a_message_put_back_counts_no_delivery_of_another(assembly: Assembly, stack: str, queue: str) -> None:
    mapping = _mapping(assembly, stack, queue)
    assert _queue_of(assembly, mapping).properties["FifoQueue"] is True
    assert mapping.properties["BatchSize"] == 1


def test_deliveries_that_wait_come_together_and_end_by_expiry_not_by_a_count(assembly: Assembly) -> None:
    mapping = _mapping(assembly, "alerts", "Deliveries")
    queue = _queue_of(assembly, mapping).properties
    assert (queue["FifoQueue"], mapping.properties["BatchSize"]) == (True, 10)  # so that a burst is one message
    assert queue["RedrivePolicy"]["maxReceiveCount"] == 100  # one that is put back counts a delivery of those behind it
    assert queue["VisibilityTimeout"] == assembly.function("send-alerts").properties["Timeout"] + GRACE_SECONDS


def test_a_report_of_an_agent_put_back_counts_no_delivery_of_another(with_mailboxes: Assembly) -> None:
    test_a_message_put_back_counts_no_delivery_of_another(with_mailboxes, "execution", "ftmoliveReports")


def test_nothing_stands_in_front_of_a_halt(assembly: Assembly) -> None:
    mapping = _mapping(assembly, "trading", "KillSwitch")
    queue = _queue_of(assembly, mapping)
    assert "FifoQueue" not in queue.properties  # a message that is tried again hides no other
    assert mapping.properties["BatchSize"] == 1
    manage = assembly.function("manage-orders").properties["Environment"]["Variables"]
    assert manage["KILL_SWITCH_QUEUE_ARN"] == {"Fn::GetAtt": [queue.logical_id, "Arn"]}
    targets = [t["Arn"] for r in assembly.resources("AWS::Events::Rule") for t in r.properties["Targets"]]
    assert {"Fn::GetAtt": [queue.logical_id, "Arn"]} not in targets


def exit_at_worst(assembly: Assembly) -> dict[str, int]:
    """Return the seconds that each stage may take of an exit when everything goes wrong there once: a crash, or a busy venue."""
    relay, forward = (assembly.function(name).properties["Timeout"] for name in ("relay-outbox", "forward-events"))
    routing, requests = _mapping(assembly, "routing", "Events"), _mapping(assembly, "execution", "Requests")
    hidden = {name: _queue_of(assembly, m).properties["VisibilityTimeout"] for name, m in (("r", routing), ("e", requests))}
    return {
        "the function dies after the commit and before publishing: the relay's next minute and run": 60 + relay,
        "forward_events dies while putting it on the bus: Lambda hands it over again": forward,
        "route_events dies while handling the message": hidden["r"],
        "execute_orders dies while handling another order of the account": hidden["e"],
    }


def test_an_exit_reaches_its_venue_before_it_expires_though_each_step_fails_once(assembly: Assembly) -> None:
    stages = exit_at_worst(assembly)
    assert sum(stages.values()) < SEND_WITHIN.total_seconds()
    page = (REPOSITORY / "docs" / "live-trading.md").read_text()
    for stage, seconds in stages.items():
        assert f"| {stage} | {seconds} s |" in page
    assert f"| total | {sum(stages.values())} s |" in page


def test_a_venue_that_is_busy_is_asked_until_the_order_expires_and_says_so(assembly: Assembly) -> None:
    queue = _queue_of(assembly, _mapping(assembly, "execution", "Requests")).properties
    pauses = [min(2**n, 60) for n in range(queue["RedrivePolicy"]["maxReceiveCount"] - 1)]
    assert sum(pauses) > SEND_WITHIN.total_seconds()  # a dead letter would leave the ledger without a word


def test_a_position_without_a_price_waits_longer_than_a_bar(assembly: Assembly) -> None:
    queue = _queue_of(assembly, _mapping(assembly, "trading", "Trading")).properties
    assert queue["VisibilityTimeout"] * (queue["RedrivePolicy"]["maxReceiveCount"] - 1) > 2 * 300


def test_queues_are_encrypted_and_dead_letters_stay_two_weeks(assembly: Assembly) -> None:
    queues = assembly.resources("AWS::SQS::Queue")
    of_agents = 2 + 2 * 4 if assembly.stage == "local" else 0  # the checks, and two queues a mailbox, with their dead letters
    assert len(queues) == 22 + of_agents
    for queue in queues:
        assert queue.properties["SqsManagedSseEnabled"] is True, queue
        if is_dead_letter_queue(queue):
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
                "SignalResolved",
                "DeploymentChanged",
                "AccountSummarised",
            ],
        },
        {
            "source": ["signalbox"],
            "detail-type": [
                "OrderRefused",
                "VenueRefused",
                "TradeOpened",
                "TradeClosed",
                "ExitFailed",
                "StopPassed",
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


def test_trading_receives_signals_and_cycles_and_account_events_by_route_events(assembly: Assembly) -> None:
    assert _patterns(assembly, "trading") == [
        {"source": ["signalbox"], "detail-type": ["CycleDecided"]},
        {"source": ["signalbox"], "detail-type": ["SignalGenerated"], "detail": {"issued": [True]}},
    ]


@pytest.mark.parametrize(
    ("stack", "queue", "group"),
    [("alerts", "Alerts", "alerts"), ("trading", "Trading", "market"), ("routing", "Events", "routing")],
)
def test_what_comes_from_the_bus_is_in_order(assembly: Assembly, stack: str, queue: str, group: str) -> None:
    main = _queue_of(assembly, _mapping(assembly, stack, queue)).properties
    assert main["FifoQueue"] is True
    assert main["ContentBasedDeduplication"] is True
    for rule in (r for r in assembly.resources("AWS::Events::Rule") if r.stack == stack):
        groups = [t["SqsParameters"] for t in rule.properties["Targets"] if "SqsParameters" in t]
        assert groups in ([{"MessageGroupId": group}], [])


def test_what_is_due_in_seconds_is_kept_back_for_seconds(assembly: Assembly) -> None:
    queue = _queue_of(assembly, _mapping(assembly, "routing", "Reviews")).properties
    assert (queue["DelaySeconds"], "FifoQueue" in queue) == (REVIEW_DELAY.total_seconds(), False)


def test_no_rule_asks_for_a_group_that_the_bus_would_have_to_look_up(assembly: Assembly) -> None:
    for rule in assembly.resources("AWS::Events::Rule"):
        for target in rule.properties["Targets"]:
            assert "$" not in target.get("SqsParameters", {}).get("MessageGroupId", ""), rule


def test_route_events_may_send_to_its_two_queues_and_no_more(assembly: Assembly) -> None:
    (policy,) = (
        p
        for p in assembly.resources("AWS::IAM::Policy")
        if p.stack == "routing" and "sqs:SendMessage" in json.dumps(p.properties["PolicyDocument"])
    )
    (send,) = (s for s in policy.properties["PolicyDocument"]["Statement"] if s["Action"] == "sqs:SendMessage")
    assert len(send["Resource"]) == 2
    assert "execution" in json.dumps(send["Resource"])
    assert "trading" in json.dumps(send["Resource"])


def test_only_the_rule_may_write_into_its_queue(assembly: Assembly) -> None:
    for policy in (p for p in assembly.resources("AWS::SQS::QueuePolicy")):
        for statement in policy.properties["PolicyDocument"]["Statement"]:
            if statement["Effect"] == "Allow":
                assert statement["Principal"] == {"Service": "events.amazonaws.com"}
                assert "aws:SourceArn" in json.dumps(statement["Condition"])


def test_prod_archives_the_bus(assemblies: dict[str, Assembly]) -> None:
    found = {stage: len(a.resources("AWS::Events::Archive")) for stage, a in assemblies.items()}
    assert found == {"local": 0, "dev": 0, "prod": 1}
