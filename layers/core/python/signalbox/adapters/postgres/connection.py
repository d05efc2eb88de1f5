"""One warm connection per worker, and transactions on it.

A connection that died while idle is replaced once, before any statement of the transaction is sent, and the caller does not
notice. If it dies later, the transaction fails with LedgerUnavailableError, nothing is written, and the next one reconnects.
COMMIT is never sent twice: if its answer is lost the outcome is unknown, and natural keys make a redelivery harmless.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, LiteralString, Self, TypeAlias

import psycopg
from psycopg.pq import TransactionStatus

from signalbox.adapters.postgres.errors import connection_was_lost, translated
from signalbox.adapters.postgres.exchange import Exchange, Rows, Statement
from signalbox.ledger_errors import LedgerError, LedgerUnavailableError

__all__ = ["ConnectionSource", "DatabaseSettings", "LedgerError", "LedgerUnavailableError", "connect"]

Connection: TypeAlias = psycopg.Connection[tuple[Any, ...]]
READ_WRITE: Final = "BEGIN ISOLATION LEVEL READ COMMITTED"
_BEGIN: Final[Statement] = (READ_WRITE.encode(), ())
_COMMIT: Final[Statement] = (b"COMMIT", ())
_ROLLBACK: Final[Statement] = (b"ROLLBACK", ())
SNAPSHOT: Final = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"


# A role may change the defaults of its own later sessions (ALTER ROLE ... SET), so a login states what it relies on.
_SESSION: Final = " ".join(
    f"-c {setting}"
    for setting in (
        "timezone=UTC",
        "datestyle=ISO",
        "intervalstyle=postgres",
        "extra_float_digits=1",
        "bytea_output=hex",
        "standard_conforming_strings=on",
        "client_encoding=UTF8",
        "search_path=public",
        "row_security=on",
        "synchronous_commit=on",
        "default_transaction_read_only=off",
        "default_transaction_isolation=read\\ committed",
        "idle_session_timeout=0",
    )
)


@dataclass(frozen=True, slots=True)
class DatabaseSettings:
    """The address of the ledger, and the timeouts. `host` may be the folder of a Unix socket (it starts with "/")."""

    host: str
    port: int
    name: str
    user: str
    sslmode: str
    sslrootcert: str | None = None
    application_name: str = "signalbox"
    connect_timeout_s: int = 5
    statement_timeout_ms: int = 10_000
    lock_timeout_ms: int = 5_000
    idle_in_transaction_timeout_ms: int = 60_000  # a frozen worker must not hold its locks


def connect(settings: DatabaseSettings, password: str) -> Connection:
    """Open a connection in autocommit mode. Raises LedgerUnavailableError if the server is down or refuses the login."""
    options = (
        f"{_SESSION} -c statement_timeout={settings.statement_timeout_ms} -c lock_timeout={settings.lock_timeout_ms}"
        f" -c idle_in_transaction_session_timeout={settings.idle_in_transaction_timeout_ms}"
    )
    try:
        return psycopg.connect(
            autocommit=True,
            host=settings.host,
            port=settings.port,
            dbname=settings.name,
            user=settings.user,
            password=password,
            sslmode=settings.sslmode,
            sslrootcert=settings.sslrootcert,
            application_name=settings.application_name,
            connect_timeout=settings.connect_timeout_s,
            options=options,
            keepalives_idle=20,  # s
            keepalives_interval=5,  # s
            keepalives_count=3,
            tcp_user_timeout=10_000,  # ms; notices within seconds that the server vanished in a failover
        )
    except psycopg.OperationalError as error:
        raise LedgerUnavailableError(
            f"cannot connect to {settings.name} at {settings.host} as {settings.user}: {str(error).strip()}"
        ) from error


class ConnectionSource:
    """Transactions on one connection, which is opened on first use.

    `password` is called at every login, because an IAM token lives 15 minutes. Threads take turns. A transaction inside another
    one on the same source is a bug and raises LedgerError.
    """

    def __init__(self, settings: DatabaseSettings, password: Callable[[], str]) -> None:
        self._settings, self._password = settings, password
        self._connection: Connection | None = None
        self._exchange: Exchange | None = None  # of the open connection
        self._turn = threading.Lock()
        self._owner: int | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; the next transaction opens a new one."""
        connection, self._connection, self._exchange = self._connection, None, None
        if connection is not None:
            with suppress(psycopg.Error):
                connection.close()

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Open a transaction: commit when the block ends, roll back when it raises. Driver errors become LedgerErrors."""
        with self._unit(READ_WRITE) as connection:
            yield connection

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """Open a read-only transaction whose statements all see the same snapshot."""
        with self._unit(SNAPSHOT) as connection:
            yield connection

    @contextmanager
    def unit(self) -> Iterator[Unit]:
        """Like `transaction`, but BEGIN travels with the first statements, and COMMIT may travel with the last ones."""
        with self._my_turn():
            unit = Unit(self)
            try:
                yield unit
                if unit.is_open:
                    _refuse_failed(unit.connection)
            except psycopg.Error as error:
                if connection_was_lost(error):
                    self.close()
                elif unit.is_open:
                    self._undo(unit.connection)
                raise translated(error) from error
            except BaseException:
                if unit.is_open:
                    self._undo(unit.connection)
                raise
            if unit.is_open:
                self._commit(unit.connection)

    @contextmanager
    def _unit(self, begin: LiteralString) -> Iterator[Connection]:
        with self._my_turn():
            connection = self._begun(begin)
            try:
                yield connection
                _refuse_failed(connection)
            except psycopg.Error as error:
                if connection_was_lost(error):
                    self.close()
                else:
                    self._undo(connection)
                raise translated(error) from error
            except BaseException:
                self._undo(connection)
                raise
            self._commit(connection)

    @contextmanager
    def _my_turn(self) -> Iterator[None]:
        me = threading.get_ident()
        if self._owner == me:
            raise LedgerError("a transaction is already open on this connection in this thread; end it first")
        with self._turn:
            self._owner = me
            try:
                yield
            finally:
                self._owner = None

    def _begun(self, begin: LiteralString) -> Connection:
        """Return a live connection inside a new transaction. BEGIN is the liveness check, because it can be sent again."""
        if self._connection is not None and not self._connection.closed:
            try:
                self._connection.execute(begin)
            except psycopg.Error as error:
                self.close()
                if not connection_was_lost(error):
                    raise translated(error) from error
            else:
                return self._connection
        connection = self._connected()
        try:
            connection.execute(begin)
        except psycopg.Error as error:
            self.close()
            raise translated(error) from error
        return connection

    def begun_with(self, reading: Sequence[Statement]) -> tuple[Connection, list[Rows]]:
        """Begin a transaction with statements that only read and lock, so they can repeat on a new connection."""
        statements = (_BEGIN, *reading)
        if self._connection is not None and not self._connection.closed:
            try:
                return self._connection, self.exchange(self._connection).run(statements)[1:]
            except psycopg.Error as error:
                if not connection_was_lost(error):
                    self._undo(self._connection)
                    raise
        connection = self._connected()
        try:
            return connection, self.exchange(connection).run(statements)[1:]
        except psycopg.Error:
            self._undo(connection)
            raise

    def exchange(self, connection: Connection) -> Exchange:
        """Return the exchange of the connection, which knows the statements prepared on it."""
        if self._exchange is None:
            self._exchange = Exchange(connection)
        return self._exchange

    def _connected(self) -> Connection:
        self.close()
        try:
            self._connection = connect(self._settings, self._password())
        except LedgerUnavailableError:  # a server restart drops logins in progress; nothing was sent yet
            self._connection = connect(self._settings, self._password())
        return self._connection

    def _undo(self, connection: Connection) -> None:
        try:  # the driver's rollback would forget the prepared statements
            self.exchange(connection).run([_ROLLBACK])
        except psycopg.Error:
            self.close()  # without a COMMIT the server rolls back
        if connection.closed or connection.info.transaction_status is not TransactionStatus.IDLE:
            self.close()

    def _commit(self, connection: Connection) -> None:
        try:
            connection.commit()
        except psycopg.Error as error:
            self.close()
            if connection_was_lost(error):
                raise LedgerUnavailableError(f"the answer to COMMIT was lost, so its outcome is unknown: {error}") from error
            raise translated(error) from error


class Unit:
    """One transaction, which begins with the first statement that is sent and rolls back as a whole."""

    def __init__(self, source: ConnectionSource) -> None:
        self._source = source
        self._connection: Connection | None = None
        self._is_committed = False

    @property
    def is_begun(self) -> bool:
        """Whether anything was sent."""
        return self._connection is not None

    @property
    def is_open(self) -> bool:
        """Whether the transaction has begun and is not committed."""
        return self._connection is not None and not self._is_committed

    @property
    def connection(self) -> Connection:
        """The connection inside the open transaction, for statements of the driver."""
        if self._connection is None:
            self._connection, _ = self._source.begun_with(())
        return self._connection

    def begin(self, reading: Sequence[Statement]) -> list[Rows]:
        """Begin with statements that read and lock, and return their rows."""
        if self._connection is not None:
            return self.send(reading)
        self._connection, found = self._source.begun_with(reading)
        return found

    def send(self, statements: Sequence[Statement]) -> list[Rows]:
        """Run statements and return the rows of each. Raises psycopg.Error."""
        connection = self.connection
        return self._source.exchange(connection).run(statements)

    def commit_with(self, statements: Sequence[Statement]) -> list[Rows]:
        """Run the last statements and commit. Raises psycopg.Error if one of them failed; then nothing is committed.

        Raises LedgerUnavailableError if the connection was lost, which leaves the outcome unknown.
        """
        connection = self.connection
        _refuse_failed(connection)
        try:
            found = self._source.exchange(connection).run((*statements, _COMMIT))
        except psycopg.Error as error:
            if connection_was_lost(error):
                self._source.close()
                self._connection = None
                raise LedgerUnavailableError(f"the answer to COMMIT was lost, so its outcome is unknown: {error}") from error
            raise
        self._is_committed = True
        return found[:-1]


def _refuse_failed(connection: Connection) -> None:
    # PostgreSQL answers COMMIT of a failed transaction with a silent ROLLBACK, and the caller would believe the writes were kept.
    if connection.info.transaction_status is not TransactionStatus.INTRANS:
        status = connection.info.transaction_status.name
        raise LedgerError(f"a statement of the transaction failed (status {status}), so it cannot be committed")
