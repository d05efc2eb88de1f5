"""Starts scheduled training once for each instant: the stage's pipeline, or without one a training job of its plan."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from signalbox.library.plan import TrainingPlan
from signalbox.library.training_jobs import Request, StartedJob, job_name, scheduled_parameters, training_request


class TrainingJobs(Protocol):
    """The service that trains models."""

    def start_training_job(self, request: Request) -> StartedJob:
        """Start a job, once for each name. Raises LibraryError, also if another job has the name."""

    def start_pipeline(self, name: str, execution: str, parameters: dict[str, str]) -> StartedJob:
        """Start an execution, once for each name. Raises LibraryError."""


@dataclass(frozen=True, slots=True)
class StartTraining:
    """Starts scheduled training, once for each instant."""

    plan: TrainingPlan
    jobs: TrainingJobs

    def start(self, scheduled_at: datetime) -> StartedJob:
        """Start the pipeline of an instant, or without a pipeline the training job. Calling it again starts nothing new."""
        plan = self.plan
        parameters = scheduled_parameters(plan, scheduled_at)
        name = job_name(plan.stage, "train", scheduled_at)
        if not plan.pipeline:
            return self.jobs.start_training_job(training_request(plan, name, parameters))
        given = parameters.as_text()
        return self.jobs.start_pipeline(plan.pipeline, name, {"Start": given["start"], "End": given["end"]})
