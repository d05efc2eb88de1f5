"""What an account could come to: exposure, cost and loss if everything working fills and then goes as badly as assumed.

Conservative on purpose. A symbol's worst position is the larger of "all buys fill" and "all sells fill", valued at the
highest price among its mark and its orders. The worst loss adds up every position and every order that adds risk, each
going to its stop (and a little beyond) or by the assumed worst move; orders that offset each other are not netted.

A stop counts for the quantity that it closes and no more, and only while the mark has not passed it: one that was passed
and did not trade protects nothing, and what it should have closed may lose the worst move from the mark on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from signalbox.market.candles import Symbol
from signalbox.risk.limits import RiskLimits
from signalbox.risk.numbers import ZERO
from signalbox.risk.order import GroupName, Instrument, Position, ProposedOrder, Side, WorkingOrder
from signalbox.risk.snapshot import KeptBook, RiskSnapshot


@dataclass(frozen=True, slots=True)
class Line:
    """One symbol: signed position, quantities working on each side, and the highest price anything of it may trade at."""

    position: Decimal
    buys: Decimal
    sells: Decimal
    price: Decimal

    @property
    def worst_quantity(self) -> Decimal:
        """The largest absolute position any mix of fills can lead to."""
        return max(abs(self.position + self.buys), abs(self.position - self.sells))

    @property
    def exposure(self) -> Decimal:
        """`worst_quantity` at the highest price."""
        return self.worst_quantity * self.price

    def plus(self, side: Side, quantity: Decimal, price: Decimal) -> Line:
        """Return the line with one more order working."""
        highest = max(self.price, price)
        if side is Side.BUY:
            return Line(self.position, self.buys + quantity, self.sells, highest)
        return Line(self.position, self.buys, self.sells + quantity, highest)


@dataclass(frozen=True, slots=True)
class Book:
    """The account before the order under judgement. `cash` is what CASH funding may spend, working buys not yet taken off."""

    lines: Mapping[Symbol, Line]
    exposures: Mapping[Symbol, Decimal]  # of each line
    instruments: Mapping[Symbol, Instrument]
    equity: Decimal
    cash: Decimal
    buy_cost: Decimal  # of working buys, fees included
    fees: Decimal  # of working orders, one way
    worst_loss: Decimal

    def exposure(self, group: GroupName | None = None) -> Decimal:
        """Worst notional of the account, or of one correlated group."""
        if group is None:
            return sum(self.exposures.values(), ZERO)
        return sum((found for s, found in self.exposures.items() if self.instruments[s].group == group), ZERO)

    def margin(self) -> Decimal:
        """Equity tied up by the worst positions, and the fees of getting there."""
        return sum((found * self.instruments[s].margin_fraction for s, found in self.exposures.items()), self.fees)


def entry_price(order: ProposedOrder, mark: Decimal, limits: RiskLimits) -> Decimal:
    """Return the worst price the order may fill at: its limit, or the market's when it is a market or stop order."""
    is_buy = order.side is Side.BUY
    if order.price is None:
        start, slippage = mark, mark * limits.market_slippage_fraction
    elif order.is_stop:  # one that the mark has passed trades at the mark
        start = max(order.price, mark) if is_buy else min(order.price, mark)
        slippage = start * limits.stop_slippage_fraction
    else:
        return order.price
    return start + slippage if is_buy else start - slippage


def order_loss(order: ProposedOrder, quantity: Decimal, mark: Decimal, fee_fraction: Decimal, limits: RiskLimits) -> Decimal:
    """Return what filling this much of the order may lose, fees of both ways included; nothing when it only reduces."""
    if order.reduce_only:
        return ZERO
    entry = entry_price(order, mark, limits)
    if order.side is Side.BUY:
        end = _worst_sale(order.stop_price, min(entry, mark), limits)
        return quantity * (max(entry - end, ZERO) + (entry + max(entry, end)) * fee_fraction)
    end = _worst_purchase(order.stop_price, max(entry, mark), limits)
    return quantity * (max(end - entry, ZERO) + (entry + max(entry, end)) * fee_fraction)


def position_loss(position: Position, mark: Decimal, fee_fraction: Decimal, limits: RiskLimits) -> Decimal:
    """Return what an open position may still lose from its mark, the fee of leaving it included."""
    leaving = _worst_sale if position.quantity > ZERO else _worst_purchase
    end, quantity = leaving(None, mark, limits), abs(position.quantity)
    bare = abs(mark - end) + max(mark, end) * fee_fraction
    if position.stop_price is None:
        return quantity * bare
    end = leaving(position.stop_price, mark, limits)
    return position.protected * (abs(mark - end) + max(mark, end) * fee_fraction) + (quantity - position.protected) * bare


