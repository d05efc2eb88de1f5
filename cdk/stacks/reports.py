"""Publishes reports of all accounts as files every night."""

from __future__ import annotations

from typing import Final

from aws_cdk import Duration
from constructs import Construct

from cdk.constructs.acknowledge import acknowledge
from cdk.constructs.function import FunctionContext, SignalboxFunction
from cdk.constructs.layers import LayerName
from cdk.constructs.schedule import JobSchedule
from cdk.stacks.base import SignalboxStack
from cdk.stacks.data import DataStack
from cdk.stacks.messaging import MessagingStack
from signalbox.contracts import Env, Function

_FOLDER: Final = "reports"  # of signalbox.reports.publishing


class ReportsStack(SignalboxStack):
    """publish_reports and its schedule."""

    def __init__(
        self,
        scope: Construct,
        context: FunctionContext,
        *,
        data: DataStack,
        messaging: MessagingStack,
    ) -> None:
        super().__init__(scope, context.stage, "reports", description="reports of the accounts")
        stage = context.stage
        publish = SignalboxFunction(
            self,
            "PublishReports",
            name=Function.PUBLISH_REPORTS,
            context=context,
            layers=(LayerName.CORE,),
            environment={Env.REPORTS_BUCKET: data.reports.bucket_name},
            timeout_seconds=600,
            memory_megabytes=1024,
            ledger=data.ledger,
        )
        publish.allow(["s3:PutObject"], data.reports.arn_for_objects(f"{_FOLDER}/*"))
        bucket = self.resolve(data.export_value(data.reports.bucket_arn))["Fn::ImportValue"]  # as cdk-nag names it
        reason = "A file a report, named by account and period: the folder is the narrowest resource there is."
        acknowledge(publish.role, f"IAM5[Resource::{bucket}/{_FOLDER}/*]", reason)
        JobSchedule(
            self,
            "EveryNight",
            function=publish,
            # Midnight has passed in UTC and, an hour or two before, in Prague; compact_candles is done with the database
            expression="cron(40 1 * * ? *)",
            maximum_age=Duration.hours(1),
            group_name=messaging.schedule_group,
            enabled=stage.schedules_enabled,
            lost_runs=messaging.lost_runs,
        )
