"""The lake: every night, the ledger's finished days become files."""

from __future__ import annotations

from typing import Final

from aws_cdk import Duration
from constructs import Construct

from cdk.constructs.acknowledge import acknowledge
from cdk.constructs.alarms import TopicAlarm, stage_metric
from cdk.constructs.function import FunctionContext, SignalboxFunction
from cdk.constructs.layers import LayerName
from cdk.constructs.schedule import JobSchedule
from cdk.stacks.base import SignalboxStack
from cdk.stacks.data import DataStack
from cdk.stacks.messaging import MessagingStack
from signalbox.contracts import Env, Function, Metric

_FOLDERS: Final = ("candles", "quarantine")  # of signalbox.market.lake


class LakeStack(SignalboxStack):
    """compact_candles and its schedule."""

    def __init__(
        self,
        scope: Construct,
        context: FunctionContext,
        *,
        data: DataStack,
        messaging: MessagingStack,
    ) -> None:
        super().__init__(scope, context.stage, "lake", description="the lake of candles")
        stage = context.stage
        compact = SignalboxFunction(
            self,
            "CompactCandles",
            name=Function.COMPACT_CANDLES,
            context=context,
            layers=(LayerName.CORE, LayerName.DATA),
            environment={
                Env.MARKET_DATA_BUCKET: data.market_data.bucket_name,
                Env.VENUE: stage.venue,
                Env.SYMBOLS: ",".join(stage.symbols),
            },
            timeout_seconds=300,
            memory_megabytes=512,
            ledger=data.ledger,
        )
        # without ListBucket an absent day looks like a forbidden one
        compact.allow(["s3:ListBucket"], data.market_data.bucket_arn)
        compact.allow(["s3:GetObject", "s3:PutObject"], *(data.market_data.arn_for_objects(f"{folder}/*") for folder in _FOLDERS))
        bucket = self.resolve(data.export_value(data.market_data.bucket_arn))["Fn::ImportValue"]  # as cdk-nag names it
        for folder in _FOLDERS:
            reason = "A file a day, named by venue, symbol and date: the folder is the narrowest resource there is."
            acknowledge(compact.role, f"IAM5[Resource::{bucket}/{folder}/*]", reason)
        JobSchedule(
            self,
            "EveryNight",
            function=compact,
            expression="cron(20 0 * * ? *)",  # after the last collection of the day, retries included
            maximum_age=Duration.hours(1),
            group_name=messaging.schedule_group,
            enabled=stage.schedules_enabled,
            lost_runs=messaging.lost_runs,
        )
        TopicAlarm(
            self,
            "BadDayFile",
            metric=stage_metric(Metric.LAKE_FILES_QUARANTINED, stage=context.stage, statistic="Sum"),
            threshold=1,
            description="a file of the lake did not verify; it is in quarantine with a report and was written again",
            topic=context.alarm_topic,
        )
