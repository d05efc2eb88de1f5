"""A job on a schedule: on time or not at all, twice tried again, its lost runs kept in a dead-letter queue.

The event carries the *scheduled* time, which is the job's idempotency key (docs/architecture.md, section 3).
"""

from __future__ import annotations

import json

from aws_cdk import Aws, Duration, aws_iam, aws_lambda, aws_scheduler, aws_sns
from constructs import Construct

from cdk.constructs.acknowledge import acknowledge
from cdk.constructs.queues import DeadLetterQueue
from signalbox.contracts import Function


class JobSchedule(Construct):
    """One schedule of one function."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        job: Function,
        function: aws_lambda.IFunction,
        expression: str,
        maximum_age: Duration,
        group_name: str,
        enabled: bool,
        alarm_topic: aws_sns.ITopic,
    ) -> None:
        super().__init__(scope, construct_id)
        self.dead_letters = DeadLetterQueue(self, "DeadLetters", alarm_topic=alarm_topic)
        acknowledge(self.dead_letters, "SQS3", "It is the dead-letter queue of a schedule, which the rule does not see.")
        group_arn = f"arn:{Aws.PARTITION}:scheduler:{Aws.REGION}:{Aws.ACCOUNT_ID}:schedule-group/{group_name}"
        role = aws_iam.Role(
            self,
            "Role",
            assumed_by=aws_iam.ServicePrincipal(
                "scheduler.amazonaws.com",
                conditions={"StringEquals": {"aws:SourceAccount": Aws.ACCOUNT_ID, "aws:SourceArn": group_arn}},
            ),
        )
        policy = aws_iam.Policy(
            self,
            "Policy",
            roles=[role],
            statements=[
                aws_iam.PolicyStatement(actions=["lambda:InvokeFunction"], resources=[function.function_arn]),
                aws_iam.PolicyStatement(actions=["sqs:SendMessage"], resources=[self.dead_letters.queue.queue_arn]),
            ],
        )
        schedule = aws_scheduler.CfnSchedule(
            self,
            "Schedule",
            group_name=group_name,
            schedule_expression=expression,
            schedule_expression_timezone="UTC",
            state="ENABLED" if enabled else "DISABLED",
            flexible_time_window=aws_scheduler.CfnSchedule.FlexibleTimeWindowProperty(mode="OFF"),
            target=aws_scheduler.CfnSchedule.TargetProperty(
                arn=function.function_arn,
                role_arn=role.role_arn,
                input=json.dumps({"job": job.value, "scheduled_at": "<aws.scheduler.scheduled-time>"}),
                retry_policy=aws_scheduler.CfnSchedule.RetryPolicyProperty(
                    maximum_event_age_in_seconds=maximum_age.to_seconds(), maximum_retry_attempts=2
                ),
                dead_letter_config=aws_scheduler.CfnSchedule.DeadLetterConfigProperty(arn=self.dead_letters.queue.queue_arn),
            ),
        )
        schedule.node.add_dependency(policy)
