"""dump_database (ledger): every night, writes a logical dump of the ledger to the backups bucket."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from signalbox.backup.manifest import DumpManifest
from signalbox.bootstrap.dump_database import compose
from signalbox.contracts import Metric
from signalbox.events import ScheduledJob

logger = Logger()
metrics = Metrics()


def make_handler(
    dump: Callable[[datetime], tuple[str, DumpManifest]],
) -> Callable[[Mapping[str, object], LambdaContext], dict[str, object]]:
    """Return the Lambda handler for a dump. It counts a dump only after its manifest, which comes last, is written."""

    @logger.inject_lambda_context
    @metrics.log_metrics
    def handler(event: Mapping[str, object], _context: LambdaContext) -> dict[str, object]:
        command = ScheduledJob.read(event, datetime.now(UTC))
        place, manifest = dump(command.scheduled_at)
        facts: dict[str, Any] = {"dump": place, "schema": manifest.schema_version, "rows": manifest.rows}
        logger.info("ledger_dumped", **facts, tables={table.name: table.rows for table in manifest.tables})
        metrics.add_metric(Metric.LEDGER_DUMPED, MetricUnit.Count, 1)
        return facts

    return handler


handler = make_handler(compose())
