"""Edge or ledger: what each function is given, and that it is given no more."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from cdk.composition import synthesise
from cdk.sources import SourceTree
from signalbox.adapters.postgres.roles import ROLES
from signalbox.contracts import READER_DATABASE_USER, Env, Function, SealKey, database_user
from tests.infrastructure.assembly import Assembly, Resource
from tests.infrastructure.policies import Policies, allows

pytestmark = pytest.mark.infra

LEDGER = {
    Function.GENERATE_SIGNALS,
    Function.MANAGE_ORDERS,
    Function.MONITOR_RISK,
    Function.RELAY_OUTBOX,
    Function.MIGRATE_DATABASE,
    Function.COMPACT_CANDLES,
    Function.PUBLISH_REPORTS,
    Function.REGISTER_MODEL,
    Function.LIBRARY_API,
    Function.DUMP_DATABASE,
    Function.RESTORE_DATABASE,
    Function.QUERY_LEDGER,
    Function.SCORE_SIGNALS,
}
OF_THE_OWNER = {Function.MIGRATE_DATABASE, Function.RESTORE_DATABASE}  # who log in as their caller says
DATABASE: set[str] = {Env.DATABASE_HOST, Env.DATABASE_PORT, Env.DATABASE_NAME, Env.DATABASE_USER, Env.DATABASE_SSLMODE}
VERIFIED: set[str] = {Env.DATABASE_CA_FILE}  # the socket of the stage local has no certificate
COMMON: set[str] = {Env.STAGE, "POWERTOOLS_SERVICE_NAME", "POWERTOOLS_METRICS_NAMESPACE"}
ENVIRONMENT: dict[Function, set[str]] = {
    Function.COLLECT_CANDLES: {
        Env.EVENT_BUS_NAME,
        Env.SYMBOLS,
        Env.VENUE,
        Env.FALLBACK_VENUES,
        Env.VENUE_URL,
        Env.COLLECTION_CURSOR_TABLE,
    },
    Function.GENERATE_SIGNALS: DATABASE | {Env.OUTGOING_EVENTS_TABLE, Env.SIGNAL_LIMITS, Env.MODELS_BUCKET},
    Function.LIBRARY_API: DATABASE
    | {
        Env.OUTGOING_EVENTS_TABLE,
        Env.MODELS_BUCKET,
        Env.OWNERS,
        Env.STARTER_BUNDLE_BUCKET,
        Env.STARTER_BUNDLE_KEY,
        Env.SIGNING_KEYS_TABLE,
        Env.VENUE,
        Env.CHALLENGERS,
    },
    Function.SCORE_SIGNALS: DATABASE | {Env.MODELS_BUCKET, Env.VENUE},
    Function.SEND_ALERTS: {
        Env.EVENT_BUS_NAME,
        Env.TELEGRAM_SECRET_ARN,
        Env.TELEGRAM_URL,
        Env.IDEMPOTENCY_TABLE,
        Env.DELIVERIES_QUEUE_URL,
        Env.ALARM_TOPIC_ARN,
        Env.MPLCONFIGDIR,
    },
    Function.ROUTE_EVENTS: {Env.EXECUTION_QUEUE_URL, Env.TRADING_QUEUE_URL},
    Function.MANAGE_ORDERS: DATABASE
    | {Env.OUTGOING_EVENTS_TABLE, Env.VENUE, Env.ACCOUNTS, Env.OWNERS, Env.KILL_SWITCH_QUEUE_ARN, Env.SIGNING_KEYS_TABLE},
    Function.MONITOR_RISK: DATABASE | {Env.OUTGOING_EVENTS_TABLE, Env.VENUE, Env.SIGNING_KEYS_TABLE},
    Function.RELAY_OUTBOX: DATABASE | {Env.OUTGOING_EVENTS_TABLE},
    Function.FORWARD_EVENTS: {Env.EVENT_BUS_NAME, Env.OUTGOING_EVENTS_TABLE},
    Function.EXECUTE_ORDERS: {
        Env.EVENT_BUS_NAME,
        Env.EXCHANGE_SECRET_ARN,
        Env.SIGNING_KEYS_TABLE,
        Env.VENUE_URL,
        Env.IDEMPOTENCY_TABLE,
        Env.MT5_ACCOUNTS,
        Env.MT5_CHECKS_QUEUE_URL,
        Env.KILL_SWITCH_QUEUE_URL,
    },
    Function.COMPACT_CANDLES: DATABASE | {Env.MARKET_DATA_BUCKET, Env.VENUE, Env.FALLBACK_VENUES, Env.SYMBOLS},
    Function.COLLECT_ALTERNATIVE: {Env.MARKET_DATA_BUCKET, Env.SYMBOLS, Env.ALTERNATIVE_SOURCES},
    Function.PUBLISH_REPORTS: DATABASE | {Env.OUTGOING_EVENTS_TABLE, Env.REPORTS_BUCKET},
    Function.START_TRAINING: {Env.TRAINING_PLAN},
    Function.REGISTER_MODEL: DATABASE | {Env.OUTGOING_EVENTS_TABLE, Env.MODELS_BUCKET},
    Function.MIGRATE_DATABASE: DATABASE,
    Function.PREPARE_DATABASE: {Env.MASTER_SECRET_ARN, Env.MIGRATE_FUNCTION_NAME, Env.SIGNING_KEYS_TABLE},
    Function.DUMP_DATABASE: DATABASE | {Env.BACKUPS_BUCKET},
    Function.RESTORE_DATABASE: DATABASE | {Env.BACKUPS_BUCKET},
    Function.QUERY_LEDGER: DATABASE | {Env.VENUE},
    Function.TELEGRAM_WEBHOOK: {Env.WEBHOOK_SECRET_ARN, Env.CHAT_TABLE, Env.UPDATES_QUEUE_URL},
    Function.TELEGRAM_BOT: {
        Env.TELEGRAM_SECRET_ARN,
        Env.TELEGRAM_URL,
        Env.SIGNING_KEYS_TABLE,
        Env.CHAT_TABLE,
        Env.QUERY_FUNCTION_NAME,
        Env.ORDERS_API_URL,
        Env.LIBRARY_API_URL,
        Env.ORDERS_API_VIA,
        Env.MPLCONFIGDIR,
    },
}
SENDING = {  # of a function of the edge that sends each thing once
    "dynamodb:DeleteItem",
    "dynamodb:GetItem",
    "dynamodb:PutItem",
    "dynamodb:UpdateItem",
    "events:PutEvents",
    "secretsmanager:GetSecretValue",
    "sqs:SendMessage",
}
ACTIONS: dict[Function, set[str]] = {
    Function.COLLECT_CANDLES: {"dynamodb:GetItem", "dynamodb:PutItem", "events:PutEvents", "sqs:SendMessage"},
    Function.GENERATE_SIGNALS: {"dynamodb:PutItem", "rds-db:connect", "s3:GetObject", "s3:ListBucket"},
    Function.SEND_ALERTS: (SENDING - {"dynamodb:UpdateItem"}) | {"sns:Publish"},
    Function.ROUTE_EVENTS: {"sqs:SendMessage"},
    Function.MANAGE_ORDERS: {"dynamodb:GetItem", "dynamodb:PutItem", "rds-db:connect"},
    Function.MONITOR_RISK: {"dynamodb:GetItem", "dynamodb:PutItem", "rds-db:connect", "sqs:SendMessage"},
    Function.RELAY_OUTBOX: {
        "dynamodb:PutItem",
        "dynamodb:Scan",
        "dynamodb:UpdateItem",
        "rds-db:connect",
        "sqs:SendMessage",
    },
    Function.FORWARD_EVENTS: {
        "dynamodb:DeleteItem",
        "dynamodb:DescribeStream",
        "dynamodb:GetRecords",
        "dynamodb:GetShardIterator",
        "dynamodb:ListStreams",
        "events:PutEvents",
    },
    Function.EXECUTE_ORDERS: SENDING,
    Function.COMPACT_CANDLES: {"rds-db:connect", "s3:GetObject", "s3:ListBucket", "s3:PutObject", "sqs:SendMessage"},
    Function.COLLECT_ALTERNATIVE: {"s3:GetObject", "s3:ListBucket", "s3:PutObject", "sqs:SendMessage"},
    Function.PUBLISH_REPORTS: {"dynamodb:PutItem", "rds-db:connect", "s3:PutObject", "sqs:SendMessage"},
    Function.START_TRAINING: {
        "iam:PassRole",
        "sagemaker:AddTags",
        "sagemaker:CreateTrainingJob",
        "sagemaker:DescribeTrainingJob",
        "sqs:SendMessage",
    },
    Function.REGISTER_MODEL: {"dynamodb:PutItem", "rds-db:connect", "s3:GetObject", "s3:ListBucket", "s3:PutObject"},
    Function.LIBRARY_API: {
        "dynamodb:GetItem",
        "dynamodb:PutItem",
        "rds-db:connect",
        "s3:GetObject",
        "s3:ListBucket",
        "s3:PutObject",
    },
    Function.MIGRATE_DATABASE: set(),
    Function.PREPARE_DATABASE: {"dynamodb:PutItem", "lambda:InvokeFunction", "secretsmanager:GetSecretValue"},
    Function.DUMP_DATABASE: {"rds-db:connect", "s3:PutObject", "sqs:SendMessage"},
    Function.RESTORE_DATABASE: {"s3:GetObject", "s3:ListBucket"},
    Function.QUERY_LEDGER: {"rds-db:connect"},
    Function.SCORE_SIGNALS: {"rds-db:connect", "s3:GetObject", "s3:ListBucket"},
    Function.TELEGRAM_WEBHOOK: {"dynamodb:GetItem", "secretsmanager:GetSecretValue", "sqs:SendMessage"},
    Function.TELEGRAM_BOT: {
        "dynamodb:GetItem",
        "dynamodb:PutItem",
        "dynamodb:UpdateItem",
        "execute-api:Invoke",
        "lambda:InvokeFunction",
        "secretsmanager:GetSecretValue",
    },
}
XRAY = {"xray:PutTelemetryRecords", "xray:PutTraceSegments"}
TRACED = set(Function) - {
    Function.MONITOR_RISK,
    Function.RELAY_OUTBOX,
    Function.MIGRATE_DATABASE,
    Function.PREPARE_DATABASE,
    Function.DUMP_DATABASE,
    Function.RESTORE_DATABASE,
}
LOGS = {"logs:CreateLogStream", "logs:PutLogEvents"}
CONSUME = {
    "sqs:ChangeMessageVisibility",
    "sqs:DeleteMessage",
    "sqs:GetQueueAttributes",
    "sqs:GetQueueUrl",
    "sqs:ReceiveMessage",
}
CONSUMERS = {
    Function.EXECUTE_ORDERS,
    Function.GENERATE_SIGNALS,
    Function.MANAGE_ORDERS,
    Function.ROUTE_EVENTS,
    Function.SEND_ALERTS,
    Function.REGISTER_MODEL,
    Function.TELEGRAM_BOT,
}
INTERFACES = {
    "ec2:AssignPrivateIpAddresses",
    "ec2:CreateNetworkInterface",
    "ec2:DeleteNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSubnets",
    "ec2:UnassignPrivateIpAddresses",
}


def deployed(assembly: Assembly, function: Function) -> Resource:
    return assembly.function(function.value.replace("_", "-"))


def statements(assembly: Assembly, function: Function) -> list[dict[str, Any]]:
    """The statements of every policy attached to the function's role."""
    found = deployed(assembly, function)
    role = found.properties["Role"]["Fn::GetAtt"][0]
    policies = [
        p for p in assembly.resources("AWS::IAM::Policy") if p.stack == found.stack and {"Ref": role} in p.properties["Roles"]
    ]
    return [s for p in policies for s in p.properties["PolicyDocument"]["Statement"]]


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def test_every_function_is_deployed_under_its_name(assembly: Assembly) -> None:
    names = {r.properties["FunctionName"] for r in assembly.functions()}
    assert names == {f"signalbox-{assembly.stage}-{f.value.replace('_', '-')}" for f in Function}


