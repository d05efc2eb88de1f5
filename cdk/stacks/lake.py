"""The lake: every night, the ledger's finished days become files."""

from __future__ import annotations

from typing import Final

from aws_cdk import Duration
from constructs import Construct

from cdk.constructs.function import WHOLE_VCPU, SignalboxFunction
from cdk.constructs.layers import LayerName
from cdk.stacks.function_stack import FunctionStack, Platform
from signalbox.contracts import Env, Function, Metric

_FOLDERS: Final = ("candles", "quarantine")  # of signalbox.market.lake


class LakeStack(FunctionStack):
    """compact_candles and its schedule."""

    def __init__(self, scope: Construct, platform: Platform) -> None:
        super().__init__(scope, platform, "lake", description="the lake of candles")
        stage, data = self.config, platform.data
        compact = SignalboxFunction(
            self,
            "CompactCandles",
            name=Function.COMPACT_CANDLES,
            context=platform.context,
            layers=(LayerName.CORE, LayerName.DATA),
            environment={
                Env.MARKET_DATA_BUCKET: data.market_data.bucket_name,
                **stage.market_environment,
            },
            timeout_seconds=300,
            memory_megabytes=WHOLE_VCPU,
            ledger=data.ledger,
        )
        # without ListBucket an absent day looks like a forbidden one
        compact.allow(["s3:ListBucket"], data.market_data.bucket_arn)
        self.allow_objects(
            compact,
            ["s3:GetObject", "s3:PutObject"],
            data.market_data,
            *_FOLDERS,
            reason="A file a day, named by venue, symbol and date: the folder is the narrowest resource there is.",
        )
        # after the last collection of the day, retries included
        self.run_on_schedule("EveryNight", compact, "cron(20 0 * * ? *)", maximum_age=Duration.hours(1))
        self.alarm_at(
            Metric.LAKE_FILES_QUARANTINED,
            "a file of the lake failed verification; it is in quarantine with a report, and a new one was written",
            construct_id="BadDayFile",
        )
