"""register_model (ledger): a training that ended becomes a version of its model; a pipeline calls it as its last step."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.typing import LambdaContext

from signalbox.adapters.aws.after_commit import publish_or_leave
from signalbox.adapters.aws.batches import each_alone, failure_told
from signalbox.bootstrap.register_model import RegisterModel, compose
from signalbox.contracts import Metric
from signalbox.library.entries import VersionState
from signalbox.library.job_events import finished_job, job_of_pipeline
from signalbox.library.registration import FinishedJob, Registered

logger = Logger()
metrics = Metrics()


def _report(job: FinishedJob, found: Registered) -> None:
    log = logger.info if found.reason is None else logger.warning
    log("job_registered", job=job.name, model=job.model, version=found.version.number, state=found.state, reason=found.reason)
    metrics.add_metric(Metric.DUPLICATES_IGNORED, MetricUnit.Count, int(not found.new))
    metrics.add_metric(Metric.MODELS_REGISTERED, MetricUnit.Count, int(found.state is VersionState.CANDIDATE))
    failed = found.state in {VersionState.FAILED, VersionState.REFUSED}
    metrics.add_metric(Metric.TRAININGS_FAILED, MetricUnit.Count, int(failed))


def make_handler(app: RegisterModel) -> Callable[[dict[str, Any], LambdaContext], Any]:
    """Return the Lambda entry over any composition."""

    def record_handler(record: SQSRecord) -> None:
        with failure_told(logger, record):
            handle(json.loads(record.body))

    def handle(event: dict[str, Any]) -> None:
        job = finished_job(event)
        if job is None:
            logger.info("job_not_ours_to_register", job=event["detail"]["TrainingJobName"])
            return
        _report(job, app.register(job))

    def publish() -> None:
        publish_or_leave(app.publish, logger=logger, metrics=metrics)

    def step(event: dict[str, Any]) -> dict[str, str]:
        job = job_of_pipeline(event)
        found = app.register(job)
        _report(job, found)
        publish()
        return {"version": str(found.version.number), "state": str(found.state or "known")}

    @logger.inject_lambda_context
    @metrics.log_metrics
    def handler(event: dict[str, Any], context: LambdaContext) -> Any:
        if "Records" not in event:
            return step(event)
        answer = each_alone(event, record_handler, context)
        publish()
        return answer

    return handler


handler = make_handler(compose())
