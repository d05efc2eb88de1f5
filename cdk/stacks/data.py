"""State: the ledger in PostgreSQL, the buckets, and the tables of the edge functions.

CloudFormation chooses the physical names.
"""

from __future__ import annotations

from typing import Final

from aws_cdk import Aws, Duration, aws_dynamodb, aws_ec2, aws_rds, aws_s3, aws_sns, aws_ssm
from constructs import Construct

from cdk.constructs.acknowledge import acknowledge
from cdk.constructs.alarms import TopicAlarm
from cdk.constructs.bucket import LogsBucket, StateBucket
from cdk.constructs.function import LedgerAccess, SignalboxFunction
from cdk.sources import CERTIFICATES, SourceTree
from cdk.stacks.base import SignalboxStack
from cdk.stacks.network import POSTGRES_PORT, NetworkStack
from cdk.stage import StageConfig
from signalbox.contracts import (
    ADMIN_DATABASE_USER,
    DATABASE_NAME,
    DatabaseParameter,
    Env,
    StackOutput,
    database_parameter_name,
    database_user,
)

# max_connections as RDS sets it: the memory in bytes, less what the system takes, by 9,531,392
_CONNECTIONS: Final = {"t4g.micro": 80, "t4g.small": 180}
# Where a function finds in its layer the authorities of its region; those of another region sign no database of this stage.
_CA_FILE: Final = f"/opt/python/signalbox/{CERTIFICATES.as_posix()}/{Aws.REGION}.pem"
_ENGINE = aws_rds.DatabaseInstanceEngine.postgres(version=aws_rds.PostgresEngineVersion.VER_18_3)


