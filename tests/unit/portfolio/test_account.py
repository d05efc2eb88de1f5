from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox.market.candles import Symbol
from signalbox.orders.terms import Side
from signalbox.portfolio.account import Books, book, continue_books, record, snapshot
from signalbox.portfolio.entries import Entry, Fill, FundingPayment, Transfer, booking_order, parse_entry
from signalbox.portfolio.errors import EntryConflictError, OutOfOrderError, PortfolioError
from signalbox.portfolio.lots import Disposal, LotMethod, StandingOrder
from signalbox.portfolio.position import BookedPosition
from tests.builders import BTC, ETH, NOON
from tests.unit.orders.samples import fill as order_fill
from tests.unit.orders.samples import terms
from tests.unit.portfolio.samples import ACCOUNT, buy, day, entries, funding, sell, transfer

METHODS = st.sampled_from(LotMethod).map(lambda method: (StandingOrder(method, day(-9), day(-9)),))
MARKS = {BTC: Decimal("123.45678901"), ETH: Decimal("0.00000007")}


def position(*booked: Entry) -> BookedPosition:
    return book(ACCOUNT, booked).books.position(BTC)


def test_a_position_grows_at_its_average_and_closes_at_it() -> None:
    grown = position(buy(1, "2", "100", "1"), buy(2, "1", "130", "0.5"))
    assert (grown.quantity, grown.cost, grown.average_price, grown.fees) == (
        Decimal(3),
        Decimal(330),
        Decimal(110),
        Decimal("1.5"),
    )
    assert (grown.unrealised(Decimal(120)), grown.value(Decimal(120))) == (Decimal(30), Decimal(360))
    reduced = position(buy(1, "2", "100"), buy(2, "1", "130"), sell(3, "2", "120"))
    assert (reduced.quantity, reduced.cost, reduced.realised) == (Decimal(1), Decimal(110), Decimal(20))


def test_a_sale_through_zero_flips_to_a_short_at_its_own_price() -> None:
    flipped = position(buy(1, "2", "100"), sell(2, "5", "110"))
    assert (flipped.quantity, flipped.cost, flipped.realised, flipped.average_price) == (
        Decimal(-3),
        Decimal(-330),
        Decimal(20),
        Decimal(110),
    )
    back = position(buy(1, "2", "100"), sell(2, "5", "110"), buy(3, "4", "90"))
    assert (back.quantity, back.cost, back.realised) == (Decimal(1), Decimal(90), Decimal(80))


def test_an_average_that_does_not_divide_loses_nothing() -> None:
    steps = [buy(1, "3", "3.333"), buy(2, "4", "1.001"), sell(3, "1", "2"), sell(4, "2", "2"), sell(5, "4", "2")]
    closed = position(*steps)
    assert (closed.quantity, closed.cost) == (Decimal(0), Decimal(0))
    assert closed.realised == Decimal("14") - Decimal("9.999") - Decimal("4.004")
    part = position(*steps[:3])
    assert part.cost == Decimal("14.003") - Decimal("2.000428571428571429")  # a seventh, rounded once
    assert part.realised == 2 - Decimal("2.000428571428571429")


def test_money_and_funding_are_booked_with_their_signs() -> None:
    books = book(ACCOUNT, [transfer(0, "1000"), buy(1, "2", "100", "3"), funding(2, "-5"), transfer(3, "-100")]).books
    assert (books.cash, books.balance, books.transfers) == (Decimal(692), Decimal(892), Decimal(900))
    assert books.position(BTC).net_realised == -8
    equity = snapshot(books, {BTC: Decimal(110)}, day(4))
    assert (equity.equity, equity.unrealised, equity.exposure, equity.fees, equity.funding) == (
        Decimal(912),
        Decimal(20),
        Decimal(220),
        Decimal(3),
        Decimal(-5),
    )


def test_an_open_position_without_a_mark_has_no_equity() -> None:
    with pytest.raises(PortfolioError, match="none for BTC-USD"):
        snapshot(book(ACCOUNT, [buy(1, "1", "100")]).books, {ETH: Decimal(1)}, day(2))


def test_a_fill_of_an_order_becomes_an_entry() -> None:
    entry = Fill.of(terms(side="SELL"), order_fill(terms(), "t-1", "2", "99", "0.1"))
    assert (entry.signed_quantity, entry.price, entry.fee, entry.at) == (Decimal(-2), Decimal(99), Decimal("0.1"), NOON)
    assert entry.entry_id == "Fill:paper-1:BTC-USD:t-1"


def test_a_second_delivery_changes_nothing_and_other_data_is_refused() -> None:
    books = book(ACCOUNT, [buy(1, "1", "100")]).books
    assert record(books, buy(1, "1.0", "100")).books is books
    with pytest.raises(EntryConflictError, match="conflicting duplicate"):
        record(books, buy(1, "2", "100"))
    with pytest.raises(EntryConflictError, match="conflicting duplicate"):
        book(ACCOUNT, [buy(1, "1", "100"), buy(1, "1", "101")])


def test_an_older_entry_is_not_squeezed_in() -> None:
    books = book(ACCOUNT, [buy(2, "1", "100")]).books
    with pytest.raises(OutOfOrderError, match="expected an entry after"):
        record(books, buy(1, "1", "90"))
    with pytest.raises(PortfolioError, match="of other"):
        record(replace(books, account="other"), buy(3, "1", "90"))


