"""The plan of a stage, complete."""

from __future__ import annotations

from typing import Any

from signalbox.library.plan import TrainingPlan


def plan(**changes: Any) -> TrainingPlan:
    facts: dict[str, Any] = {
        "stage": "test",
        "role_arn": "arn:aws:iam::123456789012:role/execution",
        "image_uri": "123456789012.dkr.ecr.eu-central-1.amazonaws.com/signalbox-training:1",
        "instance_type": "ml.g5.xlarge",
        "features_instance_type": "ml.m5.xlarge",
        "spot": True,
        "max_runtime_seconds": 21_600,
        "max_wait_seconds": 43_200,
        "volume_gigabytes": 50,
        "candles_uri": "s3://market/candles",
        "code_uri": "s3://models/training/code",
        "artifacts_uri": "s3://models/training/artifacts",
        "checkpoints_uri": "s3://models/training/checkpoints",
        "model": "dir60",
        "config": "quick",
        "history_days": 365,
        "pipeline": "",
        "pipeline_role_arn": "arn:aws:iam::123456789012:role/pipeline",
        "register_function_arn": "arn:aws:lambda:eu-central-1:123456789012:function:signalbox-test-register-model",
        "tracking_uri": "",
    }
    return TrainingPlan.model_validate({**facts, **changes})
