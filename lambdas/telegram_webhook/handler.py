"""telegram_webhook (edge): takes Telegram's updates over HTTP and queues those of listed people.

Strangers get no answer from the bot.
"""

from __future__ import annotations

import binascii
from base64 import b64decode
from collections.abc import Callable, Mapping
from typing import Any, Final

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from signalbox.application.telegram_webhook import Entry, TelegramWebhook
from signalbox.bootstrap.telegram_webhook import compose
from signalbox.contracts import Metric

SECRET_HEADER: Final = "x-telegram-bot-api-secret-token"  # noqa: S105 - the name of a header

logger = Logger()
metrics = Metrics()
_COUNTED: Final = {
    Entry.ACCEPTED: Metric.UPDATES_ACCEPTED,
    Entry.FORGED: Metric.WEBHOOK_REFUSED,
    Entry.UNREADABLE: Metric.WEBHOOK_REFUSED,
    Entry.STRANGER: Metric.STRANGERS_IGNORED,
}


def make_handler(app: TelegramWebhook) -> Callable[[Mapping[str, Any], LambdaContext], dict[str, int]]:
    """Return the Lambda handler for a composition. A call without the secret gets 403, every other one 200."""

    @logger.inject_lambda_context
    @metrics.log_metrics
    def handler(event: Mapping[str, Any], _context: LambdaContext) -> dict[str, int]:
        found = app.receive(event.get("headers", {}).get(SECRET_HEADER), _body(event))
        if found.entry is not Entry.ACCEPTED:
            why = found.entry.value
            logger.warning(
                "update_ignored", why=why, user=found.user, chat=found.chat, update=found.update_id, reason=found.reason
            )
        if (metric := _COUNTED.get(found.entry)) is not None:
            metrics.add_metric(metric, MetricUnit.Count, 1)
        return {"statusCode": 403 if found.entry is Entry.FORGED else 200}

    return handler


def _body(event: Mapping[str, Any]) -> bytes:
    text = str(event.get("body") or "")
    if not event.get("isBase64Encoded"):
        return text.encode(errors="replace")
    try:
        return b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""


handler = make_handler(compose())
