"""forward_events (edge): brings the events of ledger functions from the stream of their table to the bus."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from signalbox.adapters.aws.outgoing_events import event_in_record
from signalbox.application.forward_events import ForwardEvents
from signalbox.bootstrap.forward_events import compose

logger = Logger()


def make_handler(app: ForwardEvents) -> Callable[[dict[str, Any], LambdaContext], None]:
    """Return the Lambda handler for a composition. After an error Lambda delivers the whole batch again."""

    @logger.inject_lambda_context
    def handler(event: dict[str, Any], _context: LambdaContext) -> None:
        found = [one for one in map(event_in_record, event["Records"]) if one is not None]
        done = app.forward(found)
        for one in done.events:
            logger.info("event_forwarded", event_type=one.event_type, event_id=one.event_id)
        for refusal in done.refusals:
            logger.error("events_not_forwarded", reason=refusal)  # they stay on the table, and their age alarms

    return handler


handler = make_handler(compose())
