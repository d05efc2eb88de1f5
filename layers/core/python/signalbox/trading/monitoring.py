"""Applies closed bars to an account in time order, minute by minute over all symbols. Only this module evaluates prices.

In each minute: fill working paper orders and paper exits, the worst case first; check the loss rules at the worst prices, then
at the closes; pass midnight if the minute ends there; apply internal stops and protections; manage exits. A minute waits until
every symbol at stake has a bar of it or a later one, so late data changes nothing. A symbol whose bars are missing for longer
than `stale_after` halts the account instead.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Final

from signalbox.exact import ZERO, exactly
from signalbox.market.candles import ONE_MINUTE, Candle, Symbol
from signalbox.orders.events import OrderFilled
from signalbox.orders.identity import ClientOrderId
from signalbox.orders.paper.barriers import BarrierHit, Bracket, EntryTiming, barrier_fill, barrier_hit
from signalbox.orders.terms import OrderType, Side
from signalbox.portfolio.entries import Fill, booking_order
from signalbox.risk.ftmo.headroom import SEVERITY as STOP_SEVERITY
from signalbox.risk.ftmo.headroom import RuleHeadroom, StopLevel
from signalbox.risk.ftmo.state import AccountBreach
from signalbox.risk.ftmo.trading_days import opens_position
from signalbox.risk.snapshot import HaltLevel
from signalbox.trading.changes import RiskEvent, RiskEventKind
from signalbox.trading.draft import SIGNALBOX, AccountDraft
from signalbox.trading.events import RiskWarning, RuleBreached, TargetReached
from signalbox.trading.exit_attempts import send_exit
from signalbox.trading.exits import manage_exits
from signalbox.trading.kill_switch import set_halt
from signalbox.trading.open_quantity import exits_of, held_by
from signalbox.trading.paper import INSIDE, VENUE, half_spread, stamped
from signalbox.trading.pauses import remember_equity
from signalbox.trading.state import Halt, Trade
from signalbox.trading.warnings import LimitWarning

STALE_DATA: Final = "STALE_DATA"
Candles = Mapping[Symbol, Sequence[Candle]]


def apply_closed_bars(draft: AccountDraft, candles: Candles, stale_after: timedelta) -> None:
    """Apply the bars that closed after `watched_until` and up to the draft's instant."""
    since, at = draft.watched_until, draft.at
    minutes: dict[datetime, dict[Symbol, Candle]] = {}
    newest: dict[Symbol, datetime] = {}
    for symbol, bars in candles.items():
        for bar in reversed(bars):
            close = bar.open_time + ONE_MINUTE
            if since is not None and close <= since:
                break
            if close <= at:
                minutes.setdefault(close, {})[symbol] = bar
                if newest.get(symbol, close) <= close:
                    newest[symbol] = close
    closes = sorted(minutes)
    for i, close in enumerate(closes):
        at_stake = _at_stake(draft)
        if not at_stake:
            _pass_over(draft, [minutes[c] for c in closes[i:]], closes[-1])
            break
        if any(_waits(draft, symbol, newest, close, stale_after) for symbol in at_stake):
            break
        _minute(draft, close, minutes[close])
    if draft.monitor is not None and draft.monitor.day is None:
        advance(draft, draft.watched_until or at)
    _check_for_gaps(draft, stale_after)
    manage_exits(draft, draft.stamp(at))


def _at_stake(draft: AccountDraft) -> set[str]:
    return {
        *draft.books.held,
        *draft.trades,
        *(order.terms.symbol for order in draft.orders.values() if not order.state.is_closed),
    }


def _waits(draft: AccountDraft, symbol: str, newest: Mapping[Symbol, datetime], close: datetime, stale_after: timedelta) -> bool:
    """Whether a minute has to wait for a symbol: its newest price is older than the minute, and not yet stale."""
    known = newest.get(Symbol(symbol))
    if known is None:
        mark = draft.marks.get(Symbol(symbol))
        known = mark.at if mark is not None else draft.watched_until
    return known is not None and known < close and draft.at - known <= stale_after


def _pass_over(draft: AccountDraft, minutes: Sequence[Mapping[Symbol, Candle]], until: datetime) -> None:
    """Apply minutes in which nothing is held or working: only the newest prices and the midnights matter."""
    missing = {symbol for bars in minutes for symbol in bars}
    for bars in reversed(minutes):
        for symbol in missing & bars.keys():
            draft.set_mark(symbol, bars[symbol].close, bars[symbol].close_time)
        missing -= bars.keys()
        if not missing:
            break
    advance(draft, until)
    draft.pass_bars(until)


