"""One PostgreSQL for the session, one fresh database a test, and the two worlds of the ledger's contract."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Protocol

import pytest

from signalbox.adapters.postgres.connection import ConnectionSource
from signalbox.adapters.postgres.ledger import PostgresLedger
from signalbox.adapters.postgres.outbox import PostgresOutbox
from signalbox.signals.ports import Ledger, Outbox
from tests.fakes.memory_ledger import MemoryDatabase, MemoryLedger, MemoryOutbox
from tests.fakes.postgres_server import PostgresServer, app_source, either_world, running_postgres


class World(Protocol):
    """One database; every call gives the ledger or outbox of another worker."""

    def ledger(self) -> Ledger: ...

    def outbox(self) -> Outbox: ...


class MemoryWorld:
    def __init__(self) -> None:
        self._database = MemoryDatabase()

    def ledger(self) -> Ledger:
        return MemoryLedger(self._database)

    def outbox(self) -> Outbox:
        return MemoryOutbox(self._database)


class PostgresWorld:
    def __init__(self, server: PostgresServer, database: str, stack: ExitStack) -> None:
        self._server, self._database, self._stack = server, database, stack

    def ledger(self) -> Ledger:
        return PostgresLedger(self._source())

    def outbox(self) -> Outbox:
        return PostgresOutbox(self._source())

    def _source(self) -> ConnectionSource:
        return self._stack.enter_context(app_source(self._server, self._database))


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    with running_postgres() as server:
        yield server


@pytest.fixture
def database(postgres: PostgresServer) -> Iterator[str]:
    """A migrated database of its own."""
    name = postgres.create_database()
    yield name
    postgres.drop_database(name)


@pytest.fixture
def empty_database(postgres: PostgresServer) -> Iterator[str]:
    """A database that was never migrated."""
    name = postgres.create_database(template="template0")
    yield name
    postgres.drop_database(name)


@pytest.fixture
def source(postgres: PostgresServer, database: str) -> Iterator[ConnectionSource]:
    with app_source(postgres, database) as found:
        yield found


world = either_world(MemoryWorld, PostgresWorld)


@pytest.fixture
def ledger(world: World) -> Ledger:
    """The ledger of one worker."""
    return world.ledger()
