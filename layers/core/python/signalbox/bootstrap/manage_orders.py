"""Composes manage_orders: the trading ledger, its outbox, the bus, and the paper accounts that the stage configures."""

from __future__ import annotations

from datetime import UTC, datetime

import boto3

from signalbox.adapters.aws.bus import EventBridgeBus
from signalbox.adapters.aws.clients import QUICK
from signalbox.adapters.aws.signing_keys import SecretKeys, key_client
from signalbox.adapters.postgres.access import PostgresAccessBook
from signalbox.adapters.postgres.outbox import PostgresOutbox
from signalbox.adapters.postgres.trading import PostgresTradingLedger
from signalbox.application.manage_orders import ManageOrders
from signalbox.bootstrap.ledger import connect_ledger
from signalbox.bootstrap.settings import TradingSettings
from signalbox.contracts import Function, emitted_by
from signalbox.orders.sealing import RequestSealer
from signalbox.trading.access import AccessControl
from signalbox.trading.service import TradingService


def _now() -> datetime:
    return datetime.now(UTC)


def compose(settings: TradingSettings | None = None, *, function: Function = Function.MANAGE_ORDERS) -> ManageOrders:
    """Return the application, composed from the environment."""
    found = settings or TradingSettings.read()
    connection = connect_ledger(found, application=function.value)
    secrets = key_client()
    sealer = RequestSealer(SecretKeys(secrets, found.request_key_arn).current, _now)
    return ManageOrders(
        service=TradingService(PostgresTradingLedger(connection, sealer=sealer), market=found.venue),
        outbox=PostgresOutbox(connection, emitted_by(function)),
        report_keys=SecretKeys(secrets, found.report_key_arn) if found.report_key_arn else None,
        person_keys=SecretKeys(secrets, found.chat_key_arn) if found.chat_key_arn else None,
        bus=EventBridgeBus(boto3.client("events", config=QUICK), found.event_bus_name),
        accounts=found.accounts,
        gate=AccessControl(PostgresAccessBook(connection), found.owners),
        kill_switch_arn=found.kill_switch_queue_arn,
    )
