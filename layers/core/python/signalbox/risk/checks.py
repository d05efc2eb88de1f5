"""The checks of one order, in rule order. Each appends its breaches without hiding those of others; `assess` runs them all.

An order that only reduces a position skips every check that guards against new risk: halt, old prices, exposure, funding, loss
headroom. It must still be a true reduction, precise, based on a fresh account state, and within the rate limit.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Final, NamedTuple, TypeAlias

from signalbox.exact import ZERO, plain, seconds_of
from signalbox.market.candles import Symbol
from signalbox.orders.terms import Side
from signalbox.risk.codes import RefusalCode
from signalbox.risk.decision import Breach
from signalbox.risk.exposure import ExposureImpact, loss_from
from signalbox.risk.limits import Funding, RiskLimits
from signalbox.risk.order import Instrument, ProposedOrder
from signalbox.risk.snapshot import FoundFresh, HaltLevel, LossRule, RiskSnapshot


class CheckContext(NamedTuple):
    """One order and the facts that its checks need.

    `impact` is None for a true reduction. It is also None if a price or an instrument that new risk needs is missing, which is
    a breach of its own.
    """

    order: ProposedOrder
    snapshot: RiskSnapshot
    limits: RiskLimits
    instrument: Instrument | None
    mark: Decimal | None
    impact: ExposureImpact | None
    symbols: tuple[Symbol, ...]  # the order's symbol and every symbol held or working
    reducible: Decimal  # how much may still be closed: the position minus orders already working against it
    reduces: bool  # the order is flagged reduce-only and really is a reduction


Breaches: TypeAlias = list[Breach]
_NO_TIME: Final = timedelta()


def reducible_quantity(order: ProposedOrder, snapshot: RiskSnapshot) -> Decimal:
    """Return how much of the position an order on this side may close; 0 if there is no position or it is on the same side."""
    position = snapshot.positions.get(order.symbol)
    if position is None or (position.quantity > ZERO) == (order.side is Side.BUY):
        return ZERO
    against = sum((w.remaining for w in snapshot.working if w.order.symbol == order.symbol and w.order.side is order.side), ZERO)
    return max(abs(position.quantity) - against, ZERO)


def check_halt(context: CheckContext, found: Breaches) -> None:
    """Append a breach if the kill switch or a protection's lock is active. Only true reductions pass it."""
    snapshot = context.snapshot
    if context.reduces:
        return
    if snapshot.halt is not HaltLevel.NONE:
        found.append(Breach(RefusalCode.ACCOUNT_HALTED, HaltLevel.NONE.value, snapshot.halt.value, ""))
    for lock in snapshot.locks:
        if snapshot.at < lock.until and lock.symbol in {None, context.order.symbol}:
            about = (("reason", lock.reason), ("until", lock.until.isoformat()))
            found.append(Breach(RefusalCode.ENTRY_LOCKED, lock.limit, lock.value, "", about))


def check_fresh(context: CheckContext, found: Breaches) -> None:
    """Append a breach for facts that are missing, too old or dated in the future.

    New risk needs recent prices, and loss limits in force if required. A recent account state is needed by every order.
    """
    snapshot, limits = context.snapshot, context.limits
    age = snapshot.at - snapshot.account_at
    if age and not _NO_TIME <= age <= timedelta(seconds=limits.max_account_age_seconds):
        found.append(_age(RefusalCode.ACCOUNT_STATE_AGE_OUT_OF_RANGE, limits.max_account_age_seconds, age))
    if context.reduces or is_fresh(snapshot, limits, context.symbols):
        return
    limit = timedelta(seconds=limits.max_price_age_seconds)
    for symbol in context.symbols:
        mark = snapshot.marks.get(symbol)
        if mark is None:
            found.append(Breach(RefusalCode.PRICE_MISSING, "a price", "none", "", (("symbol", symbol),)))
        elif not _NO_TIME <= snapshot.at - mark.at <= limit:
            age = snapshot.at - mark.at
            found.append(_age(RefusalCode.PRICE_AGE_OUT_OF_RANGE, limits.max_price_age_seconds, age, (("symbol", symbol),)))
    if limits.loss_floors_required:
        in_force = _in_force(snapshot)
        found.extend(
            Breach(RefusalCode.LOSS_FLOOR_MISSING, "a limit in force", "none", "", (("rule", rule),))
            for rule in LossRule
            if rule not in in_force
        )


def is_fresh(snapshot: RiskSnapshot, limits: RiskLimits, symbols: tuple[Symbol, ...]) -> bool:
    """Return whether all these symbols have instruments and recent prices, and all required loss limits are in force.

    Another order changes none of this, so a positive answer is kept with the snapshot and reused for the whole batch.
    """
    kept = snapshot._fresh  # noqa: SLF001 - the attribute exists for this function alone
    if kept is not None and kept.limits is limits and kept.symbols == symbols:
        return True
    at, marks, instruments = snapshot.at, snapshot.marks, snapshot.instruments
    limit = timedelta(seconds=limits.max_price_age_seconds)
    for symbol in symbols:
        mark = marks.get(symbol)
        if mark is None or symbol not in instruments or not _NO_TIME <= at - mark.at <= limit:
            return False
    if limits.loss_floors_required and not _in_force(snapshot).issuperset(LossRule):
        return False
    snapshot.__dict__["_fresh"] = FoundFresh(limits, symbols)
    return True


