"""Worst-case exposure, cost and loss of an account, assuming that all working orders fill and prices then move against it.

The estimate is conservative. A symbol's worst position is the larger of "all buys fill" and "all sells fill", valued at the
highest price among its mark and its orders. The worst loss is the sum over all positions and all orders that add risk, each going
to its stop (plus slippage) or by the assumed worst move; orders that offset each other are not netted.

A stop counts only for the quantity that it closes, and only until the mark passes it. A stop that was passed without trading
protects nothing: the quantity it should have closed may lose the worst move from the mark.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import NamedTuple

from signalbox.exact import ZERO
from signalbox.market.candles import Symbol
from signalbox.orders.terms import Side
from signalbox.risk.limits import RiskLimits
from signalbox.risk.order import GroupName, Instrument, Position, ProposedOrder, WorkingOrder
from signalbox.risk.snapshot import KeptBook, KeptImpact, RiskSnapshot


class ExposureLine(NamedTuple):
    """One symbol: signed position, working quantity on each side, and the highest price at which any of it may trade."""

    position: Decimal
    buys: Decimal
    sells: Decimal
    price: Decimal

    @property
    def worst_quantity(self) -> Decimal:
        """The largest absolute position that any combination of fills can lead to."""
        return max(abs(self.position + self.buys), abs(self.position - self.sells))

    @property
    def exposure(self) -> Decimal:
        """`worst_quantity` valued at the highest price, in quote currency."""
        long, short = abs(self.position + self.buys), abs(self.position - self.sells)
        return (long if long > short else short) * self.price

    def plus(self, side: Side, quantity: Decimal, price: Decimal) -> ExposureLine:
        """Return the line with one more working order."""
        position, buys, sells, highest = self
        highest = max(highest, price)
        if side is Side.BUY:
            return ExposureLine(position, buys + quantity, sells, highest)
        return ExposureLine(position, buys, sells + quantity, highest)


class ExposureBook(NamedTuple):
    """The account before the checked order. cash: the amount that CASH funding may spend, before working buys are deducted."""

    lines: Mapping[Symbol, ExposureLine]
    exposures: Mapping[Symbol, Decimal]  # of each line, in quote currency
    instruments: Mapping[Symbol, Instrument]
    equity: Decimal
    cash: Decimal
    buy_cost: Decimal  # of all working buys, fees included
    fees: Decimal  # of all working orders, one way
    worst_loss: Decimal
    total: Decimal  # sum of all exposures
    groups: Mapping[GroupName, Decimal]  # sum of the exposures of each correlated group
    tied: Decimal  # margin that the worst positions need

    def exposure(self, group: GroupName | None = None) -> Decimal:
        """Return the worst notional of the account, or of one correlated group."""
        return self.total if group is None else self.groups.get(group, ZERO)

    def margin(self) -> Decimal:
        """Return the margin that the worst positions need, plus the fees of reaching them."""
        return self.tied + self.fees


class ExposureImpact(NamedTuple):
    """The facts for the checks of new risk: the account's book, and the order's symbol before and after the order."""

    book: ExposureBook
    instrument: Instrument
    mark: Decimal
    entry: Decimal  # the worst price at which the order may fill
    before: Decimal  # the symbol's exposure without the order
    line: ExposureLine  # of the symbol, with the order working
    after: Decimal  # the symbol's exposure with the order


def entry_price(order: ProposedOrder, mark: Decimal, limits: RiskLimits) -> Decimal:
    """Return the worst price at which the order may fill: its limit, or the price with slippage for a market or stop order."""
    price, is_buy = order.price, order.side is Side.BUY
    if price is None:
        start, slippage = mark, mark * limits.market_slippage_fraction
    elif not order.is_stop:
        return price
    else:  # a stop order that the mark has already passed trades at the mark
        start = max(price, mark) if is_buy else min(price, mark)
        slippage = start * limits.stop_slippage_fraction
    return start + slippage if is_buy else start - slippage


def order_loss(order: ProposedOrder, quantity: Decimal, mark: Decimal, fee_fraction: Decimal, limits: RiskLimits) -> Decimal:
    """Return how much may be lost if this quantity of the order fills, fees of both ways included; 0 if it only reduces."""
    if order.reduce_only:
        return ZERO
    return loss_from(entry_price(order, mark, limits), order, quantity, mark, fee_fraction, limits)


def loss_from(  # noqa: PLR0917 - called for each order of a batch
    entry: Decimal, order: ProposedOrder, quantity: Decimal, mark: Decimal, fee_fraction: Decimal, limits: RiskLimits
) -> Decimal:
    """Return the same as `order_loss` for an order that adds risk. entry: the worst price at which it may fill.

    A purchase always exits below its entry and a sale above it, whatever the stop: slippages and the worst move are never
    negative.
    """
    if order.side is Side.BUY:
        end = _worst_sale(order.stop_price, mark if mark < entry else entry, limits)
        return quantity * (entry - end + (entry + entry) * fee_fraction)
    end = _worst_purchase(order.stop_price, mark if mark > entry else entry, limits)
    return quantity * (end - entry + (entry + end) * fee_fraction)


def position_loss(position: Position, mark: Decimal, fee_fraction: Decimal, limits: RiskLimits) -> Decimal:
    """Return how much an open position may still lose from its mark, including the fee of closing it."""
    quantity, stop = position.quantity, position.stop_price
    if quantity > ZERO:  # a long position exits below its mark, a short one above
        bare = mark - _worst_sale(None, mark, limits) + mark * fee_fraction
        if stop is None:
            return quantity * bare
        guarded = mark - _worst_sale(stop, mark, limits) + mark * fee_fraction
    else:
        quantity, end = -quantity, _worst_purchase(None, mark, limits)
        bare = end - mark + end * fee_fraction
        if stop is None:
            return quantity * bare
        end = _worst_purchase(stop, mark, limits)
        guarded = end - mark + end * fee_fraction
    return position.protected * guarded + (quantity - position.protected) * bare


def _bare_loss(value: Decimal, fee_fraction: Decimal, move: Decimal) -> Decimal:
    """Return the same as `position_loss` for a position without a stop. value: signed; a short one is bought back higher."""
    if value > ZERO:
        return value * (move + fee_fraction)
    return -value * (move + fee_fraction + move * fee_fraction)


def _worst_sale(stop: Decimal | None, start: Decimal, limits: RiskLimits) -> Decimal:
    """Return the worst exit price of a long position: beyond its stop, or after the worst move if `start` has passed the stop."""
    if stop is not None and stop < start:
        return stop - stop * limits.stop_slippage_fraction
    return start - start * limits.worst_move_fraction


def _worst_purchase(stop: Decimal | None, start: Decimal, limits: RiskLimits) -> Decimal:
    """Return the worst exit price of a short position, in the same way as `_worst_sale`."""
    if stop is not None and stop > start:
        return stop + stop * limits.stop_slippage_fraction
    return start + start * limits.worst_move_fraction


def weigh(order: ProposedOrder, snapshot: RiskSnapshot, limits: RiskLimits) -> ExposureImpact:
    """Return the impact of an order on the account's book. The result is cached, and the book after sending starts from it."""
    book, mark = book_of(snapshot, limits), snapshot.marks[order.symbol].price
    found = _weighed(book, order, order.quantity, mark, limits)
    snapshot.__dict__["_weighed"] = KeptImpact(order, found)
    return found