def _minute(draft: AccountDraft, close: datetime, bars: Mapping[Symbol, Candle]) -> None:
    peaks = draft.memory.peaks
    follows_a_gap = not peaks or peaks[-1].at < close - ONE_MINUTE
    before = draft.equity if follows_a_gap and _is_priced(draft) else None
    if not draft.is_live:
        _trade(draft, bars)
    inside = close - INSIDE
    opened_at = _book(draft, inside, bars)
    worst_equity = None if draft.monitor is None else _worst_equity(draft, bars)  # only loss rules ask for it
    _observed(draft, inside, worst_equity, opened_at=opened_at)
    opened_at = _book(draft, None, bars)
    for symbol, bar in bars.items():
        draft.set_mark(symbol, bar.close, close)
    equity = draft.equity if _is_priced(draft) else None
    _observed(draft, inside, equity, opened_at=opened_at)
    draft.pass_bars(close)
    _use_of_limits(draft, close, worst_equity)  # before midnight: this minute still belongs to the old day
    advance(draft, close)
    if equity is not None:
        if before is not None:
            remember_equity(draft, close - ONE_MINUTE, before - draft.moved)
        remember_equity(draft, close, equity - draft.moved)
    manage_exits(draft, close)


def _is_priced(draft: AccountDraft) -> bool:
    return all(symbol in draft.marks for symbol in draft.held)


@exactly
def _worst_equity(draft: AccountDraft, bars: Mapping[Symbol, Candle]) -> Decimal | None:
    """Return the equity at each symbol's worst price in a minute, or None if a held symbol has no price.

    Fills at the open are booked already; fills inside the minute are not.
    """
    marks, total = draft.prices, draft.books.balance
    for symbol in sorted({*draft.books.held, *(f.symbol for f in draft.unbooked)}):
        bar = bars.get(Symbol(symbol))
        if bar is not None:
            total += min(_worth(draft, symbol, bar.low, Side.BUY), _worth(draft, symbol, bar.high, Side.SELL))
        elif Symbol(symbol) in marks:
            total += draft.books.position(symbol).unrealised(marks[Symbol(symbol)])
        else:
            return None
    return total


def _worth(draft: AccountDraft, symbol: str, extreme: Decimal, losing: Side) -> Decimal:
    """Return what a symbol adds to the balance at a minute's extreme, where positions opened by `losing` are worth least.

    A stop, or a resting limit order that the price reached, filled before the price went further. Whether a fill on the other
    side of the minute came first is unknown, so the worse order of events counts. At the low, every buy counts, and a sale only
    if it was a stop; at the high it is the other way round. Only the filled quantity is gone; the rest is at the extreme.
    """
    kinds = {
        event.trade_id: draft.orders[ClientOrderId(event.client_order_id)].terms.type
        for event in draft.order_events
        if isinstance(event, OrderFilled) and event.symbol == symbol
    }
    worth = draft.books.position(symbol).unrealised(extreme)
    for fill in draft.unbooked:
        if fill.symbol == symbol and (fill.side is losing or kinds.get(fill.key) is not OrderType.LIMIT):
            worth += fill.signed_quantity * (extreme - fill.price) - fill.fee
    return worth


# The paper venue


def _trade(draft: AccountDraft, bars: Mapping[Symbol, Candle]) -> None:
    """Fill working orders and exits of trades from a minute's bars. The fills still have to be booked."""
    for symbol in sorted(bars):
        bar = bars[symbol]
        for order in draft.open_orders(symbol):
            for event in VENUE.match(order, bar, draft.quantity(symbol)):
                draft.take(stamped(event, bar))
        trade = draft.trades.get(symbol)
        if trade is not None and draft.orders[trade.entry].filled:
            _leave_by_barrier(draft, trade, bar)


def _leave_by_barrier(draft: AccountDraft, trade: Trade, bar: Candle) -> None:
    held = held_by(draft, trade)
    if not held or any(
        not order.state.is_closed and order.accepted_at is not None and order.accepted_at <= bar.open_time
        for order in exits_of(draft, trade)
    ):
        return
    entry = draft.orders[trade.entry]
    first = entry.trades[0].at
    entered = first.replace(second=0, microsecond=0)
    hit = barrier_hit(
        Bracket(
            side=trade.side,
            entry_bar=entered,
            timing=EntryTiming.AT_OPEN,
            stop_loss=trade.stop_loss,
            take_profit=trade.take_profit,
            deadline=trade.deadline,
        ),
        bar,
        half_spread(bar),
    )
    if hit is not None:
        _take_barrier(draft, trade, hit, bar, held)


