"""The ledger as frames. It only reads: the server itself refuses anything else in these sessions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd

from local.api.candles import instant
from local.cli.accounts import ledger as reading
from local.cli.signals.command import signal_row
from local.settings import load_settings
from signalbox.adapters.postgres.connection import ConnectionSource
from signalbox.adapters.postgres.reading import LedgerReader
from signalbox.adapters.postgres.trading_reading import TradingReader

DEFAULT_PERIOD = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class LedgerReading:
    """Accounts and signals of a ledger. Amounts are exact Decimals, instants UTC; start and end as of `candles`.

    Rows lie in (start, end]; without start the last 30 days are meant. Raises AccountError for an account that is not there.
    """

    _source: ConnectionSource

    def accounts(self) -> pd.DataFrame:
        """Return the accounts: account, mode, venue, kind, capital, currency."""
        rows = [
            (one.account, one.mode.value, one.venue, one.kind.value, one.capital, one.currency)
            for one in TradingReader(self._source).accounts()
        ]
        return pd.DataFrame(rows, columns=["account", "mode", "venue", "kind", "capital", "currency"])

    def trades(self, account: str, *, start: datetime | str | None = None, end: datetime | str | None = None) -> pd.DataFrame:
        """Return the trades decided in the period: prices, state, and realised profit after fees."""
        return self._rows(reading.trades, account, start, end)

    def orders(self, account: str, *, start: datetime | str | None = None, end: datetime | str | None = None) -> pd.DataFrame:
        """Return the orders decided in the period, as they are now."""
        return self._rows(reading.orders, account, start, end)

    def equity(self, account: str, *, start: datetime | str | None = None, end: datetime | str | None = None) -> pd.DataFrame:
        """Return snapshots: at, cash, balance, equity, profit (without transfers), fees."""
        return self._rows(reading.equity, account, start, end)

    def history(self, account: str, *, start: datetime | str | None = None, end: datetime | str | None = None) -> pd.DataFrame:
        """Return the compliance record: at, what, code, symbol, limit, value, who, detail."""
        return self._rows(reading.history, account, start, end)

    def signals(self, *, start: datetime | str | None = None, end: datetime | str | None = None) -> pd.DataFrame:
        """Return signals: decided_at, known_at, late, symbol, direction, tier, probability_up, price, stage, market, ...

        known_at: when the bars were complete, if the venue published some of them late. late: a newer cycle was decided before.
        market: the fallback venue that it was decided on. Then deployment, issued, held_back.
        """
        rows = [signal_row(one) for one in LedgerReader(self._source).signals(*_period(start, end))]
        return pd.DataFrame(rows)

    def _rows(
        self,
        read: Callable[[ConnectionSource, str, datetime, datetime], list[dict[str, Any]]],
        account: str,
        start: datetime | str | None,
        end: datetime | str | None,
    ) -> pd.DataFrame:
        return pd.DataFrame(read(self._source, account, *_period(start, end)))


@contextmanager
def open_ledger(database: str | None = None) -> Iterator[LedgerReading]:
    """Return the ledger of the running local cloud (`signalbox up`), or of a libpq connection string without a password.

    Raises DataError if no database answers.
    """
    with reading.ledger(None, database, load_settings()) as source:
        yield LedgerReading(source)


def _period(start: datetime | str | None, end: datetime | str | None) -> tuple[datetime, datetime]:
    last = instant(end) or datetime.now(UTC)
    return instant(start) or last - DEFAULT_PERIOD, last
