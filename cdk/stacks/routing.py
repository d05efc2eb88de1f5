"""route_events puts events about one account into the right queue, in that account's message group."""

from __future__ import annotations

from typing import Final

from aws_cdk import aws_events
from constructs import Construct

from cdk.constructs.function import FunctionContext, SignalboxFunction
from cdk.constructs.layers import LayerName
from cdk.constructs.subscription import GRACE_SECONDS, PATIENT_RECEIVES, EventSubscription
from cdk.stacks.base import SignalboxStack
from cdk.stacks.execution import ExecutionStack
from cdk.stacks.messaging import MessagingStack
from cdk.stacks.trading import TradingStack
from signalbox.contracts import (
    EVENT_SOURCE,
    REVIEW_DELAY_SECONDS,
    ROUTED_EVENTS,
    Env,
    EventType,
    Function,
    StackOutput,
)

_TIMEOUT_SECONDS: Final = 10


class RoutingStack(SignalboxStack):
    """route_events between the bus and the queues of execution and trading.

    Its FIFO queue keeps the order of the bus; its standard queue delays events that are due in a few seconds.
    """

    def __init__(
        self,
        scope: Construct,
        context: FunctionContext,
        *,
        messaging: MessagingStack,
        execution: ExecutionStack,
        trading: TradingStack,
    ) -> None:
        super().__init__(scope, context.stage, "routing", description="events about one account, to its message groups")
        route = SignalboxFunction(
            self,
            "RouteEvents",
            name=Function.ROUTE_EVENTS,
            context=context,
            layers=(LayerName.CORE,),
            environment={
                Env.EXECUTION_QUEUE_URL: execution.requests.queue_url,
                Env.TRADING_QUEUE_URL: trading.queue.queue_url,
            },
            timeout_seconds=_TIMEOUT_SECONDS,
            memory_megabytes=512,
        )
        route.allow(["sqs:SendMessage"], execution.requests.queue_arn, trading.queue.queue_arn)
        subscription = EventSubscription(
            self,
            "Events",
            bus=messaging.bus,
            undelivered=messaging.undelivered,
            patterns=[
                ("OfAccounts", aws_events.EventPattern(source=[EVENT_SOURCE], detail_type=[kind.value for kind in ROUTED_EVENTS]))
            ],
            function=route,
            alarm_topic=context.alarm_topic,
            group="routing",
            maximum_receives=PATIENT_RECEIVES,
            visibility_seconds=_TIMEOUT_SECONDS + GRACE_SECONDS,
        )
        due = aws_events.EventPattern(source=[EVENT_SOURCE], detail_type=[EventType.ACCOUNT_REVIEW_DUE.value])
        reviews = EventSubscription(
            self,
            "Reviews",
            bus=messaging.bus,
            undelivered=messaging.undelivered,
            patterns=[("DueInSeconds", due)],
            function=route,
            alarm_topic=context.alarm_topic,
            maximum_receives=PATIENT_RECEIVES,
            visibility_seconds=_TIMEOUT_SECONDS + GRACE_SECONDS,
            delay_seconds=REVIEW_DELAY_SECONDS,  # of a standard queue: a FIFO one would delay one account's behind another's
        )
        self.output(StackOutput.ROUTING_QUEUE_URL, subscription.queue.queue_url)
        self.output(StackOutput.ROUTING_DLQ_URL, subscription.dead_letters.queue.queue_url)
        self.output(StackOutput.REVIEWS_QUEUE_URL, reviews.queue.queue_url)
        self.output(StackOutput.REVIEWS_DLQ_URL, reviews.dead_letters.queue.queue_url)
