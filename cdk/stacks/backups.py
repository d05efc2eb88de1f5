"""Backups: every night, the ledger becomes a dump in a bucket; and the function that restores one, when it is asked to."""

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
from cdk.stacks.network import NetworkStack
from signalbox.contracts import ADMIN_DATABASE_USER, DUMPS_FOLDER, Env, Function, Metric

_SILENT_HOURS: Final = 26  # a night, and the tries after a failed one


class BackupsStack(SignalboxStack):
    """dump_database and its clock, and restore_database.

    The one may read everything in the database and write below one folder of the bucket. The other may read that folder; its
    login is whoever's calls it, as migrate_database's is.
    """

    def __init__(
        self,
        scope: Construct,
        context: FunctionContext,
        *,
        network: NetworkStack,
        data: DataStack,
        messaging: MessagingStack,
    ) -> None:
        super().__init__(scope, context.stage, "backups", description="dumps of the ledger")
        stage = context.stage
        folder = data.backups.arn_for_objects(f"{DUMPS_FOLDER}/*")
        dump = SignalboxFunction(
            self,
            "DumpDatabase",
            name=Function.DUMP_DATABASE,
            context=context,
            layers=(LayerName.CORE,),
            environment={Env.BACKUPS_BUCKET: data.backups.bucket_name},
            timeout_seconds=900,
            memory_megabytes=1024,
            ledger=data.ledger,
        )
        dump.allow(["s3:PutObject"], folder)
        restore = SignalboxFunction(
            self,
            "RestoreDatabase",
            name=Function.RESTORE_DATABASE,
            context=context,
            layers=(LayerName.CORE,),
            environment={
                Env.BACKUPS_BUCKET: data.backups.bucket_name,
                **data.database_environment(self, ADMIN_DATABASE_USER),
            },
            timeout_seconds=900,
            memory_megabytes=1024,
            network=network.ledger,
        )
        # without ListBucket an absent file looks like a forbidden one
        restore.allow(["s3:ListBucket"], data.backups.bucket_arn)
        restore.allow(["s3:GetObject"], folder)
        bucket = self.resolve(data.export_value(data.backups.bucket_arn))["Fn::ImportValue"]  # as cdk-nag names it
        for function in (dump, restore):
            reason = "A dump has a folder of its own, and a file a part: the folder of dumps is the narrowest resource there is."
            acknowledge(function.role, f"IAM5[Resource::{bucket}/{DUMPS_FOLDER}/*]", reason)
        JobSchedule(
            self,
            "EveryNight",
            function=dump,
            expression="cron(30 2 * * ? *)",  # compact_candles and publish_reports are done with the database
            maximum_age=Duration.hours(2),
            group_name=messaging.schedule_group,
            enabled=stage.schedules_enabled,
            lost_runs=messaging.lost_runs,
        )
        TopicAlarm(
            self,
            "NotDumped",
            metric=stage_metric(Metric.LEDGER_DUMPED, stage=stage, statistic="Sum", period=Duration.hours(1)),
            threshold=1,
            below=True,
            periods=_SILENT_HOURS,
            missing_is_breaching=True,
            description=f"the ledger was not dumped for {_SILENT_HOURS} hours; a new stage rings until its first night",
            topic=context.alarm_topic,
        )
