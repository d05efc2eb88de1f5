"""The network of the ledger functions: isolated subnets in the database's zones, without internet access, and four endpoints.

S3 has a gateway endpoint, the event bus and Secrets Manager have an interface endpoint each, and PostgreSQL is reached through
its security group. The endpoints refuse other AWS accounts, and the one of Secrets Manager allows only the signing keys.
"""

from __future__ import annotations

from typing import Final

from aws_cdk import Aws, aws_ec2, aws_iam, aws_logs
from constructs import Construct

from cdk.constructs.function import LedgerNetwork, retention
from cdk.stacks.base import SignalboxStack
from cdk.stacks.secrets import SecretsStack
from cdk.stage import StageConfig

POSTGRES_PORT: Final = 5432
_ADDRESSES: Final = "10.20.0.0/16"


class NetworkStack(SignalboxStack):
    """VPC, endpoints and security groups."""

    def __init__(self, scope: Construct, stage: StageConfig, *, secrets: SecretsStack) -> None:
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
        ledger = self._group("LedgerFunctions", "ledger functions: PostgreSQL, the bus, S3 and signing keys, nothing else")
        self.database_group = self._group("Database", "the ledger: from ledger functions only")
        endpoint_group = self._group("EventsEndpoint", "the bus: from ledger functions only")
        keys_group = self._group("KeysEndpoint", "Secrets Manager: from ledger functions only")
        from_ledger = aws_ec2.Peer.security_group_id(ledger.security_group_id)
        self.database_group.add_ingress_rule(from_ledger, aws_ec2.Port.tcp(POSTGRES_PORT), "ledger functions")
        endpoint_group.add_ingress_rule(from_ledger, aws_ec2.Port.tcp(443), "ledger functions")
        keys_group.add_ingress_rule(from_ledger, aws_ec2.Port.tcp(443), "ledger functions")
        inside = aws_ec2.Peer.ipv4(_ADDRESSES)
        ledger.add_egress_rule(inside, aws_ec2.Port.tcp(POSTGRES_PORT), "PostgreSQL")
        ledger.add_egress_rule(inside, aws_ec2.Port.tcp(443), "the bus and Secrets Manager")
        # S3's prefix list has another id in every region, which a template for any region cannot look up. The subnets
        # have no route but the gateway endpoint's, so "any address" is S3 even when the id is not given.
        to_s3 = aws_ec2.Peer.prefix_list(stage.s3_prefix_list_id) if stage.s3_prefix_list_id else aws_ec2.Peer.any_ipv4()
        ledger.add_egress_rule(to_s3, aws_ec2.Port.tcp(443), "S3 through its gateway endpoint")
        # One zone where the database is in one: a second would not keep the ledger running, and pays for its endpoints.
        isolated = self.vpc.isolated_subnets
        self._subnets = aws_ec2.SubnetSelection(subnets=isolated if stage.database_multi_az else isolated[:1])
        self.ledger = LedgerNetwork(self.vpc, self._subnets, ledger)
        self._endpoints(endpoint_group)
        self._open_keys(keys_group, secrets)
        if stage.flow_logs:
            self._flow_logs()

    def _group(self, name: str, description: str) -> aws_ec2.SecurityGroup:
        return aws_ec2.SecurityGroup(
            self, name, vpc=self.vpc, description=description, allow_all_outbound=False, disable_inline_rules=False
        )

    def _endpoints(self, group: aws_ec2.SecurityGroup) -> None:
        store = self.vpc.add_gateway_endpoint("S3", service=aws_ec2.GatewayVpcEndpointAwsService.S3)
        store.add_to_policy(
            aws_iam.PolicyStatement(
                principals=[aws_iam.AnyPrincipal()],
                actions=["s3:GetObject", "s3:PutObject", "s3:ListBucket"],
                resources=["*"],
                conditions={"StringEquals": {"aws:ResourceAccount": Aws.ACCOUNT_ID}},
            )
        )
        bus = f"arn:{Aws.PARTITION}:events:{Aws.REGION}:{Aws.ACCOUNT_ID}:event-bus/*"
        service = aws_ec2.InterfaceVpcEndpointAwsService.EVENTBRIDGE
        self._interface("Events", service, group, action="events:PutEvents", resources=[bus])

    def _open_keys(self, group: aws_ec2.SecurityGroup, secrets: SecretsStack) -> None:
        """Allow the signing keys and no other secret, so that the endpoint does not serve a role with too many rights."""
        keys = [secrets.request_key.secret_arn, secrets.report_key.secret_arn]
        service = aws_ec2.InterfaceVpcEndpointAwsService.SECRETS_MANAGER
        self._interface("SigningKeys", service, group, action="secretsmanager:GetSecretValue", resources=keys)

    def _interface(
        self,
        name: str,
        service: aws_ec2.InterfaceVpcEndpointAwsService,
        group: aws_ec2.SecurityGroup,
        *,
        action: str,
        resources: list[str],
    ) -> None:
        """Add an interface endpoint that allows one action of this account's principals."""
        endpoint = self.vpc.add_interface_endpoint(
            name, service=service, subnets=self._subnets, security_groups=[group], open=False, private_dns_enabled=True
        )
        endpoint.add_to_policy(
            aws_iam.PolicyStatement(
                principals=[aws_iam.AnyPrincipal()],
                actions=[action],
                resources=resources,
                conditions={"StringEquals": {"aws:PrincipalAccount": Aws.ACCOUNT_ID}},
            )
        )

    def _flow_logs(self) -> None:
        logs = aws_logs.LogGroup(self, "FlowLogGroup", retention=retention(self.config), removal_policy=self.state_removal)
        self.vpc.add_flow_log(
            "FlowLogs",
            destination=aws_ec2.FlowLogDestination.to_cloud_watch_logs(logs),
            traffic_type=aws_ec2.FlowLogTrafficType.REJECT,
        )
