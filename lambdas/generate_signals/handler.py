"""generate_signals (ledger): turns candles from the queue into committed signals, then publishes what was committed."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.typing import LambdaContext

from signalbox.adapters.aws.after_commit import publish_or_leave
from signalbox.adapters.aws.batches import event_in, failure_logged, process_standard, refused_for_good
from signalbox.adapters.aws.correlation import Follower, followed
from signalbox.application.generate_signals import BesideOutcome, GenerateSignals
from signalbox.bootstrap.generate_signals import compose
from signalbox.contracts import Metric
from signalbox.events import CandlesClosed, InstantAheadError, require_not_ahead
from signalbox.signals.cycle import CycleOutcome

logger = Logger()
metrics = Metrics()


class UnexpectedMarketEventError(ValueError):
    """An event arrived that this function does not handle: a rule of the event bus is wrong."""


def _report(outcome: CycleOutcome, elapsed_ms: float) -> None:
    for signal in outcome.signals:
        logger.info("signal_decided", symbol=signal.symbol, direction=signal.direction, tier=signal.tier, late=signal.late)
    for refusal in outcome.refusals:
        logger.warning("symbol_refused", symbol=refusal.symbol, reason=refusal.reason, detail=refusal.detail)
    for candle in outcome.writes.conflicting[:20]:
        logger.warning("candle_conflicts", symbol=candle.symbol, open_time=candle.open_time.isoformat())
    for candle in outcome.writes.revised[:20]:
        logger.warning("candle_revised", symbol=candle.symbol, open_time=candle.open_time.isoformat(), close=str(candle.close))
    logger.info("cycle_recorded", cycle_at=outcome.cycle_at.isoformat(), state=outcome.state, elapsed_ms=round(elapsed_ms, 1))
    counts = {
        Metric.SIGNALS_ISSUED: sum(s.issued for s in outcome.signals),
        Metric.SYMBOLS_REFUSED: len(outcome.refusals),
        Metric.CANDLES_CONFLICTING: len(outcome.writes.conflicting),
        Metric.CANDLES_REVISED: len(outcome.writes.revised),
        Metric.DUPLICATES_IGNORED: int(outcome.duplicate),
    }
    for metric, count in counts.items():
        if count:  # an hour in which a metric is sent is paid for, and no alarm tells none from nothing
            metrics.add_metric(metric, MetricUnit.Count, count)
    if not outcome.duplicate:  # an alarm counts these: a cycle that came again is not one that was decided
        metrics.add_metric(Metric.CYCLE_DURATION, MetricUnit.Milliseconds, elapsed_ms)


def _report_beside(outcome: BesideOutcome) -> None:
    for signal in outcome.signals:
        logger.info("challenger_decided", symbol=signal.symbol, deployment=signal.deployment, direction=signal.direction)
    for problem in outcome.problems:
        logger.error("model_refused", deployment=problem.deployment, reason=problem.reason)
        metrics.add_metric(Metric.MODEL_REFUSED, MetricUnit.Count, 1)
    for name in outcome.waiting:
        logger.warning("challenger_waits", deployment=name)


def make_handler(app: GenerateSignals) -> Callable[[dict[str, Any], LambdaContext], Any]:
    """Return the Lambda handler for a composition."""
    decided: list[tuple[CandlesClosed, CycleOutcome, str | None]] = []  # of one invocation, for the challengers

    def record_handler(record: SQSRecord) -> None:
        final = (UnexpectedMarketEventError, InstantAheadError)
        with followed(logger) as follow, failure_logged(logger, record), refused_for_good(logger, metrics, record, *final):
            handle(record, follow)

    def handle(record: SQSRecord, follow: Follower) -> None:
        event = event_in(record)
        follow.event(event)
        if not isinstance(event, CandlesClosed):
            raise UnexpectedMarketEventError(f"expected CandlesClosed, got {event.type}")
        # checked before the ledger: a future cycle, once decided, would make every earlier cycle late
        sent_at = datetime.fromtimestamp(int(record.attributes.sent_timestamp) / 1000, UTC)
        require_not_ahead(event.event_id, event.cycle_at, sent_at)
        started = time.perf_counter()
        outcome, choice = app.decide(event)
        if choice.problem is not None:
            logger.error("model_refused", deployment=choice.problem.deployment, reason=choice.problem.reason)
            metrics.add_metric(Metric.MODEL_REFUSED, MetricUnit.Count, 1)
        _report(outcome, (time.perf_counter() - started) * 1000)
        decided.append((event, outcome, None if choice.model is None else choice.model.deployment))

    @logger.inject_lambda_context
    @metrics.log_metrics
    def handler(event: dict[str, Any], context: LambdaContext) -> Any:
        decided.clear()
        answer = process_standard(event, record_handler, context)
        publish_or_leave(app.publish, logger=logger)
        found = [app.decide_beside(*cycle, context.get_remaining_time_in_millis() / 1000) for cycle in decided]
        for one in found:
            _report_beside(one)
        if any(one.signals or one.problems for one in found):
            publish_or_leave(app.publish, logger=logger)
        return answer

    return handler


handler = make_handler(compose())
