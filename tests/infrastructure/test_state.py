"""What would be missed: counted, pinned, encrypted, kept."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cdk.composition import synthesise
from cdk.sources import SourceMissingError, SourceTree
from cdk.stage_file import FOLDER, read_settings
from signalbox.contracts import Env
from tests.infrastructure.assembly import Assembly
from tests.infrastructure.conftest import RECIPIENT

pytestmark = pytest.mark.infra

# A changed logical id is a new, empty resource: changing this list is a data migration.
STATEFUL = {
    "data/BackupsBucket2936A3AA": "AWS::S3::Bucket",
    "data/Chat26DEB33F": "AWS::DynamoDB::Table",
    "data/CollectionCursors64C642A1": "AWS::DynamoDB::Table",
    "data/DeliveriesBF2F7293": "AWS::DynamoDB::Table",
    "data/IdempotencyC15CBC33": "AWS::DynamoDB::Table",
    "data/LedgerB7379752": "AWS::RDS::DBInstance",
    "data/LedgerMasterAF703E9E": "AWS::SecretsManager::Secret",
    "data/LogsBucket5C52C3D2": "AWS::S3::Bucket",
    "data/MarketDataBucket420AE01D": "AWS::S3::Bucket",
    "data/ModelsBucket970C6ADA": "AWS::S3::Bucket",
    "data/OutgoingEvents3FA3032E": "AWS::DynamoDB::Table",
    "data/ReportsBucket95FE29A2": "AWS::S3::Bucket",
    "secrets/Exchange6745BA1E": "AWS::SecretsManager::Secret",
    "secrets/SigningKeysA56F0358": "AWS::DynamoDB::Table",
    "secrets/Telegram81A8E329": "AWS::SecretsManager::Secret",
    "secrets/WebhookB701416B": "AWS::SecretsManager::Secret",
}
STATEFUL_TYPES = (
    "AWS::RDS::DBInstance",
    "AWS::S3::Bucket",
    "AWS::DynamoDB::Table",
    "AWS::SecretsManager::Secret",
)


def test_stateful_resources_are_pinned(prod: Assembly) -> None:
    assert {str(r): r.type for r in prod.resources(*STATEFUL_TYPES)} == STATEFUL


def test_every_stage_has_the_same_state(assemblies: dict[str, Assembly]) -> None:
    of = {stage: [r for r in a.resources(*STATEFUL_TYPES) if r.stack != "execution"] for stage, a in assemblies.items()}
    kinds = {stage: sorted(r.type for r in found) for stage, found in of.items()}  # keys of mailboxes are no state
    assert kinds["local"] == kinds["dev"] == kinds["prod"]


def test_prod_keeps_its_state(prod: Assembly) -> None:
    for resource in prod.resources(*STATEFUL_TYPES):
        assert resource.body["DeletionPolicy"] == "Retain", resource
        assert resource.body["UpdateReplacePolicy"] == "Retain", resource


def test_prod_protects_its_stateful_stacks(assemblies: dict[str, Assembly]) -> None:
    def protected(stage: str) -> set[str]:
        manifest = assemblies[stage].manifest
        return {name for name, artifact in manifest.items() if artifact["properties"].get("terminationProtection")}

    assert protected("prod") == {"signalbox-prod-data", "signalbox-prod-secrets"}
    assert protected("dev") == protected("local") == set()


def test_stateful_names_are_cloudformations(assembly: Assembly) -> None:
    names = ("BucketName", "TableName", "DBInstanceIdentifier", "Name", "QueueName")
    for resource in assembly.resources(*STATEFUL_TYPES, "AWS::SQS::Queue"):
        if resource.properties.get("QueueName", resource.properties.get("Name", "")).startswith(
            f"signalbox-{assembly.stage}-mt5-"
        ):
            continue  # no state: a mailbox is known by its name, so that no queue can pass for another account's
        assert not set(names) & set(resource.properties), resource


def test_database_is_private_encrypted_and_takes_iam_tokens(assembly: Assembly) -> None:
    (database,) = assembly.resources("AWS::RDS::DBInstance")
    expected = {
        "Engine": "postgres",
        "EnableIAMDatabaseAuthentication": True,
        "StorageEncrypted": True,
        "PubliclyAccessible": False,
        "DBName": "signalbox",
        "MasterUsername": "signalbox_admin",
        "CopyTagsToSnapshot": True,
    }
    assert {key: database.properties[key] for key in expected} == expected
    (parameters,) = assembly.resources("AWS::RDS::DBParameterGroup")
    assert parameters.properties["Parameters"]["rds.force_ssl"] == "1"
    assert "{{resolve:secretsmanager:" in json.dumps(database.properties["MasterUserPassword"])


@pytest.mark.parametrize(
    ("stage", "size", "multi_az", "protected", "backup_days"),
    [("dev", "db.t4g.micro", False, False, 7), ("prod", "db.t4g.small", False, True, 35)],
)
def test_database_follows_its_stage(
    assemblies: dict[str, Assembly], stage: str, size: str, multi_az: bool, protected: bool, backup_days: int
) -> None:
    (database,) = assemblies[stage].resources("AWS::RDS::DBInstance")
    found = [database.properties[k] for k in ("DBInstanceClass", "MultiAZ", "DeletionProtection", "BackupRetentionPeriod")]
    assert found == [size, multi_az, protected, backup_days]


def test_one_setting_gives_the_ledger_a_second_zone(sources: SourceTree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = read_settings(FOLDER / "dev.toml") | {"database_multi_az": True}
    monkeypatch.setattr("cdk.stage.read_settings", lambda _: settings)
    _, written = synthesise({"stage": "dev"}, out=tmp_path, sources=sources, templates_only=True)
    assembly = Assembly("dev", written)
    (database,) = assembly.resources("AWS::RDS::DBInstance")
    assert (database.properties["MultiAZ"], "AvailabilityZone" in database.properties) == (True, False)
    placed = [f.properties["VpcConfig"]["SubnetIds"] for f in assembly.functions() if "VpcConfig" in f.properties]
    doors = [e.properties["SubnetIds"] for e in assembly.resources("AWS::EC2::VPCEndpoint") if "SubnetIds" in e.properties]
    assert {len(subnets) for subnets in placed + doors} == {2}


def test_without_a_standby_the_ledger_is_in_one_zone(dev: Assembly) -> None:
    (database,) = dev.resources("AWS::RDS::DBInstance")
    zone = database.properties["AvailabilityZone"]
    assert zone in [subnet.properties["AvailabilityZone"] for subnet in dev.resources("AWS::EC2::Subnet")]
    assert not [e for e in dev.resources("AWS::EC2::VPCEndpoint") if "SubnetIds" in e.properties]  # gateways alone, in every zone


def test_each_ledger_function_verifies_the_databases_certificate_by_its_region(assemblies: dict[str, Assembly]) -> None:
    for stage in ("dev", "prod"):
        (database,) = assemblies[stage].resources("AWS::RDS::DBInstance")
        assert database.properties["CACertificateIdentifier"] == "rds-ca-rsa2048-g1"
        environments = [f.properties["Environment"]["Variables"] for f in assemblies[stage].functions()]
        ledger = [one for one in environments if Env.DATABASE_HOST in one]
        assert len(ledger) == 13
        folder = "/opt/python/signalbox/adapters/postgres/certificates/"
        for one in ledger:
            assert one["DATABASE_SSLMODE"] == "verify-full"
            assert one["DATABASE_CA_FILE"] == {"Fn::Join": ["", [folder, {"Ref": "AWS::Region"}, ".pem"]]}


def test_without_the_authorities_nothing_is_synthesised(
    sources: SourceTree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cdk.sources.CERTIFICATES", tmp_path / "none")  # an absolute path wins over the library's folder
    with pytest.raises(SourceMissingError, match="certificate authorities"):
        synthesise({"stage": "dev"}, out=tmp_path / "out", sources=sources, templates_only=True)


def test_which_instance_is_the_ledger_is_no_export(dev: Assembly) -> None:
    named = {p.properties["Name"]: p.properties["Value"] for p in dev.resources("AWS::SSM::Parameter")}
    assert set(named) == {"/signalbox/dev/ledger/Address", "/signalbox/dev/ledger/ResourceId"}
    (database,) = dev.resources("AWS::RDS::DBInstance")
    for stack, template in dev.templates().items():
        for output in template.get("Outputs", {}).values():
            if "Export" in output:
                assert database.logical_id not in json.dumps(output["Value"]), (stack, output)
    for function in dev.functions():
        if (host := function.properties["Environment"]["Variables"].get("DATABASE_HOST")) is not None:
            parameter = dev.templates()[function.stack]["Parameters"][host["Ref"]]
            assert parameter["Type"] == "AWS::SSM::Parameter::Value<String>"
            assert parameter["Default"] == "/signalbox/dev/ledger/Address"


def test_buckets_are_versioned_encrypted_private_and_logged(assembly: Assembly) -> None:
    buckets = assembly.resources("AWS::S3::Bucket")
    assert len(buckets) == 5
    for bucket in buckets:
        have = bucket.properties
        assert have["VersioningConfiguration"] == {"Status": "Enabled"}, bucket
        assert "BucketEncryption" in have, bucket
        assert set(have["PublicAccessBlockConfiguration"].values()) == {True}, bucket
        assert have["LifecycleConfiguration"]["Rules"], bucket
        assert ("LoggingConfiguration" in have) != bucket.logical_id.startswith("Logs"), bucket


def test_buckets_and_queues_and_topics_take_tls_only(assembly: Assembly) -> None:
    policies = assembly.resources("AWS::S3::BucketPolicy", "AWS::SQS::QueuePolicy", "AWS::SNS::TopicPolicy")
    holders = assembly.resources("AWS::S3::Bucket", "AWS::SQS::Queue", "AWS::SNS::Topic")
    assert len(policies) == len(holders)
    for policy in policies:
        denied = [s for s in policy.properties["PolicyDocument"]["Statement"] if s["Effect"] == "Deny"]
        assert {"Bool": {"aws:SecureTransport": "false"}} in [s["Condition"] for s in denied], policy


def test_tables_are_on_demand_and_recoverable(assembly: Assembly) -> None:
    tables = {next(k["AttributeName"] for k in t.properties["KeySchema"]): t for t in assembly.resources("AWS::DynamoDB::Table")}
    assert set(tables) == {"symbol", "id", "event_type", "name"}
    for table in tables.values():
        assert table.properties["BillingMode"] == "PAY_PER_REQUEST"
        assert table.properties["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"] is True
        assert table.properties["SSESpecification"] == {"SSEEnabled": True}
    assert tables["id"].properties["TimeToLiveSpecification"] == {"AttributeName": "expiration", "Enabled": True}


def test_a_stage_that_keeps_nothing_can_be_removed_with_its_buckets_full(assemblies: dict[str, Assembly]) -> None:
    emptied = {stage: a.resources("Custom::S3AutoDeleteObjects") for stage, a in assemblies.items()}
    assert {stage: len(found) for stage, found in emptied.items()} == {"local": 0, "dev": 5, "prod": 0}
    named = {json.dumps(one.properties["BucketName"]) for one in emptied["dev"]}
    assert named == {json.dumps({"Ref": b.logical_id}) for b in assemblies["dev"].resources("AWS::S3::Bucket")}


def test_every_recipient_of_alarms_is_subscribed(assembly: Assembly) -> None:
    (subscription,) = assembly.resources("AWS::SNS::Subscription")
    assert (subscription.properties["Protocol"], subscription.properties["Endpoint"]) == ("email", RECIPIENT)
