"""The encrypted topic for alarms. It has its own key, because CloudWatch may not use the account's default key."""

from __future__ import annotations

from aws_cdk import aws_iam, aws_kms, aws_sns, aws_sns_subscriptions
from constructs import Construct

from cdk.stacks.base import SignalboxStack
from cdk.stage import StageConfig


class OperationsStack(SignalboxStack):
    """The alarm topic."""

    def __init__(self, scope: Construct, stage: StageConfig) -> None:
        super().__init__(scope, stage, "operations", description="the alarm topic")
        key = aws_kms.Key(
            self, "AlarmKey", enable_key_rotation=True, removal_policy=self.state_removal, description="Signalbox alarm topic"
        )
        key.grant(aws_iam.ServicePrincipal("cloudwatch.amazonaws.com"), "kms:Decrypt", "kms:GenerateDataKey*")
        self.alarms = aws_sns.Topic(self, "Alarms", master_key=key, enforce_ssl=True)
        self.alarms.add_to_resource_policy(
            aws_iam.PolicyStatement(
                principals=[aws_iam.ServicePrincipal("cloudwatch.amazonaws.com")],
                actions=["sns:Publish"],
                resources=[self.alarms.topic_arn],
                conditions={"StringEquals": {"aws:SourceAccount": self.account}},
            )
        )
        for address in stage.alarm_emails:
            self.alarms.add_subscription(aws_sns_subscriptions.EmailSubscription(address))
