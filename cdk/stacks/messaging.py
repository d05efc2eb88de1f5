"""The event bus, the path of the ledger's events to it, the schedule group, and the relay of events that a crash left behind."""

from __future__ import annotations

from aws_cdk import Aws, Duration, aws_events, aws_iam, aws_lambda, aws_scheduler, aws_sqs
from constructs import Construct

from cdk.constructs.acknowledge import acknowledge
from cdk.constructs.alarms import TopicAlarm, stage_metric
from cdk.constructs.function import WHOLE_VCPU, FunctionContext, SignalboxFunction
from cdk.constructs.layers import LayerName
from cdk.constructs.queues import DeadLetterQueue
from cdk.constructs.schedule import JobSchedule
from cdk.stacks.base import SignalboxStack
from cdk.stacks.data import DataStack
from signalbox.contracts import EVENT_SOURCE, FORWARDED_EVENTS, PRODUCT, Env, Function, Metric, StackOutput

_OUTBOX_AGE_SECONDS = 180  # three runs of the relay


class MessagingStack(SignalboxStack):
    """The event bus and the functions that publish the ledger's events on it."""

    def __init__(self, scope: Construct, context: FunctionContext, *, data: DataStack) -> None:
        super().__init__(scope, context.stage, "messaging", description="event bus and outbox relay")
        stage = context.stage
        self.bus = aws_events.EventBus(self, "Bus", event_bus_name=f"{PRODUCT}-{stage.name}")
        if stage.archive_days:
            self.bus.archive(
                "Archive",
                event_pattern=aws_events.EventPattern(source=[EVENT_SOURCE]),
                retention=Duration.days(stage.archive_days),
                description="every event, for replay",
            )
        self.undelivered = self._undelivered_events(context)
        self.schedule_group = f"{PRODUCT}-{stage.name}"
        group = aws_scheduler.CfnScheduleGroup(self, "Schedules", name=self.schedule_group)
        lost_runs = DeadLetterQueue(self, "LostRuns", alarm_topic=context.alarm_topic)
        acknowledge(lost_runs, "SQS3", "It is a dead-letter queue, of the schedules and of the functions that they run.")
        self.lost_runs = lost_runs.queue
        relay = SignalboxFunction(
            self,
            "RelayOutbox",
            name=Function.RELAY_OUTBOX,
            context=context,
            layers=(LayerName.CORE,),
            outgoing=data.outgoing,
            timeout_seconds=50,
            memory_megabytes=WHOLE_VCPU,
            ledger=data.ledger,
        )
        relay.allow_items(["dynamodb:UpdateItem"], data.outgoing, FORWARDED_EVENTS)
        relay.allow(["dynamodb:Scan"], data.outgoing.table_arn)  # how old is what waits there
        self._forward(context, data)
        job = JobSchedule(
            self,
            "EveryMinute",
            function=relay,
            expression="cron(* * * * ? *)",
            maximum_age=Duration.seconds(60),
            retries=0,  # Lambda would wait a minute before a retry, and by then the next run has started
            group_name=self.schedule_group,
            enabled=stage.schedules_enabled,
            lost_runs=self.lost_runs,
        )
        job.node.add_dependency(group)
        TopicAlarm(
            self,
            "OutboxAge",
            metric=stage_metric(Metric.OUTBOX_OLDEST_AGE, stage=context.stage, statistic="Maximum", period=Duration.minutes(1)),
            threshold=_OUTBOX_AGE_SECONDS,
            periods=3,
            missing_is_breaching=True,  # the relay does not run, or cannot read the ledger
            description="committed events wait in the outbox, or the relay does not run: relay, ledger or bus cannot be reached",
            topic=context.alarm_topic,
        )
        self.output(StackOutput.EVENT_BUS_NAME, self.bus.event_bus_name)
        self.output(StackOutput.SCHEDULE_GROUP, self.schedule_group)

    def _forward(self, context: FunctionContext, data: DataStack) -> None:
        """Add forward_events on the stream of outgoing events. A batch comes again until it is taken, for a day at most."""
        forward = SignalboxFunction(
            self,
            "ForwardEvents",
            name=Function.FORWARD_EVENTS,
            context=context,
            layers=(LayerName.CORE,),
            bus=self.bus,
            environment={Env.OUTGOING_EVENTS_TABLE: data.outgoing.table_name},
            timeout_seconds=20,
            memory_megabytes=512,
        )
        stream = data.outgoing.table_stream_arn or ""
        forward.allow(
            ["dynamodb:DescribeStream", "dynamodb:GetRecords", "dynamodb:GetShardIterator", "dynamodb:ListStreams"], stream
        )
        forward.allow_items(["dynamodb:DeleteItem"], data.outgoing, FORWARDED_EVENTS)
        mapping = aws_lambda.EventSourceMapping(
            self,
            "Outgoing",
            target=forward.live,
            event_source_arn=stream,
            starting_position=aws_lambda.StartingPosition.TRIM_HORIZON,  # what was put before the mapping was there
            batch_size=100,
            # a deletion has nothing to forward, and what is filtered out costs nothing
            filters=[aws_lambda.FilterCriteria.filter({"eventName": aws_lambda.FilterRule.or_("INSERT", "MODIFY")})],
        )
        mapping.node.add_dependency(forward.role)  # with its policies: Lambda asks whether it may read

    def _undelivered_events(self, context: FunctionContext) -> aws_sqs.Queue:
        """Return the queue for events that a rule could not put into its queue within a day, of every rule of the stage."""
        made = DeadLetterQueue(self, "UndeliveredEvents", alarm_topic=context.alarm_topic)
        acknowledge(made, "SQS3", "It is the dead-letter queue of the rules, which the check does not see.")
        rules = f"arn:{Aws.PARTITION}:events:{Aws.REGION}:{Aws.ACCOUNT_ID}:rule"
        # the rules belong to later stacks; naming them here would create a cycle
        ours = [f"{rules}/{self.bus.event_bus_name}/*", f"{rules}/{PRODUCT}-{context.stage.name}-*"]
        made.queue.add_to_resource_policy(
            aws_iam.PolicyStatement(
                principals=[aws_iam.ServicePrincipal("events.amazonaws.com")],
                actions=["sqs:SendMessage"],
                resources=[made.queue.queue_arn],
                conditions={"ArnLike": {"aws:SourceArn": ours}},
            )
        )
        return made.queue
