"""The steps of an account: pure functions from a desk and what happened to the desk after it and the changes to commit.

Every caller watches first: `watch` applies the bars that closed since the last step, so the outcome does not depend on
which event arrives first. A step that comes again finds its own traces and changes nothing. No step reads a clock.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace as replaced
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from signalbox.events import SignalGenerated
from signalbox.market.candles import Bars, Symbol
from signalbox.orders.events import OrderCancelRequested, OrderFilled, OrderUpdateRequested
from signalbox.orders.identity import ClientOrderId, client_order_id
from signalbox.orders.messages import ExecutionReported, Instruction, VenueViewReported
from signalbox.orders.order import Order
from signalbox.orders.terms import Leg, OrderTerms, OrderType
from signalbox.orders.transitions import OrderState
from signalbox.portfolio.entries import Entry
from signalbox.portfolio.lots import LotMethod, StandingOrder
from signalbox.risk.assess import assess
from signalbox.risk.decision import RiskRefused
from signalbox.risk.ftmo.state import AccountStatus
from signalbox.risk.order import OrderId, ProposedOrder
from signalbox.risk.order import Side as RiskSide
from signalbox.risk.snapshot import HaltLevel
from signalbox.trading.account import TradingMode
from signalbox.trading.at_venue import venue_locks
from signalbox.trading.changes import NOTHING, Changes, RiskEvent, RiskEventKind
from signalbox.trading.comparing import compared, follow_up, needs_comparison, request_view
from signalbox.trading.entry import ENTRY_BARS, EntryPlan, HeldBack, edge_is_below_cost, first_objection, plan, volatility
from signalbox.trading.errors import CommandError, NotWatchedError
from signalbox.trading.events import AccountExhausted, TradingResumed
from signalbox.trading.exhaustion import Exhaustion, exhaustion, untold
from signalbox.trading.exits import KILL_SWITCH, close_stray, tend
from signalbox.trading.sheet import Sheet
from signalbox.trading.snapshot import equity_of, judge_of, risk_snapshot
from signalbox.trading.state import Desk, Halt, Trade, TradeState
from signalbox.trading.watching import Candles, tell_reported, watch_bars

FAILING_AFTER: Final = 3  # exits in a row that ended without a fill: no new entries until one goes through
STALE_AFTER: Final = timedelta(minutes=10)  # without a bar of what is held
COMPARED_WITHIN: Final = timedelta(minutes=15)  # for a live account that takes new risk
Step = tuple[Desk, Changes]

__all__ = [
    "ENTRY_BARS",
    "cancel",
    "choose_lots",
    "compare",
    "enter",
    "entry_key",
    "follow_up",
    "halt",
    "needs_comparison",
    "objection_to",
    "replace",
    "report",
    "request_view",
    "resume",
    "risk_snapshot",
    "submit",
    "wanted_entry",
    "watch",
]


def watch(
    desk: Desk, candles: Candles, at: datetime, *, stale_after: timedelta = STALE_AFTER, entries: Sequence[Entry] = ()
) -> Step:
    """Apply the bars with watched_until < close_time <= at, minute by minute: fills, worst prices, rules, what is to be left.

    candles: by symbol, oldest first; bars that were watched are passed over. A desk that `is_idle` needs only the newest bar
    of each symbol. Leaves one equity snapshot at `at`, the first time it is called for that instant. Raises RebookNeededError
    when bars come after money was moved that is dated later than their fills: call again with all `entries` of the account.
    """
    sheet = Sheet(desk, at, entries)
    watch_bars(sheet, candles, stale_after)
    if desk.at is None or at > desk.at:
        sheet.value(at)
    return sheet.done()


def enter(desk: Desk, signal: SignalGenerated, bars: Bars, at: datetime, *, deciders: Collection[tuple[str, str]] = ()) -> Step:
    """Follow a signal with an entry order, or record why not. `bars`: of its symbol, the newest ENTRY_BARS or more.

    deciders: every deployment (name, stage) that decided this symbol at this instant; the signal's own is always one.
    Raises NotWatchedError for an account with something at stake that has not watched the bars up to the decision.
    """
    account, symbol = desk.account, Symbol(signal.symbol)
    key = entry_key(desk, signal)
    is_followed = account.followed({*deciders, (signal.deployment, signal.stage)}) == signal.deployment
    if signal.direction == "HOLD" or (is_followed and key in desk.orders):
        return desk, NOTHING
    if not desk.is_idle and desk.watched_until is None:
        raise NotWatchedError(f"{account.account}: expected the bars until {signal.decided_at} to be watched, were none")
    at = at if desk.at is None else max(at, desk.at)
    objection = objection_to(desk, signal, at) if is_followed else HeldBack.NOT_FOLLOWED
    if objection is not None:
        return _held_back(desk, signal, objection, at)
    if (over := _over(desk, symbol, at)) is not None:
        return _exhausted(desk, signal, over, at)
    wanted = wanted_entry(desk, signal, bars)
    if isinstance(wanted, HeldBack):
        return _held_back(desk, signal, wanted, at)
    sheet = Sheet(desk, at)
    order = sheet.send(
        wanted.terms,
        at if sheet.is_live else sheet.stamp(signal.decided_at),
        stop_loss=wanted.stop_loss,
        take_profit=wanted.take_profit,
    )
    if not order.state.is_closed:
        sheet.warned = untold(sheet.warned)
        sheet.set_trade(
            Trade(
                entry=key,
                symbol=symbol,
                side=wanted.terms.side,
                decided_at=signal.decided_at,
                deployment=signal.deployment,
                stage=signal.stage,
                state=TradeState.ENTERING,
                stop_loss=wanted.stop_loss,
                take_profit=wanted.take_profit,
                deadline=wanted.deadline,
            )
        )
    return sheet.done()


def wanted_entry(desk: Desk, signal: SignalGenerated, bars: Bars) -> EntryPlan | HeldBack:
    """Return what an account that has no objection would send for a signal, by its prices; or why it would send nothing."""
    account = desk.account
    move = volatility(bars, signal.decided_at, signal.horizon_minutes)
    if not move:
        return HeldBack.VOLATILITY_UNKNOWN
    if edge_is_below_cost(account.policy, signal, move):
        return HeldBack.EDGE_BELOW_COST
    instrument = desk.instruments.get(Symbol(signal.symbol))
    if instrument is None:
        return HeldBack.NO_INSTRUMENT
    wanted = plan(account, signal, instrument, move, equity_of(desk))
    if wanted is None:
        return HeldBack.BELOW_MINIMUM_SIZE
    return HeldBack.DRY_RUN if account.mode is TradingMode.DRY_RUN else wanted


def objection_to(desk: Desk, signal: SignalGenerated, at: datetime) -> HeldBack | None:
    """Return what an account has against a signal before it looks at prices."""
    symbol = Symbol(signal.symbol)
    found = first_objection(desk.account, signal, at, is_traded=symbol in desk.trades or _is_held(desk, symbol))
    if found is None and max((one.failures for one in desk.leaving), default=0) >= FAILING_AFTER:
        return HeldBack.EXIT_FAILING
    if found is not None or desk.account.mode is not TradingMode.LIVE:
        return found
    if desk.compared_at is None or at - desk.compared_at > COMPARED_WITHIN:
        return HeldBack.NOT_COMPARED
    if desk.at_venue.open_doubts:
        return HeldBack.IN_DOUBT
    is_closed = any(lock.stops(symbol, at) for lock in venue_locks(desk.at_venue.instruments, at))
    return HeldBack.NO_INSTRUMENT if symbol not in desk.instruments or is_closed else None


def entry_key(desk: Desk, signal: SignalGenerated) -> ClientOrderId:
    """Return the id of the order that enters a signal."""
    return client_order_id(
        account=desk.account.account,
        strategy=desk.account.strategy,
        symbol=signal.symbol,
        decided_at=signal.decided_at,
        leg=Leg.ENTRY,
    )


def _is_held(desk: Desk, symbol: Symbol) -> bool:
    return bool(desk.books.position(symbol).quantity)


def _over(desk: Desk, symbol: Symbol, at: datetime) -> Exhaustion | None:
    """Return why no entry can pass; nothing of an account that is stopped anyway: that is told so, and its orders refused."""
    if desk.halt is not None and desk.halt.level_at(at) is not HaltLevel.NONE:
        return None
    is_locked = any(lock.stops(symbol, at) for lock in desk.locks)
    return None if is_locked else exhaustion(desk, at)


def _exhausted(desk: Desk, signal: SignalGenerated, over: Exhaustion, at: datetime) -> Step:
    """Hold a signal back because no entry can pass, and say so once."""
    held_back, changes = _held_back(desk, signal, HeldBack.EXHAUSTED, at)
    if over.warning in desk.warned:
        return held_back, changes
    told = AccountExhausted(
        account=desk.account.account,
        rule=over.rule,
        at=at,
        balance=desk.books.balance,
        left=over.left,
        least_loss=over.least_loss,
        until=over.until,
    )
    line = RiskEvent(
        RiskEventKind.EXHAUSTED,
        f"{over.rule}:{at.isoformat()}",
        at,
        over.rule,
        limit=over.least_loss,
        value=over.left,
        detail="for good" if over.until is None else f"until {over.until.isoformat()}",
    )
    return replaced(held_back, warned=untold(desk.warned) | {over.warning}), changes + Changes(risk=(line,), events=(told,))


def _held_back(desk: Desk, signal: SignalGenerated, why: HeldBack, at: datetime) -> Step:
    line = RiskEvent(RiskEventKind.SIGNAL_HELD_BACK, signal.event_id, at, why, symbol=Symbol(signal.symbol))
    return replaced(desk, at=at), Changes(risk=(line,))


def submit(desk: Desk, terms: OrderTerms | Sequence[OrderTerms], at: datetime) -> Step:
    """Send orders that somebody wants, judged one after the other with those before them working.

    An order that exists changes nothing. Raises CommandError for terms of another account.
    """
    sheet = Sheet(desk, at)
    wanted = (terms,) if isinstance(terms, OrderTerms) else tuple(terms)
    if all(one.client_order_id in desk.orders for one in wanted):
        return desk, NOTHING
    for one in wanted:  # all of them first: an error sends none
        if one.account != desk.account.account:
            raise CommandError(f"expected an order of {desk.account.account}, was of {one.account}")
        if sheet.at >= one.send_before:
            raise CommandError(f"expected an order to send before {one.send_before.isoformat()}, was {sheet.at.isoformat()}")
    sheet.send_in_turn(wanted, sheet.at if sheet.is_live else sheet.stamp(sheet.at))
    return sheet.done()


def cancel(desk: Desk, key: ClientOrderId, request_id: str, at: datetime) -> Step:
    """Ask for an order to be taken back. One that is over, or is being cancelled, is left as it is.

    Raises CommandError for an order that is not on the desk.
    """
    order = _known(desk, key)
    asked = OrderCancelRequested(client_order_id=key, at=at, request_id=request_id)
    if order.state.is_closed or order.pending_cancel is not None or asked.event_id in order.seen:
        return desk, NOTHING
    sheet = Sheet(desk, at)
    sheet.cancel(order, request_id, sheet.at)
    return sheet.done()


def replace(
    desk: Desk,
    key: ClientOrderId,
    request_id: str,
    at: datetime,
    *,
    quantity: Decimal | None = None,
    limit_price: Decimal | None = None,
    stop_price: Decimal | None = None,
) -> Step:
    """Ask for an open order to be changed; what is None stays. It is judged as the order it would become.

    Raises CommandError for an order that is not on the desk or cannot be changed now.
    """
    order = _known(desk, key)
    event = OrderUpdateRequested(
        client_order_id=key, at=at, request_id=request_id, quantity=quantity, limit_price=limit_price, stop_price=stop_price
    )
    if event.event_id in order.seen:
        return desk, NOTHING
    total = order.quantity if quantity is None else quantity
    _check_change(order, total, limit_price, stop_price)
    sheet = Sheet(desk, at)
    del sheet.orders[key]
    changed = ProposedOrder(
        order_id=OrderId(key),
        symbol=Symbol(order.terms.symbol),
        side=RiskSide(order.terms.side.value),
        quantity=total - order.filled,
        price=limit_price or stop_price or order.limit_price or order.stop_price,
        reduce_only=order.terms.reduce_only,
    )
    decision = assess(changed, sheet.snapshot(sheet.at), desk.account.limits)
    sheet.orders[key] = order
    if isinstance(decision, RiskRefused):
        sheet.refused(f"{key}:{request_id}", order, decision, sheet.at)
        return sheet.done()
    sheet.take(event)
    if sheet.is_live:
        sheet.ask(
            Instruction.REPLACE,
            order,
            request_id,
            sheet.at,
            quantity=quantity,
            limit_price=limit_price,
            stop_price=stop_price,
        )
    return sheet.done()


def _check_change(order: Order, total: Decimal, limit_price: Decimal | None, stop_price: Decimal | None) -> None:
    if order.state not in {OrderState.ACCEPTED, OrderState.PARTIALLY_FILLED}:
        raise CommandError(f"{order.client_order_id}: expected an order at the venue and nothing pending, was {order.state}")
    if total <= order.filled:
        raise CommandError(f"{order.client_order_id}: expected a quantity above the filled {order.filled}, was {total}")
    wrong_limit = limit_price is not None and order.terms.type is not OrderType.LIMIT
    wrong_stop = stop_price is not None and order.terms.type is not OrderType.STOP
    if wrong_limit or wrong_stop:
        raise CommandError(f"{order.client_order_id}: expected a price that a {order.terms.type} order has")


def _known(desk: Desk, key: ClientOrderId) -> Order:
    order = desk.orders.get(key)
    if order is None:
        raise CommandError(f"{desk.account.account}: expected an order on the desk, was {key}")
    return order


def report(desk: Desk, reported: ExecutionReported | Sequence[ExecutionReported], entries: Sequence[Entry] = ()) -> Step:
    """Take what a venue did to an order, or to several as it was told in turn.

    The orders have to be on the desk, however old; the ledger loads them by their ids. What an order refuses (an overfill, a
    conflicting trade, an illegal move) is recorded and stops the account, and nothing of it is applied. Raises
    RebookNeededError when a fill is older than the newest booked entry: call again with all `entries` of the account.
    """
    told = (reported,) if isinstance(reported, ExecutionReported) else tuple(reported)
    if not told:
        return desk, NOTHING
    sheet = Sheet(desk, max(one.reported_at for one in told), entries)
    for one in told:
        sheet.report(one.events)
    return _after_reports(sheet)


def _after_reports(sheet: Sheet) -> Step:
    if not sheet.order_events and not sheet.risk:
        return sheet.desk, NOTHING
    _tended(sheet)
    return sheet.done()


def _tended(sheet: Sheet) -> None:
    tell_reported(sheet)
    _close_strays(sheet)
    tend(sheet, sheet.at)


def _close_strays(sheet: Sheet) -> None:
    """Have closed what an order of ours filled after its trade was over: nothing stands behind it, and it is nobody's."""
    for event in sheet.order_events:
        if not isinstance(event, OrderFilled):
            continue
        order = sheet.orders[ClientOrderId(event.client_order_id)]
        if not _is_stray(sheet, order):
            continue
        sheet.risk.append(
            RiskEvent(
                RiskEventKind.LATE_FILL,
                event.event_id[:200],
                sheet.at,
                order.terms.leg,
                symbol=Symbol(event.symbol),
                value=order.terms.signed(event.quantity),
                detail=f"of {order.client_order_id}, whose trade was over: it is closed at the market",
            )
        )
        close_stray(sheet, Symbol(event.symbol), order.terms.signed(event.quantity), sheet.at, order.client_order_id)


