"""One PostgreSQL for the session, one fresh database a test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from signalbox.adapters.postgres.connection import ConnectionSource
from tests.fakes.postgres_server import PostgresServer, app_source, running_postgres


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    with running_postgres() as server:
        yield server


@pytest.fixture
def database(postgres: PostgresServer) -> Iterator[str]:
    name = postgres.create_database()
    yield name
    postgres.drop_database(name)


@pytest.fixture
def source(postgres: PostgresServer, database: str) -> Iterator[ConnectionSource]:
    with app_source(postgres, database) as found:
        yield found
