"""Composes telegram_webhook: its secret, the people, and the queue of updates."""

from __future__ import annotations

import boto3

from signalbox.adapters.aws.chat_table import DynamoPeople, RememberedPeople
from signalbox.adapters.aws.clients import QUICK
from signalbox.adapters.aws.secret_texts import SecretTexts, secrets_client
from signalbox.adapters.aws.update_queue import SqsUpdateQueue
from signalbox.application.telegram_webhook import TelegramWebhook
from signalbox.bootstrap.settings import TelegramWebhookSettings


def compose(settings: TelegramWebhookSettings | None = None) -> TelegramWebhook:
    """Return the application, composed from the environment."""
    found = settings or TelegramWebhookSettings.read()
    secrets = SecretTexts(secrets_client())
    people = DynamoPeople(boto3.client("dynamodb", config=QUICK), found.chat_table)
    return TelegramWebhook(
        secret=lambda: secrets.get(found.webhook_secret_arn),
        people=RememberedPeople(people),
        queue=SqsUpdateQueue(boto3.client("sqs", config=QUICK), found.updates_queue_url),
    )