def _is_stray(sheet: Sheet, order: Order) -> bool:
    """Whether an order is ours and what it is for is over. Orders that people send are theirs."""
    if order.terms.strategy == KILL_SWITCH:
        closing = sheet.closings.get(Symbol(order.terms.symbol))
        return closing is None or closing.order != order.client_order_id
    return order.terms.strategy == sheet.account.strategy and not any(t.owns(order) for t in sheet.trades.values())


def choose_lots(desk: Desk, method: LotMethod, given_at: datetime, effective_from: datetime | None, at: datetime) -> Step:
    """Give a standing order of the tax lots. The method in force again, or a word older than the newest, changes nothing.

    effective_from: None is right after the newest booked entry, and not before `at`. Raises CommandError for one that would
    change what is booked, or does not follow the newest one.
    """
    given, newest = desk.books.standing_orders, desk.books.newest
    if given and (given[-1].method is method or given_at <= given[-1].given_at):
        return desk, NOTHING
    earliest = at if newest is None else max(at, newest.at + timedelta.resolution)
    begins = earliest if effective_from is None else effective_from
    if begins < earliest:
        raise CommandError(f"effective_from: expected {earliest.isoformat()} or later, for what is booked stays, was {begins}")
    if given and begins <= given[-1].effective_from:
        raise CommandError(f"effective_from: expected after that of the newest, {given[-1].effective_from}, was {begins}")
    books = replaced(desk.books, standing_orders=(*given, StandingOrder(method, given_at, begins)))
    line = RiskEvent(
        RiskEventKind.OVERRIDE, f"lots:{given_at.isoformat()}", at, method, detail=f"{method} from {begins.isoformat()}"
    )
    return replaced(desk, books=books, at=at), Changes(risk=(line,))