@pytest.mark.parametrize("function", Function)
def test_environment_is_exactly_what_the_function_needs(assembly: Assembly, function: Function) -> None:
    found = deployed(assembly, function).properties["Environment"]["Variables"]
    of_replays = {Env.LOOK_AGAIN_SECONDS} if (assembly.stage, function) == ("local", Function.COLLECT_CANDLES) else set()
    verified = VERIFIED if function in LEDGER and assembly.stage != "local" else set()
    assert set(found) == {str(key) for key in ENVIRONMENT[function] | COMMON | of_replays | verified}
    assert found[Env.STAGE] == assembly.stage
    assert found["POWERTOOLS_SERVICE_NAME"] == f"signalbox-{assembly.stage}"


@pytest.mark.parametrize("function", Function)
def test_actions_are_exactly_what_the_function_needs(assembly: Assembly, function: Function) -> None:
    actions = {action for s in statements(assembly, function) for action in _listed(s["Action"])}
    expected = ACTIONS[function] | LOGS
    expected |= CONSUME if function in CONSUMERS else set()
    expected |= INTERFACES if function in LEDGER else set()
    expected |= XRAY if function in TRACED else set()
    assert actions == expected


def test_no_role_has_a_wildcard_action_or_a_managed_policy(assembly: Assembly) -> None:
    for policy in assembly.resources("AWS::IAM::Policy"):
        for statement in policy.properties["PolicyDocument"]["Statement"]:
            assert not [a for a in _listed(statement["Action"]) if "*" in a], policy
    for role in assembly.resources("AWS::IAM::Role"):
        if not role.logical_id.startswith("CustomS3AutoDelete"):  # the CDK's own
            assert "ManagedPolicyArns" not in role.properties, role


