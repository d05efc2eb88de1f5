"""compact_candles (ledger): every night, writes the ledger's finished days as files of the lake."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from signalbox.bootstrap.compact_candles import compose
from signalbox.contracts import Metric
from signalbox.events import ScheduledJob
from signalbox.market.compaction import CompactionError, CompactionReport

logger = Logger()
metrics = Metrics()


def _report(report: CompactionReport) -> None:
    for day in report.days:
        facts: dict[str, Any] = {"path": day.key.path, "rows": day.rows, "missing": day.missing, "changed": day.changed}
        if day.fault is not None:
            logger.error("day_file_quarantined", **facts, fault=day.fault)
        if day.error is not None:
            logger.error("day_not_compacted", **facts, reason=day.error)
        else:
            logger.info("day_compacted", **facts, conflicts=[t.isoformat() for t in day.conflicts[:20]])
    written = [day for day in report.days if day.error is None]
    metrics.add_metric(Metric.DAYS_COMPACTED, MetricUnit.Count, len(written))
    metrics.add_metric(Metric.CANDLES_COMPACTED, MetricUnit.Count, sum(day.rows for day in written if day.changed))
    metrics.add_metric(Metric.CANDLES_MISSING, MetricUnit.Count, sum(day.missing for day in written))
    metrics.add_metric(Metric.LAKE_FILES_QUARANTINED, MetricUnit.Count, sum(day.fault is not None for day in report.days))


def make_handler(
    compact: Callable[[datetime], CompactionReport],
) -> Callable[[Mapping[str, object], LambdaContext], dict[str, int]]:
    """Return the Lambda handler for a compaction."""

    @logger.inject_lambda_context
    @metrics.log_metrics
    def handler(event: Mapping[str, object], _context: LambdaContext) -> dict[str, int]:
        command = ScheduledJob.read(event, datetime.now(UTC))
        report = compact(command.scheduled_at)
        _report(report)
        if failed := [day.key.path for day in report.days if day.error is not None]:
            raise CompactionError(f"{len(failed)} of {len(report.days)} days were not written, first {failed[0]}")
        return {
            "days": len(report.days),
            "changed": sum(day.changed for day in report.days),
            "rows": sum(day.rows for day in report.days),
            "missing": sum(day.missing for day in report.days),
            "left": report.left,
        }

    return handler


handler = make_handler(compose())
