"""Protections by worked cases, and what holds for every history."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from signalbox.market.candles import Symbol
from signalbox.risk import Lock
from signalbox.risk.protections import STANDARD, EquityPoint, Exit, ProtectionCode, ProtectionLimits, active_locks
from tests.builders import BTC, ETH, NOON, SOL, minutes

D = Decimal


def exit_(minutes_ago: float, profit: int = 10, *, symbol: Symbol = BTC, by_stop: bool = False) -> Exit:
    return Exit(symbol, NOON - minutes(minutes_ago), D(profit), by_stop)


def equity(*values: int, step: float = 10) -> list[EquityPoint]:
    """Points `step` minutes apart, the last one at noon."""
    return [EquityPoint(NOON - minutes(step * (len(values) - 1 - i)), D(v)) for i, v in enumerate(values)]


def locks(*exits: Exit, points: list[EquityPoint] | None = None) -> list[tuple[str, Symbol | None, int]]:
    """(reason, symbol, minutes left at noon)."""
    found = active_locks(exits, points or [], at=NOON, limits=STANDARD)
    return [(k.reason, k.symbol, int((k.until - NOON) / minutes(1))) for k in found]


def test_a_symbol_cools_down_after_its_exit_and_no_other_does() -> None:
    assert locks(exit_(5), exit_(50, symbol=ETH)) == [(ProtectionCode.COOLDOWN_ACTIVE, BTC, 10)]
    assert locks(exit_(15)) == []


def test_stops_hit_too_often_lock_the_symbol_and_then_the_account() -> None:
    stops = [exit_(m, by_stop=True) for m in (200, 100)]
    reason = ProtectionCode.STOP_LOSSES_OVER_LIMIT
    assert locks(*stops) == [(reason, BTC, 140)]
    assert locks(exit_(461, by_stop=True), exit_(101, by_stop=True)) == []  # 360 minutes apart: never in one window
    other = [exit_(m, by_stop=True, symbol=s) for m, s in ((90, ETH), (80, SOL))]
    assert locks(*stops, *other) == [(reason, None, 160), (reason, BTC, 140)]


def test_a_lock_lasts_its_time_although_its_cause_has_left_the_window() -> None:
    assert locks(exit_(599, by_stop=True), exit_(239, by_stop=True), exit_(580, by_stop=True)) == [
        (ProtectionCode.STOP_LOSSES_OVER_LIMIT, BTC, 1)
    ]


def test_a_symbol_that_earns_too_little_is_locked_once_there_are_enough_exits() -> None:
    losing = [exit_(m, -10) for m in (400, 300, 200)]
    assert locks(*losing) == []
    assert locks(*losing, exit_(100, 29)) == [(ProtectionCode.SYMBOL_PROFIT_BELOW_MINIMUM, BTC, 620)]
    assert locks(*losing, exit_(100, 30)) == []


def test_equity_that_fell_too_far_from_its_peak_locks_the_account() -> None:
    assert locks(points=equity(10_000, 9_600)) == []
    assert locks(points=equity(10_000, 9_599)) == [(ProtectionCode.EQUITY_DRAWDOWN_OVER_LIMIT, None, 720)]
    assert locks(points=equity(10_000, 9_599, 10_000)) == [(ProtectionCode.EQUITY_DRAWDOWN_OVER_LIMIT, None, 710)]
    assert locks(points=equity(10_000, 9_700, 9_400, step=2_880)) == []  # each peak has left the window of the next


def test_limits_are_bounded_and_complete() -> None:
    for change in ({"cooldown_minutes": 0}, {"max_drawdown_fraction": D(2)}, {"surprise": 1}, {"low_profit_minimum": 0.5}):
        with pytest.raises(ValidationError):
            ProtectionLimits.model_validate(STANDARD.model_dump() | change)
    assert all(field.is_required() for field in ProtectionLimits.model_fields.values())


EXIT = st.builds(
    exit_, st.integers(-100, 4_000), st.integers(-50, 50), symbol=st.sampled_from([BTC, ETH, SOL]), by_stop=st.booleans()
)
EXITS = st.lists(EXIT, max_size=15)
POINTS = st.lists(
    st.builds(lambda m, v: EquityPoint(NOON - minutes(m), D(v)), st.integers(-100, 4_000), st.integers(8_000, 11_000)),
    max_size=15,
)


def judged(exits: list[Exit], points: list[EquityPoint]) -> tuple[Lock, ...]:
    return active_locks(exits, points, at=NOON, limits=STANDARD)


@given(exits=EXITS, points=POINTS, data=st.data())
def test_the_order_of_facts_and_the_future_change_nothing(
    exits: list[Exit], points: list[EquityPoint], data: st.DataObject
) -> None:
    past = judged([e for e in exits if e.at <= NOON], [p for p in points if p.at <= NOON])
    assert judged(data.draw(st.permutations(exits)), data.draw(st.permutations(points))) == past
    assert all(lock.since <= NOON < lock.until for lock in past)


@given(exits=EXITS, more=st.lists(st.integers(0, 4_000), max_size=3))
def test_another_stop_loss_never_unlocks(exits: list[Exit], more: list[int]) -> None:
    before = {(k.reason, k.symbol): k.until for k in judged(exits, [])}
    stops = [exit_(m, -60, by_stop=True) for m in more]
    after = {(k.reason, k.symbol): k.until for k in judged([*exits, *stops], [])}
    harsh = {key: until for key, until in before.items() if key[0] != ProtectionCode.SYMBOL_PROFIT_BELOW_MINIMUM}
    assert all(after.get(key, NOON) >= until for key, until in harsh.items())


@given(exits=EXITS, points=POINTS)
def test_every_lock_ends_when_nothing_more_happens(exits: list[Exit], points: list[EquityPoint]) -> None:
    later = NOON + minutes(100) + timedelta(minutes=720)
    assert active_locks(exits, points, at=later, limits=STANDARD) == ()


@given(points=POINTS, factor=st.integers(1, 1_000))
def test_drawdown_does_not_depend_on_the_size_of_the_account(points: list[EquityPoint], factor: int) -> None:
    larger = [EquityPoint(p.at, p.equity * factor) for p in points]
    assert [k.until for k in judged([], points)] == [k.until for k in judged([], larger)]


@given(points=POINTS)
def test_drawdown_is_found_by_looking_at_every_pair(points: list[EquityPoint]) -> None:
    known = [p for p in points if p.at <= NOON]
    window, share = minutes(STANDARD.drawdown_lookback_minutes), 1 - STANDARD.max_drawdown_fraction
    falls = [
        low.at for low in known if any(low.at - window < high.at < low.at and low.equity < high.equity * share for high in known)
    ]
    pause = minutes(STANDARD.drawdown_pause_minutes)
    expected = [max(falls) + pause] if falls and max(falls) + pause > NOON else []
    if len({p.at for p in known}) == len(known):
        assert [k.until for k in judged([], points)] == expected


@given(gains=st.lists(st.integers(0, 4_000), max_size=12))
def test_winners_only_cool_down(gains: list[int]) -> None:
    found = judged([exit_(m, 5) for m in gains], equity(*range(100, 100 + len(gains))))
    assert {k.reason for k in found} <= {ProtectionCode.COOLDOWN_ACTIVE}


def windows(exits: list[Exit], lookback: int, pause: int) -> Iterator[tuple[datetime, list[Exit]]]:
    """Each past exit's instant, newest first, with the exits of its window, while a lock that it causes is in force at noon."""
    known = [e for e in exits if e.at <= NOON]
    for moment in sorted({e.at for e in known}, reverse=True):
        if moment + minutes(pause) > NOON:
            yield moment, [e for e in known if moment - minutes(lookback) < e.at <= moment]