@pytest.mark.parametrize("function", Function)
def test_a_wildcard_resource_is_only_for_network_interfaces_and_traces(assembly: Assembly, function: Function) -> None:
    for statement in statements(assembly, function):
        if "*" in _listed(statement["Resource"]):
            assert set(_listed(statement["Action"])) in (INTERFACES, XRAY, INTERFACES | XRAY)


@pytest.mark.parametrize("function", sorted(LEDGER))
def test_lambda_may_place_a_function_in_the_network_and_its_code_may_not(assembly: Assembly, function: Function) -> None:
    found = deployed(assembly, function)
    policies = Policies(assembly).of_role(found.stack, found.properties["Role"]["Fn::GetAtt"][0])
    for action in INTERFACES:
        assert allows(policies, action, "*")
        assert not allows(policies, action, "*", {"lambda:SourceFunctionArn": ("arn:aws:lambda:::function:any",)})


@pytest.mark.parametrize("function", Function)
def test_what_a_cycle_runs_through_is_traced_and_the_clock_of_each_minute_is_not(assembly: Assembly, function: Function) -> None:
    tracing = deployed(assembly, function).properties.get("TracingConfig")
    assert tracing == ({"Mode": "Active"} if function in TRACED else None)


@pytest.mark.parametrize("function", Function)
def test_ledger_functions_are_in_the_network_and_edge_functions_are_not(assembly: Assembly, function: Function) -> None:
    network = deployed(assembly, function).properties.get("VpcConfig")
    if function not in LEDGER:
        assert network is None
        return
    assert network is not None
    assert len(network["SubnetIds"]) == 1  # that of the database, until it has a standby in another
    assert "LedgerFunctions" in json.dumps(network["SecurityGroupIds"])


