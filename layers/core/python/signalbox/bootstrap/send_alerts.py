"""send_alerts, composed: Telegram, the queue of deliveries, the delivery log, the bus."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import boto3
from pydantic import BaseModel, ConfigDict, ValidationError

from signalbox.adapters.aws.batches import visible_again
from signalbox.adapters.aws.bus import EventBridgeBus
from signalbox.adapters.aws.clients import QUICK
from signalbox.adapters.aws.deliveries import DynamoChatMoves, DynamoDeliveryLog
from signalbox.adapters.aws.secret_texts import SecretTexts
from signalbox.adapters.aws.signing_keys import key_client
from signalbox.adapters.telegram.bot_api import DEFAULT_URL, TelegramMessenger
from signalbox.bootstrap.settings import SendAlertsSettings, SettingsError
from signalbox.chat.alerts import render_alert
from signalbox.chat.messenger import Delivery, DeliveryReport, Move, deliver, deliveries_of, undelivered
from signalbox.events import AlertUndeliverable, Event

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

DELIVERY: Final = "delivery"  # the key of a message in the queue of deliveries


class TelegramSecret(BaseModel):
    """The secret's JSON; the operator fills it in (README, step 3)."""

    model_config = ConfigDict(frozen=True, extra="ignore", coerce_numbers_to_str=True)
    bot_token: str
    chat_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FanOut:
    """What became of one event."""

    queued: int = 0
    undeliverable: AlertUndeliverable | None = None


def delivery_in(body: dict[str, Any]) -> Delivery:
    """Return the delivery in a message of their queue. Raises pydantic.ValidationError."""
    return Delivery.model_validate(body[DELIVERY])


@dataclass
class SendAlerts:
    """Makes an event one delivery a configured chat, and carries out one delivery at a time."""

    settings: SendAlertsSettings
    log: DynamoDeliveryLog
    moves: DynamoChatMoves
    bus: EventBridgeBus
    queue: SQSClient
    secrets: SecretTexts
    _messengers: dict[str, TelegramMessenger] = field(default_factory=dict)

    def fan_out(self, event: Event) -> FanOut:
        """Render the event and queue it for every chat; without a chat it is announced as undeliverable."""
        alert = render_alert(event)
        if alert is None:
            return FanOut()
        newest = {self.moves.newest(chat): chat for chat in reversed(self._secret().chat_ids)}  # old and new id: one chat
        deliveries = deliveries_of(alert, tuple(reversed(newest.values())))
        if not deliveries:
            lost = undelivered(alert, "chat_ids of the Telegram secret is empty")
            self.bus.announce((lost,))
            return FanOut(undeliverable=lost)
        for delivery in deliveries:
            self.queue.send_message(
                QueueUrl=self.settings.deliveries_queue_url,
                MessageBody=json.dumps({DELIVERY: delivery.model_dump()}),
                MessageGroupId=delivery.chat_id,
                MessageDeduplicationId=delivery.key,
            )
        return FanOut(queued=len(deliveries))

    def deliver(self, delivery: Delivery, on_move: Callable[[Move], None]) -> DeliveryReport:
        """Send it; what the messenger will never take is announced and not tried again. Raises MessengerError: again later."""
        messenger = self._messenger(self._secret().bot_token)
        report = deliver(delivery, messenger=messenger, log=self.log, moves=self.moves, on_move=on_move)
        if report.undeliverable is not None:
            self.bus.announce((report.undeliverable,))
        return report

    def report_move(self, move: Move) -> None:
        """Say in a chat that moved which id the secret needs. Raises MessengerError."""
        text = f"This chat has the id {move.new_id} now, it was {move.chat_id}. Put the new one into the Telegram secret."
        self._messenger(self._secret().bot_token).send(move.new_id, text)

    def retry_in(self, receipt_handle: str, queue_arn: str, seconds: int) -> None:
        """Make a message of the alerts queue visible again after `seconds`."""
        visible_again(self.queue, receipt_handle, queue_arn, seconds)

    def _secret(self) -> TelegramSecret:
        text = self.secrets.get(self.settings.telegram_secret_arn)
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
    table = boto3.client("dynamodb", config=QUICK)
    return SendAlerts(
        settings=found,
        log=DynamoDeliveryLog(table, found.idempotency_table),
        moves=DynamoChatMoves(table, found.idempotency_table),
        bus=EventBridgeBus(boto3.client("events", config=QUICK), found.event_bus_name),
        queue=boto3.client("sqs", config=QUICK),
        secrets=SecretTexts(key_client()),
    )
