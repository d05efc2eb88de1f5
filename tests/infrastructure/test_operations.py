"""What the operator sees and is told, and the names that tools read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cdk.sources import SourceTree
from signalbox.contracts import Function, Metric, StackOutput
from tests.infrastructure.assembly import Assembly

pytestmark = pytest.mark.infra

ORDER = [
    "secrets",
    "network",
    "operations",
    "data",
    "schema",
    "messaging",
    "lake",
    "trading",
    "execution",
    "routing",
    "signals",
    "alerts",
    "training",
    "reports",
    "market",
    "dashboard",
]


def test_every_alarm_reaches_the_encrypted_topic(assembly: Assembly) -> None:
    (topic,) = assembly.resources("AWS::SNS::Topic")
    assert "KmsMasterKeyId" in topic.properties
    for alarm in assembly.resources("AWS::CloudWatch::Alarm"):
        assert len(alarm.properties["AlarmActions"]) == len(alarm.properties["OKActions"]) == 1, alarm
        assert alarm.properties["AlarmDescription"], alarm


def test_alarms_may_use_the_topic_and_its_key(assembly: Assembly) -> None:
    (key,) = assembly.resources("AWS::KMS::Key")
    (policy,) = assembly.resources("AWS::SNS::TopicPolicy")
    assert "cloudwatch.amazonaws.com" in json.dumps(key.properties["KeyPolicy"])
    assert "cloudwatch.amazonaws.com" in json.dumps(policy.properties["PolicyDocument"])
    assert key.properties["EnableKeyRotation"] is True


def test_each_function_and_dead_letter_queue_has_an_alarm(assembly: Assembly) -> None:
    metrics = [a.properties.get("MetricName") for a in assembly.resources("AWS::CloudWatch::Alarm")]
    assert metrics.count("Errors") == len(Function)
    dead_letters = [q for q in assembly.resources("AWS::SQS::Queue") if "DeadLetters" in q.logical_id]
    mailboxes = {"local": 2}.get(assembly.stage, 0)
    assert metrics.count("ApproximateNumberOfMessagesVisible") == len(dead_letters) == 16 + 2 * mailboxes


@pytest.mark.parametrize(
    ("metric", "function", "missing"),
    [
        (Metric.CANDLES_COLLECTED, Function.COLLECT_CANDLES, "breaching"),
        (Metric.OUTBOX_OLDEST_AGE, Function.RELAY_OUTBOX, "notBreaching"),
        (Metric.MODEL_REFUSED, Function.GENERATE_SIGNALS, "notBreaching"),
        (Metric.ALERTS_UNDELIVERABLE, Function.SEND_ALERTS, "notBreaching"),
        (Metric.MONITOR_RUNS, Function.MONITOR_RISK, "breaching"),
        (Metric.ACCOUNTS_NOT_OPENED, Function.MANAGE_ORDERS, "notBreaching"),
        (Metric.ORDERS_UNCONFIRMED, Function.EXECUTE_ORDERS, "notBreaching"),
        (Metric.VENUE_REFUSALS, Function.EXECUTE_ORDERS, "notBreaching"),
        (Metric.ENVELOPES_REFUSED, Function.EXECUTE_ORDERS, "notBreaching"),
        (Metric.REQUESTS_REFUSED, Function.EXECUTE_ORDERS, "notBreaching"),
        (Metric.REQUESTS_EXPIRED, Function.EXECUTE_ORDERS, "notBreaching"),
        (Metric.REPORTS_REFUSED, Function.MANAGE_ORDERS, "notBreaching"),
        (Metric.VIEWS_FAILED, Function.EXECUTE_ORDERS, "notBreaching"),
        (Metric.CHATS_MOVED, Function.SEND_ALERTS, "notBreaching"),
        (Metric.LAKE_FILES_QUARANTINED, Function.COMPACT_CANDLES, "notBreaching"),
    ],
)
def test_product_metric_has_an_alarm(assembly: Assembly, metric: Metric, function: Function, missing: str) -> None:
    (alarm,) = (a for a in assembly.resources("AWS::CloudWatch::Alarm") if a.properties.get("MetricName") == metric)
    service = f"signalbox-{assembly.stage}-{function.value.replace('_', '-')}"
    assert alarm.properties["Namespace"] == "Signalbox"
    assert alarm.properties["Dimensions"] == [{"Name": "service", "Value": service}]
    assert alarm.properties["TreatMissingData"] == missing


def test_a_message_that_was_refused_for_good_alarms_wherever_it_was_read(assembly: Assembly) -> None:
    found = [a for a in assembly.resources("AWS::CloudWatch::Alarm") if a.properties.get("MetricName") == Metric.EVENTS_REFUSED]
    services = {a.properties["Dimensions"][0]["Value"].removeprefix(f"signalbox-{assembly.stage}-") for a in found}
    assert services == {"manage-orders", "monitor-risk", "execute-orders", "route-events", "send-alerts", "generate-signals"}


@pytest.mark.parametrize("metric", [Metric.TRADING_HALTS, Metric.RULES_BREACHED, Metric.TURNS_MISSED, Metric.VENUE_DIFFERENCES])
def test_what_stops_an_account_alarms_whichever_function_saw_it(assembly: Assembly, metric: Metric) -> None:
    found = [a for a in assembly.resources("AWS::CloudWatch::Alarm") if a.properties.get("MetricName") == metric]
    services = sorted(a.properties["Dimensions"][0]["Value"] for a in found)
    assert services == [f"signalbox-{assembly.stage}-{name}" for name in ("manage-orders", "monitor-risk")]


def test_no_candles_for_fifteen_minutes_alarms(assembly: Assembly) -> None:
    (alarm,) = (a for a in assembly.resources("AWS::CloudWatch::Alarm") if a.logical_id.startswith("NoCandles"))
    assert alarm.properties["Period"] * alarm.properties["EvaluationPeriods"] == 15 * 60
    assert alarm.properties["ComparisonOperator"] == "LessThanThreshold"


def test_each_stage_has_one_dashboard(assembly: Assembly) -> None:
    (dashboard,) = assembly.resources("AWS::CloudWatch::Dashboard")
    assert dashboard.properties["DashboardName"] == f"signalbox-{assembly.stage}"


def test_outputs_are_those_the_tools_read(assembly: Assembly) -> None:
    found = {key for key in assembly.outputs() if not key.startswith("ExportsOutput")}
    policies = {"Mt5AgentPolicyArnFtmo1", "Mt5AgentPolicyArnFtmo2"} if assembly.stage == "local" else set()
    assert found == {key.value for key in StackOutput} | policies


def test_stacks_deploy_in_an_order_that_works(assembly: Assembly) -> None:
    manifest = assembly.manifest
    names = [f"signalbox-{assembly.stage}-{concern}" for concern in ORDER]
    assert set(manifest) == set(names)
    for place, name in enumerate(names):
        needed = {d for d in manifest[name].get("dependencies", []) if d in manifest}
        assert needed <= set(names[:place]), name


def test_schema_is_prepared_again_when_a_migration_changes(assembly: Assembly, sources: SourceTree) -> None:
    (schema,) = assembly.resources("Custom::LedgerSchema")
    assert schema.properties["MigrationsHash"] == sources.migrations_hash()
    assert schema.properties["ServiceToken"]["Fn::GetAtt"][0].startswith("PrepareDatabase")


def test_no_template_holds_a_secret_value(assembly: Assembly) -> None:
    for secret in assembly.resources("AWS::SecretsManager::Secret"):
        assert "SecretString" not in secret.properties, secret
        assert "GenerateSecretString" in secret.properties, secret
    text = json.dumps(assembly.templates())
    assert "bot_token" in text  # the shape of the Telegram secret, generated
    assert json.loads(
        next(s for s in assembly.resources("AWS::SecretsManager::Secret") if s.logical_id.startswith("Telegram")).properties[
            "GenerateSecretString"
        ]["SecretStringTemplate"]
    ) == {"chat_ids": []}


def test_no_template_knows_the_machine_or_an_account(assembly: Assembly, sources: SourceTree) -> None:
    text = json.dumps(assembly.templates())
    assert str(sources.root) not in text
    assert str(Path.home()) + "/" not in text
    for artifact in assembly.manifest.values():
        assert artifact["environment"] == "aws://unknown-account/unknown-region"