def test_each_secret_is_read_by_whom_it_is_for_and_nobody_else(assembly: Assembly) -> None:
    policies = Policies(assembly)
    readers = {
        str(secret).split("/")[1].rstrip("0123456789ABCDEF"): {
            function
            for function in Function
            if allows(
                policies.of_role(
                    deployed(assembly, function).stack, deployed(assembly, function).properties["Role"]["Fn::GetAtt"][0]
                ),
                "secretsmanager:GetSecretValue",
                str(secret),
            )
        }
        for secret in assembly.resources("AWS::SecretsManager::Secret")
    }
    assert readers == {
        "LedgerMaster": {Function.PREPARE_DATABASE},
        "Telegram": {Function.SEND_ALERTS, Function.TELEGRAM_BOT},
        "Webhook": {Function.TELEGRAM_WEBHOOK},  # and so not the bot's token, though the internet calls it
        "Exchange": {Function.EXECUTE_ORDERS},
    } | ({key: {Function.EXECUTE_ORDERS} for key in ("ftmo1Key", "ftmo2Key")} if assembly.stage == "local" else {})


def test_each_signing_key_is_read_by_whom_it_is_for_and_made_by_one(assembly: Assembly) -> None:
    policies = Policies(assembly)
    (table,) = (r for r in assembly.resources("AWS::DynamoDB::Table") if r.logical_id.startswith("SigningKeys"))

    def who(action: str, *keys: str) -> set[Function]:
        context = {"dynamodb:LeadingKeys": keys}
        roles = {f: (deployed(assembly, f).stack, deployed(assembly, f).properties["Role"]["Fn::GetAtt"][0]) for f in Function}
        return {f for f, role in roles.items() if allows(policies.of_role(*role), action, str(table), context)}

    signers = {Function.MANAGE_ORDERS, Function.EXECUTE_ORDERS}
    assert who("dynamodb:GetItem", SealKey.REQUESTS) == signers | {Function.MONITOR_RISK}
    assert who("dynamodb:GetItem", SealKey.REPORTS) == signers
    assert who("dynamodb:GetItem", SealKey.PEOPLE) == {Function.MANAGE_ORDERS, Function.LIBRARY_API, Function.TELEGRAM_BOT}
    assert [who("dynamodb:PutItem", name) for name in SealKey] == [{Function.PREPARE_DATABASE}] * 3
    for action in ("GetItem", "PutItem", "UpdateItem", "DeleteItem", "Scan", "Query", "BatchGetItem", "ExportTableToPointInTime"):
        assert who(f"dynamodb:{action}") == who(f"dynamodb:{action}", "another") == set()


