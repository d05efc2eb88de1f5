"""The topic for alarms, and the alarm on a failure of any function.

The topic is not encrypted at rest: CloudWatch may not use the account's default key, and a key of its own would cost more than
all messages do. A message has an alarm's name, its description and numbers, and leaves as a mail anyway (decision 0110).
"""

from __future__ import annotations

from aws_cdk import Duration, aws_budgets, aws_cloudwatch, aws_iam, aws_sns, aws_sns_subscriptions
from constructs import Construct

from cdk.constructs.acknowledge import acknowledge
from cdk.constructs.alarms import TopicAlarm
from cdk.stacks.base import SignalboxStack
from cdk.stage import StageConfig


class OperationsStack(SignalboxStack):
    """The alarm topic, the budget, and the alarm on errors of any function."""

    def __init__(self, scope: Construct, stage: StageConfig) -> None:
        super().__init__(scope, stage, "operations", description="the alarm topic")
        self.alarms = aws_sns.Topic(self, "Alarms", enforce_ssl=True)
        acknowledge(self.alarms, "SNS2", "Alarms hold nothing secret, and a key of its own costs 1 USD a month (decision 0110).")
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
        if stage.alarm_emails:
            self._budget(stage)
        # Lambda's sum over all functions of the account and region: one metric, where one for each function would be fourteen
        TopicAlarm(
            self,
            "FunctionErrors",
            metric=aws_cloudwatch.Metric(
                namespace="AWS/Lambda", metric_name="Errors", statistic="Sum", period=Duration.minutes(5)
            ),
            threshold=1,
            description="a function failed; the dashboard shows which, and its log why",
            topic=self.alarms,
        )

    def _budget(self, stage: StageConfig) -> None:
        """Tell who receives alarms before the month's budget is passed. AWS Budgets mails by itself: no topic, no cost.

        It is the account's, not the stage's by its tag: a tag counts only after somebody activated it for billing, and until then
        a budget of it would stay at zero.
        """
        mails = [
            aws_budgets.CfnBudget.SubscriberProperty(address=address, subscription_type="EMAIL") for address in stage.alarm_emails
        ]
        aws_budgets.CfnBudget(
            self,
            "Budget",
            budget=aws_budgets.CfnBudget.BudgetDataProperty(
                budget_type="COST",
                time_unit="MONTHLY",
                budget_limit=aws_budgets.CfnBudget.SpendProperty(amount=stage.budget_usd, unit="USD"),
            ),
            notifications_with_subscribers=[
                aws_budgets.CfnBudget.NotificationWithSubscribersProperty(
                    notification=aws_budgets.CfnBudget.NotificationProperty(
                        notification_type=kind, comparison_operator="GREATER_THAN", threshold=percent, threshold_type="PERCENTAGE"
                    ),
                    subscribers=mails,
                )
                for kind, percent in (("ACTUAL", 80), ("FORECASTED", 100))
            ],
        )
