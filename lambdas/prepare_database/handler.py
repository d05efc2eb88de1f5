"""prepare_database (edge): CloudFormation's custom resource for the schema.

A ledger function reaches no secret but the signing keys, so this one reads the master secret, hands it to migrate_database, and
answers CloudFormation. It stores nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from signalbox.bootstrap.prepare_database import compose, respond

logger = Logger()


def make_handler(
    prepare: Callable[[], list[str]], answer: Callable[[str, dict[str, Any]], None]
) -> Callable[[dict[str, Any], LambdaContext], None]:
    """Return the Lambda entry over any preparation and any way to answer."""

    @logger.inject_lambda_context(log_event=False)
    def handler(event: dict[str, Any], context: LambdaContext) -> None:
        reply: dict[str, Any] = {
            "Status": "SUCCESS",
            "PhysicalResourceId": event.get("PhysicalResourceId", "signalbox-database-schema"),
            "StackId": event["StackId"],
            "RequestId": event["RequestId"],
            "LogicalResourceId": event["LogicalResourceId"],
        }
        try:
            if event["RequestType"] != "Delete":  # the schema goes with the database, never by a stack's wish
                reply["Data"] = {"Applied": str(len(prepare()))}
        except Exception as error:
            # CloudFormation waits an hour for an answer that never comes: report every failure
            logger.exception("database_not_prepared")
            reply |= {"Status": "FAILED", "Reason": f"{type(error).__name__}, see {context.log_stream_name}"}
        answer(event["ResponseURL"], reply)

    return handler


handler = make_handler(compose(), respond)
