"""The steps of an account: pure functions of (account state, what happened) that return the next state and a change set.

Every caller applies bars first: `apply_bars` takes those that closed since the last step, so the outcome does not depend on
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
from signalbox.orders.messages import ExecutionReported, OrderInstruction, VenueViewReported
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
from signalbox.trading.changes import NO_CHANGES, ChangeSet, RiskEvent, RiskEventKind
from signalbox.trading.draft import AccountDraft
from signalbox.trading.entry import ENTRY_BARS, EntryPlan, SignalSkipReason, edge_is_below_cost, first_objection, plan, volatility
from signalbox.trading.errors import BarsNotAppliedError, CommandError
from signalbox.trading.events import AccountExhausted, TradingResumed
from signalbox.trading.exits import KILL_SWITCH, close_stray, manage_exits
from signalbox.trading.headroom import HeadroomDepleted, depleted_headroom
from signalbox.trading.monitoring import Candles, apply_closed_bars, observe_reports
from signalbox.trading.snapshot import equity_of, risk_snapshot, rule_monitor_of
from signalbox.trading.state import AccountState, Halt, Trade, TradeState
from signalbox.trading.venue_comparison import compared, follow_up, needs_comparison, request_view
from signalbox.trading.warnings import without_depletion

FAILING_AFTER: Final = 3  # exits in a row that ended without a fill: no new entries until one goes through
STALE_AFTER: Final = timedelta(minutes=10)  # without a bar of what is held
COMPARED_WITHIN: Final = timedelta(minutes=15)  # for a live account that takes new risk
Transition = tuple[AccountState, ChangeSet]

__all__ = [
    "ENTRY_BARS",
    "apply_bars",
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
]


def apply_bars(
    state: AccountState, candles: Candles, at: datetime, *, stale_after: timedelta = STALE_AFTER, entries: Sequence[Entry] = ()
) -> Transition:
    """Apply the bars with watched_until < close_time <= at, minute by minute: fills, worst prices, rules, what is to be left.

    candles: by symbol, oldest first; bars that were applied are passed over. An account that `is_idle` needs only the newest
    bar of each symbol. Leaves one equity snapshot at `at`, the first time it is called for that instant. Raises
    RebookNeededError when bars come after money was moved that is dated later than their fills: call again with all `entries`
    of the account.
    """
    draft = AccountDraft(state, at, entries)
    apply_closed_bars(draft, candles, stale_after)
    if state.at is None or at > state.at:
        draft.value(at)
    return draft.done()


def enter(
    state: AccountState, signal: SignalGenerated, bars: Bars, at: datetime, *, deciders: Collection[tuple[str, str]] = ()
) -> Transition:
    """Follow a signal with an entry order, or record why not. `bars`: of its symbol, the newest ENTRY_BARS or more.

    deciders: every deployment (name, stage) that decided this symbol at this instant; the signal's own is always one.
    Raises BarsNotAppliedError for an account with something at stake to which the bars up to the decision were not applied.
    """
    account, symbol = state.account, Symbol(signal.symbol)
    key = entry_key(state, signal)
    is_followed = account.followed({*deciders, (signal.deployment, signal.stage)}) == signal.deployment
    if signal.direction == "HOLD" or (is_followed and key in state.orders):
        return state, NO_CHANGES
    if not state.is_idle and state.watched_until is None:
        raise BarsNotAppliedError(f"{account.account}: expected the bars until {signal.decided_at} to be watched, were none")
    at = at if state.at is None else max(at, state.at)
    objection = objection_to(state, signal, at) if is_followed else SignalSkipReason.NOT_FOLLOWED
    if objection is not None:
        return _signal_skipped(state, signal, objection, at)
    if (over := _over(state, symbol, at)) is not None:
        return _exhausted(state, signal, over, at)
    wanted = wanted_entry(state, signal, bars)
    if isinstance(wanted, SignalSkipReason):
        return _signal_skipped(state, signal, wanted, at)
    draft = AccountDraft(state, at)
    order = draft.send(
        wanted.terms,
        at if draft.is_live else draft.stamp(signal.decided_at),
        stop_loss=wanted.stop_loss,
        take_profit=wanted.take_profit,
    )
    if not order.state.is_closed:
        draft.lift_depletion_warnings()
        draft.set_trade(
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
    return draft.done()


def wanted_entry(state: AccountState, signal: SignalGenerated, bars: Bars) -> EntryPlan | SignalSkipReason:
    """Return what an account that has no objection would send for a signal, by its prices; or why it would send nothing."""
    account = state.account
    move = volatility(bars, signal.decided_at, signal.horizon_minutes)
    if not move:
        return SignalSkipReason.VOLATILITY_UNKNOWN
    if edge_is_below_cost(account.policy, signal, move):
        return SignalSkipReason.EDGE_BELOW_COST
    instrument = state.instruments.get(Symbol(signal.symbol))
    if instrument is None:
        return SignalSkipReason.NO_INSTRUMENT
    wanted = plan(account, signal, instrument, move, equity_of(state))
    if wanted is None:
        return SignalSkipReason.BELOW_MINIMUM_SIZE
    return SignalSkipReason.DRY_RUN if account.mode is TradingMode.DRY_RUN else wanted


def objection_to(state: AccountState, signal: SignalGenerated, at: datetime) -> SignalSkipReason | None:
    """Return what an account has against a signal before it looks at prices."""
    symbol = Symbol(signal.symbol)
    found = first_objection(state.account, signal, at, is_traded=symbol in state.trades or _is_held(state, symbol))
    if found is None and max((one.failures for one in state.leaving), default=0) >= FAILING_AFTER:
        return SignalSkipReason.EXIT_FAILING
    if found is not None or state.account.mode is not TradingMode.LIVE:
        return found
    if state.compared_at is None or at - state.compared_at > COMPARED_WITHIN:
        return SignalSkipReason.NOT_COMPARED
    if state.at_venue.open_doubts:
        return SignalSkipReason.IN_DOUBT
    is_closed = any(lock.stops(symbol, at) for lock in venue_locks(state.at_venue.instruments, at))
    return SignalSkipReason.NO_INSTRUMENT if symbol not in state.instruments or is_closed else None


def entry_key(state: AccountState, signal: SignalGenerated) -> ClientOrderId:
    """Return the id of the order that enters a signal."""
    return client_order_id(
        account=state.account.account,
        strategy=state.account.strategy,
        symbol=signal.symbol,
        decided_at=signal.decided_at,
        leg=Leg.ENTRY,
    )


def _is_held(state: AccountState, symbol: Symbol) -> bool:
    return bool(state.books.position(symbol).quantity)


def _over(state: AccountState, symbol: Symbol, at: datetime) -> HeadroomDepleted | None:
    """Return why no entry can pass; nothing of an account that is stopped anyway: that is told so, and its orders refused."""
    if state.halt is not None and state.halt.level_at(at) is not HaltLevel.NONE:
        return None
    is_locked = any(lock.stops(symbol, at) for lock in state.locks)
    return None if is_locked else depleted_headroom(state, at)


def _exhausted(state: AccountState, signal: SignalGenerated, over: HeadroomDepleted, at: datetime) -> Transition:
    """Hold a signal back because no entry can pass, and say so once."""
    held_back, changes = _signal_skipped(state, signal, SignalSkipReason.EXHAUSTED, at)
    if over.warning in state.warned:
        return held_back, changes
    reports = AccountExhausted(
        account=state.account.account,
        rule=over.rule,
        at=at,
        balance=state.books.balance,
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
    return replaced(held_back, warned=without_depletion(state.warned) | {over.warning}), changes + ChangeSet(
        risk=(line,), events=(reports,)
    )


def _signal_skipped(state: AccountState, signal: SignalGenerated, why: SignalSkipReason, at: datetime) -> Transition:
    line = RiskEvent(RiskEventKind.SIGNAL_HELD_BACK, signal.event_id, at, why, symbol=Symbol(signal.symbol))
    return replaced(state, at=at), ChangeSet(risk=(line,))


def submit(state: AccountState, terms: OrderTerms | Sequence[OrderTerms], at: datetime) -> Transition:
    """Send orders that somebody wants, judged one after the other with those before them working.

    An order that exists changes nothing. Raises CommandError for terms of another account.
    """
    draft = AccountDraft(state, at)
    wanted = (terms,) if isinstance(terms, OrderTerms) else tuple(terms)
    if all(one.client_order_id in state.orders for one in wanted):
        return state, NO_CHANGES
    for one in wanted:  # all of them first: an error sends none
        if one.account != state.account.account:
            raise CommandError(f"expected an order of {state.account.account}, was of {one.account}")
        if draft.at >= one.send_before:
            raise CommandError(f"expected an order to send before {one.send_before.isoformat()}, was {draft.at.isoformat()}")
    draft.send_in_turn(wanted, draft.at if draft.is_live else draft.stamp(draft.at))
    return draft.done()


def cancel(state: AccountState, key: ClientOrderId, request_id: str, at: datetime) -> Transition:
    """Ask for an order to be taken back. One that is over, or is being cancelled, is left as it is.

    Raises CommandError for an order that is not in the account state.
    """
    order = _known(state, key)
    asked = OrderCancelRequested(client_order_id=key, at=at, request_id=request_id)
    if order.state.is_closed or order.pending_cancel is not None or asked.event_id in order.seen:
        return state, NO_CHANGES
    draft = AccountDraft(state, at)
    draft.cancel(order, request_id, draft.at)
    return draft.done()


def replace(
    state: AccountState,
    key: ClientOrderId,
    request_id: str,
    at: datetime,
    *,
    quantity: Decimal | None = None,
    limit_price: Decimal | None = None,
    stop_price: Decimal | None = None,
) -> Transition:
    """Ask for an open order to be changed; what is None stays. It is judged as the order it would become.

    Raises CommandError for an order that is not in the account state or cannot be changed now.
    """
    order = _known(state, key)
    event = OrderUpdateRequested(
        client_order_id=key, at=at, request_id=request_id, quantity=quantity, limit_price=limit_price, stop_price=stop_price
    )
    if event.event_id in order.seen:
        return state, NO_CHANGES
    total = order.quantity if quantity is None else quantity
    _check_change(order, total, limit_price, stop_price)
    draft = AccountDraft(state, at)
    del draft.orders[key]
    changed = ProposedOrder(
        order_id=OrderId(key),
        symbol=Symbol(order.terms.symbol),
        side=RiskSide(order.terms.side.value),
        quantity=total - order.filled,
        price=limit_price or stop_price or order.limit_price or order.stop_price,
        reduce_only=order.terms.reduce_only,
    )
    decision = assess(changed, draft.snapshot(draft.at), state.account.limits)
    draft.orders[key] = order
    if isinstance(decision, RiskRefused):
        draft.refused(f"{key}:{request_id}", order, decision, draft.at)
        return draft.done()
    draft.take(event)
    if draft.is_live:
        draft.ask(
            OrderInstruction.REPLACE,
            order,
            request_id,
            draft.at,
            quantity=quantity,
            limit_price=limit_price,
            stop_price=stop_price,
        )
    return draft.done()


def _check_change(order: Order, total: Decimal, limit_price: Decimal | None, stop_price: Decimal | None) -> None:
    if order.state not in {OrderState.ACCEPTED, OrderState.PARTIALLY_FILLED}:
        raise CommandError(f"{order.client_order_id}: expected an order at the venue and nothing pending, was {order.state}")
    if total <= order.filled:
        raise CommandError(f"{order.client_order_id}: expected a quantity above the filled {order.filled}, was {total}")
    wrong_limit = limit_price is not None and order.terms.type is not OrderType.LIMIT
    wrong_stop = stop_price is not None and order.terms.type is not OrderType.STOP
    if wrong_limit or wrong_stop:
        raise CommandError(f"{order.client_order_id}: expected a price that a {order.terms.type} order has")


def _known(state: AccountState, key: ClientOrderId) -> Order:
    order = state.orders.get(key)
    if order is None:
        raise CommandError(f"{state.account.account}: expected an order of the account, was {key}")
    return order


def report(
    state: AccountState, reported: ExecutionReported | Sequence[ExecutionReported], entries: Sequence[Entry] = ()
) -> Transition:
    """Take what a venue did to an order, or to several as it was told in turn.

    The orders have to be in the account state, however old; the ledger loads them by their ids. What an order refuses (an
    overfill, a conflicting trade, an illegal move) is recorded and stops the account, and nothing of it is applied. Raises
    RebookNeededError when a fill is older than the newest booked entry: call again with all `entries` of the account.
    """
    reports = (reported,) if isinstance(reported, ExecutionReported) else tuple(reported)
    if not reports:
        return state, NO_CHANGES
    draft = AccountDraft(state, max(one.reported_at for one in reports), entries)
    for one in reports:
        draft.report(one.events)
    return _after_reports(draft)


def _after_reports(draft: AccountDraft) -> Transition:
    if not draft.order_events and not draft.risk:
        return draft.state, NO_CHANGES
    _tended(draft)
    return draft.done()


def _tended(draft: AccountDraft) -> None:
    observe_reports(draft)
    _close_strays(draft)
    manage_exits(draft, draft.at)


def _close_strays(draft: AccountDraft) -> None:
    """Have closed what an order of ours filled after its trade was over: nothing stands behind it, and it is nobody's."""
    for event in draft.order_events:
        if not isinstance(event, OrderFilled):
            continue
        order = draft.orders[ClientOrderId(event.client_order_id)]
        if not _is_stray(draft, order):
            continue
        draft.risk.append(
            RiskEvent(
                RiskEventKind.LATE_FILL,
                event.event_id[:200],
                draft.at,
                order.terms.leg,
                symbol=Symbol(event.symbol),
                value=order.terms.signed(event.quantity),
                detail=f"of {order.client_order_id}, whose trade was over: it is closed at the market",
            )
        )
        close_stray(draft, Symbol(event.symbol), order.terms.signed(event.quantity), draft.at, order.client_order_id)


