"""Collects closed bars every five minutes."""

from __future__ import annotations

from aws_cdk import Duration
from constructs import Construct

from cdk.constructs.function import SignalboxFunction
from cdk.constructs.layers import LayerName
from cdk.stacks.function_stack import FunctionStack, Platform
from signalbox.contracts import CYCLE_MINUTES, Env, Function, Metric


class MarketStack(FunctionStack):
    """collect_candles and its schedule."""

    def __init__(self, scope: Construct, platform: Platform) -> None:
        super().__init__(scope, platform, "market", description="collection of candles")
        stage, cursors = self.config, platform.data.cursors
        collect = SignalboxFunction(
            self,
            "CollectCandles",
            name=Function.COLLECT_CANDLES,
            context=platform.context,
            layers=(LayerName.CORE, LayerName.EXCHANGE),
            bus=platform.messaging.bus,
            environment={
                **stage.market_environment,
                Env.VENUE_URL: stage.endpoints.venue_url if stage.endpoints else "",
                Env.COLLECTION_CURSOR_TABLE: cursors.table_name,
                # a replay's exchange is never late and its gaps never close, so waiting is pointless
                **({Env.LOOK_AGAIN_SECONDS: "0,0"} if stage.endpoints else {}),
            },
            # two looks of 25 seconds and the pauses between them; or 25 seconds at each of three venues
            timeout_seconds=90,
            memory_megabytes=512,
            # two runs at once would only compete for the cursors, whose writes are conditional; this just saves work
            reserved_concurrency=stage.collect_concurrency,
        )
        collect.allow(["dynamodb:GetItem", "dynamodb:PutItem"], cursors.table_arn)
        self.run_on_schedule(
            "EveryCycle",
            collect,
            f"cron(0/{CYCLE_MINUTES} * * * ? *)",
            maximum_age=Duration.seconds(CYCLE_MINUTES * 60 - 60),  # a later run would meet the next one
        )
        self.alarm_at(
            Metric.FALLBACK_SYMBOLS,
            "symbols are decided on the fallback venue, as the first one does not answer; meanwhile accounts open no position",
        )
        self.alarm_at(Metric.FALLBACK_FAILURES, "the fallback venue does not answer: it could not replace the first one")
        self.alarm_without("NoCandles", Metric.CANDLES_COLLECTED, "no candle was collected for 15 minutes", periods=3)
