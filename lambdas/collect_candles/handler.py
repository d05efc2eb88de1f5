"""collect_candles (edge): the Scheduler's five-minute job. Parses the event, collects candles, reports."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from signalbox.adapters.aws.correlation import Follower
from signalbox.bootstrap.collect_candles import compose
from signalbox.contracts import Metric
from signalbox.events import ScheduledJob, correlation_id_of
from signalbox.market.clock import cycle_of
from signalbox.market.collection import CollectionReport

logger = Logger()
metrics = Metrics()


def _log_fallbacks(report: CollectionReport) -> None:
    away = [item for item in report.symbols if item.venue != report.venue]
    for item in away:
        logger.warning("symbol_on_fallback", symbol=item.symbol, venue=item.venue, own=report.venue)
    silent = [item for item in report.others if item.problem is not None]
    for item in silent:
        logger.warning("other_venue_silent", symbol=item.symbol, venue=item.venue, problem=item.problem, detail=item.detail)
    if away:
        metrics.add_metric(Metric.FALLBACK_SYMBOLS, MetricUnit.Count, len(away))
    if failed := sum(item.venue != report.venue for item in silent):
        metrics.add_metric(Metric.FALLBACK_FAILURES, MetricUnit.Count, failed)


def make_handler(
    collect: Callable[[datetime], CollectionReport],
) -> Callable[[Mapping[str, object], LambdaContext], dict[str, object]]:
    """Return the Lambda handler for a collector."""

    @logger.inject_lambda_context(clear_state=True)
    @metrics.log_metrics
    def handler(event: Mapping[str, object], _context: LambdaContext) -> dict[str, object]:
        command = ScheduledJob.read(event, datetime.now(UTC))
        Follower(logger).ids(correlation_id_of(cycle_of(command.scheduled_at)))
        report = collect(command.scheduled_at)
        for item in report.symbols:
            outcome = "symbol_collected" if item.problem is None else "symbol_not_collected"
            log = logger.info if item.problem is None else logger.warning
            log(
                outcome, symbol=item.symbol, candles=len(item.candles), empty=item.empty, problem=item.problem, detail=item.detail
            )
            for reason in item.accepted.refused[:20]:
                logger.warning("candle_refused", symbol=item.symbol, reason=reason)
        _log_fallbacks(report)
        waited = max(item.waited_seconds for item in report.symbols)
        logger.info("cycle_collected", cycle_at=report.cycle_at.isoformat(), parts=report.parts, waited_seconds=waited)
        metrics.add_metric(Metric.CANDLES_COLLECTED, MetricUnit.Count, sum(len(i.candles) for i in report.symbols))
        if refused := sum(len(i.accepted.refused) for i in report.symbols):
            metrics.add_metric(Metric.CANDLES_REFUSED, MetricUnit.Count, refused)
        if empty := sum(i.empty for i in report.symbols):
            metrics.add_metric(Metric.EMPTY_MINUTES, MetricUnit.Count, empty)
        if failures := sum(i.problem is not None for i in report.symbols):
            metrics.add_metric(Metric.VENUE_FAILURES, MetricUnit.Count, failures)
        return {
            "cycle_at": report.cycle_at.isoformat(),
            "parts": report.parts,
            "symbols": {i.symbol: {"candles": len(i.candles), "problem": i.problem} for i in report.symbols},
        }

    return handler


handler = make_handler(compose())
