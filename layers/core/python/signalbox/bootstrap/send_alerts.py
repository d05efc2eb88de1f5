"""send_alerts, composed: Telegram, the delivery log, the bus."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import boto3
from aws_lambda_powertools.utilities import parameters
from pydantic import BaseModel, ConfigDict, ValidationError

from signalbox.adapters.aws.batches import visible_again
from signalbox.adapters.aws.bus import EventBridgeBus
from signalbox.adapters.aws.deliveries import DynamoDeliveryLog
from signalbox.adapters.telegram.bot_api import DEFAULT_URL, TelegramMessenger
from signalbox.bootstrap.settings import SendAlertsSettings, SettingsError
from signalbox.chat.alerts import render_alert
from signalbox.chat.messenger import DeliveryReport, deliver_alert
from signalbox.events import Event

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

SECRET_SECONDS = 300  # how long a secret is kept; a rotated one is used within this time


class TelegramSecret(BaseModel):
    """The secret's JSON; the operator fills it in (README, step 3)."""

    model_config = ConfigDict(frozen=True, extra="ignore", coerce_numbers_to_str=True)
    bot_token: str
    chat_ids: tuple[str, ...]


@dataclass
class SendAlerts:
    """Delivers one event at a time to every configured chat."""

    settings: SendAlertsSettings
    log: DynamoDeliveryLog
    bus: EventBridgeBus
    queue: SQSClient
    secrets: parameters.SecretsProvider
    _messengers: dict[str, TelegramMessenger] = field(default_factory=dict)

    def deliver(self, event: Event) -> DeliveryReport:
        """Render and send; what the messenger will never take is announced and not tried again."""
        alert = render_alert(event)
        if alert is None:
            return DeliveryReport(0, 0, ())
        secret = self._secret()
        report = deliver_alert(alert, secret.chat_ids, messenger=self._messenger(secret.bot_token), log=self.log)
        if report.undeliverable:
            self.bus.announce(report.undeliverable)
        return report

    def retry_in(self, receipt_handle: str, queue_arn: str, seconds: int) -> None:
        """Make a message of the alerts queue visible again after `seconds`."""
        visible_again(self.queue, receipt_handle, queue_arn, seconds)

    def _secret(self) -> TelegramSecret:
        text = self.secrets.get(self.settings.telegram_secret_arn, max_age=SECRET_SECONDS)
        try:
            return TelegramSecret.model_validate_json(str(text))
        except ValidationError:
            # the validation message would quote the secret
            raise SettingsError(
                f'{self.settings.telegram_secret_arn}: expected JSON {{"bot_token": "...", "chat_ids": ["..."]}}'
            ) from None

    def _messenger(self, token: str) -> TelegramMessenger:
        if token not in self._messengers:
            self._messengers = {token: TelegramMessenger(token, url=self.settings.telegram_url or DEFAULT_URL)}
        return self._messengers[token]


def compose(settings: SendAlertsSettings | None = None) -> SendAlerts:
    """Return the function's application from its environment."""
    found = settings or SendAlertsSettings.read()
    return SendAlerts(
        settings=found,
        log=DynamoDeliveryLog(boto3.client("dynamodb"), found.idempotency_table),
        bus=EventBridgeBus(boto3.client("events"), found.event_bus_name),
        queue=boto3.client("sqs"),
        secrets=parameters.SecretsProvider(boto3_client=boto3.client("secretsmanager")),
    )