def _is_stray(draft: AccountDraft, order: Order) -> bool:
    """Whether an order is ours and what it is for is over. Orders that people send are theirs."""
    if order.terms.strategy == KILL_SWITCH:
        closing = draft.closings.get(Symbol(order.terms.symbol))
        return closing is None or closing.order != order.client_order_id
    return order.terms.strategy == draft.account.strategy and not any(t.owns(order) for t in draft.trades.values())


def choose_lots(
    state: AccountState, method: LotMethod, given_at: datetime, effective_from: datetime | None, at: datetime
) -> Transition:
    """Give a standing order of the tax lots. The method in force again, or a word older than the newest, changes nothing.

    effective_from: None is right after the newest booked entry, and not before `at`. Raises CommandError for one that would
    change what is booked, or does not follow the newest one.
    """
    given, newest = state.books.standing_orders, state.books.newest
    if given and (given[-1].method is method or given_at <= given[-1].given_at):
        return state, NO_CHANGES
    earliest = at if newest is None else max(at, newest.at + timedelta.resolution)
    begins = earliest if effective_from is None else effective_from
    if begins < earliest:
        raise CommandError(f"effective_from: expected {earliest.isoformat()} or later, for what is booked stays, was {begins}")
    if given and begins <= given[-1].effective_from:
        raise CommandError(f"effective_from: expected after that of the newest, {given[-1].effective_from}, was {begins}")
    books = replaced(state.books, standing_orders=(*given, StandingOrder(method, given_at, begins)))
    line = RiskEvent(
        RiskEventKind.OVERRIDE, f"lots:{given_at.isoformat()}", at, method, detail=f"{method} from {begins.isoformat()}"
    )
    return replaced(state, books=books, at=at), ChangeSet(risk=(line,))


