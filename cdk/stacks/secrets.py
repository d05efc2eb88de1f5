"""Credentials of external services, and the keys that sign the functions' messages to each other.

The template defines only the shape of the credentials; the operator sets the values after the first deployment. The keys are in
a table, which ledger functions reach without an endpoint that costs money; prepare_database generates them, and nobody needs to
know them; docs/runbooks/signing-keys.md says how to replace them.
"""

from __future__ import annotations

import json
from string import punctuation

from aws_cdk import aws_dynamodb, aws_secretsmanager
from constructs import Construct

from cdk.constructs.acknowledge import acknowledge
from cdk.stacks.base import SignalboxStack
from cdk.stage import StageConfig
from signalbox.contracts import StackOutput


class SecretsStack(SignalboxStack):
    """The Telegram and exchange secrets, and the table of signing keys."""

    def __init__(self, scope: Construct, stage: StageConfig) -> None:
        super().__init__(scope, stage, "secrets", description="credentials", stateful=True)
        self.telegram = self._secret("Telegram", {"chat_ids": []}, "bot_token", "Telegram bot: bot_token and chat_ids")
        # the generated member is read by nobody: with another shape CloudFormation would write the secret anew, without the
        # accounts that the operator put in
        self.exchange = self._secret("Exchange", {"accounts": {}}, "mt5_signing_key", "live venues: accounts by name")
        self.webhook = aws_secretsmanager.Secret(
            self,
            "Webhook",
            description="what Telegram sends with each update; `signalbox telegram setup` sets it there",
            removal_policy=self.state_removal,
            # Telegram takes letters, digits, - and _; the emulator knows no exclude_punctuation
            generate_secret_string=aws_secretsmanager.SecretStringGenerator(password_length=64, exclude_characters=punctuation),
        )
        acknowledge(self.webhook, "SMG4", "Replaced by the operator: a new value, then `signalbox telegram setup` again.")
        self.keys = aws_dynamodb.Table(
            self,
            "SigningKeys",
            partition_key=aws_dynamodb.Attribute(name="name", type=aws_dynamodb.AttributeType.STRING),
            billing_mode=aws_dynamodb.BillingMode.PAY_PER_REQUEST,
            encryption=aws_dynamodb.TableEncryption.AWS_MANAGED,
            point_in_time_recovery_specification=aws_dynamodb.PointInTimeRecoverySpecification(
                point_in_time_recovery_enabled=True
            ),
            deletion_protection=stage.retain_state,
            removal_policy=self.state_removal,
        )
        self.output(StackOutput.TELEGRAM_SECRET_ARN, self.telegram.secret_arn)
        self.output(StackOutput.EXCHANGE_SECRET_ARN, self.exchange.secret_arn)
        self.output(StackOutput.WEBHOOK_SECRET_ARN, self.webhook.secret_arn)
        self.output(StackOutput.SIGNING_KEYS_TABLE, self.keys.table_name)

    def _secret(self, name: str, shape: dict[str, object], generated: str, description: str) -> aws_secretsmanager.Secret:
        secret = aws_secretsmanager.Secret(
            self,
            name,
            description=description,
            removal_policy=self.state_removal,
            generate_secret_string=aws_secretsmanager.SecretStringGenerator(
                secret_string_template=json.dumps(shape), generate_string_key=generated, exclude_punctuation=True
            ),
        )
        acknowledge(secret, "SMG4", "Issued by a third party, who alone can rotate it; the operator replaces it by hand.")
        return secret
