"""A function: its deployed name, code, layers, log group, its own role, and its maximum size.

An edge function gets no network; a ledger function gets `network` and with it nothing but the ledger, S3 and two tables
(docs/architecture.md, principle 1).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from aws_cdk import Duration, RemovalPolicy, Stack, aws_dynamodb, aws_ec2, aws_events, aws_iam, aws_lambda, aws_logs, aws_sns
from constructs import Construct

from cdk.constructs.acknowledge import acknowledge
from cdk.constructs.layers import RUNTIME, LayerName, Layers
from cdk.sources import SourceTree, source_files
from cdk.stage import StageConfig
from signalbox.contracts import EVENT_SOURCE, FORWARDED_EVENTS, LIVE_ALIAS, METRIC_NAMESPACE, Env, EventType, Function, emitted_by

_INTERFACE_ACTIONS: Final = [  # what Lambda does in the role's name to place a function in a VPC
    "ec2:CreateNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSubnets",
    "ec2:DeleteNetworkInterface",
    "ec2:AssignPrivateIpAddresses",
    "ec2:UnassignPrivateIpAddresses",
]
_INTERFACES_REASON: Final = "Lambda places a function in a VPC with these ec2 actions, which know no resource at that time."
_BY_HAND: Final = frozenset({Function.MIGRATE_DATABASE, Function.PREPARE_DATABASE, Function.RESTORE_DATABASE})
# A trace a cycle, from the schedule that starts it to the alert: the trace header travels through bus and queues. What runs every
# minute, by hand, or with the database alone, starts none of its own: it would be most of the cost and show nothing
# (docs/tracing.md).
UNTRACED: Final = _BY_HAND | {Function.MONITOR_RISK, Function.RELAY_OUTBOX, Function.DUMP_DATABASE}
_RETENTION: Final = {
    1: aws_logs.RetentionDays.ONE_DAY,
    30: aws_logs.RetentionDays.ONE_MONTH,
    365: aws_logs.RetentionDays.ONE_YEAR,
}


class FunctionTooLargeError(ValueError):
    """A function and its layers exceed Lambda's size limit less our reserve."""


def retention(stage: StageConfig) -> aws_logs.RetentionDays:
    """Return how long logs are kept."""
    return _RETENTION[stage.log_days]


@dataclass(frozen=True, slots=True)
class LedgerNetwork:
    """The VPC, subnets and security group of ledger functions."""

    vpc: aws_ec2.IVpc
    subnets: aws_ec2.SubnetSelection
    security_group: aws_ec2.ISecurityGroup


# Megabytes of memory with which Lambda gives one whole vCPU. Ledger functions have it: less stretches the CPU time of their
# imports to as much as nine seconds (docs/performance.md, cold starts), and what computes takes the same GB-seconds either way.
WHOLE_VCPU: Final = 1769


@dataclass(frozen=True, slots=True)
class LedgerAccess:
    """A ledger function's access to the database: where it runs, and how it logs in as its own user."""

    network: LedgerNetwork
    grant: Callable[[SignalboxFunction], None]


@dataclass(frozen=True, slots=True)
class FunctionContext:
    """The settings that all functions of a stage share."""

    stage: StageConfig
    sources: SourceTree
    alarm_topic: aws_sns.ITopic


def require_size(name: Function, parts: Mapping[str, int], *, megabytes: int) -> None:
    """Raise FunctionTooLargeError, which lists the bytes of each part, if together they are more than allowed."""
    if sum(parts.values()) > megabytes * 1_000_000:
        sizes = ", ".join(f"{part} {size / 1e6:.1f} MB" for part, size in parts.items())
        raise FunctionTooLargeError(f"{name}: expected at most {megabytes} MB unzipped, got {sizes}")


