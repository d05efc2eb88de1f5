"""Form 8949 rows from closed lots: columns, term, and a flag for the wash-sale window. Not tax advice.

Sources: IRS Instructions for Form 8949 (columns a to h; short sales: both dates are the closing date); Publication 544 (the
holding period begins on the day after acquisition and is long if over one year); Revenue Ruling 66-7 (months of unequal length);
Internal Revenue Code 1091 (61 days around a sale at a loss). The filer decides whether 1091 applies to a digital asset: the
window is flagged and nothing is adjusted. Dates are in the taxpayer's time zone. Perpetuals and CFDs may be taxed by other rules
than spot; these rows state what happened.

Money is exact until a row is made. A row has cents, rounded half to even, and its gain is its proceeds minus its cost.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta, tzinfo
from decimal import Decimal
from enum import StrEnum
from typing import Final

from signalbox.exact import exactly, plain, to_places
from signalbox.portfolio.entries import Fill
from signalbox.portfolio.lots import Disposal

CENTS: Final = 2
WASH_WINDOW: Final = timedelta(days=30)  # before and after the sale; with the day of the sale 61 days


class Term(StrEnum):
    """The holding period: short term (part I of the form) or long term (part II)."""

    SHORT = "SHORT"
    LONG = "LONG"


@dataclass(frozen=True, slots=True)
class Form8949Row:
    """One line of the form; the letters are its columns. Codes and adjustments (f, g) are left for the filer."""

    description: str  # (a)
    acquired: date  # (b)
    sold: date  # (c)
    proceeds: Decimal  # (d) after the fee of the sale
    cost_basis: Decimal  # (e) with the fee of the purchase
    gain: Decimal  # (h)
    term: Term
    in_wash_sale_window: bool  # it is a loss, and the same asset was opened again within 30 days of the sale
    lot_id: str
    fill_id: str


def term_of(acquired: date, sold: date) -> Term:
    """Return LONG if the asset was held for more than one year.

    The holding period begins on the day after acquisition, and a year is over when that date comes again. If it does not come
    (29 February), the year is over on 1 March.
    """
    begins = acquired + timedelta(days=1)
    try:
        again = begins.replace(year=begins.year + 1)
    except ValueError:  # 29 February
        again = date(begins.year + 1, 3, 1)
    return Term.LONG if sold >= again else Term.SHORT


@exactly
def form_8949(disposals: Iterable[Disposal], fills: Sequence[Fill], zone: tzinfo) -> tuple[Form8949Row, ...]:
    """Return a row for each disposal, in order of closing.

    fills: every fill of all accounts that may hold the asset, from 30 days before the first disposal until 30 days after the
    last; the wash-sale flag sees only these, and a fill given twice counts once. zone: the taxpayer's time zone.
    The time is n log n in the number of fills, plus log n for each disposal.
    """
    openings = _Openings(fills, zone)
    return tuple(_row(disposal, openings, zone) for disposal in disposals)


def _row(disposal: Disposal, openings: _Openings, zone: tzinfo) -> Form8949Row:
    opened, closed = (instant.astimezone(zone).date() for instant in (disposal.opened_at, disposal.closed_at))
    size = abs(disposal.quantity)
    at_open, at_close = size * disposal.open_price, size * disposal.close_price
    if disposal.quantity > 0:
        acquired, term = opened, term_of(opened, closed)
        proceeds, basis = at_close - disposal.close_fee, at_open + disposal.open_fee
    else:  # sold short: what was bought to close the position is delivered at once
        acquired, term = closed, Term.SHORT
        proceeds, basis = at_open - disposal.open_fee, at_close + disposal.close_fee
    proceeds, basis = to_places(proceeds, CENTS), to_places(basis, CENTS)
    return Form8949Row(
        description=f"{plain(size)} {disposal.symbol.partition('-')[0]}",
        acquired=acquired,
        sold=closed,
        proceeds=proceeds,
        cost_basis=basis,
        gain=proceeds - basis,
        term=term,
        in_wash_sale_window=disposal.gain < 0 and openings.replaced(disposal, closed),
        lot_id=disposal.lot_id,
        fill_id=disposal.fill_id,
    )


class _Openings:
    """The sorted days on which each asset was bought and sold, so that a window takes two binary searches."""

    def __init__(self, fills: Iterable[Fill], zone: tzinfo) -> None:
        self._of: dict[str, tuple[tuple[str, bool], date]] = {}  # by entry id: the fill's list and its day
        self._days: dict[tuple[str, bool], list[date]] = defaultdict(list)
        for fill in fills:
            self._of[fill.entry_id] = ((fill.symbol, fill.signed_quantity > 0), fill.at.astimezone(zone).date())
        for asset, day in self._of.values():
            self._days[asset].append(day)
        for days in self._days.values():
            days.sort()

    def replaced(self, disposal: Disposal, closed: date) -> bool:
        """Return whether another fill in the opening direction is within the window around the closing day."""
        asset = (disposal.symbol, disposal.quantity > 0)
        first, last = closed - WASH_WINDOW, closed + WASH_WINDOW
        days = self._days.get(asset, [])
        found = bisect_right(days, last) - bisect_left(days, first)
        for entry_id in {disposal.lot_id, disposal.fill_id}:  # the closed lot and the closing fill are not replacements
            own = self._of.get(entry_id)
            found -= own is not None and own[0] == asset and first <= own[1] <= last
        return found > 0


@dataclass(frozen=True, slots=True)
class Form8949Totals:
    """The totals of one part of the form. They add up the rows as rounded, so that the sums are right on paper."""

    term: Term
    rows: int
    proceeds: Decimal
    cost_basis: Decimal
    gain: Decimal


@exactly
def totals(rows: Iterable[Form8949Row], term: Term) -> Form8949Totals:
    """Return the totals of one part."""
    part = [row for row in rows if row.term is term]
    zero = Decimal("0.00")
    return Form8949Totals(
        term,
        len(part),
        sum((row.proceeds for row in part), zero),
        sum((row.cost_basis for row in part), zero),
        sum((row.gain for row in part), zero),
    )
