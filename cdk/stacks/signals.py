"""Turns candles into signals."""

from __future__ import annotations

from typing import Final

from constructs import Construct

from cdk.constructs.function import WHOLE_VCPU, SignalboxFunction
from cdk.constructs.layers import LayerName
from cdk.constructs.subscription import EventSubscription, QueueDelivery, events_of
from cdk.stacks.function_stack import FunctionStack, Platform
from signalbox.contracts import BUNDLES_PREFIX, Env, EventType, Function, Metric, StackOutput

_BARS_OF_A_CYCLE: Final = 5  # of one symbol: its minutes


class SignalsStack(FunctionStack):
    """generate_signals and its queue."""

    def __init__(self, scope: Construct, platform: Platform) -> None:
        super().__init__(scope, platform, "signals", description="generation of signals")
        context, data, messaging = platform.context, platform.data, platform.messaging
        generate = SignalboxFunction(
            self,
            "GenerateSignals",
            name=Function.GENERATE_SIGNALS,
            context=context,
            layers=(LayerName.CORE, LayerName.INFERENCE),
            outgoing=data.outgoing,
            environment={
                Env.SIGNAL_LIMITS: context.stage.signal_limits.model_dump_json(),
                Env.MODELS_BUCKET: data.models.bucket_name,
            },
            timeout_seconds=60,
            memory_megabytes=WHOLE_VCPU,
            ledger=data.ledger,
        )
        # without ListBucket an absent object looks like a forbidden one
        generate.allow(["s3:ListBucket"], data.models.bucket_arn)
        reason = "A bundle is named by its content; any of them may be deployed."
        self.allow_objects(generate, ["s3:GetObject"], data.models, BUNDLES_PREFIX, reason=reason)
        subscription = EventSubscription(
            self,
            "Candles",
            bus=messaging.bus,
            undelivered=messaging.undelivered,
            patterns={"CandlesClosed": events_of(EventType.CANDLES_CLOSED)},
            function=generate,
            alarm_topic=context.alarm_topic,
            delivery=QueueDelivery(maximum_concurrency=2),
        )
        self.alarm_at(
            Metric.MODEL_REFUSED,
            "a model bundle was refused, or a deployment failed or was rolled back; the log says why and what stays in use",
            construct_id="ModelRefused",
        )
        self.alarm_at(
            Metric.CANDLES_CONFLICTING,
            "a late or repeated message brought other values for a bar; the stored bar was kept, and the log names it",
        )
        self.alarm_at(
            Metric.CANDLES_REVISED,
            "the venue changed as many stored bars as a whole cycle has: it rewrites its history, or its answers are misread",
            threshold=_BARS_OF_A_CYCLE * len(context.stage.symbols),
        )
        self.alarm_without(
            "NotDecided",
            Metric.CYCLE_DURATION,
            "no cycle was decided for 15 minutes",
            statistic="SampleCount",
            periods=3,
        )
        self.output(StackOutput.SIGNALS_QUEUE_URL, subscription.queue.queue_url)
        self.output(StackOutput.SIGNALS_DLQ_URL, subscription.dead_letters.queue.queue_url)
