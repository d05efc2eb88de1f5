"""A job on a schedule: it runs on time or not at all, is retried up to a maximum age, and lost runs go to a dead-letter queue.

The Scheduler only passes the event to Lambda: its retries and dead letters cover that step alone. Lambda then keeps an event for
up to six hours and runs it late, unless the function's event-invoke configuration limits the event's age. Both put lost events
into the same queue, Lambda with the function's error.

The event has the *scheduled* time, which is the job's idempotency key (docs/architecture.md, section 3).
"""

from __future__ import annotations

import json

from aws_cdk import Aws, Duration, aws_iam, aws_lambda, aws_scheduler, aws_sqs
from constructs import Construct

from cdk.constructs.function import SignalboxFunction


class JobSchedule(Construct):
    """One schedule of one function."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        function: SignalboxFunction,
        expression: str,
        maximum_age: Duration,
        retries: int = 2,
        group_name: str,
        enabled: bool,
        lost_runs: aws_sqs.IQueue,
        job_name: str | None = None,
        zone: str = "UTC",
    ) -> None:
        """maximum_age: of the event when a run begins. retries: after one minute, then after two more.

        job_name: of a second schedule of the same function, whose runs keep the age and the retries of the first.
        """
        super().__init__(scope, construct_id)
        job, live = function.kind, function.live
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
                aws_iam.PolicyStatement(actions=["lambda:InvokeFunction"], resources=[live.function_arn]),
                aws_iam.PolicyStatement(actions=["sqs:SendMessage"], resources=[lost_runs.queue_arn]),
            ],
        )
        schedule = aws_scheduler.CfnSchedule(
            self,
            "Schedule",
            group_name=group_name,
            schedule_expression=expression,
            schedule_expression_timezone=zone,
            state="ENABLED" if enabled else "DISABLED",
            flexible_time_window=aws_scheduler.CfnSchedule.FlexibleTimeWindowProperty(mode="OFF"),
            target=aws_scheduler.CfnSchedule.TargetProperty(
                arn=live.function_arn,
                role_arn=role.role_arn,
                input=json.dumps({"job": job_name or job.value, "scheduled_at": "<aws.scheduler.scheduled-time>"}),
                retry_policy=aws_scheduler.CfnSchedule.RetryPolicyProperty(
                    maximum_event_age_in_seconds=maximum_age.to_seconds(), maximum_retry_attempts=2
                ),
                dead_letter_config=aws_scheduler.CfnSchedule.DeadLetterConfigProperty(arn=lost_runs.queue_arn),
            ),
        )
        schedule.node.add_dependency(policy)
        if job_name is not None:
            return
        function.allow(["sqs:SendMessage"], lost_runs.queue_arn)
        invocation = aws_lambda.CfnEventInvokeConfig(
            self,
            "Invocation",
            function_name=function.function.function_name,
            qualifier=live.alias_name,
            maximum_event_age_in_seconds=maximum_age.to_seconds(),
            maximum_retry_attempts=retries,
            destination_config=aws_lambda.CfnEventInvokeConfig.DestinationConfigProperty(
                on_failure=aws_lambda.CfnEventInvokeConfig.OnFailureProperty(destination=lost_runs.queue_arn)
            ),
        )
        # the role with its policies: Lambda asks whether it may send; the alias, which is named and not referred to
        invocation.node.add_dependency(function.role, live)
        schedule.node.add_dependency(invocation)
