"""route_events puts events about one account into the right queue, in that account's message group."""

from __future__ import annotations

from constructs import Construct

from cdk.constructs.function import SignalboxFunction
from cdk.constructs.layers import LayerName
from cdk.constructs.subscription import EventSubscription, QueueDelivery, events_of
from cdk.stacks.execution import ExecutionStack
from cdk.stacks.function_stack import FunctionStack, Platform
from cdk.stacks.trading import TradingStack
from signalbox.contracts import (
    REVIEW_DELAY_SECONDS,
    ROUTED_EVENTS,
    Env,
    EventType,
    Function,
    StackOutput,
)


class RoutingStack(FunctionStack):
    """route_events between the bus and the queues of execution and trading.

    Its FIFO queue keeps the order of the bus; its standard queue delays events that are due in a few seconds.
    """

    def __init__(self, scope: Construct, platform: Platform, *, execution: ExecutionStack, trading: TradingStack) -> None:
        super().__init__(scope, platform, "routing", description="events about one account, to its message groups")
        context, messaging = platform.context, platform.messaging
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
            timeout_seconds=10,
            memory_megabytes=512,
        )
        route.allow(["sqs:SendMessage"], execution.requests.queue_arn, trading.queue.queue_arn)
        subscription = EventSubscription(
            self,
            "Events",
            bus=messaging.bus,
            undelivered=messaging.undelivered,
            patterns={"OfAccounts": events_of(*ROUTED_EVENTS)},
            function=route,
            alarm_topic=context.alarm_topic,
            group="routing",
            delivery=QueueDelivery.patient(route, batch_size=10),
        )
        reviews = EventSubscription(
            self,
            "Reviews",
            bus=messaging.bus,
            undelivered=messaging.undelivered,
            patterns={"DueInSeconds": events_of(EventType.ACCOUNT_REVIEW_DUE)},
            function=route,
            alarm_topic=context.alarm_topic,
            # the delay is of a standard queue: a FIFO one would delay one account's behind another's
            delivery=QueueDelivery.patient(route, batch_size=10, delay_seconds=REVIEW_DELAY_SECONDS),
        )
        self.output(StackOutput.ROUTING_QUEUE_URL, subscription.queue.queue_url)
        self.output(StackOutput.ROUTING_DLQ_URL, subscription.dead_letters.queue.queue_url)
        self.output(StackOutput.REVIEWS_QUEUE_URL, reviews.queue.queue_url)
        self.output(StackOutput.REVIEWS_DLQ_URL, reviews.dead_letters.queue.queue_url)
