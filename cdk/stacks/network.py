"""The network of the ledger functions: isolated subnets in the database's zones, no internet, and two gateway endpoints.

S3 and DynamoDB have a gateway endpoint each, which costs nothing, and PostgreSQL is reached through its security group. The
endpoints refuse other AWS accounts, and the one of DynamoDB allows only the outgoing events and the signing keys (decision 0109).
"""

from __future__ import annotations

from typing import Final

from aws_cdk import Aws, aws_ec2, aws_iam, aws_logs
from constructs import Construct

from cdk.constructs.function import LedgerNetwork, retention
from cdk.stacks.base import SignalboxStack
from cdk.stage import StageConfig

POSTGRES_PORT: Final = 5432
_ADDRESSES: Final = "10.20.0.0/16"


class NetworkStack(SignalboxStack):
    """VPC, endpoints and security groups."""

    def __init__(self, scope: Construct, stage: StageConfig) -> None:
        super().__init__(scope, stage, "network", description="isolated network of the ledger functions")
        self.vpc = aws_ec2.Vpc(
            self,
            "Vpc",
            ip_addresses=aws_ec2.IpAddresses.cidr(_ADDRESSES),
            max_azs=2,
            nat_gateways=0,
            create_internet_gateway=False,
            restrict_default_security_group=False,  # nothing uses it; restricting it takes a custom resource
            subnet_configuration=[
                aws_ec2.SubnetConfiguration(name="Ledger", subnet_type=aws_ec2.SubnetType.PRIVATE_ISOLATED, cidr_mask=24)
            ],
        )
        # The rules below are written inside the groups, because rules between two groups in both directions would create a cycle.
        ledger = self._group("LedgerFunctions", "ledger functions: PostgreSQL, S3 and DynamoDB, nothing else")
        self.database_group = self._group("Database", "the ledger: from ledger functions only")
        from_ledger = aws_ec2.Peer.security_group_id(ledger.security_group_id)
        self.database_group.add_ingress_rule(from_ledger, aws_ec2.Port.tcp(POSTGRES_PORT), "ledger functions")
        ledger.add_egress_rule(aws_ec2.Peer.ipv4(_ADDRESSES), aws_ec2.Port.tcp(POSTGRES_PORT), "PostgreSQL")
        # A prefix list has another id in every region, which a template for any region cannot look up. The subnets have no
        # route but the gateway endpoints', so "any address" is S3 and DynamoDB even when the ids are not given.
        lists = (stage.s3_prefix_list_id, stage.dynamodb_prefix_list_id)
        doors = [aws_ec2.Peer.prefix_list(one) for one in lists if one] if all(lists) else [aws_ec2.Peer.any_ipv4()]
        for door in doors:
            ledger.add_egress_rule(door, aws_ec2.Port.tcp(443), "S3 and DynamoDB through their gateway endpoints")
        # One zone where the database is in one: a second would not keep the ledger running.
        isolated = self.vpc.isolated_subnets
        self._subnets = aws_ec2.SubnetSelection(subnets=isolated if stage.database_multi_az else isolated[:1])
        self.ledger = LedgerNetwork(self.vpc, self._subnets, ledger)
        self._endpoints(stage)
        if stage.flow_logs:
            self._flow_logs()

    def _group(self, name: str, description: str) -> aws_ec2.SecurityGroup:
        return aws_ec2.SecurityGroup(
            self, name, vpc=self.vpc, description=description, allow_all_outbound=False, disable_inline_rules=False
        )

    def _endpoints(self, stage: StageConfig) -> None:
        store = self.vpc.add_gateway_endpoint("S3", service=aws_ec2.GatewayVpcEndpointAwsService.S3)
        store.add_to_policy(
            aws_iam.PolicyStatement(
                principals=[aws_iam.AnyPrincipal()],
                actions=["s3:GetObject", "s3:PutObject", "s3:ListBucket"],
                resources=["*"],
                conditions={"StringEquals": {"aws:ResourceAccount": Aws.ACCOUNT_ID}},
            )
        )
        tables = f"arn:{Aws.PARTITION}:dynamodb:{Aws.REGION}:{Aws.ACCOUNT_ID}:table"
        ours = {"StringEquals": {"aws:PrincipalAccount": Aws.ACCOUNT_ID}}
        records = self.vpc.add_gateway_endpoint("DynamoDB", service=aws_ec2.GatewayVpcEndpointAwsService.DYNAMODB)
        # the tables are of other stacks, which need this one: known by the start of the names that CloudFormation gives
        for concern, table, actions in (
            ("data", "OutgoingEvents", ["dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:Scan"]),
            ("secrets", "SigningKeys", ["dynamodb:GetItem"]),
        ):
            records.add_to_policy(
                aws_iam.PolicyStatement(
                    principals=[aws_iam.AnyPrincipal()],
                    actions=actions,
                    resources=[f"{tables}/{stage.stack_name(concern)}-{table}*"],
                    conditions=ours,
                )
            )

    def _flow_logs(self) -> None:
        logs = aws_logs.LogGroup(self, "FlowLogGroup", retention=retention(self.config), removal_policy=self.state_removal)
        self.vpc.add_flow_log(
            "FlowLogs",
            destination=aws_ec2.FlowLogDestination.to_cloud_watch_logs(logs),
            traffic_type=aws_ec2.FlowLogTrafficType.REJECT,
        )