@pytest.mark.parametrize("function", sorted(LEDGER))
def test_no_ledger_function_knows_a_secret(assembly: Assembly, function: Function) -> None:
    assert not any("secretsmanager" in json.dumps(s) for s in statements(assembly, function))
    assert "Secret" not in json.dumps(deployed(assembly, function).properties["Environment"])


def test_each_ledger_function_logs_in_as_its_own_database_user(assembly: Assembly) -> None:
    """The grant names the one user that the environment names, and no function may log in as another, nor as the owner."""
    for function in sorted(LEDGER - OF_THE_OWNER):
        (connect,) = (s for s in statements(assembly, function) if s["Action"] == "rds-db:connect")
        user = deployed(assembly, function).properties["Environment"]["Variables"][Env.DATABASE_USER]
        assert user == database_user(function)
        assert re.findall(r"/(signalbox_\w+)", json.dumps(connect["Resource"])) == [user]
        assert "*" not in json.dumps(connect["Resource"]).replace(":*:", "")
    for function in set(Function) - (LEDGER - OF_THE_OWNER):
        assert not any("rds-db:connect" in json.dumps(s) for s in statements(assembly, function))


TABLES = {
    Function.GENERATE_SIGNALS: {"OutgoingEvents"},
    Function.REGISTER_MODEL: {"OutgoingEvents"},
    Function.LIBRARY_API: {"OutgoingEvents", "SigningKeys"},
    Function.PUBLISH_REPORTS: {"OutgoingEvents"},
    Function.RELAY_OUTBOX: {"OutgoingEvents"},
    Function.FORWARD_EVENTS: {"OutgoingEvents"},
    Function.MANAGE_ORDERS: {"OutgoingEvents", "SigningKeys"},
    Function.MONITOR_RISK: {"OutgoingEvents", "SigningKeys"},
    Function.PREPARE_DATABASE: {"SigningKeys"},
    Function.COLLECT_CANDLES: {"CollectionCursors"},
    Function.SEND_ALERTS: {"Deliveries"},
    Function.EXECUTE_ORDERS: {"Idempotency", "SigningKeys"},  # which orders were sent
    Function.TELEGRAM_WEBHOOK: {"Chat"},  # which it may only read
    Function.TELEGRAM_BOT: {"Chat", "SigningKeys"},
}


