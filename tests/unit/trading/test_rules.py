"""The rules of an account, met through its bars: worst prices, midnights, internal stops, protections, the kill switch."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from signalbox.market.candles import ONE_MINUTE
from signalbox.orders.terms import Leg, OrderTerms, OrderType, Side
from signalbox.risk.ftmo.judge import JudgeState
from signalbox.risk.snapshot import HaltLevel
from signalbox.trading import steps
from signalbox.trading.changes import NOTHING, Changes, RiskEventKind
from signalbox.trading.errors import CommandError
from signalbox.trading.events import RiskWarning, RuleBreached, TradeClosed, TradingHalted
from signalbox.trading.state import Desk, TradeState
from tests.unit.trading.market import BASE, BTC, ETH, SOL, START, bar, desk_at, flat, history, paper, signal

FTMO = paper("ftmo-2step-100k")
MIDNIGHT = datetime(2024, 3, 1, 23, 0, tzinfo=UTC)  # of Prague


def held(desk: Desk, quantity: str, at: datetime = START, side: Side = Side.BUY) -> Desk:
    """The desk with a position of BTC that a person opened at 60 000."""
    terms = OrderTerms(
        account=desk.account.account,
        strategy="manual-1",
        symbol=BTC,
        decided_at=at,
        leg=Leg.ENTRY,
        side=side,
        type=OrderType.MARKET,
        quantity=Decimal(quantity),
        send_before=at + timedelta(minutes=5),
    )
    desk, changes = steps.submit(desk, terms, at)
    assert not changes.risk
    desk, _ = steps.watch(desk, {BTC: [bar(BTC, at, "60000")]}, at + ONE_MINUTE)
    assert desk.books.position(BTC).quantity
    return desk


def kinds(changes: Changes) -> list[str]:
    return [risk.kind for risk in changes.risk]


def judged(desk: Desk) -> JudgeState:
    assert desk.loss_rules is not None
    return JudgeState.from_text(desk.loss_rules)


def test_dip_between_two_runs_is_seen_and_breaks_the_daily_limit() -> None:
    desk = held(desk_at(FTMO), "0.2")
    dip = [bar(BTC, START + ONE_MINUTE, "60000", low="34000")]  # 26 000 x 0.2 = 5 200 lost, and back
    desk, changes = steps.watch(desk, {BTC: [*dip, *flat(BTC, START + 2 * ONE_MINUTE, 4, "60000")]}, START + 6 * ONE_MINUTE)
    broken = [event for event in changes.events if isinstance(event, RuleBreached)]
    assert [(event.rule, event.limit) for event in broken] == [("max_daily_loss", Decimal(95_000))]
    assert broken[0].equity < 95_000
    assert desk.halt is not None
    assert desk.halt.level is HaltLevel.FLATTEN
    assert not desk.books.position(BTC).quantity
    with pytest.raises(CommandError, match="final"):
        steps.resume(desk, "anna", "please", START + 7 * ONE_MINUTE)


def test_short_is_judged_at_the_high() -> None:
    desk = held(desk_at(FTMO), "0.2", side=Side.SELL)
    desk, changes = steps.watch(desk, {BTC: [bar(BTC, START + ONE_MINUTE, "60000", high="86100")]}, START + 2 * ONE_MINUTE)
    assert [e.rule for e in changes.events if isinstance(e, RuleBreached)] == ["max_daily_loss"]


def test_levels_of_a_limit_are_warned_once_a_day_and_the_last_one_flattens() -> None:
    desk, seen = held(desk_at(FTMO), "0.2"), []
    for i, low in enumerate(("47400", "47300", "39800", "37400"), start=1):  # 2 520, 2 540, 4 040, 4 520 of 5 000
        desk, changes = steps.watch(
            desk, {BTC: [bar(BTC, START + ONE_MINUTE * i, "60000", low=low)]}, START + ONE_MINUTE * (i + 1)
        )
        seen += [(i, e.rule, e.level) for e in changes.events if isinstance(e, RiskWarning)]
    daily = [(i, level) for i, rule, level in seen if rule == "max_daily_loss"]
    assert daily == [(1, "ALERT"), (3, "BLOCK"), (4, "FLATTEN")]
    assert desk.halt is not None
    assert desk.halt.level is HaltLevel.FLATTEN
    assert not judged(desk).breaches
    desk, changes = steps.watch(desk, {BTC: [bar(BTC, START + ONE_MINUTE * 5, "60000")]}, START + ONE_MINUTE * 6)
    assert desk.is_idle


def test_midnight_moves_the_limit_and_breaks_it_without_any_price_having_moved() -> None:
    # A floating loss under a balance that grew: the day's baseline rises to the balance at midnight, and the equity does not.
    start = MIDNIGHT - timedelta(minutes=10)
    desk = held(desk_at(FTMO, start), "0.5", start)
    up = [bar(BTC, start + ONE_MINUTE, "60000", close="72000"), bar(BTC, start + 2 * ONE_MINUTE, "72000")]
    desk, _ = steps.watch(desk, {BTC: up}, start + 3 * ONE_MINUTE)
    out = OrderTerms(
        account=FTMO.account, strategy="manual-2", symbol=BTC, decided_at=start + 3 * ONE_MINUTE, leg=Leg.EXIT,
        side=Side.SELL, type=OrderType.MARKET, quantity=Decimal("0.5"), reduce_only=True, send_before=start + 8 * ONE_MINUTE,
    )  # fmt: skip
    desk, _ = steps.submit(desk, out, start + 3 * ONE_MINUTE)
    desk, _ = steps.watch(desk, {BTC: [bar(BTC, start + 3 * ONE_MINUTE, "72000")]}, start + 4 * ONE_MINUTE)
    assert 105_950 < desk.books.balance < 106_000
    back = out.model_copy(
        update={"strategy": "manual-3", "leg": Leg.ENTRY, "side": Side.BUY, "reduce_only": False, "quantity": Decimal("0.4")}
        | {"decided_at": start + 4 * ONE_MINUTE, "send_before": start + 9 * ONE_MINUTE}
    )
    desk, changes = steps.submit(desk, back, start + 4 * ONE_MINUTE)
    assert not changes.risk
    # 0.4 from 72 000 down to 58 400: 5 440 lost. Before midnight the floor is 95 000, after it about 100 960. It falls in the
    # last minute, when nothing can be closed any more before the day ends.
    desk, changes = steps.watch(desk, {BTC: flat(BTC, start + 4 * ONE_MINUTE, 5, "72000")}, MIDNIGHT - ONE_MINUTE)
    assert not judged(desk).breaches
    assert desk.halt is None
    desk, changes = steps.watch(desk, {BTC: [bar(BTC, MIDNIGHT - ONE_MINUTE, "72000", close="58400")]}, MIDNIGHT)
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
    desk = desk_at(FTMO, noon)
    until = noon + timedelta(days=1, hours=15)
    desk, changes = steps.watch(desk, {BTC: [bar(BTC, until - ONE_MINUTE, "60000")]}, until)
    assert [snapshot.at for snapshot in changes.equity] == [*midnights, until]


def test_two_stops_lock_the_symbol_and_a_cooldown_follows_every_exit() -> None:
    desk, at, changes = desk_at(paper()), START, NOTHING
    for _ in range(2):
        desk, more = steps.enter(desk, signal(at=at), history(until=at), at)
        assert not more.risk, more.risk
        bars = [bar(BTC, at, "60000", low="50000"), *flat(BTC, at + ONE_MINUTE, 19, "60000")]
        desk, more = steps.watch(desk, {BTC: bars}, at + 20 * ONE_MINUTE)
        changes += more
        at += 20 * ONE_MINUTE
    assert [lock.reason for lock in changes.locks].count("COOLDOWN_ACTIVE") == 2
    assert "STOP_LOSSES_OVER_LIMIT" in {lock.reason for lock in desk.locks}
    desk, more = steps.enter(desk, signal(at=at), history(until=at), at)
    assert [risk.code for risk in more.risk] == ["ENTRY_LOCKED"]


def test_fall_of_equity_locks_everything() -> None:
    desk = held(desk_at(paper()), "0.7")
    desk, changes = steps.watch(desk, {BTC: [bar(BTC, START + ONE_MINUTE, "60000", close="54000")]}, START + 2 * ONE_MINUTE)
    assert [(lock.reason, lock.symbol) for lock in desk.locks] == [("EQUITY_DRAWDOWN_OVER_LIMIT", None)]
    assert kinds(changes) == [RiskEventKind.LOCKED]


def test_stop_is_taken_before_the_target_of_the_same_bar() -> None:
    desk, _ = steps.enter(desk_at(paper()), signal(), history(), START)
    stop = desk.trades[BTC].stop_loss
    desk, changes = steps.watch(desk, {BTC: [bar(BTC, START, "60000", low="50000", high="70000")]}, START + ONE_MINUTE)
    closed = next(event for event in changes.events if isinstance(event, TradeClosed))
    assert closed.leg is Leg.STOP_LOSS
    assert closed.price < stop
    assert changes.trades[-1].state is TradeState.CLOSED
    assert changes.trades[-1].realised == closed.realised == desk.books.balance - 100_000
    risked = Decimal("250") * Decimal("1.2")  # 0.25 % of equity, costs on top
    assert -risked < closed.realised < -Decimal(200)


def test_symbol_that_is_held_and_not_seen_halts_after_ten_minutes_until_somebody_resumes() -> None:
    desk = held(desk_at(paper()), "0.2")
    others = {ETH: flat(ETH, START + ONE_MINUTE, 30, "3000"), SOL: flat(SOL, START + ONE_MINUTE, 30, "100")}
    desk, _ = steps.watch(desk, {s: c[:9] for s, c in others.items()}, START + 10 * ONE_MINUTE)
    assert desk.halt is None
    assert desk.watched_until == START + ONE_MINUTE
    desk, changes = steps.watch(desk, others, START + 12 * ONE_MINUTE)
    assert desk.halt is not None
    assert desk.halt.level is HaltLevel.HALT
    assert "STALE_DATA BTC-USD" in desk.halt.why
    back = {BTC: flat(BTC, START + ONE_MINUTE, 20, "60000"), **others}
    desk, _ = steps.watch(desk, back, START + 20 * ONE_MINUTE)
    assert desk.halt is not None  # data alone does not clear it
    desk, changes = steps.resume(desk, "anna", "data is back", START + 20 * ONE_MINUTE)
    assert desk.halt is None
    assert kinds(changes) == [RiskEventKind.RESUMED]


def test_halt_cancels_working_entries_lets_no_new_risk_through_and_is_not_made_milder() -> None:
    desk, _ = steps.enter(desk_at(paper()), signal(), history(), START)
    desk, changes = steps.halt(desk, HaltLevel.REDUCE_ONLY, "anna", "news", START)
    assert [type(e) for e in changes.events] == [TradingHalted]
    desk, changes = steps.enter(desk, signal(ETH), history(ETH), START)
    assert [risk.code for risk in changes.risk] == ["ACCOUNT_HALTED"]
    desk, changes = steps.watch(desk, {s: [bar(s, START, BASE[s])] for s in BASE}, START + ONE_MINUTE)
    assert changes.trades[-1].state is TradeState.ABANDONED
    assert not changes.entries
    assert desk.is_idle
    assert steps.halt(desk, HaltLevel.HALT, "bert", "also", START + ONE_MINUTE) == (desk, NOTHING)
    with pytest.raises(CommandError, match="resume"):
        steps.halt(desk, HaltLevel.NONE, "bert", "also", START + ONE_MINUTE)


def test_a_milder_halt_that_lasts_longer_is_not_forgotten_when_the_stricter_one_ends() -> None:
    noon, one = START, START + timedelta(hours=1)
    desk, _ = steps.halt(desk_at(paper()), HaltLevel.FLATTEN, "anna", "lunch", noon, one)
    desk, changes = steps.halt(desk, HaltLevel.HALT, "signalbox", "EVENT_REFUSED", noon + ONE_MINUTE)
    assert [(h.level, h.until) for h in changes.halts] == [(HaltLevel.FLATTEN, None)]
    assert steps.risk_snapshot(desk, one).halt is HaltLevel.FLATTEN
    desk, changes = steps.halt(desk, HaltLevel.REDUCE_ONLY, "bert", "also", noon + 2 * ONE_MINUTE, one)
    assert changes == NOTHING


def test_timed_halt_ends_by_itself_and_another_one_does_not() -> None:
    desk = desk_at(paper())
    timed, _ = steps.halt(desk, HaltLevel.HALT, "anna", "lunch", START, START + timedelta(minutes=4))
    later = START + timedelta(minutes=4)
    assert steps.risk_snapshot(timed, later).halt is HaltLevel.NONE
    lasting, _ = steps.halt(timed, HaltLevel.HALT, "bert", "longer", START + ONE_MINUTE)
    assert steps.risk_snapshot(lasting, later).halt is HaltLevel.HALT