def _take_barrier(draft: AccountDraft, trade: Trade, hit: BarrierHit, bar: Candle, held: Decimal) -> None:
    """Send the barrier's exit through state machine and checks like any order, and fill it in full within the same bar."""
    at = max(bar.open_time, draft.orders[trade.entry].trades[-1].at)
    order = send_exit(draft, trade, hit.leg, held, at)
    if order.accepted_at is None or order.state.is_closed:
        return  # refused: manage_exits() makes the next attempt
    fill = stamped(barrier_fill(VENUE, order, hit, bar), bar)
    if isinstance(fill, OrderFilled) and fill.at < at:
        fill = fill.model_copy(update={"at": at})
    draft.take(fill)


def _book(draft: AccountDraft, before: datetime | None, bars: Mapping[Symbol, Candle]) -> datetime | None:
    """Book waiting fills, use a fill's price as mark if there is none, and return when a position was last opened, if any."""
    if not draft.unbooked:
        return None
    fills = sorted((f for f in draft.unbooked if before is None or f.at < before), key=booking_order)
    held = {fill.symbol: draft.books.position(fill.symbol).quantity for fill in fills}
    for fill in fills:
        if Symbol(fill.symbol) not in draft.marks:
            draft.set_mark(Symbol(fill.symbol), fill.price, bars[Symbol(fill.symbol)].open_time)
    draft.book(before=before)
    return max((fill.at for fill in opening(fills, held)), default=None)


@exactly
def opening(fills: Iterable[Fill], held: Mapping[str, Decimal]) -> list[Fill]:
    """Return the fills that opened a position. fills: in booking order; held: signed positions before the first fill."""
    positions, found = dict(held), list[Fill]()
    for fill in fills:
        before = positions.get(fill.symbol, ZERO)
        if opens_position(before, fill.signed_quantity):
            found.append(fill)
        positions[fill.symbol] = before + fill.signed_quantity
    return found


# The rules


def _observed(draft: AccountDraft, at: datetime, equity: Decimal | None, *, opened_at: datetime | None) -> None:
    if draft.monitor is not None and equity is not None and _is_priced(draft):
        observe_equity(draft, at, equity, opened_at=opened_at)


def observe_equity(draft: AccountDraft, at: datetime, equity: Decimal, *, opened_at: datetime | None) -> None:
    """Report an equity to the rule monitor, after the midnights before it.

    opened_at: when a new position was opened, if any was.
    """
    monitor = draft.monitor
    if monitor is None:
        return
    advance(draft, at)
    now = monitor.now
    was_reached = monitor.target_reached_at
    breaches = monitor.observe(
        at if now is None else max(at, now),
        balance=draft.books.balance - draft.moved,
        equity=equity - draft.moved,
        is_flat=not draft.unbooked and not draft.held,  # a closed but unbooked position is not in the balance yet
        opened_at=opened_at,
    )
    _broken(draft, breaches)
    if was_reached is None and monitor.target_reached_at is not None:
        draft.announce(
            TargetReached(
                account=draft.account.account, phase=monitor.phase_name, at=monitor.target_reached_at, balance=draft.books.balance
            )
        )


def advance(draft: AccountDraft, to: datetime) -> None:
    """Advance the rule monitor to an instant. Each midnight on the way adds a finished day and an equity snapshot."""
    monitor = draft.monitor
    if monitor is None:
        return
    now = monitor.now
    if now is not None and to < now:
        return
    while monitor.next_midnight is not None and monitor.next_midnight <= to:
        midnight, known = monitor.next_midnight, len(monitor.finished_days)
        _broken(draft, monitor.advance(midnight))
        draft.value(midnight)
        if monitor.day is not None:
            draft.begin_day(monitor.day, monitor.finished_days[known:])
    _broken(draft, monitor.advance(to))


def _broken(draft: AccountDraft, breaches: Sequence[AccountBreach]) -> None:
    for breach in breaches:
        draft.record(
            RiskEvent(
                RiskEventKind.LIMIT_BREACHED, breach.rule, breach.time, breach.rule, limit=breach.limit, value=breach.equity
            )
        )
        draft.announce(
            RuleBreached(
                account=draft.account.account, rule=breach.rule, at=breach.time, limit=breach.limit, equity=breach.equity
            )
        )
        set_halt(draft, Halt(HaltLevel.FLATTEN, SIGNALBOX, f"{breach.rule} broken", breach.time))


