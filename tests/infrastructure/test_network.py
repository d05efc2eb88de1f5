"""The ledger's world has no way out."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.infrastructure.assembly import Assembly

pytestmark = pytest.mark.infra


def test_no_stack_has_a_way_to_the_internet(assembly: Assembly) -> None:
    assert assembly.resources("AWS::EC2::NatGateway", "AWS::EC2::InternetGateway", "AWS::EC2::Route", "AWS::EC2::EIP") == []


def test_subnets_are_two_and_private(assembly: Assembly) -> None:
    subnets = assembly.resources("AWS::EC2::Subnet")
    assert len(subnets) == 2
    assert len({json.dumps(s.properties["AvailabilityZone"]) for s in subnets}) == 2  # RDS asks for two, used or not
    assert not any(s.properties["MapPublicIpOnLaunch"] for s in subnets)


def test_the_doors_are_s3_and_two_tables_and_cost_nothing(assembly: Assembly) -> None:
    doors = {}
    for endpoint in assembly.resources("AWS::EC2::VPCEndpoint"):
        name = next(one for one in (".s3", ".dynamodb") if one in json.dumps(endpoint.properties["ServiceName"]))
        assert endpoint.properties["VpcEndpointType"] == "Gateway"
        doors[name] = endpoint.properties["PolicyDocument"]["Statement"]
    assert sorted(doors) == [".dynamodb", ".s3"]
    stage = assembly.stage
    tables = {json.dumps(s["Resource"]).rsplit("table/", 1)[1].rstrip('"]}'): s["Action"] for s in doors[".dynamodb"]}
    assert tables == {
        f"signalbox-{stage}-data-OutgoingEvents*": ["dynamodb:PutItem", "dynamodb:Scan", "dynamodb:UpdateItem"],
        f"signalbox-{stage}-secrets-SigningKeys*": "dynamodb:GetItem",
    }
    for statement in doors[".dynamodb"]:
        assert statement["Condition"] == {"StringEquals": {"aws:PrincipalAccount": {"Ref": "AWS::AccountId"}}}


def test_the_door_of_the_tables_fits_the_names_that_cloudformation_gives(assembly: Assembly) -> None:
    """A name without one of our own is the stack's, the logical id, and what makes it unique."""
    places = {(t.stack, t.logical_id) for t in assembly.resources("AWS::DynamoDB::Table") if "TableName" not in t.properties}
    for stack, start in (("data", "OutgoingEvents"), ("secrets", "SigningKeys")):
        assert [one for one in places if one[0] == stack and one[1].startswith(start)], start


def _group(assembly: Assembly, name: str) -> dict[str, Any]:
    (found,) = (r for r in assembly.resources("AWS::EC2::SecurityGroup") if r.logical_id.startswith(name))
    return found.properties


def test_ledger_functions_reach_only_postgres_and_https(assembly: Assembly) -> None:
    group = _group(assembly, "LedgerFunctions")
    assert "SecurityGroupIngress" not in group
    rules = [(r["FromPort"], r["ToPort"], r["CidrIp"]) for r in group["SecurityGroupEgress"]]
    assert rules == [(5432, 5432, "10.20.0.0/16"), (443, 443, "0.0.0.0/0")]


def test_the_database_takes_ledger_functions_only(assembly: Assembly) -> None:
    (rule,) = _group(assembly, "Database")["SecurityGroupIngress"]
    assert (rule["FromPort"], rule["ToPort"]) == (5432, 5432)
    assert "LedgerFunctions" in json.dumps(rule["SourceSecurityGroupId"])
    assert "CidrIp" not in rule


def test_rejected_traffic_is_logged_in_the_cloud(dev: Assembly, prod: Assembly, local: Assembly) -> None:
    assert len(dev.resources("AWS::EC2::FlowLog")) == len(prod.resources("AWS::EC2::FlowLog")) == 1
    assert local.resources("AWS::EC2::FlowLog") == []
