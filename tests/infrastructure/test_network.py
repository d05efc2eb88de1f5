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


def test_the_doors_are_s3_the_bus_and_signing_keys(assembly: Assembly) -> None:
    doors = {}
    for endpoint in assembly.resources("AWS::EC2::VPCEndpoint"):
        service = json.dumps(endpoint.properties["ServiceName"])
        name = next(one for one in (".s3", ".events", ".secretsmanager") if one in service)
        doors[name] = (endpoint.properties["VpcEndpointType"], endpoint.properties["PolicyDocument"]["Statement"])
    kinds = {name: kind for name, (kind, _) in doors.items()}
    assert kinds == {".s3": "Gateway", ".events": "Interface", ".secretsmanager": "Interface"}
    (keys,) = doors[".secretsmanager"][1]
    assert keys["Action"] == "secretsmanager:GetSecretValue"
    shown = sorted(json.dumps(resource) for resource in keys["Resource"])
    assert ["ReportKey" in shown[0], "RequestKey" in shown[1], len(shown)] == [True, True, 2]


def _group(assembly: Assembly, name: str) -> dict[str, Any]:
    (found,) = (r for r in assembly.resources("AWS::EC2::SecurityGroup") if r.logical_id.startswith(name))
    return found.properties


def test_ledger_functions_reach_only_postgres_and_https(assembly: Assembly) -> None:
    group = _group(assembly, "LedgerFunctions")
    assert "SecurityGroupIngress" not in group
    rules = [(r["FromPort"], r["ToPort"], r["CidrIp"]) for r in group["SecurityGroupEgress"]]
    assert rules == [(5432, 5432, "10.20.0.0/16"), (443, 443, "10.20.0.0/16"), (443, 443, "0.0.0.0/0")]


@pytest.mark.parametrize(("name", "port"), [("Database", 5432), ("EventsEndpoint", 443), ("KeysEndpoint", 443)])
def test_database_and_endpoint_take_ledger_functions_only(assembly: Assembly, name: str, port: int) -> None:
    (rule,) = _group(assembly, name)["SecurityGroupIngress"]
    assert (rule["FromPort"], rule["ToPort"]) == (port, port)
    assert "LedgerFunctions" in json.dumps(rule["SourceSecurityGroupId"])
    assert "CidrIp" not in rule


def test_rejected_traffic_is_logged_in_the_cloud(dev: Assembly, prod: Assembly, local: Assembly) -> None:
    assert len(dev.resources("AWS::EC2::FlowLog")) == len(prod.resources("AWS::EC2::FlowLog")) == 1
    assert local.resources("AWS::EC2::FlowLog") == []