@pytest.mark.parametrize("function", Function)
def test_a_table_of_the_edge_is_for_whom_the_table_names(assembly: Assembly, function: Function) -> None:
    """send_alerts, which parses what the internet answers, cannot forget that an order was sent."""
    tables = "|".join(r.logical_id for r in assembly.resources("AWS::DynamoDB::Table"))
    found = set()
    for statement in statements(assembly, function):
        if any(action.startswith("dynamodb:") for action in _listed(statement["Action"])):
            named = re.findall(tables, json.dumps(statement["Resource"]))
            assert len(named) == len(_listed(statement["Resource"])), statement
            found |= {re.sub("[0-9A-F]{8}$", "", name) for name in named}
    assert found == TABLES.get(function, set())


def test_the_bot_reaches_its_routes_of_two_apis_and_one_function_alone(assembly: Assembly) -> None:
    found = {
        action: json.dumps(s["Resource"]) for s in statements(assembly, Function.TELEGRAM_BOT) for action in _listed(s["Action"])
    }
    paths = sorted(re.findall(r"/\$default/([A-Z]+/[a-z0-9/*]+)", found["execute-api:Invoke"]))
    assert paths == [
        "DELETE/orders/*",
        "GET/v1/entities/*/*/versions/*",
        "GET/v1/entities/*/*/versions/*/diff",
        "GET/v1/history",
        "GET/v1/permission",
        "POST/accounts/*/confirm",
        "POST/accounts/*/halt",
        "POST/accounts/*/resume",
        "POST/orders",
        "POST/v1/deployments",
        "POST/v1/deployments/promote",
        "POST/v1/deployments/rollback",
    ]
    assert "QueryLedger" in found["lambda:InvokeFunction"]


def test_every_ledger_function_has_a_role_in_the_database() -> None:
    users = {database_user(function) for function in LEDGER - OF_THE_OWNER}
    assert {role.user for role in ROLES} == users | {READER_DATABASE_USER}


@pytest.mark.parametrize("function", Function)
def test_functions_share_runtime_architecture_and_handler(assembly: Assembly, function: Function) -> None:
    found = deployed(assembly, function).properties
    assert (found["Runtime"], found["Architectures"], found["Handler"]) == ("python3.14", ["x86_64"], "handler.handler")
    assert found["LoggingConfig"]["LogGroup"]


def test_compaction_writes_below_its_prefixes_and_removes_nothing(assembly: Assembly) -> None:
    found = [s for s in statements(assembly, Function.COMPACT_CANDLES) if "s3:PutObject" in _listed(s["Action"])]
    (write,) = found
    assert set(_listed(write["Action"])) == {"s3:GetObject", "s3:PutObject"}
    ends = [json.dumps(resource).rsplit("/", 2)[1:] for resource in write["Resource"]]
    assert sorted(folder for folder, _ in ends) == ["candles", "quarantine"]
    assert "MarketData" in json.dumps(write["Resource"])


