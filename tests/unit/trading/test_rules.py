"""The rules of an account, met through its bars: worst prices, midnights, internal stops, protections, the kill switch."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from signalbox.market.candles import ONE_MINUTE
from signalbox.orders.terms import Leg, OrderTerms, OrderType, Side
from signalbox.risk.ftmo.monitor import FtmoRuleState
from signalbox.risk.snapshot import HaltLevel
from signalbox.trading import halts, operator_orders
from signalbox.trading.bars import apply_bars
from signalbox.trading.changes import NO_CHANGES, ChangeSet, RiskEventKind
from signalbox.trading.entries import enter
from signalbox.trading.errors import CommandError
from signalbox.trading.events import RiskWarning, RuleBreached, TradeClosed, TradingHalted
from signalbox.trading.snapshot import risk_snapshot
from signalbox.trading.state import AccountState, TradeState
from tests.unit.trading.market import BASE, BTC, ETH, SOL, START, bar, flat, history, paper, signal, state_at

FTMO = paper("ftmo-2step-100k")
MIDNIGHT = datetime(2024, 3, 1, 23, 0, tzinfo=UTC)  # of Prague


def held(state: AccountState, quantity: str, at: datetime = START, side: Side = Side.BUY) -> AccountState:
    """The account state with a position of BTC that a person opened at 60 000."""
    terms = OrderTerms(
        account=state.account.account,
        strategy="manual-1",
        symbol=BTC,
        decided_at=at,
        leg=Leg.ENTRY,
        side=side,
        type=OrderType.MARKET,
        quantity=Decimal(quantity),
        send_before=at + timedelta(minutes=5),
    )
    state, changes = operator_orders.submit(state, terms, at)
    assert not changes.risk
    state, _ = apply_bars(state, {BTC: [bar(BTC, at, "60000")]}, at + ONE_MINUTE)
    assert state.books.position(BTC).quantity
    return state


def kinds(changes: ChangeSet) -> list[str]:
    return [risk.kind for risk in changes.risk]


def judged(state: AccountState) -> FtmoRuleState:
    assert state.loss_rules is not None
    return state.loss_rules


def test_dip_between_two_runs_is_seen_and_breaks_the_daily_limit() -> None:
    state = held(state_at(FTMO), "0.2")
    dip = [bar(BTC, START + ONE_MINUTE, "60000", low="34000")]  # 26 000 x 0.2 = 5 200 lost, and back
    state, changes = apply_bars(state, {BTC: [*dip, *flat(BTC, START + 2 * ONE_MINUTE, 4, "60000")]}, START + 6 * ONE_MINUTE)
    broken = [event for event in changes.events if isinstance(event, RuleBreached)]
    assert [(event.rule, event.limit) for event in broken] == [("max_daily_loss", Decimal(95_000))]
    assert broken[0].equity < 95_000
    assert state.halt is not None
    assert state.halt.level is HaltLevel.FLATTEN
    assert not state.books.position(BTC).quantity
    with pytest.raises(CommandError, match="final"):
        halts.resume(state, "anna", "please", START + 7 * ONE_MINUTE)


def test_short_is_judged_at_the_high() -> None:
    state = held(state_at(FTMO), "0.2", side=Side.SELL)
    state, changes = apply_bars(state, {BTC: [bar(BTC, START + ONE_MINUTE, "60000", high="86100")]}, START + 2 * ONE_MINUTE)
    assert [e.rule for e in changes.events if isinstance(e, RuleBreached)] == ["max_daily_loss"]


def test_levels_of_a_limit_are_warned_once_a_day_and_the_last_one_flattens() -> None:
    state, seen = held(state_at(FTMO), "0.2"), []
    for i, low in enumerate(("47400", "47300", "39800", "37400"), start=1):  # 2 520, 2 540, 4 040, 4 520 of 5 000
        state, changes = apply_bars(
            state, {BTC: [bar(BTC, START + ONE_MINUTE * i, "60000", low=low)]}, START + ONE_MINUTE * (i + 1)
        )
        seen += [(i, e.rule, e.level) for e in changes.events if isinstance(e, RiskWarning)]
    daily = [(i, level) for i, rule, level in seen if rule == "max_daily_loss"]
    assert daily == [(1, "ALERT"), (3, "BLOCK"), (4, "FLATTEN")]
    assert state.halt is not None
    assert state.halt.level is HaltLevel.FLATTEN
    assert not judged(state).breaches
    state, changes = apply_bars(state, {BTC: [bar(BTC, START + ONE_MINUTE * 5, "60000")]}, START + ONE_MINUTE * 6)
    assert state.is_idle


def test_midnight_moves_the_limit_and_breaks_it_without_any_price_having_moved() -> None:
    # A floating loss under a balance that grew: the day's baseline rises to the balance at midnight, and the equity does not.
    start = MIDNIGHT - timedelta(minutes=10)
    state = held(state_at(FTMO, start), "0.5", start)
    up = [bar(BTC, start + ONE_MINUTE, "60000", close="72000"), bar(BTC, start + 2 * ONE_MINUTE, "72000")]
    state, _ = apply_bars(state, {BTC: up}, start + 3 * ONE_MINUTE)
    out = OrderTerms(
        account=FTMO.account, strategy="manual-2", symbol=BTC, decided_at=start + 3 * ONE_MINUTE, leg=Leg.EXIT,
        side=Side.SELL, type=OrderType.MARKET, quantity=Decimal("0.5"), reduce_only=True, send_before=start + 8 * ONE_MINUTE,
    )  # fmt: skip
    state, _ = operator_orders.submit(state, out, start + 3 * ONE_MINUTE)
    state, _ = apply_bars(state, {BTC: [bar(BTC, start + 3 * ONE_MINUTE, "72000")]}, start + 4 * ONE_MINUTE)
    assert 105_950 < state.books.balance < 106_000
    back = out.model_copy(
        update={"strategy": "manual-3", "leg": Leg.ENTRY, "side": Side.BUY, "reduce_only": False, "quantity": Decimal("0.4")}
        | {"decided_at": start + 4 * ONE_MINUTE, "send_before": start + 9 * ONE_MINUTE}
    )
    state, changes = operator_orders.submit(state, back, start + 4 * ONE_MINUTE)
    assert not changes.risk
    # 0.4 from 72 000 down to 58 400: 5 440 lost. Before midnight the floor is 95 000, after it about 100 960. It falls in the
    # last minute, when nothing can be closed any more before the day ends.
    state, changes = apply_bars(state, {BTC: flat(BTC, start + 4 * ONE_MINUTE, 5, "72000")}, MIDNIGHT - ONE_MINUTE)
    assert not judged(state).breaches
    assert state.halt is None
    state, changes = apply_bars(state, {BTC: [bar(BTC, MIDNIGHT - ONE_MINUTE, "72000", close="58400")]}, MIDNIGHT)
    assert [(e.rule, e.at) for e in changes.events if isinstance(e, RuleBreached)] == [("max_daily_loss", MIDNIGHT)]
    assert [day.date.isoformat() for day in changes.days] == ["2024-03-01"]
    assert MIDNIGHT in {snapshot.at for snapshot in changes.equity}


@pytest.mark.parametrize(
    ("noon", "midnights"),
    [
        (datetime(2024, 3, 30, 11, tzinfo=UTC), [datetime(2024, 3, 30, 23, tzinfo=UTC), datetime(2024, 3, 31, 22, tzinfo=UTC)]),
        (
            datetime(2024, 10, 26, 10, tzinfo=UTC),
            [datetime(2024, 10, 26, 22, tzinfo=UTC), datetime(2024, 10, 27, 23, tzinfo=UTC)],
        ),
    ],
)
def test_days_of_23_and_25_hours_end_at_their_own_midnight(noon: datetime, midnights: list[datetime]) -> None:
    state = state_at(FTMO, noon)
    until = noon + timedelta(days=1, hours=15)
    state, changes = apply_bars(state, {BTC: [bar(BTC, until - ONE_MINUTE, "60000")]}, until)
    assert [snapshot.at for snapshot in changes.equity] == [*midnights, until]


def test_two_stops_lock_the_symbol_and_a_cooldown_follows_every_exit() -> None:
    state, at, changes = state_at(paper()), START, NO_CHANGES
    for _ in range(2):
        state, more = enter(state, signal(at=at), history(until=at), at)
        assert not more.risk, more.risk
        bars = [bar(BTC, at, "60000", low="50000"), *flat(BTC, at + ONE_MINUTE, 19, "60000")]
        state, more = apply_bars(state, {BTC: bars}, at + 20 * ONE_MINUTE)
        changes += more
        at += 20 * ONE_MINUTE
    assert [lock.reason for lock in changes.locks].count("COOLDOWN_ACTIVE") == 2
    assert "STOP_LOSSES_OVER_LIMIT" in {lock.reason for lock in state.locks}
    state, more = enter(state, signal(at=at), history(until=at), at)
    assert [risk.code for risk in more.risk] == ["ENTRY_LOCKED"]


def test_fall_of_equity_locks_everything() -> None:
    state = held(state_at(paper()), "0.7")
    state, changes = apply_bars(state, {BTC: [bar(BTC, START + ONE_MINUTE, "60000", close="54000")]}, START + 2 * ONE_MINUTE)
    assert [(lock.reason, lock.symbol) for lock in state.locks] == [("EQUITY_DRAWDOWN_OVER_LIMIT", None)]
    assert kinds(changes) == [RiskEventKind.LOCKED]


def test_stop_is_taken_before_the_target_of_the_same_bar() -> None:
    state, _ = enter(state_at(paper()), signal(), history(), START)
    stop = state.trades[BTC].stop_loss
    state, changes = apply_bars(state, {BTC: [bar(BTC, START, "60000", low="50000", high="70000")]}, START + ONE_MINUTE)
    closed = next(event for event in changes.events if isinstance(event, TradeClosed))
    assert closed.leg is Leg.STOP_LOSS
    assert closed.price < stop
    assert changes.trades[-1].state is TradeState.CLOSED
    assert changes.trades[-1].realised == closed.realised == state.books.balance - 100_000
    risked = Decimal("250") * Decimal("1.2")  # 0.25 % of equity, costs on top
    assert -risked < closed.realised < -Decimal(200)


def test_a_held_symbol_without_data_halts_after_ten_minutes_until_a_resume() -> None:
    state = held(state_at(paper()), "0.2")
    others = {ETH: flat(ETH, START + ONE_MINUTE, 30, "3000"), SOL: flat(SOL, START + ONE_MINUTE, 30, "100")}
    state, _ = apply_bars(state, {s: c[:9] for s, c in others.items()}, START + 10 * ONE_MINUTE)
    assert state.halt is None
    assert state.watched_until == START + ONE_MINUTE
    state, changes = apply_bars(state, others, START + 12 * ONE_MINUTE)
    assert state.halt is not None
    assert state.halt.level is HaltLevel.HALT
    assert "STALE_DATA BTC-USD" in state.halt.why
    back = {BTC: flat(BTC, START + ONE_MINUTE, 20, "60000"), **others}
    state, _ = apply_bars(state, back, START + 20 * ONE_MINUTE)
    assert state.halt is not None  # data alone does not clear it
    state, changes = halts.resume(state, "anna", "data is back", START + 20 * ONE_MINUTE)
    assert state.halt is None
    assert kinds(changes) == [RiskEventKind.RESUMED]


def test_a_halt_cancels_entries_blocks_new_risk_and_is_never_weakened() -> None:
    state, _ = enter(state_at(paper()), signal(), history(), START)
    state, changes = halts.halt(state, HaltLevel.REDUCE_ONLY, "anna", "news", START)
    assert [type(e) for e in changes.events] == [TradingHalted]
    state, changes = enter(state, signal(ETH), history(ETH), START)
    assert [risk.code for risk in changes.risk] == ["ACCOUNT_HALTED"]
    state, changes = apply_bars(state, {s: [bar(s, START, BASE[s])] for s in BASE}, START + ONE_MINUTE)
    assert changes.trades[-1].state is TradeState.ABANDONED
    assert not changes.entries
    assert state.is_idle
    assert halts.halt(state, HaltLevel.HALT, "bert", "also", START + ONE_MINUTE) == (state, NO_CHANGES)
    with pytest.raises(CommandError, match="resume"):
        halts.halt(state, HaltLevel.NONE, "bert", "also", START + ONE_MINUTE)


def test_a_milder_halt_that_lasts_longer_is_not_forgotten_when_the_stricter_one_ends() -> None:
    noon, one = START, START + timedelta(hours=1)
    state, _ = halts.halt(state_at(paper()), HaltLevel.FLATTEN, "anna", "lunch", noon, one)
    state, changes = halts.halt(state, HaltLevel.HALT, "signalbox", "EVENT_REFUSED", noon + ONE_MINUTE)
    assert [(h.level, h.until) for h in changes.halts] == [(HaltLevel.FLATTEN, None)]
    assert risk_snapshot(state, one).halt is HaltLevel.FLATTEN
    state, changes = halts.halt(state, HaltLevel.REDUCE_ONLY, "bert", "also", noon + 2 * ONE_MINUTE, one)
    assert changes == NO_CHANGES


def test_timed_halt_ends_by_itself_and_another_one_does_not() -> None:
    state = state_at(paper())
    timed, _ = halts.halt(state, HaltLevel.HALT, "anna", "lunch", START, START + timedelta(minutes=4))
    later = START + timedelta(minutes=4)
    assert risk_snapshot(timed, later).halt is HaltLevel.NONE
    lasting, _ = halts.halt(timed, HaltLevel.HALT, "bert", "longer", START + ONE_MINUTE)
    assert risk_snapshot(lasting, later).halt is HaltLevel.HALT