def _in_force(snapshot: RiskSnapshot) -> set[LossRule]:
    return {f.rule for f in snapshot.floors if f.starts_at <= snapshot.at < f.ends_at}


def check_known(context: CheckContext, found: Breaches) -> None:
    """Refuse new risk while the rules of a held or ordered instrument are unknown. Reductions always pass."""
    if context.reduces or context.impact is not None:
        return
    for symbol in context.symbols:
        if symbol not in context.snapshot.instruments:
            found.append(Breach(RefusalCode.INSTRUMENT_UNKNOWN, "an instrument", "none", "", (("symbol", symbol),)))


def check_precision(context: CheckContext, found: Breaches) -> None:
    """Check that prices are on ticks, the quantity is on a step, the stop is behind the entry, and the limit is near the mark."""
    order, instrument = context.order, context.instrument
    if instrument is None:
        return
    if order.price is not None and order.price % instrument.tick:
        found.append(Breach(RefusalCode.PRICE_OFF_TICK, instrument.tick, order.price, "", ()))
    if order.stop_price is not None and order.stop_price % instrument.tick:
        found.append(Breach(RefusalCode.STOP_PRICE_OFF_TICK, instrument.tick, order.stop_price, ""))
    at_mark = order.price is None and order.stop_price is None  # nothing of it is far from the mark, or on its wrong side
    if context.mark is not None and not context.reduces and not at_mark:
        entry = order.price if order.price is not None else context.mark
        stop = order.stop_price
        if stop is not None and (stop >= entry if order.side is Side.BUY else stop <= entry):
            about = (("side", order.side.value),)
            found.append(Breach(RefusalCode.STOP_PRICE_ON_WRONG_SIDE, entry, stop, "", about))
        band = context.mark * context.limits.max_price_deviation_fraction
        if abs(entry - context.mark) > band:
            about = (("mark", plain(context.mark)),)
            found.append(Breach(RefusalCode.PRICE_DEVIATION_OVER_LIMIT, band, abs(entry - context.mark), "", about))
    # a venue may fill a quantity that is off our step; an order that closes such a position must not be refused for it
    closes_odd_lot = context.reduces and (order.is_exit or context.reducible % instrument.step)
    if order.quantity % instrument.step and not closes_odd_lot:
        found.append(Breach(RefusalCode.QUANTITY_OFF_STEP, instrument.step, order.quantity, ""))


def check_size(context: CheckContext, found: Breaches) -> None:
    """Check that quantity and notional are within the venue's bounds. Without any price the notional is not checked.

    An order that closes all that is left may be below the minimum, and a rise in price never makes a reduction too large.
    """
    order, instrument = context.order, context.instrument
    if instrument is None:
        return
    closes_all = context.reduces and (order.is_exit or order.quantity == context.reducible)
    if order.quantity < instrument.min_quantity and not closes_all:
        found.append(Breach(RefusalCode.QUANTITY_BELOW_MINIMUM, instrument.min_quantity, order.quantity, ""))
    if order.quantity > instrument.max_quantity:
        found.append(Breach(RefusalCode.QUANTITY_OVER_MAXIMUM, instrument.max_quantity, order.quantity, ""))
    price = order.price if order.price is not None else context.mark
    if price is None:
        return
    notional = order.quantity * price
    if notional < instrument.min_notional and not closes_all:
        found.append(Breach(RefusalCode.NOTIONAL_BELOW_MINIMUM, instrument.min_notional, notional, ""))
    if notional > instrument.max_notional and not context.reduces:
        found.append(Breach(RefusalCode.NOTIONAL_OVER_MAXIMUM, instrument.max_notional, notional, ""))


def check_reduce_only(context: CheckContext, found: Breaches) -> None:
    """Check that a reduce-only order closes no more than the open quantity that no other order is closing yet."""
    order = context.order
    if not order.reduce_only or context.reduces:
        return
    position = context.snapshot.positions.get(order.symbol)
    if position is None:
        found.append(Breach(RefusalCode.REDUCE_ONLY_WITHOUT_POSITION, "a position", "0", ""))
    elif (position.quantity > ZERO) == (order.side is Side.BUY):
        closing = Side.SELL if position.quantity > ZERO else Side.BUY
        found.append(Breach(RefusalCode.REDUCE_ONLY_INCREASES_POSITION, closing.value, order.side.value, ""))
    else:
        found.append(Breach(RefusalCode.REDUCE_ONLY_FLIPS_POSITION, context.reducible, order.quantity, ""))