def _weighed(book: ExposureBook, order: ProposedOrder, quantity: Decimal, mark: Decimal, limits: RiskLimits) -> ExposureImpact:
    symbol, entry = order.symbol, entry_price(order, mark, limits)
    line = (book.lines.get(symbol) or ExposureLine(ZERO, ZERO, ZERO, mark)).plus(order.side, quantity, entry)
    return ExposureImpact(book, book.instruments[symbol], mark, entry, book.exposures.get(symbol, ZERO), line, line.exposure)


def book_of(snapshot: RiskSnapshot, limits: RiskLimits) -> ExposureBook:
    """Return the account's book. Every symbol held or working needs a mark and an instrument; otherwise KeyError is raised.

    The snapshot keeps its book, and the book after another order was sent is made from the one before: all sums are exact, so
    the order of additions does not change the result.
    """
    kept, count = snapshot._book, snapshot._count  # noqa: SLF001 - the attributes exist for this function alone
    if kept is None or kept.limits is not limits or not isinstance(kept.book, ExposureBook):
        book = _whole_book(snapshot, limits)
    elif kept.sent == count:
        return kept.book
    else:
        book = kept.book
        for working in snapshot.sent()[kept.sent :]:
            book = _with_working(book, working, snapshot, limits)
    snapshot.__dict__["_book"] = KeptBook(limits, book, count)
    return book


