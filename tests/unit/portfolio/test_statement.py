from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox.portfolio.account import book, continue_books, snapshot
from signalbox.portfolio.entries import Entry, booking_order
from signalbox.portfolio.errors import PortfolioError
from signalbox.portfolio.statement import statement
from tests.builders import BTC, ETH
from tests.unit.portfolio.samples import ACCOUNT, buy, day, entries, funding, sell, transfer


def test_a_month_with_everything_in_it() -> None:
    start = book(ACCOUNT, [transfer(0, "10000"), buy(1, "2", "1000", "2")]).books
    end = continue_books(start, [sell(11, "1", "1200", "1.2"), funding(12, "-3"), transfer(13, "-500")]).books
    made = statement(snapshot(start, {BTC: Decimal(1100)}, day(10)), snapshot(end, {BTC: Decimal(900)}, day(40)))
    assert made.opening_equity == 10198  # 10000 - 2 + 2 * (1100 - 1000)
    assert (made.realised, made.fees, made.funding, made.transfers) == (Decimal(200), Decimal("1.2"), Decimal(-3), Decimal(-500))
    assert made.unrealised_change == -300  # from 2 * 100 to 1 * -100
    assert made.net == Decimal("-104.2")  # 200 - 1.2 - 3 - 300
    assert made.closing_equity == Decimal("9593.8")  # 10198 - 500 - 104.2


@given(entries(), st.integers(0, 10), st.decimals("0.01", "99999", places=8), st.decimals("0.01", "99999", places=8))
def test_every_statement_closes_to_the_last_digit(history: list[Entry], cut: int, first: Decimal, second: Decimal) -> None:
    ordered = sorted(history, key=booking_order)
    before = book(ACCOUNT, ordered[:cut]).books
    after = continue_books(before, ordered[cut:]).books
    opening = snapshot(before, {BTC: first, ETH: second}, day(10))
    closing = snapshot(after, {BTC: second, ETH: first}, day(20))
    made = statement(opening, closing)
    assert made.closing_equity == closing.equity


def test_a_statement_that_does_not_close_or_has_no_period_is_an_error() -> None:
    books = book(ACCOUNT, [transfer(0, "10000")]).books
    opening, closing = snapshot(books, {}, day(1)), snapshot(books, {}, day(2))
    with pytest.raises(PortfolioError, match=r"must equal the closing equity 9999\.99, got 10000"):
        statement(opening, replace(closing, equity=Decimal("9999.99")))
    with pytest.raises(PortfolioError, match="start < end"):
        statement(closing, opening)
    with pytest.raises(PortfolioError, match="one account"):
        statement(opening, replace(closing, account="other"))
