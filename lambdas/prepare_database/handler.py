"""prepare_database (edge): CloudFormation's custom resource for the schema.

A ledger function can read no secret but the signing keys. This one generates those keys where there are none, reads the master
secret, passes it to migrate_database, and answers CloudFormation.
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
    """Return the Lambda handler for a preparation and a way to answer CloudFormation."""

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
            if event["RequestType"] != "Delete":  # deleting the stack must not drop the schema; it goes only with the database
                reply["Data"] = {"Applied": str(len(prepare()))}
        except Exception as error:
            # report every failure, because without an answer CloudFormation waits for an hour
            logger.exception("database_not_prepared")
            reply |= {"Status": "FAILED", "Reason": f"{type(error).__name__}, see {context.log_stream_name}"}
        answer(event["ResponseURL"], reply)

    return handler


handler = make_handler(compose(), respond)
