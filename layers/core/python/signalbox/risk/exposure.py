"""What an account could come to: exposure, cost and loss if everything working fills and then goes as badly as assumed.

Conservative on purpose. A symbol's worst position is the larger of "all buys fill" and "all sells fill", valued at the
highest price among its mark and its orders. The worst loss adds up every position and every order that adds risk, each
going to its stop (and a little beyond) or by the assumed worst move; orders that offset each other are not netted.

A stop counts for the quantity that it closes and no more, and only while the mark has not passed it: one that was passed
and did not trade protects nothing, and what it should have closed may lose the worst move from the mark on.
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
        long, short = abs(self.position + self.buys), abs(self.position - self.sells)
        return (long if long > short else short) * self.price

    def plus(self, side: Side, quantity: Decimal, price: Decimal) -> ExposureLine:
        """Return the line with one more order working."""
        position, buys, sells, highest = self
        highest = max(highest, price)
        if side is Side.BUY:
            return ExposureLine(position, buys + quantity, sells, highest)
        return ExposureLine(position, buys, sells + quantity, highest)


class ExposureBook(NamedTuple):
    """The account before the order under judgement. `cash` is what CASH funding may spend, working buys not yet taken off."""

    lines: Mapping[Symbol, ExposureLine]
    exposures: Mapping[Symbol, Decimal]  # of each line
    instruments: Mapping[Symbol, Instrument]
    equity: Decimal
    cash: Decimal
    buy_cost: Decimal  # of working buys, fees included
    fees: Decimal  # of working orders, one way
    worst_loss: Decimal
    total: Decimal  # of all exposures
    groups: Mapping[GroupName, Decimal]  # the same of each correlated group
    tied: Decimal  # equity that the worst positions tie up

    def exposure(self, group: GroupName | None = None) -> Decimal:
        """Worst notional of the account, or of one correlated group."""
        return self.total if group is None else self.groups.get(group, ZERO)

    def margin(self) -> Decimal:
        """Equity tied up by the worst positions, and the fees of getting there."""
        return self.tied + self.fees


class ExposureImpact(NamedTuple):
    """What new risk is judged by: the account's book, and the order's symbol before and after the order."""

    book: ExposureBook
    instrument: Instrument
    mark: Decimal
    entry: Decimal  # the worst price it may fill at
    before: Decimal  # exposure of the symbol
    line: ExposureLine  # of the symbol, the order working
    after: Decimal  # exposure of that line


def entry_price(order: ProposedOrder, mark: Decimal, limits: RiskLimits) -> Decimal:
    """Return the worst price the order may fill at: its limit, or the market's when it is a market or stop order."""
    price, is_buy = order.price, order.side is Side.BUY
    if price is None:
        start, slippage = mark, mark * limits.market_slippage_fraction
    elif not order.is_stop:
        return price
    else:  # one that the mark has passed trades at the mark
        start = max(price, mark) if is_buy else min(price, mark)
        slippage = start * limits.stop_slippage_fraction
    return start + slippage if is_buy else start - slippage


def order_loss(order: ProposedOrder, quantity: Decimal, mark: Decimal, fee_fraction: Decimal, limits: RiskLimits) -> Decimal:
    """Return what filling this much of the order may lose, fees of both ways included; nothing when it only reduces."""
    if order.reduce_only:
        return ZERO
    return loss_from(entry_price(order, mark, limits), order, quantity, mark, fee_fraction, limits)


def loss_from(  # noqa: PLR0917 - asked for each order of a batch
    entry: Decimal, order: ProposedOrder, quantity: Decimal, mark: Decimal, fee_fraction: Decimal, limits: RiskLimits
) -> Decimal:
    """As `order_loss` of an order that adds risk, which fills at `entry` at the worst.

    A purchase is left below its entry and a sale above, whatever the stop: slippages and the worst move are never negative.
    """
    if order.side is Side.BUY:
        end = _worst_sale(order.stop_price, mark if mark < entry else entry, limits)
        return quantity * (entry - end + (entry + entry) * fee_fraction)
    end = _worst_purchase(order.stop_price, mark if mark > entry else entry, limits)
    return quantity * (end - entry + (entry + end) * fee_fraction)


def position_loss(position: Position, mark: Decimal, fee_fraction: Decimal, limits: RiskLimits) -> Decimal:
    """Return what an open position may still lose from its mark, the fee of leaving it included."""
    quantity, stop = position.quantity, position.stop_price
    if quantity > ZERO:  # left below its mark, a short one above
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
    """As `position_loss`, of a position without a stop and of this signed value: a short one is bought back at a higher price."""
    if value > ZERO:
        return value * (move + fee_fraction)
    return -value * (move + fee_fraction + move * fee_fraction)


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


def weigh(order: ProposedOrder, snapshot: RiskSnapshot, limits: RiskLimits) -> ExposureImpact:
    """Return an order beside the account's book. Once it is sent, the book goes on from what was found here."""
    book, mark = book_of(snapshot, limits), snapshot.marks[order.symbol].price
    found = _weighed(book, order, order.quantity, mark, limits)
    snapshot.__dict__["_weighed"] = KeptImpact(order, found)
    return found


def _weighed(book: ExposureBook, order: ProposedOrder, quantity: Decimal, mark: Decimal, limits: RiskLimits) -> ExposureImpact:
    symbol, entry = order.symbol, entry_price(order, mark, limits)
    line = (book.lines.get(symbol) or ExposureLine(ZERO, ZERO, ZERO, mark)).plus(order.side, quantity, entry)
    return ExposureImpact(book, book.instruments[symbol], mark, entry, book.exposures.get(symbol, ZERO), line, line.exposure)


def book_of(snapshot: RiskSnapshot, limits: RiskLimits) -> ExposureBook:
    """Return the account's book. Every symbol held or working needs a mark and an instrument (KeyError otherwise).

    A snapshot keeps its book, and one with an order sent goes on from the book before: all sums are exact, so that what is
    added last makes the same as what is added first.
    """
    kept, count = snapshot._book, snapshot._count  # noqa: SLF001 - kept there for this function alone
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
    mark, known = snapshot.marks[symbol].price, snapshot._weighed  # noqa: SLF001 - kept there for this module alone
    if known is not None and known.order is order and isinstance(known.weighed, ExposureImpact) and known.weighed.book is book:
        found = known.weighed
    else:
        found = _weighed(book, order, remaining, mark, limits)
    entry, fee_fraction, group = found.entry, found.instrument.fee_fraction, found.instrument.group
    line, exposure, worst_loss = found.line, found.after, book.worst_loss
    if order.reduce_only:  # the far target of an exit says nothing about what the position is worth
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
    """Add everything up. What has no stop is added up with fewer steps: sums are exact, so it comes to the same."""
    marks, instruments, move = snapshot.marks, snapshot.instruments, limits.worst_move_fraction
    lines: dict[Symbol, list[Decimal]] = {}  # as ExposureLine, under way
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
        if not order.reduce_only:  # the far target of an exit says nothing about what the position is worth
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