class DataStack(SignalboxStack):
    """All durable state: the ledger, the buckets, and the tables of the edge functions."""

    def __init__(
        self, scope: Construct, stage: StageConfig, *, network: NetworkStack, alarm_topic: aws_sns.ITopic, sources: SourceTree
    ) -> None:
        super().__init__(scope, stage, "data", description="ledger, buckets and tables", stateful=True)
        self._alarm_topic = alarm_topic
        if stage.database_sslmode.startswith("verify"):
            _ = sources.database_certificates  # fails the synthesis with a message if they are missing
        self.database = self._database(network)
        self.ledger = LedgerAccess(network.ledger, self._grant_ledger)
        self._logs = LogsBucket(self, "Logs", removal=self.state_removal, emptied=stage.empty_buckets)
        self.logs = self._logs.bucket
        self.market_data = self._bucket("MarketData")
        self.models = self._bucket("Models")
        self.reports = self._bucket("Reports")
        self.backups = self._bucket("Backups", kept_days=stage.dump_days)
        self.cursors = self._table("CollectionCursors", key="symbol")
        # which orders were sent; only execute_orders has access, because deleting a record could get an order sent twice
        self.idempotency = self._table("Idempotency", key="id", expires="expiration")
        self.deliveries = self._table("Deliveries", key="id", expires="expiration")  # which alert was sent to which chat
        self.outgoing = self._table("OutgoingEvents", key="event_type", sort="event_id", streamed=True)
        self.chat = self._table("Chat", key="id", expires="expiration")  # who may speak to the bot, and what waits for a button
        self._name_database()
        self.output(StackOutput.OUTGOING_EVENTS_TABLE, self.outgoing.table_name)
        self.output(StackOutput.DATABASE_ADDRESS, self.database.db_instance_endpoint_address)
        self.output(StackOutput.MARKET_DATA_BUCKET, self.market_data.bucket_name)
        self.output(StackOutput.MODELS_BUCKET, self.models.bucket_name)
        self.output(StackOutput.REPORTS_BUCKET, self.reports.bucket_name)
        self.output(StackOutput.BACKUPS_BUCKET, self.backups.bucket_name)
        self.output(StackOutput.CHAT_TABLE, self.chat.table_name)
        self.output(StackOutput.MASTER_SECRET_ARN, self.master_secret.secret_arn)

    def _bucket(self, name: str, *, kept_days: int | None = None) -> aws_s3.Bucket:
        return StateBucket(
            self,
            name,
            removal=self.state_removal,
            emptied=self.config.empty_buckets,
            access_logs=self._logs,
            kept_days=kept_days,
        ).bucket

    def _name_database(self) -> None:
        """Store in parameters which database instance is the ledger.

        A stack export cannot change while another stack imports it. After a restore, the operator writes the new instance here
        and deploys the stacks that read it.
        """
        for which, value in (
            (DatabaseParameter.ADDRESS, self.database.db_instance_endpoint_address),
            (DatabaseParameter.RESOURCE_ID, self.database.instance_resource_id or ""),
        ):
            aws_ssm.StringParameter(
                self,
                f"Ledger{which.value}",
                parameter_name=database_parameter_name(self.config.name, which),
                string_value=value,
                description=f"{which.value} of the ledger's database",
            )

    def _parameter(self, scope: Construct, which: DatabaseParameter) -> str:
        """Return a parameter's value as CloudFormation reads it when it deploys the stack of `scope`."""
        return aws_ssm.StringParameter.value_for_string_parameter(scope, database_parameter_name(self.config.name, which))

    def database_environment(self, scope: Construct, user: str) -> dict[Env, str]:
        """Return the environment variables with which a ledger function connects to PostgreSQL as a user."""
        local = self.config.endpoints
        return {
            Env.DATABASE_HOST: local.database_host if local else self._parameter(scope, DatabaseParameter.ADDRESS),
            Env.DATABASE_PORT: str(local.database_port if local else POSTGRES_PORT),
            Env.DATABASE_NAME: DATABASE_NAME,
            Env.DATABASE_USER: user,
            Env.DATABASE_SSLMODE: local.database_sslmode if local else self.config.database_sslmode,
            **({Env.DATABASE_CA_FILE: _CA_FILE} if not local and self.config.database_sslmode.startswith("verify") else {}),
        }

    def _grant_ledger(self, function: SignalboxFunction) -> None:
        """Let a function log in as its own database user and no other."""
        user = database_user(function.kind)
        arn = f"arn:{Aws.PARTITION}:rds-db:{Aws.REGION}:{Aws.ACCOUNT_ID}:dbuser"
        function.allow(["rds-db:connect"], f"{arn}:{self._parameter(function, DatabaseParameter.RESOURCE_ID)}/{user}")
        for key, value in self.database_environment(function, user).items():
            function.function.add_environment(key.value, value)

    def _database(self, network: NetworkStack) -> aws_rds.DatabaseInstance:
        stage = self.config
        size = {"t4g.micro": aws_ec2.InstanceSize.MICRO, "t4g.small": aws_ec2.InstanceSize.SMALL}[stage.database_instance]
        master = aws_rds.DatabaseSecret(self, "LedgerMaster", username=ADMIN_DATABASE_USER)
        master.apply_removal_policy(self.state_removal)
        database = aws_rds.DatabaseInstance(
            self,
            "Ledger",
            engine=_ENGINE,
            instance_type=aws_ec2.InstanceType.of(aws_ec2.InstanceClass.T4G, size),
            vpc=network.vpc,
            vpc_subnets=aws_ec2.SubnetSelection(subnet_type=aws_ec2.SubnetType.PRIVATE_ISOLATED),
            security_groups=[network.database_group],
            port=POSTGRES_PORT,
            database_name=DATABASE_NAME,
            credentials=aws_rds.Credentials.from_secret(master, ADMIN_DATABASE_USER),
            iam_authentication=True,
            storage_encrypted=True,
            storage_type=aws_rds.StorageType.GP3,
            allocated_storage=20,
            max_allocated_storage=200,
            multi_az=stage.database_multi_az,
            # beside the functions, which are in the first zone alone then
            availability_zone=None if stage.database_multi_az else network.vpc.availability_zones[0],
            backup_retention=Duration.days(stage.database_backup_days),
            copy_tags_to_snapshot=True,
            deletion_protection=stage.retain_state,
            removal_policy=self.state_removal,
            publicly_accessible=False,
            auto_minor_version_upgrade=True,
            ca_certificate=aws_rds.CaCertificate.RDS_CA_RSA2048_G1,
            parameter_group=aws_rds.ParameterGroup(
                self, "LedgerParameters", engine=_ENGINE, parameters={"rds.force_ssl": "1", "log_min_duration_statement": "1000"}
            ),
        )
        self.master_secret = master
        self._watch(database)
        acknowledge(
            master,
            "SMG4",
            "Used by prepare_database at deploy time, and by who restores a dump; the functions log in with IAM tokens.",
        )
        acknowledge(database, "RDS11", "Reachable from the ledger functions' security group only; another port hides nothing.")
        if not stage.database_multi_az:
            acknowledge(database, "RDS3", f"Stage {stage.name} trades availability for cost.")
        if not stage.retain_state:
            acknowledge(database, "RDS10", f"Stage {stage.name} can be taken down with one command.")
        return database

    def _watch(self, database: aws_rds.DatabaseInstance) -> None:
        """Alarm before the ledger runs out of something. Burstable instances continue without credits, at a price."""
        megabyte, five = 1_000_000, Duration.minutes(5)
        most = _CONNECTIONS[self.config.database_instance]
        for name, metric, threshold, below, description in (
            ("Storage", database.metric_free_storage_space(period=five, statistic="Minimum"), 4_000 * megabyte, True,
             "less than 4 GB of the database's storage is free"),
            ("Memory", database.metric_freeable_memory(period=five, statistic="Minimum"), 100 * megabyte, True,
             "less than 100 MB of the database's memory is free"),
            ("CpuCredits", database.metric("CPUCreditBalance", period=five, statistic="Minimum"), 20, True,
             "the database has used up its CPU credits: it keeps running, and further vCPU hours are charged"),
            ("Connections", database.metric_database_connections(period=five, statistic="Maximum"), most * 3 // 4, False,
             f"three quarters of the database's {most} connections are in use"),
        ):  # fmt: skip
            TopicAlarm(
                self,
                f"Ledger{name}",
                metric=metric,
                threshold=threshold,
                below=below,
                periods=3,
                description=description,
                topic=self._alarm_topic,
            )

    def _table(
        self, name: str, *, key: str, sort: str | None = None, expires: str | None = None, streamed: bool = False
    ) -> aws_dynamodb.Table:
        text = aws_dynamodb.AttributeType.STRING
        return aws_dynamodb.Table(
            self,
            name,
            partition_key=aws_dynamodb.Attribute(name=key, type=text),
            sort_key=aws_dynamodb.Attribute(name=sort, type=text) if sort else None,
            stream=aws_dynamodb.StreamViewType.NEW_IMAGE if streamed else None,
            billing_mode=aws_dynamodb.BillingMode.PAY_PER_REQUEST,
            encryption=aws_dynamodb.TableEncryption.AWS_MANAGED,
            time_to_live_attribute=expires,
            point_in_time_recovery_specification=aws_dynamodb.PointInTimeRecoverySpecification(
                point_in_time_recovery_enabled=True
            ),
            deletion_protection=self.config.retain_state,
            removal_policy=self.state_removal,
        )
