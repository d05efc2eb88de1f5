"""What a schedule starts: the pipeline of the stage, else a training job of its plan, once an instant."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from signalbox.library.plan import TrainingPlan
from signalbox.library.training_jobs import Request, StartedJob, job_name, scheduled_parameters, training_request


class TrainingJobs(Protocol):
    """Where models are trained."""

    def start_training_job(self, request: Request) -> StartedJob:
        """Start a job once, by its name. Raises LibraryError, also when the name is taken by another one."""

    def start_pipeline(self, name: str, execution: str, parameters: dict[str, str]) -> StartedJob:
        """Start an execution once, by its name. Raises LibraryError."""


@dataclass(frozen=True, slots=True)
class StartTraining:
    """Starts what a schedule asks for, once an instant."""

    plan: TrainingPlan
    jobs: TrainingJobs

    def start(self, scheduled_at: datetime) -> StartedJob:
        """Start the pipeline, else the training job, of an instant; again is the same one."""
        plan = self.plan
        parameters = scheduled_parameters(plan, scheduled_at)
        name = job_name(plan.stage, "train", scheduled_at)
        if not plan.pipeline:
            return self.jobs.start_training_job(training_request(plan, name, parameters))
        given = parameters.as_text()
        return self.jobs.start_pipeline(plan.pipeline, name, {"Start": given["start"], "End": given["end"]})
