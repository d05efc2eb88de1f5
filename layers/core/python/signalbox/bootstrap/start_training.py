"""start_training, composed: the plan of the stage and SageMaker."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import cast

import boto3

from signalbox.adapters.aws.clients import QUICK
from signalbox.adapters.aws.training_jobs import SageMakerClient, SageMakerJobs, Started
from signalbox.bootstrap.settings import StartTrainingSettings
from signalbox.library.plan import TrainingPlan, read_plan
from signalbox.library.training_jobs import job_name, scheduled_parameters, training_request


@dataclass(frozen=True, slots=True)
class StartTraining:
    """Starts what a schedule asks for, once an instant."""

    plan: TrainingPlan
    jobs: SageMakerJobs

    def start(self, scheduled_at: datetime) -> Started:
        """Start the pipeline, else the training job, of an instant; again is the same one."""
        plan = self.plan
        parameters = scheduled_parameters(plan, scheduled_at)
        name = job_name(plan.stage, "train", scheduled_at)
        if not plan.pipeline:
            return self.jobs.start_training_job(training_request(plan, name, parameters))
        given = parameters.as_text()
        return self.jobs.start_pipeline(plan.pipeline, name, {"Start": given["start"], "End": given["end"]})


def compose(settings: StartTrainingSettings | None = None) -> StartTraining:
    """Return the function's application from its environment."""
    found = settings or StartTrainingSettings.read()
    client = cast("SageMakerClient", boto3.client("sagemaker", config=QUICK))
    return StartTraining(read_plan(found.training_plan), SageMakerJobs(client))