class SignalboxFunction(Construct):
    """One function of `contracts.Function`."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        name: Function,
        context: FunctionContext,
        layers: Sequence[LayerName],
        timeout_seconds: int,
        memory_megabytes: int,
        environment: Mapping[Env, str] | None = None,
        ledger: LedgerAccess | None = None,
        network: LedgerNetwork | None = None,
        bus: aws_events.IEventBus | None = None,
        outgoing: aws_dynamodb.ITable | None = None,
        reserved_concurrency: int | None = None,
    ) -> None:
        """ledger: gives access to the ledger. network: only places it in the VPC, for an own login.

        bus: for events of an edge function. outgoing: the table for events of a ledger function.
        """
        super().__init__(scope, construct_id)
        stage = context.stage
        network = ledger.network if ledger else network
        made = Layers.of_stack(Stack.of(self), stage=stage, sources=context.sources).of(*layers)
        code = context.sources.handler(name)
        sizes = {f"layer {layer.name}": layer.unzipped_bytes for layer in made}
        sizes["code"] = sum(path.stat().st_size for path in source_files(code))
        require_size(name, sizes, megabytes=stage.max_unzipped_megabytes)
        self.name = stage.function_name(name)
        self.kind = name
        self.timeout_seconds = timeout_seconds
        logs = aws_logs.LogGroup(
            self,
            "Logs",
            log_group_name=f"/aws/lambda/{self.name}",
            retention=retention(stage),
            removal_policy=RemovalPolicy.DESTROY,
        )
        self.role = aws_iam.Role(self, "Role", assumed_by=aws_iam.ServicePrincipal("lambda.amazonaws.com"))
        logs.grant_write(self.role)
        if network is not None:
            self._allow_interfaces()
        self.function = aws_lambda.Function(
            self,
            "Function",
            function_name=self.name,
            runtime=RUNTIME,
            architecture=aws_lambda.Architecture.X86_64,
            handler="handler.handler",
            code=aws_lambda.Code.from_asset(str(code), exclude=["**/__pycache__", "**/*.pyc"]),
            layers=[layer.version for layer in made],
            role=self.role,
            log_group=logs,
            timeout=Duration.seconds(timeout_seconds),
            memory_size=memory_megabytes,
            tracing=None if name in UNTRACED else aws_lambda.Tracing.ACTIVE,
            reserved_concurrent_executions=reserved_concurrency,
            environment={
                Env.STAGE.value: stage.name,
                "POWERTOOLS_SERVICE_NAME": stage.service,  # a dimension of the metrics; a log line names its function
                "POWERTOOLS_METRICS_NAMESPACE": METRIC_NAMESPACE,
                **({Env.EVENT_BUS_NAME.value: bus.event_bus_name} if bus else {}),
                **({Env.OUTGOING_EVENTS_TABLE.value: outgoing.table_name} if outgoing else {}),
                **{key.value: value for key, value in (environment or {}).items()},
            },
            # versions of earlier releases stay: the alias goes back to one of them (decision 0104)
            current_version_options=aws_lambda.VersionOptions(removal_policy=RemovalPolicy.RETAIN),
            vpc=network.vpc if network else None,
            vpc_subnets=network.subnets if network else None,
            security_groups=[network.security_group] if network else None,
        )
        self.live = aws_lambda.Alias(self, "Live", alias_name=LIVE_ALIAS, version=self.function.current_version)
        reasons = [_INTERFACES_REASON] if network is not None else []
        reasons += [] if name in UNTRACED else ["The two actions of X-Ray know no resource."]
        if reasons:
            acknowledge(self.role, "IAM5[Resource::*]", " ".join(reasons))
        if ledger is not None:
            ledger.grant(self)
        if bus is not None:
            self.allow_events(bus, FORWARDED_EVENTS if name is Function.FORWARD_EVENTS else emitted_by(name))
        if outgoing is not None:
            self.allow_items(["dynamodb:PutItem"], outgoing, emitted_by(name))

    def allow(self, actions: Sequence[str], *resources: str) -> None:
        """Give the function's role exactly these actions on these resources."""
        self.role.add_to_policy(aws_iam.PolicyStatement(actions=list(actions), resources=list(resources)))

    def allow_idempotency_records(self, table: aws_dynamodb.ITable) -> None:
        """Let the function keep Powertools' idempotency records in a table."""
        self.allow(["dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem"], table.table_arn)

    def allow_items(self, actions: Sequence[str], table: aws_dynamodb.ITable, keys: Sequence[str]) -> None:
        """Allow the function's role these actions on items of a table with these partition keys only.

        As in `allow_events`, a request without a key does not pass: a scan has none.
        """
        self.role.add_to_policy(
            aws_iam.PolicyStatement(
                actions=list(actions),
                resources=[table.table_arn],
                conditions={
                    "ForAllValues:StringEquals": {"dynamodb:LeadingKeys": [str(key) for key in keys]},
                    "Null": {"dynamodb:LeadingKeys": "false"},
                },
            )
        )

    def allow_events(self, bus: aws_events.IEventBus, kinds: Sequence[EventType]) -> None:
        """Allow the function to put only these types of events on the bus.

        A request carries the source and the type of each of its entries. `ForAllValues` refuses one with a foreign value among
        them, but is true of a key that is absent, so `Null` asks for the key to be there.
        """
        self.role.add_to_policy(
            aws_iam.PolicyStatement(
                actions=["events:PutEvents"],
                resources=[bus.event_bus_arn],
                conditions={
                    "ForAllValues:StringEquals": {
                        "events:source": [EVENT_SOURCE],
                        "events:detail-type": [kind.value for kind in kinds],
                    },
                    "Null": {"events:source": "false", "events:detail-type": "false"},
                },
            )
        )

    def _allow_interfaces(self) -> None:
        """Let Lambda itself place the function in the network, and the function's code call none of it.

        A request that code makes with the function's credentials names the function (`lambda:SourceFunctionArn`); one that Lambda
        makes in the role's name does not.
        """
        self.allow(_INTERFACE_ACTIONS, "*")
        self.role.add_to_policy(
            aws_iam.PolicyStatement(
                effect=aws_iam.Effect.DENY,
                actions=list(_INTERFACE_ACTIONS),
                resources=["*"],
                conditions={"Null": {"lambda:SourceFunctionArn": "false"}},
            )
        )
