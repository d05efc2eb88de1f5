"""The event bus, the schedules' group, and the relay that publishes what a crash left in the outbox."""

from __future__ import annotations

from aws_cdk import Duration, aws_events, aws_scheduler
from constructs import Construct

from cdk.constructs.alarms import TopicAlarm, service_metric
from cdk.constructs.function import FunctionContext, SignalboxFunction
from cdk.constructs.layers import LayerName
from cdk.constructs.schedule import JobSchedule
from cdk.stacks.base import SignalboxStack
from cdk.stacks.data import DataStack
from signalbox.contracts import EVENT_SOURCE, PRODUCT, Function, Metric, StackOutput

_OUTBOX_AGE_SECONDS = 180  # three runs of the relay


class MessagingStack(SignalboxStack):
    """What carries events between the functions."""

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
        self.schedule_group = f"{PRODUCT}-{stage.name}"
        group = aws_scheduler.CfnScheduleGroup(self, "Schedules", name=self.schedule_group)
        relay = SignalboxFunction(
            self,
            "RelayOutbox",
            name=Function.RELAY_OUTBOX,
            context=context,
            layers=(LayerName.CORE,),
            bus=self.bus,
            timeout_seconds=50,
            memory_megabytes=256,
            ledger=data.ledger,
        )
        job = JobSchedule(
            self,
            "EveryMinute",
            job=Function.RELAY_OUTBOX,
            function=relay.function,
            expression="cron(* * * * ? *)",
            maximum_age=Duration.seconds(60),
            group_name=self.schedule_group,
            enabled=stage.schedules_enabled,
            alarm_topic=context.alarm_topic,
        )
        job.node.add_dependency(group)
        TopicAlarm(
            self,
            "OutboxAge",
            metric=service_metric(Metric.OUTBOX_OLDEST_AGE, service=relay.name, statistic="Maximum", period=Duration.minutes(1)),
            threshold=_OUTBOX_AGE_SECONDS,
            periods=2,
            description="committed events wait in the outbox: the bus cannot be reached",
            topic=context.alarm_topic,
        )
        self.output(StackOutput.EVENT_BUS_NAME, self.bus.event_bus_name)
        self.output(StackOutput.SCHEDULE_GROUP, self.schedule_group)
