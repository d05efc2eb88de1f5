"""restore_database (ledger): restores a dump as the schema's owner.

Only `signalbox restore` invokes it, repeatedly until the restore is done.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, Final

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from signalbox.bootstrap.restore_database import Restore, RestoreDatabase, compose

logger = Logger()
RESERVE_MS: Final = 180_000  # kept for the last part, the comparison of accounts and the answer


def make_handler(restore: Restore) -> Callable[[Mapping[str, Any], LambdaContext], dict[str, Any]]:
    """Return the Lambda handler for a restore. Before its time is up it returns its progress, and the caller invokes it again."""

    @logger.inject_lambda_context(log_event=False)
    def handler(event: Mapping[str, Any], context: LambdaContext) -> dict[str, Any]:
        command = RestoreDatabase.model_validate(event)
        found = restore(command, datetime.now(UTC), lambda: context.get_remaining_time_in_millis() > RESERVE_MS)
        answer = asdict(found)
        logger.info("restore_progressed", dump=command.dump, **answer)
        return answer

    return handler


handler = make_handler(compose())
