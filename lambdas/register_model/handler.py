"""register_model (ledger): records a finished training as a model version, and a finished evaluation of one.

It is called by SageMaker's events through a queue, by a pipeline as its last step, and by `signalbox jobs register` with such an
event.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.typing import LambdaContext

from signalbox.adapters.aws.after_commit import publish_or_leave
from signalbox.adapters.aws.batches import failure_logged, process_standard, refused_for_good
from signalbox.application.register_model import RegisterModel
from signalbox.bootstrap.register_model import compose
from signalbox.contracts import Metric
from signalbox.library.entries import VersionState
from signalbox.library.evaluations import EvaluationOutcome, FinishedEvaluation
from signalbox.library.job_events import finished_job, is_job_event, job_of_pipeline
from signalbox.library.registration import FinishedJob, RegistrationOutcome
from signalbox.wire import parse_object

logger = Logger()
metrics = Metrics()


def _report(job: FinishedJob, found: RegistrationOutcome) -> None:
    log = logger.info if found.reason is None else logger.warning
    log("job_registered", job=job.name, model=job.model, version=found.version.number, state=found.state, reason=found.reason)
    metrics.add_metric(Metric.DUPLICATES_IGNORED, MetricUnit.Count, int(not found.new))
    metrics.add_metric(Metric.MODELS_REGISTERED, MetricUnit.Count, int(found.state is VersionState.CANDIDATE))
    metrics.add_metric(Metric.MODELS_NOT_QUALIFIED, MetricUnit.Count, int(not found.qualified))
    failed = found.qualified and found.state in {VersionState.FAILED, VersionState.REFUSED}
    metrics.add_metric(Metric.TRAININGS_FAILED, MetricUnit.Count, int(failed))


def _report_judged(job: FinishedEvaluation, found: EvaluationOutcome) -> None:
    log = logger.info if found.reason is None else logger.warning
    version = found.version
    log(
        "evaluation_recorded" if version is not None else "evaluation_not_recorded",
        job=job.name,
        model=None if version is None else version.entity.name,
        version=None if version is None else version.number,
        qualifies=found.qualifies,
        model_uri=job.model_uri,
        reason=found.reason,
    )
    metrics.add_metric(Metric.DUPLICATES_IGNORED, MetricUnit.Count, int(not found.new))
    metrics.add_metric(Metric.MODELS_EVALUATED, MetricUnit.Count, int(found.new and version is not None))
    metrics.add_metric(Metric.EVALUATIONS_FAILED, MetricUnit.Count, int(found.new and version is None))


def _register(app: RegisterModel, job: FinishedJob) -> dict[str, str]:
    found = app.register(job)
    _report(job, found)
    return {"version": str(found.version.number), "state": str(found.state or "known")}


def _judge(app: RegisterModel, job: FinishedEvaluation) -> dict[str, str]:
    found = app.judge(job)
    _report_judged(job, found)
    if found.version is None:
        return {"state": "not recorded", "reason": found.reason or ""}
    return {"version": str(found.version.number), "state": "evaluated" if found.new else "known"}


def _handle(app: RegisterModel, event: dict[str, Any]) -> dict[str, str]:
    match finished_job(event):
        case FinishedJob() as training:
            return _register(app, training)
        case FinishedEvaluation() as evaluation:
            return _judge(app, evaluation)
        case None:
            logger.info("job_not_ours_to_register", job=event["detail"]["TrainingJobName"])
            return {"state": "not ours"}


def make_handler(app: RegisterModel) -> Callable[[dict[str, Any], LambdaContext], Any]:
    """Return the Lambda handler for a composition."""

    def record_handler(record: SQSRecord) -> None:
        with failure_logged(logger, record), refused_for_good(logger, metrics, record):
            _handle(app, parse_object(record.body))

    def publish() -> None:
        publish_or_leave(app.publish, logger=logger)

    def alone(event: dict[str, Any]) -> dict[str, str]:
        answer = _handle(app, event) if is_job_event(event) else _register(app, job_of_pipeline(event))
        publish()
        return answer

    @logger.inject_lambda_context
    @metrics.log_metrics
    def handler(event: dict[str, Any], context: LambdaContext) -> Any:
        if "Records" not in event:
            return alone(event)
        answer = process_standard(event, record_handler, context)
        publish()
        return answer

    return handler


handler = make_handler(compose())
