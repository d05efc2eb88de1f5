"""Training on SageMaker: the jobs' roles, the weekly schedule (off by default), and the events that report finished jobs.

Deploying this starts and costs nothing, because it creates no SageMaker resource. start_training or the operator
(`signalbox jobs`) starts jobs, from one plan.
"""

from __future__ import annotations

from typing import Final

from aws_cdk import Aws, Duration, aws_events, aws_iam
from constructs import Construct

from cdk.constructs.acknowledge import acknowledge
from cdk.constructs.execution_role import SERVICE, ExecutionRole
from cdk.constructs.function import WHOLE_VCPU, SignalboxFunction
from cdk.constructs.layers import LayerName
from cdk.constructs.subscription import EventSubscription, QueueDelivery
from cdk.stacks.function_stack import FunctionStack, Platform
from signalbox.contracts import BUNDLES_PREFIX, PRODUCT, TRAINING_PREFIX, Env, Function, Metric

_CANDLES: Final = "candles"  # in the market-data bucket
_ENDED: Final = ["Completed", "Failed", "Stopped"]


class TrainingStack(FunctionStack):
    """start_training, register_model, and the roles of the jobs."""

    def __init__(self, scope: Construct, platform: Platform) -> None:
        super().__init__(scope, platform, "training", description="training jobs and the model library")
        data = platform.data
        self.execution = ExecutionRole(
            self,
            "Execution",
            config=self.config.training,
            candles=(data.market_data, _CANDLES),
            work=(data.models, TRAINING_PREFIX),
            shown=(self.import_name(data.market_data), self.import_name(data.models)),
        ).role
        register = self._register_model()
        pipeline = self._pipeline_role(register)
        start = self._start_training(register, pipeline)
        self.run_on_schedule(
            "EveryWeek",
            start,
            "cron(0 2 ? * SUN *)",
            maximum_age=Duration.hours(6),
            enabled=self.config.training.retrain,
        )

    def _register_model(self) -> SignalboxFunction:
        context, data, messaging = self.platform.context, self.platform.data, self.platform.messaging
        register = SignalboxFunction(
            self,
            "RegisterModel",
            name=Function.REGISTER_MODEL,
            context=context,
            layers=(LayerName.CORE, LayerName.INFERENCE),
            outgoing=data.outgoing,
            environment={
                Env.MODELS_BUCKET: data.models.bucket_name,
            },
            timeout_seconds=120,
            memory_megabytes=WHOLE_VCPU,  # the archive, its files and the sessions of the models are in memory at once
            ledger=data.ledger,
        )
        register.allow(["s3:ListBucket"], data.models.bucket_arn)  # without it an absent object looks like a forbidden one
        reason = "A folder a job, and bundles named by their content: the prefix is the narrowest resource there is."
        self.allow_objects(register, ["s3:GetObject"], data.models, TRAINING_PREFIX, reason=reason)
        self.allow_objects(register, ["s3:PutObject"], data.models, BUNDLES_PREFIX, reason=reason)
        ended = aws_events.EventPattern(
            source=["aws.sagemaker"],
            detail_type=["SageMaker Training Job State Change"],
            detail={
                "RoleArn": [self.execution.role_arn],  # this stage's jobs, those of pipelines too
                "TrainingJobStatus": _ENDED,
                "HyperParameters": {"purpose": ["train", "evaluate"]},
            },
        )
        EventSubscription(
            self,
            "FinishedJobs",
            bus=aws_events.EventBus.from_event_bus_name(self, "DefaultBus", "default"),  # where AWS services announce
            undelivered=messaging.undelivered,
            patterns={"JobEnded": ended},
            function=register,
            alarm_topic=context.alarm_topic,
            delivery=QueueDelivery(batch_size=1, maximum_concurrency=2),  # each takes seconds; one that fails holds no other
        )
        self.alarm_at(
            Metric.TRAININGS_FAILED,
            "a training job failed, was stopped, or produced a model that is refused; the library has the reason",
            construct_id="TrainingFailed",
        )
        return register

    def _pipeline_role(self, register: SignalboxFunction) -> aws_iam.Role:
        """Return what a pipeline of this stage may do: run jobs as the execution role, read its verdict, and register."""
        role = aws_iam.Role(
            self,
            "Pipeline",
            assumed_by=aws_iam.ServicePrincipal(SERVICE, conditions={"StringEquals": {"aws:SourceAccount": Aws.ACCOUNT_ID}}),
            description="the training pipeline: starts its jobs and calls register_model",
        )
        jobs = [self._sagemaker_arn(f"{kind}/pipelines-*") for kind in ("training-job", "processing-job")]
        kinds = ("TrainingJob", "ProcessingJob")
        actions = [f"sagemaker:{verb}{kind}" for verb in ("Create", "Describe", "Stop") for kind in kinds]
        role.add_to_policy(aws_iam.PolicyStatement(actions=[*actions, "sagemaker:AddTags"], resources=jobs))
        role.add_to_policy(aws_iam.PolicyStatement(actions=["lambda:InvokeFunction"], resources=[register.function.function_arn]))
        self._allow_pass_role(role)
        models = self.platform.data.models
        verdicts = f"{TRAINING_PREFIX}/artifacts/evaluations"  # where library/pipeline.py has its evaluations written
        role.add_to_policy(  # the condition's JsonGet reads there as the pipeline, not as the job that wrote
            aws_iam.PolicyStatement(actions=["s3:GetObject"], resources=[models.arn_for_objects(f"{verdicts}/*")])
        )
        acknowledge(
            role, f"IAM5[Resource::{self.import_name(models)}/{verdicts}/*]", "A folder an execution, named when it is started."
        )
        for kind in ("training-job", "processing-job"):
            self._acknowledge_jobs(role, f"{kind}/pipelines-*")
        return role

    def _start_training(self, register: SignalboxFunction, pipeline: aws_iam.Role) -> SignalboxFunction:
        training = self.config.training
        start = SignalboxFunction(
            self,
            "StartTraining",
            name=Function.START_TRAINING,
            context=self.platform.context,
            layers=(LayerName.CORE,),
            environment={Env.TRAINING_PLAN: self._plan(register, pipeline)},
            timeout_seconds=30,
            memory_megabytes=256,
        )
        if training.pipeline:
            start.allow(["sagemaker:StartPipelineExecution"], self._sagemaker_arn(f"pipeline/{training.pipeline.lower()}"))
            return start
        named = f"training-job/{PRODUCT}-{self.config.name}-train-*"
        actions = ["sagemaker:AddTags", "sagemaker:CreateTrainingJob", "sagemaker:DescribeTrainingJob"]
        start.allow(actions, self._sagemaker_arn(named))
        self._allow_pass_role(start.role)
        self._acknowledge_jobs(start.role, named)
        return start

    def _allow_pass_role(self, role: aws_iam.Role) -> None:
        role.add_to_policy(
            aws_iam.PolicyStatement(
                actions=["iam:PassRole"],
                resources=[self.execution.role_arn],
                conditions={"StringEquals": {"iam:PassedToService": SERVICE}},
            )
        )

    def _sagemaker_arn(self, resource: str) -> str:
        return f"arn:{Aws.PARTITION}:sagemaker:{Aws.REGION}:{Aws.ACCOUNT_ID}:{resource}"

    def _acknowledge_jobs(self, role: aws_iam.Role, resource: str) -> None:
        finding = f"IAM5[Resource::arn:<AWS::Partition>:sagemaker:<AWS::Region>:<AWS::AccountId>:{resource}]"
        acknowledge(role, finding, "A job is named when it is started: by its instant, or by the pipeline.")

    def _plan(self, register: SignalboxFunction, pipeline: aws_iam.Role) -> str:
        """Return the plan of the stage's jobs; its reader is signalbox.library.plan, which a test compares."""
        stage, training, data = self.config, self.config.training, self.platform.data
        work = f"s3://{data.models.bucket_name}/{TRAINING_PREFIX}"
        seconds = training.max_hours * 3_600
        return self.to_json_string(
            {
                "stage": stage.name,
                "role_arn": self.execution.role_arn,
                "image_uri": training.image,
                "instance_type": training.instance,
                "features_instance_type": training.features_instance,
                "spot": training.spot,
                "max_runtime_seconds": seconds,
                "max_wait_seconds": 2 * seconds,
                "volume_gigabytes": 50,
                "candles_uri": f"s3://{data.market_data.bucket_name}/{_CANDLES}",
                "code_uri": f"{work}/code",
                "artifacts_uri": f"{work}/artifacts",
                "checkpoints_uri": f"{work}/checkpoints",
                "model": training.model,
                "config": training.config,
                "history_days": training.history_days,
                "pipeline": training.pipeline,
                "pipeline_role_arn": pipeline.role_arn,
                "register_function_arn": register.function.function_arn,
                "tracking_uri": training.mlflow_server,
            }
        )