def check_exposure(context: CheckContext, found: Breaches) -> None:
    """Check the worst notional of symbol, account and correlated group.

    An order that does not raise it passes even above a limit.
    """
    impact = context.impact
    if impact is None or (added := impact.after - impact.before) <= ZERO:
        return
    book, group_name = impact.book, impact.instrument.group
    limits, equity, after = context.limits, book.equity if book.equity > ZERO else ZERO, impact.after
    account, group = book.total + added, book.exposure(group_name) + added
    if after > (limit := equity * limits.max_symbol_exposure_fraction):
        found.append(Breach(RefusalCode.SYMBOL_EXPOSURE_OVER_LIMIT, limit, after, "USD", (("symbol", context.order.symbol),)))
    if account > (limit := equity * limits.max_account_exposure_fraction):
        found.append(Breach(RefusalCode.ACCOUNT_EXPOSURE_OVER_LIMIT, limit, account, "USD", (("equity", plain(equity)),)))
    if group > (limit := equity * limits.max_group_exposure_fraction):
        found.append(Breach(RefusalCode.GROUP_EXPOSURE_OVER_LIMIT, limit, group, "USD", (("group", group_name),)))


def check_funding(context: CheckContext, found: Breaches) -> None:
    """Check that there is enough cash for a purchase (CASH), or enough margin for the worst positions (MARGIN)."""
    impact, limits = context.impact, context.limits
    if impact is None:
        return
    book, order = impact.book, context.order
    fee = order.quantity * impact.entry * impact.instrument.fee_fraction
    if limits.funding is Funding.MARGIN:
        added = impact.after - impact.before
        margin = book.margin() + added * impact.instrument.margin_fraction + fee
        limit = max(book.equity, ZERO) * limits.max_funding_use_fraction
        if margin > limit and added > ZERO:
            found.append(Breach(RefusalCode.MARGIN_INSUFFICIENT, limit, margin, "USD"))
        return
    if order.side is Side.SELL:
        short = impact.line.position - impact.line.sells
        if short < ZERO:
            found.append(Breach(RefusalCode.SHORT_POSITION_NOT_ALLOWED, ZERO, short, "", (("symbol", order.symbol),)))
        return
    cost = book.buy_cost + order.quantity * impact.entry + fee
    limit = max(book.cash, ZERO) * limits.max_funding_use_fraction
    if cost > limit:
        found.append(Breach(RefusalCode.CASH_INSUFFICIENT, limit, cost, "USD"))


_HEADROOM: Final = {
    LossRule.MAX_DAILY_LOSS: RefusalCode.DAILY_LOSS_HEADROOM_INSUFFICIENT,
    LossRule.MAX_LOSS: RefusalCode.MAX_LOSS_HEADROOM_INSUFFICIENT,
}


def check_headroom(context: CheckContext, found: Breaches) -> None:
    """Check that equity stays above the level that blocks new risk, after the worst case of positions, orders and this order."""
    impact, order = context.impact, context.order
    if impact is None or not context.snapshot.floors:
        return
    if order.reduce_only:  # not a true reduction: it is judged as the new risk that it would be
        loss = order.quantity * impact.mark * context.limits.worst_move_fraction
    else:
        loss = loss_from(impact.entry, order, order.quantity, impact.mark, impact.instrument.fee_fraction, context.limits)
    worst_equity = impact.book.equity - impact.book.worst_loss - loss
    at, ahead = context.snapshot.at, timedelta(minutes=context.limits.midnight_guard_minutes)
    for rule in _HEADROOM:
        floors = [f.block_below for f in context.snapshot.floors if f.rule is rule and f.blocks(at, ahead)]
        if floors and worst_equity < max(floors):
            found.append(Breach(_HEADROOM[rule], max(floors), worst_equity, "USD", (("loss", plain(loss)),)))


def check_throttle(context: CheckContext, found: Breaches) -> None:
    """Check that the id is unused and the order rate is within the limit. Part of the rate is reserved for reductions."""
    order, snapshot, limits = context.order, context.snapshot, context.limits
    if snapshot.is_working(order.order_id):
        found.append(Breach(RefusalCode.ORDER_ID_IN_USE, "an unused id", order.order_id, ""))
    start = snapshot.at - timedelta(seconds=limits.throttle_window_seconds)
    count = 1 + snapshot.sent_after(start)
    limit = limits.max_orders_per_window + (limits.reserved_for_reducing if context.reduces else 0)
    if count > limit:
        about = (("window", f"{limits.throttle_window_seconds} s"),)
        found.append(Breach(RefusalCode.ORDER_RATE_OVER_LIMIT, Decimal(limit), Decimal(count), "orders", about))


CHECKS: Final[tuple[Callable[[CheckContext, Breaches], None], ...]] = (
    check_halt,
    check_fresh,
    check_known,
    check_precision,
    check_size,
    check_reduce_only,
    check_exposure,
    check_funding,
    check_headroom,
    check_throttle,
)
# An order that may add risk, with every price and rule that it takes, has nothing to be asked by these two.
CHECKS_OF_NEW_RISK: Final = tuple(check for check in CHECKS if check not in {check_known, check_reduce_only})


def _age(code: RefusalCode, limit_seconds: int, age: timedelta, about: tuple[tuple[str, str], ...] = ()) -> Breach:
    return Breach(code, Decimal(limit_seconds), seconds_of(age), "s", about)
