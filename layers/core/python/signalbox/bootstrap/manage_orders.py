"""Composes manage_orders: the trading ledger, its outbox, and the paper accounts that the stage configures."""

from __future__ import annotations

from datetime import UTC, datetime

from signalbox.adapters.aws.signing_keys import StoredKeys, key_client
from signalbox.adapters.postgres.access import PostgresAccessBook
from signalbox.adapters.postgres.outbox import PostgresOutbox
from signalbox.adapters.postgres.trading import PostgresTradingLedger
from signalbox.application.manage_orders import ManageOrders
from signalbox.bootstrap.ledger import connect_ledger, outgoing_events
from signalbox.bootstrap.settings import TradingSettings
from signalbox.contracts import Function, SealKey, emitted_by
from signalbox.orders.sealing import RequestSealer
from signalbox.trading.access import AccessControl
from signalbox.trading.service import TradingService


def _now() -> datetime:
    return datetime.now(UTC)


def compose(settings: TradingSettings | None = None, *, function: Function = Function.MANAGE_ORDERS) -> ManageOrders:
    """Return the application, composed from the environment."""
    found = settings or TradingSettings.read()
    connection = connect_ledger(found, application=function.value)
    client, table = key_client(), found.signing_keys_table
    sealer = RequestSealer(StoredKeys(client, table, SealKey.REQUESTS).current, _now)
    hears_venues = function is Function.MANAGE_ORDERS  # monitor_risk gets no reports
    return ManageOrders(
        service=TradingService(PostgresTradingLedger(connection, sealer=sealer), market=found.venue),
        outbox=PostgresOutbox(connection, emitted_by(function)),
        report_keys=StoredKeys(client, table, SealKey.REPORTS) if hears_venues else None,
        person_keys=StoredKeys(client, table, SealKey.PEOPLE) if hears_venues else None,
        bus=outgoing_events(found),
        accounts=found.accounts,
        gate=AccessControl(PostgresAccessBook(connection), found.owners),
        kill_switch_arn=found.kill_switch_queue_arn,
    )
