"""Who may do what, on PostgreSQL as manage_orders: the promises of the book in memory, workers at once, refusals without end."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from signalbox.access import Role
from signalbox.adapters.postgres.access import PostgresAccessBook
from signalbox.adapters.postgres.connection import ConnectionSource
from signalbox.adapters.postgres.trading import PostgresTradingLedger
from signalbox.contracts import Function, database_user
from signalbox.trading.access import DEPLOYMENT, Access, AccessBook, AccessControl
from signalbox.trading.errors import AccessRefusedError, AccountError, CommandError
from tests.builders import NOON
from tests.fakes.memory_access import MemoryAccessBook
from tests.fakes.postgres_server import PostgresServer, app_source
from tests.integration.trading_samples import ACCOUNT, OTHER

pytestmark = pytest.mark.integration

ANN, BEN, NAME = "arn:aws:iam::123456789012:user/ann", "arn:aws:iam::123456789012:user/ben", ACCOUNT.account
SECOND = timedelta(seconds=1)
MANAGER = database_user(Function.MANAGE_ORDERS)


@pytest.fixture
def manager(postgres: PostgresServer, database: str) -> Iterator[ConnectionSource]:
    with app_source(postgres, database, user=MANAGER) as source:
        ledger = PostgresTradingLedger(source)
        for account in (ACCOUNT, OTHER):
            ledger.open_account(account, NOON, "anna")
        yield source


@pytest.fixture(params=["memory", "postgres"])
def book(request: pytest.FixtureRequest) -> AccessBook:
    if request.param == "memory":
        return MemoryAccessBook((ACCOUNT.account, OTHER.account))
    return PostgresAccessBook(request.getfixturevalue("manager"))


def change(book: AccessBook, principal: str, role: Role | None, at: int, request_id: str) -> None:
    book.change(NAME, Access(principal, role, ANN, NOON + SECOND * at, request_id))


def held(book: AccessBook) -> dict[str, Role | None]:
    return {one.principal: one.role for one in book.access(NAME)}


def test_the_newest_word_counts_and_what_takes_a_right_counts_at_once(book: AccessBook) -> None:
    book.name_owners((ANN,), NOON)
    change(book, BEN, Role.OPERATOR, 5, "r-1")
    change(book, BEN, Role.OPERATOR, 5, "r-1")  # the same request again
    assert held(book) == {ANN: Role.OWNER, BEN: Role.OPERATOR}
    change(book, BEN, None, 2, "r-2")  # said before, and taken away all the same
    assert (held(book), book.visible((BEN,))) == ({ANN: Role.OWNER}, frozenset())
    change(book, BEN, Role.OWNER, 4, "r-3")  # it waited somewhere
    assert held(book) == {ANN: Role.OWNER}
    change(book, BEN, Role.VIEWER, 6, "r-4")
    assert [one.role for one in book.roles(NAME, (BEN, "nobody"))] == [Role.VIEWER]
    assert book.visible((BEN, ANN)) == {ACCOUNT.account, OTHER.account}
    with pytest.raises(CommandError, match="only owner"):
        change(book, ANN, None, 9, "r-5")
    with pytest.raises(CommandError, match="another role"):
        change(book, BEN, Role.OPERATOR, 9, "r-4")
    with pytest.raises(AccountError):
        book.access("nobody")


def test_a_deployment_names_its_owners_once(book: AccessBook) -> None:
    book.name_owners((ANN,), NOON)
    book.name_owners((ANN, BEN), NOON + SECOND)
    assert {(one.principal, one.who) for one in book.access(NAME)} == {(ANN, DEPLOYMENT), (BEN, DEPLOYMENT)}
    change(book, ANN, None, 2, "r-1")
    book.name_owners((ANN, BEN), NOON + 9 * SECOND)
    assert held(book) == {BEN: Role.OWNER}


def test_two_owners_who_revoke_each_other_leave_one(postgres: PostgresServer, database: str, manager: ConnectionSource) -> None:
    PostgresAccessBook(manager).name_owners((ANN, BEN), NOON)

    def revoke(principal: str) -> bool:
        with app_source(postgres, database, user=MANAGER) as own:
            try:
                change(PostgresAccessBook(own), principal, None, 1, "r-1")
            except CommandError:
                return False
            return True

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(revoke, (ANN, BEN))) == [False, True]
    assert list(held(PostgresAccessBook(manager)).values()) == [Role.OWNER]


def test_refusals_are_a_row_a_minute_and_hold_up_no_account(
    postgres: PostgresServer, database: str, manager: ConnectionSource
) -> None:
    with app_source(postgres, database, user=MANAGER, lock_timeout_ms=200) as other:
        gate = AccessControl(PostgresAccessBook(other))
        with PostgresTradingLedger(manager).transaction(NAME):  # somebody works on it
            for name in (NAME, *(f"no-such-{number}" for number in range(20))):
                for _ in range(3):
                    with pytest.raises(AccessRefusedError):
                        gate.require(BEN, name, "halt")
    rows = postgres.execute("SELECT account, principal, action, needed, held FROM access_refusals ORDER BY 1, minute", database)
    assert set(rows) == {("", BEN, "halt", "operator", None), (NAME, BEN, "halt", "operator", None)}
    assert len(rows) <= 4  # of the server's clock, whose minute may end meanwhile
    recent = "SELECT bool_and(minute > now() - interval '10 minutes' AND minute <= now()) FROM access_refusals"
    assert postgres.execute(recent, database) == [(True,)]
