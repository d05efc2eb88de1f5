"""Turns candles into signals."""

from __future__ import annotations

from aws_cdk import aws_events, aws_s3_assets
from constructs import Construct

from cdk.constructs.acknowledge import acknowledge
from cdk.constructs.alarms import TopicAlarm, stage_metric
from cdk.constructs.function import FunctionContext, SignalboxFunction
from cdk.constructs.layers import LayerName
from cdk.constructs.subscription import EventSubscription
from cdk.stacks.base import SignalboxStack
from cdk.stacks.data import DataStack
from cdk.stacks.messaging import MessagingStack
from signalbox.contracts import EVENT_SOURCE, Env, EventType, Function, Metric, StackOutput


class SignalsStack(SignalboxStack):
    """generate_signals and its queue."""

    def __init__(
        self,
        scope: Construct,
        context: FunctionContext,
        *,
        data: DataStack,
        messaging: MessagingStack,
    ) -> None:
        super().__init__(scope, context.stage, "signals", description="generation of signals")
        starter = aws_s3_assets.Asset(self, "StarterBundle", path=str(context.sources.starter_bundle))
        generate = SignalboxFunction(
            self,
            "GenerateSignals",
            name=Function.GENERATE_SIGNALS,
            context=context,
            layers=(LayerName.CORE, LayerName.INFERENCE),
            bus=messaging.bus,
            environment={
                Env.SIGNAL_LIMITS: context.stage.signal_limits.model_dump_json(),
                Env.MODELS_BUCKET: data.models.bucket_name,
                Env.STARTER_BUNDLE_BUCKET: starter.s3_bucket_name,
                Env.STARTER_BUNDLE_KEY: starter.s3_object_key,
            },
            timeout_seconds=60,
            memory_megabytes=1769,  # one full vCPU
            ledger=data.ledger,
        )
        # without ListBucket an absent object looks like a forbidden one
        generate.allow(["s3:ListBucket"], data.models.bucket_arn)
        generate.allow(["s3:GetObject"], data.models.arn_for_objects("*"), starter.bucket.arn_for_objects(starter.s3_object_key))
        models = self.resolve(data.export_value(data.models.bucket_arn))["Fn::ImportValue"]  # as cdk-nag names it
        acknowledge(generate.role, f"IAM5[Resource::{models}/*]", "Bundles have keys of their own; any of them may be read.")
        subscription = EventSubscription(
            self,
            "Candles",
            bus=messaging.bus,
            undelivered=messaging.undelivered,
            patterns=[
                ("CandlesClosed", aws_events.EventPattern(source=[EVENT_SOURCE], detail_type=[EventType.CANDLES_CLOSED.value]))
            ],
            function=generate,
            alarm_topic=context.alarm_topic,
            maximum_concurrency=2,
        )
        TopicAlarm(
            self,
            "ModelRefused",
            metric=stage_metric(Metric.MODEL_REFUSED, stage=context.stage, statistic="Sum"),
            threshold=1,
            description="a model bundle was refused; the one before it, if any, stays in use",
            topic=context.alarm_topic,
        )
        TopicAlarm(
            self,
            "NotDecided",
            metric=stage_metric(Metric.CYCLE_DURATION, stage=context.stage, statistic="SampleCount"),
            threshold=1,
            below=True,
            periods=3,
            missing_is_breaching=True,
            description="no cycle was decided for 15 minutes",
            topic=context.alarm_topic,
        )
        self.output(StackOutput.SIGNALS_QUEUE_URL, subscription.queue.queue_url)
        self.output(StackOutput.SIGNALS_DLQ_URL, subscription.dead_letters.queue.queue_url)