def compare(desk: Desk, viewed: VenueViewReported, entries: Sequence[Entry] = ()) -> Step:
    """Compare the ledger with what the venue has (trading/comparing.py), and tend what that leaves."""
    sheet = compared(desk, viewed, entries)
    if sheet is None:
        return desk, NOTHING
    _tended(sheet)  # also after a view without an event: what it shows may be what an exit waits for
    return sheet.done()


def halt(  # noqa: PLR0917 - who, why and when read in this order
    desk: Desk, level: HaltLevel, who: str, why: str, at: datetime, until: datetime | None = None
) -> Step:
    """Set the kill switch; FLATTEN also closes everything. Of two the stricter level holds until the later end.

    One that is neither stricter nor longer than what is in force changes nothing. Working orders that are not reductions
    are cancelled. Raises CommandError for NONE: that is `resume`.
    """
    if level is HaltLevel.NONE:
        raise CommandError("expected a level that stops something, was NONE; resume releases the kill switch")
    sheet = Sheet(desk, at)
    if not sheet.set_halt(Halt(level, who, why, sheet.at, until)):
        return desk, NOTHING
    tend(sheet, sheet.stamp(sheet.at))
    return sheet.done()


def resume(desk: Desk, who: str, why: str, at: datetime, given_at: datetime | None = None) -> Step:
    """Release the kill switch. Raises CommandError while a loss rule is broken: a breach is final.

    given_at: when somebody said so, default: now. A word that waited, or is delivered twice, releases no halt that was set
    after it: nobody has looked at that one. CommandError then.
    """
    if desk.halt is None:
        return desk, NOTHING
    if given_at is not None and given_at < desk.halt.since:
        raise CommandError(
            f"{desk.account.account}: expected a resume given after the halt of {desk.halt.since.isoformat()} "
            f"({desk.halt.why}), was of {given_at.isoformat()}; look at it and resume again"
        )
    judge = judge_of(desk.account, desk.loss_rules)
    if judge is not None and judge.status is AccountStatus.BREACHED:
        broken = ", ".join(judge.breaches)
        raise CommandError(f"{desk.account.account}: expected no broken rule, was {broken}; a breach is final")
    sheet = Sheet(desk, at)
    sheet.halt = None
    sheet.warned = untold(sheet.warned)  # whoever resumes is told again
    sheet.risk.append(RiskEvent(RiskEventKind.RESUMED, sheet.at.isoformat(), sheet.at, desk.halt.level, who=who, detail=why))
    sheet.events.append(TradingResumed(account=desk.account.account, who=who, why=why, at=sheet.at))
    return sheet.done()