def test_alternative_data_is_written_below_its_prefixes_and_no_candle_can_be(assembly: Assembly) -> None:
    found = [s for s in statements(assembly, Function.COLLECT_ALTERNATIVE) if "s3:PutObject" in _listed(s["Action"])]
    (write,) = found
    assert set(_listed(write["Action"])) == {"s3:GetObject", "s3:PutObject"}
    ends = [json.dumps(resource).rsplit("/", 2)[1:] for resource in write["Resource"]]
    assert sorted(folder for folder, _ in ends) == ["alt", "quarantine"]
    assert "MarketData" in json.dumps(write["Resource"])


def test_publishing_only_writes_and_only_below_the_reports_folder(assembly: Assembly) -> None:
    (write,) = (s for s in statements(assembly, Function.PUBLISH_REPORTS) if "s3" in json.dumps(s["Action"]))
    assert _listed(write["Action"]) == ["s3:PutObject"]
    assert json.dumps(write["Resource"]).endswith('"/reports/*"]]}')
    assert "Reports" in json.dumps(write["Resource"])


def test_a_dump_is_written_below_its_folder_and_read_by_who_restores_alone(assembly: Assembly) -> None:
    (write,) = (s for s in statements(assembly, Function.DUMP_DATABASE) if "s3" in json.dumps(s["Action"]))
    assert _listed(write["Action"]) == ["s3:PutObject"]
    (read,) = (s for s in statements(assembly, Function.RESTORE_DATABASE) if "s3:GetObject" in _listed(s["Action"]))
    for statement in (write, read):
        assert json.dumps(statement["Resource"]).endswith('"/dumps/*"]]}')
        assert "Backups" in json.dumps(statement["Resource"])
    others = set(Function) - {Function.DUMP_DATABASE, Function.RESTORE_DATABASE}
    assert not [f for f in others if "Backups" in json.dumps(statements(assembly, f))]


def test_logs_are_kept_for_a_known_time(assembly: Assembly) -> None:
    days = {"local": 1, "dev": 30, "prod": 365}[assembly.stage]
    assert {r.properties["RetentionInDays"] for r in assembly.resources("AWS::Logs::LogGroup")} == {days}


def test_local_functions_meet_the_stand_ins(local: Assembly) -> None:
    signals = deployed(local, Function.GENERATE_SIGNALS).properties["Environment"]["Variables"]
    assert (signals[Env.DATABASE_HOST], signals[Env.DATABASE_SSLMODE]) == ("sockets", "disable")
    assert deployed(local, Function.COLLECT_CANDLES).properties["Environment"]["Variables"][Env.VENUE_URL].endswith(":9001")
    assert deployed(local, Function.SEND_ALERTS).properties["Environment"]["Variables"][Env.TELEGRAM_URL].endswith(":9002")


def test_paper_accounts_are_opened_where_the_stage_says_so(assemblies: dict[str, Assembly]) -> None:
    found = {
        stage: deployed(a, Function.MANAGE_ORDERS).properties["Environment"]["Variables"][Env.ACCOUNTS]
        for stage, a in assemblies.items()
    }
    assert found == {"local": "ftmo-2step-100k", "dev": "", "prod": ""}


def test_no_function_takes_of_a_new_accounts_ten_executions_unless_it_is_asked_for(
    assembly: Assembly, sources: SourceTree, tmp_path: Path
) -> None:
    assert not [f for f in assembly.functions() if "ReservedConcurrentExecutions" in f.properties]
    if assembly.stage == "dev":
        _, written = synthesise({"stage": "dev", "collect_concurrency": "1"}, out=tmp_path, sources=sources, templates_only=True)
        asked = Assembly("dev", written)
        assert deployed(asked, Function.COLLECT_CANDLES).properties["ReservedConcurrentExecutions"] == 1
