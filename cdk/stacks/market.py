"""Collects closed bars every five minutes."""

from __future__ import annotations

from aws_cdk import Duration
from constructs import Construct

from cdk.constructs.alarms import TopicAlarm, stage_metric
from cdk.constructs.function import FunctionContext, SignalboxFunction
from cdk.constructs.layers import LayerName
from cdk.constructs.schedule import JobSchedule
from cdk.stacks.base import SignalboxStack
from cdk.stacks.data import DataStack
from cdk.stacks.messaging import MessagingStack
from signalbox.contracts import CYCLE_MINUTES, Env, Function, Metric


class MarketStack(SignalboxStack):
    """collect_candles and its schedule."""

    def __init__(self, scope: Construct, context: FunctionContext, *, data: DataStack, messaging: MessagingStack) -> None:
        super().__init__(scope, context.stage, "market", description="collection of candles")
        stage = context.stage
        collect = SignalboxFunction(
            self,
            "CollectCandles",
            name=Function.COLLECT_CANDLES,
            context=context,
            layers=(LayerName.CORE, LayerName.EXCHANGE),
            bus=messaging.bus,
            environment={
                Env.SYMBOLS: ",".join(stage.symbols),
                Env.VENUE: stage.venue,
                Env.VENUE_URL: stage.endpoints.venue_url if stage.endpoints else "",
                Env.COLLECTION_CURSOR_TABLE: data.cursors.table_name,
                # a replay's exchange is never late and its gaps never close, so waiting is pointless
                **({Env.LOOK_AGAIN_SECONDS: "0,0"} if stage.endpoints else {}),
            },
            timeout_seconds=90,  # two looks of 25 seconds and the pauses between them
            memory_megabytes=512,
            # two runs at once would only compete for the cursors, whose writes are conditional; this just saves work
            reserved_concurrency=stage.collect_concurrency,
        )
        collect.allow(["dynamodb:GetItem", "dynamodb:PutItem"], data.cursors.table_arn)
        JobSchedule(
            self,
            "EveryCycle",
            function=collect,
            expression=f"cron(0/{CYCLE_MINUTES} * * * ? *)",
            maximum_age=Duration.seconds(CYCLE_MINUTES * 60 - 60),  # a later run would meet the next one
            group_name=messaging.schedule_group,
            enabled=stage.schedules_enabled,
            lost_runs=messaging.lost_runs,
        )
        TopicAlarm(
            self,
            "NoCandles",
            metric=stage_metric(Metric.CANDLES_COLLECTED, stage=context.stage, statistic="Sum"),
            threshold=1,
            below=True,
            periods=3,
            missing_is_breaching=True,
            description="no candle was collected for 15 minutes",
            topic=context.alarm_topic,
        )
