"""Backups: a dump of the ledger in a bucket every night, and the function that restores one on request."""

from __future__ import annotations

from typing import Final

from aws_cdk import Duration
from constructs import Construct

from cdk.constructs.function import WHOLE_VCPU, SignalboxFunction
from cdk.constructs.layers import LayerName
from cdk.stacks.function_stack import FunctionStack, Platform
from cdk.stacks.network import NetworkStack
from signalbox.contracts import ADMIN_DATABASE_USER, DUMPS_FOLDER, Env, Function, Metric

_SILENT_HOURS: Final = 26  # a night, and the tries after a failed one


class BackupsStack(FunctionStack):
    """dump_database and its schedule, and restore_database.

    The one may read everything in the database and write below one folder of the bucket. The other may read that folder; its
    login is whoever's calls it, as migrate_database's is.
    """

    def __init__(self, scope: Construct, platform: Platform, *, network: NetworkStack) -> None:
        super().__init__(scope, platform, "backups", description="dumps of the ledger")
        context, data = platform.context, platform.data
        dump = SignalboxFunction(
            self,
            "DumpDatabase",
            name=Function.DUMP_DATABASE,
            context=context,
            layers=(LayerName.CORE,),
            environment={Env.BACKUPS_BUCKET: data.backups.bucket_name},
            timeout_seconds=900,
            memory_megabytes=WHOLE_VCPU,
            ledger=data.ledger,
        )
        reason = "A dump has a folder of its own, and a file a part: the folder of dumps is the narrowest resource there is."
        self.allow_objects(dump, ["s3:PutObject"], data.backups, DUMPS_FOLDER, reason=reason)
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
            memory_megabytes=WHOLE_VCPU,
            network=network.ledger,
        )
        # without ListBucket an absent file looks like a forbidden one
        restore.allow(["s3:ListBucket"], data.backups.bucket_arn)
        self.allow_objects(restore, ["s3:GetObject"], data.backups, DUMPS_FOLDER, reason=reason)
        self.run_on_schedule(
            "EveryNight",
            dump,
            "cron(30 2 * * ? *)",  # compact_candles and publish_reports are done with the database
            maximum_age=Duration.hours(2),
        )
        self.alarm_without(
            "NotDumped",
            Metric.LEDGER_DUMPED,
            f"the ledger was not dumped for {_SILENT_HOURS} hours; in a new stage this alarm is on until the first night",
            periods=_SILENT_HOURS,
            period=Duration.hours(1),
        )
