"""Worked examples of Form 8949: each figure is computed by hand in the comment beside it."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox.orders.terms import Side
from signalbox.portfolio.account import book
from signalbox.portfolio.entries import Entry, Fill
from signalbox.portfolio.lots import LotMethod, StandingOrder
from signalbox.portfolio.tax import Form8949Row, Term, form_8949, term_of, totals
from tests.builders import BTC, ETH
from tests.unit.portfolio.naive_tax import in_wash_sale_window
from tests.unit.portfolio.samples import ACCOUNT, entries


def trade(side: Side, when: str, quantity: str, price: str, fee: str = "0", key: str | None = None) -> Fill:
    at = datetime.fromisoformat(when).replace(tzinfo=UTC)
    money = {"quantity": Decimal(quantity), "price": Decimal(price), "fee": Decimal(fee)}
    return Fill(account=ACCOUNT, key=key or when, at=at, symbol=BTC, side=side, **money)


def rows_of(*fills: Fill, method: LotMethod = LotMethod.FIFO, zone: str = "UTC") -> tuple[Form8949Row, ...]:
    standing = [StandingOrder(method, datetime(2020, 1, 1, tzinfo=UTC), datetime(2020, 1, 1, tzinfo=UTC))]
    return form_8949(book(ACCOUNT, fills, standing).disposals, fills, ZoneInfo(zone))


BUYS = (
    trade(Side.BUY, "2022-03-10T15:00", "0.5", "40000", "20"),
    trade(Side.BUY, "2023-05-02T15:00", "0.5", "28000", "14"),
)


def test_one_sale_of_two_lots_is_two_rows_long_and_short() -> None:
    rows = rows_of(*BUYS, trade(Side.SELL, "2023-11-15T15:00", "0.75", "36000", "27"))
    first, second = rows
    assert first == Form8949Row(
        description="0.5 BTC",
        acquired=date(2022, 3, 10),
        sold=date(2023, 11, 15),
        proceeds=Decimal("17982.00"),  # 0.5 * 36000 - 18 (two thirds of the fee of 27)
        cost_basis=Decimal("20020.00"),  # 0.5 * 40000 + 20
        gain=Decimal("-2038.00"),
        term=Term.LONG,
        in_wash_sale_window=False,
        lot_id="Fill:paper-1:BTC-USD:2022-03-10T15:00",
        fill_id="Fill:paper-1:BTC-USD:2023-11-15T15:00",
    )
    assert (second.description, second.term) == ("0.25 BTC", Term.SHORT)
    # 0.25 * 36000 - 9; 0.25 * 28000 + 7 (half of the fee of 14)
    assert (second.proceeds, second.cost_basis, second.gain) == (Decimal("8991.00"), Decimal("7007.00"), Decimal("1984.00"))
    long, short = totals(rows, Term.LONG), totals(rows, Term.SHORT)
    assert (long.rows, long.gain, short.rows, short.gain) == (1, Decimal("-2038.00"), 1, Decimal("1984.00"))


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        (LotMethod.FIFO, [("17982.00", "20020.00", "-2038.00"), ("8991.00", "7007.00", "1984.00")]),
        # the newer lot whole: 18000 - 18, 14000 + 14; half of the older: 9000 - 9, 10000 + 10
        (LotMethod.LIFO, [("17982.00", "14014.00", "3968.00"), ("8991.00", "10010.00", "-1019.00")]),
        (LotMethod.HIFO, [("17982.00", "20020.00", "-2038.00"), ("8991.00", "7007.00", "1984.00")]),
    ],
)
def test_the_standing_order_changes_the_rows(method: LotMethod, expected: list[tuple[str, str, str]]) -> None:
    rows = rows_of(*BUYS, trade(Side.SELL, "2023-11-15T15:00", "0.75", "36000", "27"), method=method)
    assert [(str(r.proceeds), str(r.cost_basis), str(r.gain)) for r in rows] == expected


def test_a_short_sale_is_short_term_and_acquired_when_it_was_closed() -> None:
    (row,) = rows_of(
        trade(Side.SELL, "2022-01-10T15:00", "2", "45000", "90"), trade(Side.BUY, "2023-06-10T15:00", "2", "26000", "52")
    )
    assert (row.acquired, row.sold, row.term) == (date(2023, 6, 10), date(2023, 6, 10), Term.SHORT)
    # 2 * 45000 - 90; 2 * 26000 + 52
    assert (row.proceeds, row.cost_basis, row.gain) == (Decimal("89910.00"), Decimal("52052.00"), Decimal("37858.00"))


@pytest.mark.parametrize(
    ("acquired", "sold", "term"),
    [
        ((2023, 1, 15), (2024, 1, 15), Term.SHORT),  # exactly one year
        ((2023, 1, 15), (2024, 1, 16), Term.LONG),
        ((2024, 2, 29), (2025, 2, 28), Term.SHORT),
        ((2024, 2, 29), (2025, 3, 1), Term.LONG),
        ((2023, 2, 28), (2024, 2, 29), Term.SHORT),  # begins on 1 March
        ((2023, 2, 28), (2024, 3, 1), Term.LONG),
        ((2024, 2, 28), (2025, 2, 28), Term.SHORT),  # begins on 29 February
        ((2024, 2, 28), (2025, 3, 1), Term.LONG),
        ((2023, 12, 31), (2024, 12, 31), Term.SHORT),
        ((2023, 12, 31), (2025, 1, 1), Term.LONG),
    ],
)
def test_long_is_more_than_a_year(acquired: tuple[int, int, int], sold: tuple[int, int, int], term: Term) -> None:
    assert term_of(date(*acquired), date(*sold)) is term


def test_dates_are_those_of_the_taxpayers_zone() -> None:
    fills = (trade(Side.BUY, "2023-01-01T03:00", "1", "100"), trade(Side.SELL, "2024-01-02T03:00", "1", "100"))
    (row,) = rows_of(*fills, zone="America/New_York")
    assert (row.acquired, row.sold, row.term) == (date(2022, 12, 31), date(2024, 1, 1), Term.LONG)
    assert rows_of(*fills)[0].acquired == date(2023, 1, 1)


@pytest.mark.parametrize(
    ("again", "flagged"),
    [
        ("2023-05-31T23:59", True),  # 30 days after
        ("2023-06-01T00:00", False),  # 31 days after
        ("2023-04-01T00:00", True),  # 30 days before
        ("2023-03-31T23:59", False),
    ],
)
def test_a_loss_is_flagged_when_the_asset_was_bought_within_thirty_days(again: str, flagged: bool) -> None:
    lot = trade(Side.BUY, "2023-01-01T12:00", "1", "200")
    rows = rows_of(lot, trade(Side.BUY, again, "1", "100", key="again"), trade(Side.SELL, "2023-05-01T12:00", "1", "150"))
    assert (rows[0].gain, rows[0].in_wash_sale_window) == (Decimal("-50.00"), flagged)


def test_neither_a_gain_nor_the_lot_itself_nor_a_sale_is_flagged() -> None:
    gain = rows_of(*BUYS, trade(Side.SELL, "2023-05-03T15:00", "0.5", "50000"))
    assert not gain[0].in_wash_sale_window
    itself = rows_of(trade(Side.BUY, "2023-05-01T12:00", "1", "200"), trade(Side.SELL, "2023-05-02T12:00", "1", "150"))
    assert not itself[0].in_wash_sale_window


def test_cents_round_half_to_even_and_the_row_adds_up() -> None:
    (row,) = rows_of(trade(Side.BUY, "2023-01-01T12:00", "1", "10.005"), trade(Side.SELL, "2023-02-01T12:00", "1", "10.015"))
    assert (row.cost_basis, row.proceeds, row.gain) == (Decimal("10.00"), Decimal("10.02"), Decimal("0.02"))


@given(entries(symbols=(BTC,)))
def test_rows_differ_from_the_books_by_cents_at_most(history: list[Entry]) -> None:
    disposals = book(ACCOUNT, history).disposals
    rows = form_8949(disposals, [e for e in history if isinstance(e, Fill)], UTC)
    assert len(rows) == len(disposals)
    for row, disposal in zip(rows, disposals, strict=True):
        assert abs(Fraction(row.gain) - Fraction(disposal.gain)) <= Fraction(1, 100)
        assert Fraction(row.gain) == Fraction(row.proceeds) - Fraction(row.cost_basis)


@st.composite
def histories(draw: st.DrawFn) -> list[Fill]:
    """Up to sixty fills of two symbols, close enough to each other that the ends of windows are met."""
    found = []
    for number in range(draw(st.integers(0, 60))):
        at = datetime(2023, 1, 1, tzinfo=UTC) + timedelta(hours=draw(st.integers(0, 24 * 130)))
        found.append(
            Fill(
                account=ACCOUNT,
                key=f"t-{number}",
                at=at,
                symbol=draw(st.sampled_from((BTC, ETH))),
                side=draw(st.sampled_from(Side)),
                quantity=Decimal(draw(st.integers(1, 4))),
                price=Decimal(draw(st.integers(90, 110))),
            )
        )
    return found


@given(histories(), st.sampled_from(("UTC", "America/New_York", "Pacific/Kiritimati")), st.data())
def test_the_window_flags_what_looking_through_every_fill_flags(history: list[Fill], name: str, data: st.DataObject) -> None:
    zone = ZoneInfo(name)
    disposals = book(ACCOUNT, history).disposals
    seen = [fill for fill in history if data.draw(st.booleans())] + history[:2]  # some not given, some given twice
    rows = form_8949(disposals, seen, zone)
    assert [row.in_wash_sale_window for row in rows] == [in_wash_sale_window(d, seen, zone) for d in disposals]