@given(entries(), METHODS, st.data())
def test_any_order_of_arrival_and_duplicates_give_the_same_books(
    history: list[Entry], standing: tuple[StandingOrder, ...], data: st.DataObject
) -> None:
    shuffled = data.draw(st.permutations([*history, *history[:3]]))
    assert book(ACCOUNT, shuffled, standing) == book(ACCOUNT, history, standing)


@given(entries(), METHODS, st.integers(0, 14))
def test_replay_is_incremental(history: list[Entry], standing: tuple[StandingOrder, ...], cut: int) -> None:
    whole = book(ACCOUNT, history, standing)
    books, disposals = Books(ACCOUNT, standing), list[Disposal]()
    for text in [entry.model_dump_json() for entry in sorted(history, key=booking_order)]:
        booked = record(books, parse_entry(text))
        books = booked.books
        disposals += booked.disposals
    assert (books, tuple(disposals)) == (whole.books, whole.disposals)
    ordered = sorted(history, key=booking_order)
    first = book(ACCOUNT, ordered[:cut], standing)
    second = continue_books(first.books, ordered[cut:])
    assert (second.books, first.disposals + second.disposals) == (whole.books, whole.disposals)


@given(entries(), METHODS)
def test_both_views_of_equity_are_equal_to_the_last_digit(history: list[Entry], standing: tuple[StandingOrder, ...]) -> None:
    books = book(ACCOUNT, history, standing).books
    equity = snapshot(books, {str(symbol): price for symbol, price in MARKS.items()}, day(9))
    held = sum((Fraction(p.quantity) * Fraction(MARKS[Symbol(s)]) for s, p in books.positions.items()), Fraction())
    assert Fraction(equity.equity) == Fraction(books.cash) + held
    assert Fraction(equity.equity) == Fraction(equity.balance) + Fraction(equity.unrealised)
    costs = sum((Fraction(p.cost) for p in books.positions.values()), Fraction())
    assert Fraction(books.cash) == Fraction(books.balance) - costs


@given(entries())
def test_cash_is_what_moved(history: list[Entry]) -> None:
    books = book(ACCOUNT, history).books
    moved, held = Fraction(), defaultdict[str, Fraction](Fraction)
    for entry in history:
        match entry:
            case Fill():
                sign = 1 if entry.side is Side.BUY else -1
                moved -= sign * Fraction(entry.quantity) * Fraction(entry.price) + Fraction(entry.fee)
                held[entry.symbol] += sign * Fraction(entry.quantity)
            case FundingPayment() | Transfer():
                moved += Fraction(entry.amount)
    assert Fraction(books.cash) == moved
    assert {s: Fraction(p.quantity) for s, p in books.positions.items() if p.quantity} == {s: q for s, q in held.items() if q}


@given(entries(), METHODS)
def test_lots_are_the_position_and_lose_no_money(history: list[Entry], standing: tuple[StandingOrder, ...]) -> None:
    booked = book(ACCOUNT, history, standing)
    for symbol, position in booked.books.positions.items():
        lots = booked.books.lots.get(symbol, ())
        closed = [d for d in booked.disposals if d.symbol == symbol]
        assert sum((Fraction(lot.quantity) for lot in lots), Fraction()) == Fraction(position.quantity)
        assert len({lot.quantity > 0 for lot in lots}) <= 1
        assert [lot.opened_at for lot in lots] == sorted(lot.opened_at for lot in lots)
        fees = sum((Fraction(lot.fee) for lot in lots), Fraction())
        fees += sum((Fraction(d.open_fee) + Fraction(d.close_fee) for d in closed), Fraction())
        assert fees == Fraction(position.fees)
        open_cost = sum((Fraction(lot.cost) for lot in lots), Fraction())
        realised = sum((Fraction(d.realised) for d in closed), Fraction())
        assert realised - open_cost == Fraction(position.realised) - Fraction(position.cost)


@given(entries(symbols=(BTC,)), METHODS, st.decimals("0.01", "1000", places=6))
def test_a_full_close_realises_the_same_by_lots_and_by_average(
    history: list[Entry], standing: tuple[StandingOrder, ...], price: Decimal
) -> None:
    held = book(ACCOUNT, history).books.position(BTC).quantity
    if held:
        close = (buy if held < 0 else sell)(9, "1", "1", "0.1", key="close")
        history = [*history, close.model_copy(update={"quantity": abs(held), "price": price})]
    booked = book(ACCOUNT, history, standing)
    position = booked.books.position(BTC)
    assert (position.quantity, position.cost) == (Decimal(0), Decimal(0))
    assert not booked.books.lots.get(BTC)
    assert sum((d.realised for d in booked.disposals), Decimal(0)) == position.realised
    gains = sum((Fraction(d.gain) for d in booked.disposals), Fraction())
    assert gains == Fraction(position.realised) - Fraction(position.fees)


@given(entries(symbols=(BTC,)), METHODS)
def test_a_disposal_never_closes_what_was_opened_later(history: list[Entry], standing: tuple[StandingOrder, ...]) -> None:
    for disposal in book(ACCOUNT, history, standing).disposals:
        assert disposal.opened_at <= disposal.closed_at
        assert disposal.method is standing[0].method
