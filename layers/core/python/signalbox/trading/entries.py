"""Follows a signal with an entry order, or records the reason why not. Pure.

The entry order and its exits are planned in entry_plan.py. headroom.py tells whether any entry could pass the loss limits.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace as replaced
from datetime import datetime, timedelta
from typing import Final

from signalbox.events import SignalGenerated
from signalbox.market.candles import Bars, Symbol
from signalbox.orders.identity import ClientOrderId, client_order_id
from signalbox.orders.terms import Leg
from signalbox.risk.snapshot import HaltLevel
from signalbox.trading.account import CHALLENGER, TradingMode
from signalbox.trading.at_venue import venue_locks
from signalbox.trading.changes import NO_CHANGES, ChangeSet, RiskEvent, RiskEventKind, Transition
from signalbox.trading.draft import AccountDraft
from signalbox.trading.entry_plan import (
    EntryPlan,
    SignalSkipReason,
    edge_is_below_cost,
    first_objection,
    plan,
    volatility,
)
from signalbox.trading.errors import BarsNotAppliedError
from signalbox.trading.events import AccountExhausted
from signalbox.trading.headroom import HeadroomDepleted, depleted_headroom
from signalbox.trading.snapshot import equity_of
from signalbox.trading.state import AccountState, Trade, TradeState
from signalbox.trading.warnings import without_depletion

FAILING_AFTER: Final = 3  # exits in a row without a fill; new entries then wait until an exit fills
COMPARED_WITHIN: Final = timedelta(minutes=15)  # maximum age of the last comparison for new risk on a live account


def enter(
    state: AccountState, signal: SignalGenerated, bars: Bars, at: datetime, *, deciders: Collection[tuple[str, str]] = ()
) -> Transition:
    """Follow a signal with an entry order, or record why not. `bars`: of its symbol, at least the newest ENTRY_BARS.

    deciders: (name, stage) of every deployment that decided this symbol at this instant; the signal's own is added.
    Raises BarsNotAppliedError if the account has a position or an order and has not yet been valued up to the decision.
    """
    account, symbol = state.account, Symbol(signal.symbol)
    key = entry_key(state, signal)
    decided_as = CHALLENGER if signal.challenger else signal.stage
    is_followed = account.followed({*deciders, (signal.deployment, decided_as)}) == signal.deployment
    if signal.direction == "HOLD" or (is_followed and key in state.orders):
        return state, NO_CHANGES
    if not state.is_idle and state.watched_until is None:
        raise BarsNotAppliedError(
            f"{account.account}: expected the bars up to {signal.decided_at} to be applied before this signal"
        )
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
        at if draft.is_live else draft.stamp(signal.known_at or signal.decided_at),  # a late decision misses its minute's open
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
    """Return the entry plan of a signal, or the reason to send none. The caller has asked `objection_to` already."""
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
    """Return the account's reason against following a signal, as far as it shows without prices; None if there is none."""
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
    """Return the id of the entry order of a signal."""
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
    """Return why no entry can pass, or None. None also while entries are halted or locked: the checks refuse and record those."""
    if state.halt is not None and state.halt.level_at(at) is not HaltLevel.NONE:
        return None
    is_locked = any(lock.stops(symbol, at) for lock in state.locks)
    return None if is_locked else depleted_headroom(state, at)


def _exhausted(state: AccountState, signal: SignalGenerated, over: HeadroomDepleted, at: datetime) -> Transition:
    """Skip a signal because no entry can pass, and announce it once."""
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
