"""Composes execute_orders: the accounts' venues, the send log, the mailboxes of MetaTrader 5, the bus."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial

import boto3

from signalbox.adapters.aws.batches import visible_again
from signalbox.adapters.aws.bus import EventBridgeBus
from signalbox.adapters.aws.clients import QUICK
from signalbox.adapters.aws.mailboxes import Mailboxes
from signalbox.adapters.aws.secret_texts import SecretTexts, secrets_client
from signalbox.adapters.aws.sends import DynamoAnswers, DynamoSendLog
from signalbox.adapters.aws.signing_keys import StoredKeys, key_client
from signalbox.adapters.venues.mt5_mailbox import VENUE, EnvelopeError
from signalbox.application.execute_orders import ExecuteOrders
from signalbox.bootstrap.settings import ExecuteOrdersSettings
from signalbox.bootstrap.venue_accounts import SecretVenues
from signalbox.contracts import SealKey
from signalbox.events import BusEvent
from signalbox.signing import sealed

# The handler imports these names from here, because it may not import an adapter of a venue (docs/style.md R19)
__all__ = ["EnvelopeError", "ExecuteOrders", "compose"]


def _now() -> datetime:
    return datetime.now(UTC)


def compose(settings: ExecuteOrdersSettings | None = None) -> ExecuteOrders:
    """Return the application, composed from the environment."""
    found = settings or ExecuteOrdersSettings.read()
    table, queue, keys = boto3.client("dynamodb", config=QUICK), boto3.client("sqs", config=QUICK), key_client()
    secrets = SecretTexts(secrets_client())
    report_key = StoredKeys(keys, found.signing_keys_table, SealKey.REPORTS)

    def detail(event: BusEvent) -> str:
        return sealed(event.type.value, event.to_detail(), report_key.current())

    return ExecuteOrders(
        bus=EventBridgeBus(boto3.client("events", config=QUICK), found.event_bus_name, detail),
        request_keys=StoredKeys(keys, found.signing_keys_table, SealKey.REQUESTS),
        venues=SecretVenues(secrets, found.exchange_secret_arn, found.venue_url, _now),
        sends=DynamoSendLog(table, found.idempotency_table),
        answers=DynamoAnswers(table, found.idempotency_table),
        agent_venue=VENUE,
        retry_in=partial(visible_again, queue),
        clock=_now,
        mailboxes=Mailboxes(
            queue=queue,
            table=table,
            secrets=secrets,
            clock=_now,
            stage=found.stage,
            accounts=found.mt5_accounts,
            table_name=found.idempotency_table,
            checks_url=found.mt5_checks_queue_url,
            kill_switch_url=found.kill_switch_queue_url,
        ),
    )
