"""The read side of `trading.ports.TradingLedger` for a role that may only SELECT: a snapshot instead of a lock.

`transaction` opens a read-only snapshot. It sees what was committed when it began, as any query does, and holds up nobody. Saving
in it fails: PostgreSQL refuses a write in a read-only transaction, and the role has no right to one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final, cast

from typing_extensions import override

from signalbox.adapters.postgres.connection import Connection, ConnectionSource, Unit
from signalbox.adapters.postgres.reading import LedgerReader
from signalbox.adapters.postgres.trading import PostgresTradingTransaction
from signalbox.adapters.postgres.trading_load import ACCOUNT_ROW, readable
from signalbox.adapters.postgres.trading_reading import TradingReader
from signalbox.adapters.postgres.trading_rows import orders_of_events
from signalbox.ledger_errors import LedgerRefusedError
from signalbox.market.candles import Symbol, from_ms
from signalbox.orders.identity import ClientOrderId
from signalbox.orders.order import Order
from signalbox.portfolio.account import EquitySnapshot
from signalbox.signals.signal import Signal
from signalbox.trading.account import TradingAccount
from signalbox.trading.errors import no_account
from signalbox.trading.questions import BarRow
from signalbox.trading.state import Trade

_ORDER: Final = "SELECT payload FROM order_events WHERE client_order_id = %s AND account = %s ORDER BY sequence"


class PostgresTradingSnapshots:
    """Accounts as they are now. Raises LedgerError as described in `errors.py`."""

    def __init__(self, source: ConnectionSource) -> None:
        self._source = source

    def accounts(self) -> Sequence[TradingAccount]:
        """Return every account that can be read, sorted by name."""
        return self.configured()[0]

    def configured(self) -> tuple[Sequence[TradingAccount], Mapping[str, str]]:
        """Return every account that can be read, and by name the fault of each one that cannot."""
        with self._source.snapshot() as connection:
            rows = connection.execute('SELECT account, configuration FROM accounts ORDER BY account COLLATE "C"').fetchall()
        return readable(rows)

    def open_account(self, account: TradingAccount, at: datetime, who: str) -> bool:  # noqa: ARG002 - of the port
        """Refuse: this role only reads."""
        raise LedgerRefusedError(f"{account.account}: a read-only snapshot of the ledger cannot open an account")

    @contextmanager
    def transaction(self, account: str) -> Iterator[PostgresTradingTransaction]:
        """Open a snapshot of an account. Raises AccountError if it is missing."""
        with self._source.snapshot() as connection:
            yield _SnapshotTransaction(cast("Unit", _BegunUnit(connection)), account)


class _BegunUnit:
    """What a transaction uses of a unit, when it has begun."""

    is_begun = True

    def __init__(self, connection: Connection) -> None:
        self.connection = connection


class _SnapshotTransaction(PostgresTradingTransaction):
    @override
    def _lock(self) -> tuple[Any, ...]:
        self._row = self._unit.connection.execute(ACCOUNT_ROW, (self._account,), prepare=True).fetchone()
        if self._row is None:
            raise no_account(self._account)
        return self._row


class PostgresHistory:
    """`application.query_ledger.LedgerHistory` on a connection source. market: the venue whose candles are read."""

    def __init__(self, source: ConnectionSource, market: str) -> None:
        self._source, self._market = source, market
        self._accounts, self._decided = TradingReader(source), LedgerReader(source)

    def order(self, account: str, client_order_id: str) -> Order | None:
        with self._source.snapshot() as connection:
            rows = connection.execute(_ORDER, (client_order_id, account)).fetchall()
        return orders_of_events(payload for (payload,) in rows).get(ClientOrderId(client_order_id))

    def trades(self, account: str, start: datetime, end: datetime) -> Sequence[Trade]:
        return self._accounts.trades(account, start, end)

    def equity(self, account: str, start: datetime, end: datetime) -> Sequence[EquitySnapshot]:
        return self._accounts.equity(account, start, end)

    def signals(self, start: datetime, end: datetime) -> Sequence[Signal]:
        return self._decided.signals(start, end)

    def bars(self, symbol: str, start: datetime, end: datetime) -> Sequence[BarRow]:
        found = self._decided.bars(self._market, Symbol(symbol), start, end)
        columns = found.open_time_ms, found.open, found.high, found.low, found.close, found.volume
        return [
            BarRow(open_time=from_ms(ms), open=o, high=h, low=low, close=c, volume=v)
            for ms, o, h, low, c, v in zip(*(column.tolist() for column in columns), strict=True)
        ]