def _use_of_limits(draft: AccountDraft, at: datetime, worst: Decimal | None) -> None:
    """Warn once a day of each level that a loss limit's use has reached, and flatten at the last level.

    Shortly before midnight, also check the tighter limits that midnight brings: time alone would break them.
    """
    monitor = draft.monitor
    if monitor is None or monitor.day is None or worst is None:
        return
    service = monitor.headroom(at, worst - draft.moved)
    _warn(draft, at, worst, service.rules, day=monitor.day)
    _warn(draft, at, worst, service.tomorrow, day=monitor.day + timedelta(days=1), counts_from=monitor.next_midnight)


def _warn(
    draft: AccountDraft,
    at: datetime,
    worst: Decimal,
    rules: Iterable[RuleHeadroom],
    *,
    day: date,
    counts_from: datetime | None = None,
) -> None:
    if draft.monitor is None:
        return
    stops = draft.monitor.rules.stops
    for rule in rules:
        used = rule.used
        for share, level in ((stops.alert, StopLevel.ALERT), (stops.block, StopLevel.BLOCK), (stops.flatten, StopLevel.FLATTEN)):
            if used < share * rule.amount or not draft.warn(LimitWarning(rule.rule, level, day)):
                continue
            key = f"{rule.rule}:{level}:{day}"
            draft.record(RiskEvent(RiskEventKind.LIMIT_USED, key, at, rule.rule, limit=rule.amount, value=used, detail=level))
            draft.announce(
                RiskWarning(
                    account=draft.account.account,
                    rule=rule.rule,
                    level=level,
                    at=at,
                    day=str(day),
                    used=used,
                    amount=rule.amount,
                    equity=worst,
                    limit=rule.limit + draft.moved,
                    counts_from=counts_from,
                )
            )
            if STOP_SEVERITY[level] >= STOP_SEVERITY[StopLevel.FLATTEN]:
                whose = rule.rule if counts_from is None else f"{rule.rule} of {day}"
                set_halt(draft, Halt(HaltLevel.FLATTEN, SIGNALBOX, f"{whose} used to {share:.0%}", at))


def _check_for_gaps(draft: AccountDraft, stale_after: timedelta) -> None:
    """Halt an account that holds a symbol without recent prices. The halt stays until somebody resumes."""
    lost = []
    for symbol in sorted(_at_stake(draft)):
        mark = draft.marks.get(Symbol(symbol))
        trade = draft.trades.get(Symbol(symbol))
        seen = mark.at if mark is not None else (trade.decided_at if trade is not None else _traded_at(draft, symbol))
        if seen is None or draft.at - seen > stale_after:
            lost.append(symbol)
    if not lost:
        return
    set_halt(draft, Halt(HaltLevel.HALT, SIGNALBOX, f"{STALE_DATA} {', '.join(lost)}", draft.at))
    advance(draft, draft.at)


def _traded_at(draft: AccountDraft, symbol: str) -> datetime | None:
    """Return when a symbol without any price was last traded or ordered, None if it has no order."""
    found = (o.accepted_at or o.submitted_at or o.terms.decided_at for o in draft.orders.values() if o.terms.symbol == symbol)
    return max(found, default=None)


def observe_now(draft: AccountDraft) -> None:
    """Report the equity at the marks to the rule monitor; no position was opened."""
    if draft.monitor is not None and _is_priced(draft):
        observe_equity(draft, draft.at, draft.equity, opened_at=None)


def observe_reports(draft: AccountDraft) -> None:
    """Report the equity at the marks to the rule monitor, after the fills that a venue reported in this step were booked."""
    if draft.monitor is None:
        return
    fills = sorted((entry for entry in draft.entries if isinstance(entry, Fill)), key=booking_order)
    if not fills or not _is_priced(draft):
        return
    opened = {fill.entry_id for fill in opening(*_since_before(draft, fills))}
    equity = draft.equity
    for fill in fills:
        observe_equity(draft, fill.at, equity, opened_at=fill.at if fill.entry_id in opened else None)


@exactly
def _since_before(draft: AccountDraft, fills: list[Fill]) -> tuple[list[Fill], dict[str, Decimal]]:
    """Return these fills with the positions before the first one. After late fills: every booked fill, from flat positions."""
    if draft.rebooked:
        late = (entry for entry in (*draft.history, *fills) if isinstance(entry, Fill))
        return sorted({fill.entry_id: fill for fill in late}.values(), key=booking_order), {}
    held = {fill.symbol: draft.books.position(fill.symbol).quantity for fill in fills}
    for fill in fills:
        held[fill.symbol] -= fill.signed_quantity
    return fills, held
