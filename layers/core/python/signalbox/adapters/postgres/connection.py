"""One warm connection per worker, and units of work on it.

A connection that died while it was idle is replaced before anything of the unit of work was sent, once and unseen. One that
dies later takes its unit of work with it: LedgerUnavailableError, nothing written, and the next unit reconnects. A COMMIT is
never sent twice: when its answer is lost the outcome is unknown, and delivering again is harmless by the natural keys.
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


@dataclass(frozen=True, slots=True)
class DatabaseSettings:
    """Where the ledger is and how long we wait for it. `host` may be the folder of a socket (it starts with "/")."""

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
    """Open a connection in autocommit mode. Raises LedgerUnavailableError when there is no server or it refuses the login."""
    options = (
        f"-c timezone=UTC -c statement_timeout={settings.statement_timeout_ms} -c lock_timeout={settings.lock_timeout_ms}"
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
            tcp_user_timeout=10_000,  # ms: a peer that vanished in a failover is noticed in seconds
        )
    except psycopg.OperationalError as error:
        raise LedgerUnavailableError(f"{settings.user}@{settings.host}/{settings.name}: {str(error).strip()}") from error


class ConnectionSource:
    """Units of work on one lazily opened connection.

    `password` is called at every login (an IAM token lives 15 minutes). Threads take turns; a unit of work inside another
    one on the same source is a bug and raises LedgerError.
    """

    def __init__(self, settings: DatabaseSettings, password: Callable[[], str]) -> None:
        self._settings, self._password = settings, password
        self._connection: Connection | None = None
        self._exchange: Exchange | None = None  # of the connection
        self._turn = threading.Lock()
        self._owner: int | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; the next unit of work opens another."""
        connection, self._connection, self._exchange = self._connection, None, None
        if connection is not None:
            with suppress(psycopg.Error):
                connection.close()

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Commit when the block ends, roll back when it raises; errors of the driver leave it as LedgerError."""
        with self._unit(READ_WRITE) as connection:
            yield connection

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """Read only, every statement at the same instant of the database."""
        with self._unit(SNAPSHOT) as connection:
            yield connection

    @contextmanager
    def unit(self) -> Iterator[Unit]:
        """As `transaction`, but BEGIN travels with the first statements that are sent, and COMMIT may with the last."""
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
            raise LedgerError("expected no open unit of work on this connection, was inside one")
        with self._turn:
            self._owner = me
            try:
                yield
            finally:
                self._owner = None

    def _begun(self, begin: LiteralString) -> Connection:
        """Return a live connection inside a new transaction. BEGIN is the liveness check: it carries nothing of the unit."""
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
        """Begin a transaction and run its first statements. They only read and lock: a connection that died is replaced."""
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
        """Return the exchange of the connection, which knows what was prepared on it."""
        if self._exchange is None:
            self._exchange = Exchange(connection)
        return self._exchange

    def _connected(self) -> Connection:
        self.close()
        try:
            self._connection = connect(self._settings, self._password())
        except LedgerUnavailableError:  # a restart drops logins that are under way; nothing was sent yet
            self._connection = connect(self._settings, self._password())
        return self._connection

    def _undo(self, connection: Connection) -> None:
        try:  # not the driver's own, which forgets what was prepared, and ours with it
            self.exchange(connection).run([_ROLLBACK])
        except psycopg.Error:
            self.close()  # the server undoes what it never got a COMMIT for
        if connection.closed or connection.info.transaction_status is not TransactionStatus.IDLE:
            self.close()

    def _commit(self, connection: Connection) -> None:
        try:
            connection.commit()
        except psycopg.Error as error:
            self.close()
            if connection_was_lost(error):
                raise LedgerUnavailableError(f"the answer to COMMIT was lost, its outcome is unknown: {error}") from error
            raise translated(error) from error


class Unit:
    """One transaction, begun by whatever is sent first. What is sent in it is undone with it."""

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
        """Whether it is begun and not committed."""
        return self._connection is not None and not self._is_committed

    @property
    def connection(self) -> Connection:
        """The open transaction itself, for statements of the driver."""
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
        """Run the last statements and commit. Raises psycopg.Error when one of them failed: then nothing is committed.

        LedgerUnavailableError: the connection was lost and the outcome is unknown.
        """
        connection = self.connection
        _refuse_failed(connection)
        try:
            found = self._source.exchange(connection).run((*statements, _COMMIT))
        except psycopg.Error as error:
            if connection_was_lost(error):
                self._source.close()
                self._connection = None
                raise LedgerUnavailableError(f"the answer to COMMIT was lost, its outcome is unknown: {error}") from error
            raise
        self._is_committed = True
        return found[:-1]


def _refuse_failed(connection: Connection) -> None:
    # PostgreSQL answers COMMIT of a failed transaction with a silent ROLLBACK: the block would believe in its writes.
    if connection.info.transaction_status is not TransactionStatus.INTRANS:
        status = connection.info.transaction_status.name
        raise LedgerError(f"expected a transaction without failed statements at its end, was {status}")
