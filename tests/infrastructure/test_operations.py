"""What the operator sees and is told, and the names that tools read."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from cdk.sources import REPOSITORY, SourceTree
from signalbox.contracts import Metric, StackOutput
from tests.infrastructure.assembly import Assembly, is_dead_letter_queue
from tests.infrastructure.conftest import RECIPIENT

pytestmark = pytest.mark.infra

ORDER = [
    "secrets",
    "network",
    "operations",
    "data",
    "schema",
    "messaging",
    "lake",
    "alternative",
    "trading",
    "execution",
    "routing",
    "signals",
    "alerts",
    "training",
    "library",
    "chat",
    "reports",
    "backups",
    "market",
    "alternative",
    "dashboard",
]


def test_every_alarm_reaches_the_topic(assembly: Assembly) -> None:
    assert len(assembly.resources("AWS::SNS::Topic")) == 1
    for alarm in assembly.resources("AWS::CloudWatch::Alarm"):
        assert len(alarm.properties["AlarmActions"]) == len(alarm.properties["OKActions"]) == 1, alarm
        assert alarm.properties["AlarmDescription"], alarm


def test_the_runbook_has_a_row_for_every_alarm_in_its_words_and_no_other(assemblies: dict[str, Assembly]) -> None:
    alarms = {
        alarm.properties["AlarmDescription"] for one in assemblies.values() for alarm in one.resources("AWS::CloudWatch::Alarm")
    }
    table = (REPOSITORY / "docs/runbooks/alarms.md").read_text().partition("## ")[0]
    cells = [line.split(" | ")[0].removeprefix("| ").partition(" (")[0] for line in table.splitlines() if line.startswith("| ")]
    rows = [text.replace("`", "") for cell in cells[1:] for text in cell.split(" / ")]
    patterns = {text: re.compile(re.sub("<[a-z]+>", ".+", text)) for text in rows}
    assert [alarm for alarm in alarms if not any(one.search(alarm) for one in patterns.values())] == []
    assert [text for text, one in patterns.items() if not any(one.search(alarm) for alarm in alarms)] == []


def test_alarms_may_use_the_topic_without_a_key(assembly: Assembly) -> None:
    assert assembly.resources("AWS::KMS::Key") == []  # CloudWatch may not use the account's own key for a topic
    (policy,) = assembly.resources("AWS::SNS::TopicPolicy")
    assert "cloudwatch.amazonaws.com" in json.dumps(policy.properties["PolicyDocument"])


def test_the_months_budget_is_watched_above_what_the_stage_costs(assembly: Assembly) -> None:
    (budget,) = assembly.resources("AWS::Budgets::Budget")
    found = budget.properties
    assert (found["Budget"]["BudgetType"], found["Budget"]["TimeUnit"]) == ("COST", "MONTHLY")
    assert "CostFilters" not in found["Budget"]  # a tag that nobody activated would keep it at zero
    assert found["Budget"]["BudgetLimit"] == {"Amount": {"local": 1, "dev": 35, "prod": 50}[assembly.stage], "Unit": "USD"}
    told = found["NotificationsWithSubscribers"]
    assert [(one["Notification"]["NotificationType"], one["Notification"]["Threshold"]) for one in told] == [
        ("ACTUAL", 80),
        ("FORECASTED", 100),
    ]
    assert all(one["Subscribers"] == [{"Address": RECIPIENT, "SubscriptionType": "EMAIL"}] for one in told)


def test_all_functions_and_each_dead_letter_queue_have_an_alarm(assembly: Assembly) -> None:
    alarms = [a.properties for a in assembly.resources("AWS::CloudWatch::Alarm")]
    metrics = [alarm.get("MetricName") for alarm in alarms]
    (errors,) = (alarm for alarm in alarms if alarm["MetricName"] == "Errors")
    assert "Dimensions" not in errors  # of every function of the account
    assert (errors["Namespace"], errors["Threshold"], errors["Statistic"]) == ("AWS/Lambda", 1, "Sum")
    dead_letters = [q for q in assembly.resources("AWS::SQS::Queue") if is_dead_letter_queue(q)]
    of_agents = 1 + 2 * 2 if assembly.stage == "local" else 0  # the checks, and two mailboxes of two queues
    assert metrics.count("ApproximateNumberOfMessagesVisible") == len(dead_letters) == 12 + of_agents


@pytest.mark.parametrize(
    ("metric", "missing"),
    [
        (Metric.CANDLES_COLLECTED, "breaching"),
        (Metric.OUTBOX_OLDEST_AGE, "breaching"),
        (Metric.MODEL_REFUSED, "notBreaching"),
        (Metric.ALERTS_UNDELIVERABLE, "notBreaching"),
        (Metric.ACCOUNTS_NOT_OPENED, "notBreaching"),
        (Metric.ORDERS_UNCONFIRMED, "notBreaching"),
        (Metric.VENUE_REFUSALS, "notBreaching"),
        (Metric.REQUESTS_REFUSED, "notBreaching"),
        (Metric.REQUESTS_EXPIRED, "notBreaching"),
        (Metric.REPORTS_REFUSED, "notBreaching"),
        (Metric.VIEWS_FAILED, "notBreaching"),
        (Metric.CHATS_MOVED, "notBreaching"),
        (Metric.CHAT_SETTINGS_REFUSED, "notBreaching"),
        (Metric.LAKE_FILES_QUARANTINED, "notBreaching"),
        (Metric.CYCLE_DURATION, "breaching"),
        (Metric.LEDGER_DUMPED, "breaching"),
        (Metric.EVENTS_REFUSED, "notBreaching"),
        (Metric.TRADING_HALTS, "notBreaching"),
        (Metric.RULES_BREACHED, "notBreaching"),
        (Metric.TURNS_MISSED, "notBreaching"),
        (Metric.VENUE_DIFFERENCES, "notBreaching"),
    ],
)
def test_product_metric_has_an_alarm(assembly: Assembly, metric: Metric, missing: str) -> None:
    (alarm,) = (a for a in assembly.resources("AWS::CloudWatch::Alarm") if a.properties.get("MetricName") == metric)
    assert alarm.properties["Namespace"] == "Signalbox"
    assert alarm.properties["Dimensions"] == [{"Name": "service", "Value": f"signalbox-{assembly.stage}"}]
    assert alarm.properties["TreatMissingData"] == missing


def test_every_function_counts_for_the_same_alarm(assembly: Assembly) -> None:
    services = {f.properties["Environment"]["Variables"]["POWERTOOLS_SERVICE_NAME"] for f in assembly.functions()}
    assert services == {f"signalbox-{assembly.stage}"}
    ours = [a.properties for a in assembly.resources("AWS::CloudWatch::Alarm") if a.properties["Namespace"] == "Signalbox"]
    assert {d["Value"] for a in ours for d in a["Dimensions"]} == services
    assert len({a["MetricName"] for a in ours}) == len(ours)


def test_no_cycle_decided_for_fifteen_minutes_alarms_though_nothing_failed(assembly: Assembly) -> None:
    (alarm,) = (a for a in assembly.resources("AWS::CloudWatch::Alarm") if a.logical_id.startswith("NotDecided"))
    assert alarm.properties["Period"] * alarm.properties["EvaluationPeriods"] == 15 * 60
    assert (alarm.properties["Statistic"], alarm.properties["TreatMissingData"]) == ("SampleCount", "breaching")


def test_a_monitor_that_is_not_invoked_for_five_minutes_alarms(assembly: Assembly) -> None:
    (alarm,) = (a for a in assembly.resources("AWS::CloudWatch::Alarm") if a.logical_id.startswith("NotMonitored"))
    found = alarm.properties
    assert (found["Namespace"], found["MetricName"], found["TreatMissingData"]) == ("AWS/Lambda", "Invocations", "breaching")
    assert "MonitorRisk" in json.dumps(found["Dimensions"])
    assert (found["Period"] * found["EvaluationPeriods"], found["ComparisonOperator"]) == (300, "LessThanThreshold")


def test_no_dump_for_26_hours_alarms_though_nothing_failed(assembly: Assembly) -> None:
    (alarm,) = (a for a in assembly.resources("AWS::CloudWatch::Alarm") if a.logical_id.startswith("NotDumped"))
    seconds = alarm.properties["Period"] * alarm.properties["EvaluationPeriods"]
    # CloudWatch looks back seven days at most, and one day where a period is shorter than an hour
    assert (seconds, alarm.properties["Period"]) == (26 * 3600, 3600)
    assert (alarm.properties["ComparisonOperator"], alarm.properties["Threshold"]) == ("LessThanThreshold", 1)


def test_the_database_is_watched_before_it_is_full_or_slow(assembly: Assembly) -> None:
    found = {
        a.properties["MetricName"]: (a.properties["ComparisonOperator"], a.properties["Threshold"])
        for a in assembly.resources("AWS::CloudWatch::Alarm")
        if a.properties["Namespace"] == "AWS/RDS"
    }
    below, above = "LessThanThreshold", "GreaterThanOrEqualToThreshold"
    assert found == {
        "FreeStorageSpace": (below, 4_000_000_000),
        "FreeableMemory": (below, 100_000_000),
        "CPUCreditBalance": (below, 20),
        "DatabaseConnections": (above, 135 if assembly.stage == "prod" else 60),
    }


def test_no_candles_for_fifteen_minutes_alarms(assembly: Assembly) -> None:
    (alarm,) = (a for a in assembly.resources("AWS::CloudWatch::Alarm") if a.logical_id.startswith("NoCandles"))
    assert alarm.properties["Period"] * alarm.properties["EvaluationPeriods"] == 15 * 60
    assert alarm.properties["ComparisonOperator"] == "LessThanThreshold"


def test_bars_that_change_after_the_fact_alarm_and_are_on_the_dashboard(assembly: Assembly) -> None:
    found = {a.properties["MetricName"]: a.properties for a in assembly.resources("AWS::CloudWatch::Alarm")}
    assert found["CandlesConflicting"]["Threshold"] == 1
    assert found["CandlesRevised"]["Threshold"] == 15  # five minutes of three symbols
    (dashboard,) = assembly.resources("AWS::CloudWatch::Dashboard")
    assert all(name in json.dumps(dashboard.properties["DashboardBody"]) for name in ("CandlesConflicting", "CandlesRevised"))


def test_each_stage_has_one_dashboard(assembly: Assembly) -> None:
    (dashboard,) = assembly.resources("AWS::CloudWatch::Dashboard")
    assert dashboard.properties["DashboardName"] == f"signalbox-{assembly.stage}"


def test_outputs_are_those_the_tools_read(assembly: Assembly) -> None:
    found = {key for key in assembly.outputs() if not key.startswith("ExportsOutput")}
    wanted = {key.value for key in StackOutput}
    if assembly.stage == "local":
        wanted |= {"Mt5AgentPolicyArnFtmo1", "Mt5AgentPolicyArnFtmo2"}
    else:  # no accounts behind agents, so nothing waits for their answers
        wanted -= {StackOutput.MT5_CHECKS_QUEUE_URL, StackOutput.MT5_CHECKS_DLQ_URL}
    assert found == wanted


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


def test_what_is_paid_for_is_tagged_with_product_and_stage(assembly: Assembly) -> None:
    kinds = (
        "AWS::RDS::DBInstance",
        "AWS::Lambda::Function",
        "AWS::S3::Bucket",
        "AWS::SQS::Queue",
        "AWS::DynamoDB::Table",
        "AWS::SecretsManager::Secret",
        "AWS::Logs::LogGroup",
        "AWS::CloudWatch::Alarm",
        "AWS::SNS::Topic",
        "AWS::EC2::VPC",
    )
    for kind in kinds:
        assert assembly.resources(kind), kind
        for resource in assembly.resources(kind):
            if resource.logical_id.startswith("CustomS3AutoDelete"):  # the CDK's own
                continue
            tags = {tag["Key"]: tag["Value"] for tag in resource.properties["Tags"]}
            assert {"product": "signalbox", "stage": assembly.stage}.items() <= tags.items(), resource
