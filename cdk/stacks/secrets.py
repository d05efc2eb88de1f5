"""Credentials of external services, and the keys that sign the functions' messages to each other.

The template defines only the shape of the credentials; the operator sets the values after the first deployment. The keys are
generated, and nobody needs to know them; docs/runbooks/signing-keys.md says how to replace them.
"""

from __future__ import annotations

import json

from aws_cdk import aws_secretsmanager
from constructs import Construct

from cdk.constructs.acknowledge import acknowledge
from cdk.stacks.base import SignalboxStack
from cdk.stage import StageConfig
from signalbox.contracts import StackOutput


class SecretsStack(SignalboxStack):
    """The Telegram and exchange secrets."""

    def __init__(self, scope: Construct, stage: StageConfig) -> None:
        super().__init__(scope, stage, "secrets", description="credentials", stateful=True)
        self.telegram = self._secret("Telegram", {"chat_ids": []}, "bot_token", "Telegram bot: bot_token and chat_ids")
        # the generated member is read by nobody: with another shape CloudFormation would write the secret anew, without the
        # accounts that the operator put in
        self.exchange = self._secret("Exchange", {"accounts": {}}, "mt5_signing_key", "live venues: accounts by name")
        self.request_key = self._key("RequestKey", "signs what the ledger asks of venues")
        self.report_key = self._key("ReportKey", "signs what execute_orders reports")
        self.chat_key = self._key("ChatKey", "with which the bot names a person to the ledger")
        self.webhook = self._key("Webhook", "what Telegram sends with each update; `signalbox telegram setup` tells it")
        self.output(StackOutput.TELEGRAM_SECRET_ARN, self.telegram.secret_arn)
        self.output(StackOutput.EXCHANGE_SECRET_ARN, self.exchange.secret_arn)
        self.output(StackOutput.REQUEST_KEY_ARN, self.request_key.secret_arn)
        self.output(StackOutput.REPORT_KEY_ARN, self.report_key.secret_arn)
        self.output(StackOutput.CHAT_KEY_ARN, self.chat_key.secret_arn)
        self.output(StackOutput.WEBHOOK_SECRET_ARN, self.webhook.secret_arn)

    def _key(self, name: str, description: str) -> aws_secretsmanager.Secret:
        key = aws_secretsmanager.Secret(
            self,
            name,
            description=description,
            removal_policy=self.state_removal,
            generate_secret_string=aws_secretsmanager.SecretStringGenerator(password_length=64, exclude_punctuation=True),
        )
        acknowledge(key, "SMG4", "Replaced by the operator with `signalbox secrets rotate`; the key before it stays accepted.")
        return key

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
