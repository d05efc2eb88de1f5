"""Migrates the ledger's schema in every deployment that changes a migration, and generates the signing keys in the first.

It is apart from the data stack, so that a failed migration rolls back nothing else. prepare_database answers CloudFormation and
may read the master secret; migrate_database may reach the database. Neither can do both.
"""

from __future__ import annotations

from aws_cdk import CustomResource, Duration
from constructs import Construct

from cdk.constructs.function import WHOLE_VCPU, FunctionContext, SignalboxFunction
from cdk.constructs.layers import LayerName
from cdk.stacks.base import SignalboxStack
from cdk.stacks.data import DataStack
from cdk.stacks.network import NetworkStack
from cdk.stacks.secrets import SecretsStack
from signalbox.contracts import ADMIN_DATABASE_USER, Env, Function, SealKey


class SchemaStack(SignalboxStack):
    """Migrations."""

    def __init__(
        self, scope: Construct, context: FunctionContext, *, network: NetworkStack, data: DataStack, secrets: SecretsStack
    ) -> None:
        super().__init__(scope, context.stage, "schema", description="schema of the ledger")
        migrate = SignalboxFunction(
            self,
            "MigrateDatabase",
            name=Function.MIGRATE_DATABASE,
            context=context,
            layers=(LayerName.CORE,),
            environment=data.database_environment(self, ADMIN_DATABASE_USER),
            timeout_seconds=840,
            memory_megabytes=WHOLE_VCPU,
            network=network.ledger,
        )
        prepare = SignalboxFunction(
            self,
            "PrepareDatabase",
            name=Function.PREPARE_DATABASE,
            context=context,
            layers=(LayerName.CORE,),
            environment={
                Env.MASTER_SECRET_ARN: data.master_secret.secret_arn,
                Env.MIGRATE_FUNCTION_NAME: migrate.name,
                Env.SIGNING_KEYS_TABLE: secrets.keys.table_name,
            },
            timeout_seconds=900,
            memory_megabytes=256,
        )
        prepare.allow(["secretsmanager:GetSecretValue"], data.master_secret.secret_arn)
        prepare.allow_items(["dynamodb:PutItem"], secrets.keys, list(SealKey))
        prepare.allow(["lambda:InvokeFunction"], migrate.function.function_arn)
        schema = CustomResource(
            self,
            "Schema",
            resource_type="Custom::LedgerSchema",
            service_token=prepare.function.function_arn,
            service_timeout=Duration.seconds(900),
            properties={"MigrationsHash": context.sources.migrations_hash(), "SigningKeys": secrets.keys.table_name},
        )
        schema.node.add_dependency(migrate, prepare)
