"""Base of all stacks with functions: their platform, schedules, alarms, and access to objects of a bucket."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from aws_cdk import Duration, aws_s3
from constructs import Construct

from cdk.constructs.acknowledge import acknowledge
from cdk.constructs.alarms import TopicAlarm, stage_metric
from cdk.constructs.function import FunctionContext, SignalboxFunction
from cdk.constructs.schedule import JobSchedule
from cdk.stacks.base import SignalboxStack
from cdk.stacks.data import DataStack
from cdk.stacks.messaging import MessagingStack
from cdk.stacks.secrets import SecretsStack
from signalbox.contracts import Metric


@dataclass(frozen=True, slots=True)
class Platform:
    """The shared resources of every stack with functions."""

    context: FunctionContext
    data: DataStack
    secrets: SecretsStack
    messaging: MessagingStack


class FunctionStack(SignalboxStack):
    """A stack of functions on the platform."""

    def __init__(self, scope: Construct, platform: Platform, concern: str, *, description: str) -> None:
        super().__init__(scope, platform.context.stage, concern, description=description)
        self.platform = platform

    def run_on_schedule(
        self,
        construct_id: str,
        function: SignalboxFunction,
        expression: str,
        *,
        maximum_age: Duration,
        retries: int = 2,
        enabled: bool = True,
        job_name: str | None = None,
        zone: str = "UTC",
    ) -> None:
        """Run a function on a schedule of the stage. maximum_age, retries, job_name: as JobSchedule.

        It runs only if the stage's schedules are enabled.
        """
        messaging = self.platform.messaging
        JobSchedule(
            self,
            construct_id,
            function=function,
            expression=expression,
            maximum_age=maximum_age,
            retries=retries,
            group_name=messaging.schedule_group,
            enabled=self.config.schedules_enabled and enabled,
            lost_runs=messaging.lost_runs,
            job_name=job_name,
            zone=zone,
        )

    def alarm_at(self, metric: Metric, description: str, *, threshold: int = 1, construct_id: str | None = None) -> None:
        """Alarm when the metric's sum over five minutes reaches the threshold. construct_id: the metric's name if None."""
        TopicAlarm(
            self,
            construct_id or metric.value,
            metric=stage_metric(metric, stage=self.config, statistic="Sum"),
            threshold=threshold,
            description=description,
            topic=self.platform.context.alarm_topic,
        )

    def alarm_without(
        self,
        construct_id: str,
        metric: Metric,
        description: str,
        *,
        statistic: str = "Sum",
        periods: int = 1,
        period: Duration | None = None,
    ) -> None:
        """Alarm when the metric is 0 or has no data for this many periods, each of five minutes unless given."""
        TopicAlarm(
            self,
            construct_id,
            metric=stage_metric(metric, stage=self.config, statistic=statistic, period=period),
            threshold=1,
            below=True,
            periods=periods,
            missing_is_breaching=True,
            description=description,
            topic=self.platform.context.alarm_topic,
        )

    def import_name(self, bucket: aws_s3.IBucket) -> str:
        """Return the name of a data-stack bucket in cdk-nag's findings about this stack."""
        imported: dict[str, str] = self.resolve(self.platform.data.export_value(bucket.bucket_arn))
        return imported["Fn::ImportValue"]

    def allow_objects(
        self, function: SignalboxFunction, actions: Sequence[str], bucket: aws_s3.IBucket, *prefixes: str, reason: str
    ) -> None:
        """Grant a function actions on objects below prefixes of a data-stack bucket. reason: why nothing narrower is possible."""
        function.allow(actions, *(bucket.arn_for_objects(f"{prefix}/*") for prefix in prefixes))
        name = self.import_name(bucket)
        for prefix in prefixes:
            acknowledge(function.role, f"IAM5[Resource::{name}/{prefix}/*]", reason)