@given(exits=st.lists(EXIT, max_size=40))
def test_locks_after_exits_are_found_by_looking_at_every_window(exits: list[Exit]) -> None:
    expected: set[tuple[str, Symbol | None, datetime]] = set()
    for symbol in (BTC, ETH, SOL):
        own = [e for e in exits if e.symbol == symbol]
        for moment, window in windows(own, STANDARD.low_profit_lookback_minutes, STANDARD.low_profit_pause_minutes):
            if len(window) >= STANDARD.low_profit_min_exits and sum(e.profit for e in window) < STANDARD.low_profit_minimum:
                expected.add((ProtectionCode.SYMBOL_PROFIT_BELOW_MINIMUM.value, symbol, moment))
                break
    for of, most in ((BTC, STANDARD.max_stop_losses_symbol), (None, STANDARD.max_stop_losses_account)):
        stopped = [e for e in exits if e.by_stop and of in {None, e.symbol}]
        for moment, window in windows(stopped, STANDARD.stop_loss_lookback_minutes, STANDARD.stop_loss_pause_minutes):
            if len(window) >= most:
                expected.add((ProtectionCode.STOP_LOSSES_OVER_LIMIT.value, of, moment))
                break
    found = {
        (lock.reason, lock.symbol, lock.since)
        for lock in judged(exits, [])
        if lock.reason == ProtectionCode.SYMBOL_PROFIT_BELOW_MINIMUM
        or (lock.reason == ProtectionCode.STOP_LOSSES_OVER_LIMIT and lock.symbol in {None, BTC})
    }
    assert found == expected
