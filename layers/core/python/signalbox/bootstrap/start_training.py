"""Composes start_training: the stage's training plan and SageMaker."""

from __future__ import annotations

from typing import cast

import boto3

from signalbox.adapters.aws.clients import QUICK
from signalbox.adapters.aws.training_jobs import SageMakerClient, SageMakerJobs
from signalbox.application.start_training import StartTraining
from signalbox.bootstrap.settings import StartTrainingSettings
from signalbox.library.plan import read_plan


def compose(settings: StartTrainingSettings | None = None) -> StartTraining:
    """Return the application, composed from the environment."""
    found = settings or StartTrainingSettings.read()
    client = cast("SageMakerClient", boto3.client("sagemaker", config=QUICK))
    return StartTraining(read_plan(found.training_plan), SageMakerJobs(client))