def compare(state: AccountState, viewed: VenueViewReported, entries: Sequence[Entry] = ()) -> Transition:
    """Compare the ledger with what the venue has (trading/venue_comparison.py), and manage the exits that leaves."""
    draft = compared(state, viewed, entries)
    if draft is None:
        return state, NO_CHANGES
    _tended(draft)  # also after a view without an event: what it shows may be what an exit waits for
    return draft.done()


def halt(  # noqa: PLR0917 - who, why and when read in this order
    state: AccountState, level: HaltLevel, who: str, why: str, at: datetime, until: datetime | None = None
) -> Transition:
    """Set the kill switch; FLATTEN also closes everything. Of two the stricter level holds until the later end.

    One that is neither stricter nor longer than what is in force changes nothing. Working orders that are not reductions
    are cancelled. Raises CommandError for NONE: that is `resume`.
    """
    if level is HaltLevel.NONE:
        raise CommandError("expected a level that stops something, was NONE; resume releases the kill switch")
    draft = AccountDraft(state, at)
    if not draft.set_halt(Halt(level, who, why, draft.at, until)):
        return state, NO_CHANGES
    manage_exits(draft, draft.stamp(draft.at))
    return draft.done()


def resume(state: AccountState, who: str, why: str, at: datetime, given_at: datetime | None = None) -> Transition:
    """Release the kill switch. Raises CommandError while a loss rule is broken: a breach is final.

    given_at: when somebody said so, default: now. A word that waited, or is delivered twice, releases no halt that was set
    after it: nobody has looked at that one. CommandError then.
    """
    if state.halt is None:
        return state, NO_CHANGES
    if given_at is not None and given_at < state.halt.since:
        raise CommandError(
            f"{state.account.account}: expected a resume given after the halt of {state.halt.since.isoformat()} "
            f"({state.halt.why}), was of {given_at.isoformat()}; look at it and resume again"
        )
    monitor = rule_monitor_of(state.account, state.loss_rules)
    if monitor is not None and monitor.status is AccountStatus.BREACHED:
        broken = ", ".join(monitor.breaches)
        raise CommandError(f"{state.account.account}: expected no broken rule, was {broken}; a breach is final")
    draft = AccountDraft(state, at)
    draft.halt = None
    draft.lift_depletion_warnings()  # whoever resumes is told again
    draft.risk.append(RiskEvent(RiskEventKind.RESUMED, draft.at.isoformat(), draft.at, state.halt.level, who=who, detail=why))
    draft.events.append(TradingResumed(account=state.account.account, who=who, why=why, at=draft.at))
    return draft.done()