def _with_working(book: ExposureBook, working: WorkingOrder, snapshot: RiskSnapshot, limits: RiskLimits) -> ExposureBook:
    order, remaining = working.order, working.remaining
    symbol = order.symbol
    mark, known = snapshot.marks[symbol].price, snapshot._weighed  # noqa: SLF001 - the attribute exists for this module alone
    if known is not None and known.order is order and isinstance(known.weighed, ExposureImpact) and known.weighed.book is book:
        found = known.weighed
    else:
        found = _weighed(book, order, remaining, mark, limits)
    entry, fee_fraction, group = found.entry, found.instrument.fee_fraction, found.instrument.group
    line, exposure, worst_loss = found.line, found.after, book.worst_loss
    if order.reduce_only:  # the distant target price of an exit does not change what the position is worth
        line = (book.lines.get(symbol) or ExposureLine(ZERO, ZERO, ZERO, mark)).plus(order.side, remaining, mark)
        exposure = line.exposure
    else:
        worst_loss += loss_from(entry, order, remaining, mark, fee_fraction, limits)
    added = exposure - found.before
    cost = remaining * entry
    fee = cost * fee_fraction
    return ExposureBook(
        {**book.lines, symbol: line},
        {**book.exposures, symbol: exposure},
        book.instruments,
        book.equity,
        book.cash,
        book.buy_cost + cost + fee if order.side is Side.BUY else book.buy_cost,
        book.fees + fee,
        worst_loss,
        book.total + added,
        {**book.groups, group: book.groups.get(group, ZERO) + added},
        book.tied + added * found.instrument.margin_fraction,
    )


def _whole_book(snapshot: RiskSnapshot, limits: RiskLimits) -> ExposureBook:
    """Return the book summed from all facts. Positions without a stop take fewer steps; sums are exact, so nothing changes."""
    marks, instruments, move = snapshot.marks, snapshot.instruments, limits.worst_move_fraction
    lines: dict[Symbol, list[Decimal]] = {}  # the fields of each ExposureLine, still being summed
    worth, invested, worst_loss, buy_cost, fees = ZERO, ZERO, ZERO, ZERO, ZERO
    for symbol, position in snapshot.positions.items():
        mark, quantity = marks[symbol].price, position.quantity
        lines[symbol] = [quantity, ZERO, ZERO, mark]
        value, fee_fraction = quantity * mark, instruments[symbol].fee_fraction
        worth += value
        invested += quantity * position.average_price
        worst_loss += (
            _bare_loss(value, fee_fraction, move)
            if position.stop_price is None
            else position_loss(position, mark, fee_fraction, limits)
        )
    for working in snapshot.working:
        order, remaining = working.order, working.remaining
        symbol = order.symbol
        mark, fee_fraction = marks[symbol].price, instruments[symbol].fee_fraction
        entry = order.price
        if entry is None or order.is_stop:
            entry = entry_price(order, mark, limits)
        line = lines.get(symbol)
        if line is None:
            line = lines[symbol] = [ZERO, ZERO, ZERO, mark]
        cost = remaining * entry
        fee = cost * fee_fraction
        fees += fee
        if order.side is Side.BUY:
            line[1] += remaining
            buy_cost += cost + fee
        else:
            line[2] += remaining
        if not order.reduce_only:  # the distant target price of an exit does not change what the position is worth
            line[3] = max(line[3], entry)
            worst_loss += (
                cost * move + fee + fee
                if order.stop_price is None and order.side is Side.BUY and entry <= mark
                else loss_from(entry, order, remaining, mark, fee_fraction, limits)
            )
    total, tied = ZERO, ZERO
    made: dict[Symbol, ExposureLine] = {}
    exposures: dict[Symbol, Decimal] = {}
    groups: dict[GroupName, Decimal] = {}
    for symbol, numbers in lines.items():
        made[symbol] = ExposureLine(*numbers)
        quantity, buys, sells, highest = numbers
        long, short = abs(quantity + buys), abs(quantity - sells)
        exposures[symbol] = exposure = (long if long > short else short) * highest
        instrument = instruments[symbol]
        total += exposure
        tied += exposure * instrument.margin_fraction
        groups[instrument.group] = groups.get(instrument.group, ZERO) + exposure
    cash = snapshot.balance - snapshot.accrued_costs - invested
    return ExposureBook(
        made,
        exposures,
        instruments,
        cash + worth,
        cash,
        buy_cost,
        fees,
        worst_loss,
        total,
        groups,
        tied,
    )
