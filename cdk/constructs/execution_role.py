"""The role of training containers: they may read candles, write below one prefix, write logs, and pull their image."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from aws_cdk import Aws, aws_iam, aws_s3
from constructs import Construct

from cdk.constructs.acknowledge import acknowledge
from cdk.training_config import TrainingConfig

SERVICE: Final = "sagemaker.amazonaws.com"
_IMAGE: Final = re.compile(r"(?P<account>\d{12})\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.amazonaws\.com(?:\.cn)?/(?P<name>[^:@]+)")
_MLFLOW_ACTIONS: Final = (  # what the tracking client calls in a run
    "CreateExperiment",
    "GetExperiment",
    "GetExperimentByName",
    "CreateRun",
    "GetRun",
    "UpdateRun",
    "LogBatch",
    "LogInputs",
    "LogMetric",
    "LogParam",
    "SetExperimentTag",
    "SetTag",
)


class ExecutionRole(Construct):
    """One role for the jobs of a stage; `arn_token` is how cdk-nag names a bucket of another stack."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        config: TrainingConfig,
        candles: tuple[aws_s3.IBucket, str],
        work: tuple[aws_s3.IBucket, str],
        shown: Sequence[str],
    ) -> None:
        super().__init__(scope, construct_id)
        self.role = aws_iam.Role(
            self,
            "Role",
            assumed_by=aws_iam.ServicePrincipal(SERVICE, conditions={"StringEquals": {"aws:SourceAccount": Aws.ACCOUNT_ID}}),
            description="training jobs: read candles, write below one prefix of the models bucket",
        )
        for (bucket, prefix), actions, name in zip(
            (candles, work), (("s3:GetObject",), ("s3:GetObject", "s3:PutObject")), shown, strict=True
        ):
            self._allow(actions, bucket.arn_for_objects(f"{prefix}/*"))
            self._allow(("s3:ListBucket",), bucket.bucket_arn, {"StringLike": {"s3:prefix": [prefix, f"{prefix}/*"]}})
            acknowledge(self.role, f"IAM5[Resource::{name}/{prefix}/*]", "The prefix is the narrowest resource of many files.")
        self._allow_logs()
        self._allow_metrics()
        if match := _IMAGE.match(config.image):
            self._allow_image(match)
        if config.mlflow_server:
            self._allow(tuple(f"sagemaker-mlflow:{action}" for action in _MLFLOW_ACTIONS), config.mlflow_server)

    def _allow(self, actions: Sequence[str], resource: str, conditions: dict[str, dict[str, list[str]]] | None = None) -> None:
        self.role.add_to_policy(aws_iam.PolicyStatement(actions=list(actions), resources=[resource], conditions=conditions))

    def _allow_logs(self) -> None:
        groups = f"arn:{Aws.PARTITION}:logs:{Aws.REGION}:{Aws.ACCOUNT_ID}:log-group:/aws/sagemaker/*"
        self._allow(("logs:CreateLogGroup", "logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"), groups)
        acknowledge(
            self.role,
            "IAM5[Resource::arn:<AWS::Partition>:logs:<AWS::Region>:<AWS::AccountId>:log-group:/aws/sagemaker/*]",
            "SageMaker names the streams of a job itself.",
        )

    def _allow_metrics(self) -> None:
        self.role.add_to_policy(
            aws_iam.PolicyStatement(
                actions=["cloudwatch:PutMetricData"],
                resources=["*"],
                conditions={"StringLike": {"cloudwatch:namespace": ["/aws/sagemaker/*"]}},
            )
        )
        acknowledge(self.role, "IAM5[Resource::*]", "PutMetricData and GetAuthorizationToken know no resource.")

    def _allow_image(self, image: re.Match[str]) -> None:
        repository = f"arn:{Aws.PARTITION}:ecr:{image['region']}:{image['account']}:repository/{image['name']}"
        self._allow(("ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"), repository)
        self._allow(("ecr:GetAuthorizationToken",), "*")
