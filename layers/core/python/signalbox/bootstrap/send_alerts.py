"""send_alerts, composed: Telegram, the queue of deliveries, the delivery log, the bus."""

from __future__ import annotations

from functools import partial

import boto3
from aws_lambda_powertools.utilities import parameters

from signalbox.adapters.aws.batches import visible_again
from signalbox.adapters.aws.bus import EventBridgeBus
from signalbox.adapters.aws.deliveries import DynamoChatMoves, DynamoDeliveryLog, SqsDeliveryQueue
from signalbox.application.send_alerts import SendAlerts
from signalbox.bootstrap.settings import SendAlertsSettings
from signalbox.bootstrap.telegram_chats import TelegramChats


def compose(settings: SendAlertsSettings | None = None) -> SendAlerts:
    """Return the function's application from its environment."""
    found = settings or SendAlertsSettings.read()
    table, queue = boto3.client("dynamodb"), boto3.client("sqs")
    secrets = parameters.SecretsProvider(boto3_client=boto3.client("secretsmanager"))
    return SendAlerts(
        log=DynamoDeliveryLog(table, found.idempotency_table),
        moves=DynamoChatMoves(table, found.idempotency_table),
        bus=EventBridgeBus(boto3.client("events"), found.event_bus_name),
        queue=SqsDeliveryQueue(queue, found.deliveries_queue_url),
        chats=TelegramChats(secrets, found.telegram_secret_arn, found.telegram_url),
        retry_in=partial(visible_again, queue),
    )
