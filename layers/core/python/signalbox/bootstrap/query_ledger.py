"""Composes query_ledger: the ledger, read in snapshots by a database user who may not write."""

from __future__ import annotations

from signalbox.adapters.postgres.access import PostgresAccessBook
from signalbox.adapters.postgres.trading_snapshot import PostgresHistory, PostgresTradingSnapshots
from signalbox.application.query_ledger import QueryLedger, ReadingAccess
from signalbox.bootstrap.ledger import connect_ledger
from signalbox.bootstrap.settings import QueryLedgerSettings
from signalbox.contracts import Function
from signalbox.trading.service import TradingService


def compose(settings: QueryLedgerSettings | None = None) -> QueryLedger:
    """Return the application, composed from the environment."""
    found = settings or QueryLedgerSettings.read()
    connection = connect_ledger(found, application=Function.QUERY_LEDGER.value)
    return QueryLedger(
        states=TradingService(PostgresTradingSnapshots(connection), market=found.venue),
        history=PostgresHistory(connection, found.venue),
        gate=ReadingAccess(PostgresAccessBook(connection)),
    )
