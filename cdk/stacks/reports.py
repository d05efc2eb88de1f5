"""Publishes reports of all accounts as files every night, and a summary of each account every morning."""

from __future__ import annotations

from typing import Final

from aws_cdk import Duration
from constructs import Construct

from cdk.constructs.function import WHOLE_VCPU, SignalboxFunction
from cdk.constructs.layers import LayerName
from cdk.stacks.function_stack import FunctionStack, Platform
from signalbox.contracts import SUMMARY_JOB, Env, Function

_FOLDER: Final = "reports"  # of signalbox.reports.publishing


class ReportsStack(FunctionStack):
    """publish_reports and its two schedules."""

    def __init__(self, scope: Construct, platform: Platform) -> None:
        super().__init__(scope, platform, "reports", description="reports of the accounts")
        data = platform.data
        publish = SignalboxFunction(
            self,
            "PublishReports",
            name=Function.PUBLISH_REPORTS,
            context=platform.context,
            layers=(LayerName.CORE,),
            environment={Env.REPORTS_BUCKET: data.reports.bucket_name},
            timeout_seconds=600,
            memory_megabytes=WHOLE_VCPU,
            ledger=data.ledger,
            outgoing=data.outgoing,
        )
        self.allow_objects(
            publish,
            ["s3:PutObject"],
            data.reports,
            _FOLDER,
            reason="A file a report, named by account and period: the folder is the narrowest resource there is.",
        )
        # Midnight has passed in UTC and, an hour or two before, in Prague; compact_candles is done with the database
        self.run_on_schedule("EveryNight", publish, "cron(40 1 * * ? *)", maximum_age=Duration.hours(1))
        hour, minute = self.config.summary_at.split(":")
        self.run_on_schedule(
            "EveryMorning",
            publish,
            f"cron({int(minute)} {int(hour)} * * ? *)",
            maximum_age=Duration.hours(1),
            job_name=SUMMARY_JOB,
            zone=self.config.summary_zone,
        )