def _worst_sale(stop: Decimal | None, start: Decimal, limits: RiskLimits) -> Decimal:
    """Return where a long position is left at the worst: beyond its stop, or after the worst move when `start` has passed it."""
    if stop is not None and stop < start:
        return stop - stop * limits.stop_slippage_fraction
    return start - start * limits.worst_move_fraction


def _worst_purchase(stop: Decimal | None, start: Decimal, limits: RiskLimits) -> Decimal:
    """As `_worst_sale`, of a short position."""
    if stop is not None and stop > start:
        return stop + stop * limits.stop_slippage_fraction
    return start + start * limits.worst_move_fraction


def book_of(snapshot: RiskSnapshot, limits: RiskLimits) -> Book:
    """Return the account's book. Every symbol held or working needs a mark and an instrument (KeyError otherwise).

    A snapshot keeps its book, and one with an order sent goes on from the book before: all sums are exact, so that what is
    added last makes the same as what is added first.
    """
    kept = snapshot._book  # noqa: SLF001 - kept there for this function alone
    if kept is None or kept.limits is not limits or not isinstance(kept.book, Book):
        book = _whole_book(snapshot, limits)
    elif kept.sent:
        book = kept.book
        for sent in kept.sent:
            book = _with_working(book, sent, snapshot.marks[sent.order.symbol].price, limits)
    else:
        return kept.book
    object.__setattr__(snapshot, "_book", KeptBook(limits, book))
    return book


def _with_working(book: Book, working: WorkingOrder, mark: Decimal, limits: RiskLimits) -> Book:
    order, symbol = working.order, working.order.symbol
    fee_fraction = book.instruments[symbol].fee_fraction
    entry = entry_price(order, mark, limits)
    line = (book.lines.get(symbol) or Line(ZERO, ZERO, ZERO, mark)).plus(
        order.side, working.remaining, mark if order.reduce_only else entry
    )
    fee = working.remaining * entry * fee_fraction
    return Book(
        lines={**book.lines, symbol: line},
        exposures={**book.exposures, symbol: line.exposure},
        instruments=book.instruments,
        equity=book.equity,
        cash=book.cash,
        buy_cost=book.buy_cost + working.remaining * entry + fee if order.side is Side.BUY else book.buy_cost,
        fees=book.fees + fee,
        worst_loss=book.worst_loss + order_loss(order, working.remaining, mark, fee_fraction, limits),
    )


def _whole_book(snapshot: RiskSnapshot, limits: RiskLimits) -> Book:
    marks, instruments = snapshot.marks, snapshot.instruments
    lines: dict[Symbol, Line] = {}
    floating, invested, worst_loss, buy_cost, fees = ZERO, ZERO, ZERO, ZERO, ZERO
    for symbol, position in snapshot.positions.items():
        mark = marks[symbol].price
        lines[symbol] = Line(position.quantity, ZERO, ZERO, mark)
        floating += position.quantity * (mark - position.average_price)
        invested += position.quantity * position.average_price
        worst_loss += position_loss(position, mark, instruments[symbol].fee_fraction, limits)
    for working in snapshot.working:
        order, remaining = working.order, working.remaining
        mark, fee_fraction = marks[order.symbol].price, instruments[order.symbol].fee_fraction
        entry = entry_price(order, mark, limits)
        line = lines.get(order.symbol) or Line(ZERO, ZERO, ZERO, mark)
        # the far target of an exit says nothing about what the position is worth
        lines[order.symbol] = line.plus(order.side, remaining, mark if order.reduce_only else entry)
        worst_loss += order_loss(order, remaining, mark, fee_fraction, limits)
        fee = remaining * entry * fee_fraction
        fees += fee
        if order.side is Side.BUY:
            buy_cost += remaining * entry + fee
    closed = snapshot.balance - snapshot.accrued_costs
    return Book(
        lines=lines,
        exposures={symbol: line.exposure for symbol, line in lines.items()},
        instruments=instruments,
        equity=closed + floating,
        cash=closed - invested,
        buy_cost=buy_cost,
        fees=fees,
        worst_loss=worst_loss,
    )
