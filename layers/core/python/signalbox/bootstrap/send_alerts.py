"""Composes send_alerts: Telegram, the queue of deliveries, the delivery log, charts, the e-mail topic, the bus."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial

import boto3

from signalbox.adapters.aws.batches import visible_again
from signalbox.adapters.aws.bus import EventBridgeBus
from signalbox.adapters.aws.clients import QUICK
from signalbox.adapters.aws.deliveries import DynamoChatMoves, DynamoDeliveryLog, SnsMailer, SqsDeliveryQueue
from signalbox.adapters.aws.secret_texts import SecretTexts, secrets_client
from signalbox.adapters.charts.painter import MatplotlibPainter
from signalbox.application.send_alerts import SendAlerts
from signalbox.bootstrap.settings import SendAlertsSettings
from signalbox.bootstrap.telegram_chats import TelegramChats


def compose(settings: SendAlertsSettings | None = None) -> SendAlerts:
    """Return the application, composed from the environment."""
    found = settings or SendAlertsSettings.read()
    table, queue = boto3.client("dynamodb", config=QUICK), boto3.client("sqs", config=QUICK)
    secrets = SecretTexts(secrets_client())
    return SendAlerts(
        log=DynamoDeliveryLog(table, found.idempotency_table),
        moves=DynamoChatMoves(table, found.idempotency_table),
        bus=EventBridgeBus(boto3.client("events", config=QUICK), found.event_bus_name),
        queue=SqsDeliveryQueue(queue, found.deliveries_queue_url),
        chats=TelegramChats(secrets, found.telegram_secret_arn, found.telegram_url),
        painter=MatplotlibPainter(),
        mailer=SnsMailer(boto3.client("sns", config=QUICK), found.alarm_topic_arn),
        retry_in=partial(visible_again, queue),
        clock=lambda: datetime.now(UTC),
    )
