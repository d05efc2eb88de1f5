"""Alternative data: every quarter of an hour, newly published values become files of the lake. No cycle waits for them."""

from __future__ import annotations

from typing import Final

from aws_cdk import Duration
from constructs import Construct

from cdk.constructs.function import SignalboxFunction
from cdk.constructs.layers import LayerName
from cdk.stacks.function_stack import FunctionStack, Platform
from signalbox.contracts import Env, Function, Metric

_FOLDERS: Final = ("alt", "quarantine")  # of signalbox.adapters.lake.alternative


class AlternativeStack(FunctionStack):
    """collect_alternative and its schedule."""

    def __init__(self, scope: Construct, platform: Platform) -> None:
        super().__init__(scope, platform, "alternative", description="collection of alternative data")
        stage, data = self.config, platform.data
        sources = () if stage.endpoints else stage.alternative_sources  # the local cloud reaches no source
        collect = SignalboxFunction(
            self,
            "CollectAlternative",
            name=Function.COLLECT_ALTERNATIVE,
            context=platform.context,
            layers=(LayerName.CORE, LayerName.EXCHANGE),
            environment={
                Env.MARKET_DATA_BUCKET: data.market_data.bucket_name,
                Env.SYMBOLS: ",".join(stage.symbols),
                Env.ALTERNATIVE_SOURCES: ",".join(sources),
            },
            timeout_seconds=180,
            memory_megabytes=512,
        )
        # without ListBucket an absent day looks like a forbidden one
        collect.allow(["s3:ListBucket"], data.market_data.bucket_arn)
        self.allow_objects(
            collect,
            ["s3:GetObject", "s3:PutObject"],
            data.market_data,
            *_FOLDERS,
            reason="A file a day, named by source, kind and date: the folder is the narrowest resource there is.",
        )
        # between two cycles, so that it does not compete with them for the account's concurrent executions
        self.run_on_schedule(
            "EveryQuarter",
            collect,
            "cron(3/15 * * * ? *)",
            maximum_age=Duration.minutes(10),
            enabled=bool(stage.alternative_sources),
        )
        if stage.alternative_sources:
            self.alarm_without(
                "NoObservations",
                Metric.OBSERVATIONS_ADDED,
                "no alternative data was collected for two hours",
                periods=2,
                period=Duration.hours(1),
            )
