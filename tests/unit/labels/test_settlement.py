"""Settlement on random candles: training's rows, one signal of serving, and the paper venue of the backtest agree."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signalbox.features import get_schema
from signalbox.labels import CONTRACTS, DIR60, SignalContract
from signalbox.labels.settlement import SignalEnding, covers_cost, settle_signal, settlement_bars
from signalbox.labels.volatility import volatilities, volatility
from signalbox.market.candles import MINUTE_MS, Bars, Candle, from_ms
from signalbox.orders.paper.barriers import Bracket, EntryTiming, barrier_hit
from signalbox.orders.terms import Leg, Side
from tests.examples import examples
from tests.unit.training.synthetic import walk, without
from training.data.dataset import Dataset, build_dataset
from training.judge.scoring import hits, random_hits

SCHEMA = get_schema("v31")
ALL = pytest.mark.parametrize("contract", CONTRACTS.values(), ids=[*CONTRACTS])
_LEGS = {Leg.STOP_LOSS: SignalEnding.STOP, Leg.TAKE_PROFIT: SignalEnding.TARGET, Leg.TIMEOUT: SignalEnding.HORIZON}


def made(contract: SignalContract, days: float = 2.5, seed: int = 3) -> tuple[Bars, Dataset]:
    bars = without(walk(days, seed=seed), 2_900, 2_901)
    return bars, build_dataset(SCHEMA, [bars], contract=contract)


@ALL
def test_training_and_serving_settle_the_same_way(contract: SignalContract) -> None:
    bars, data = made(contract)
    for row in range(0, len(data), 7):
        at = from_ms(int(data.decided_at_ms[row]))
        known = bars.until(at + timedelta(minutes=contract.window_minutes)).last(settlement_bars(contract))
        for side in (1, -1):
            found = settle_signal(contract, known, at, side)
            assert found is not None
            assert found.right == bool(hits(data, np.full(len(data), float(side)))[row])
            earned = side * (found.price / found.entry - 1.0)
            if data.sides is None:
                assert earned == pytest.approx(side * data.outcome[row], abs=1e-15)
            else:
                assert earned == (data.sides.buy_earned if side > 0 else data.sides.sell_earned)[row]


@ALL
def test_training_has_no_label_that_serving_cannot_settle_in_a_still_market(contract: SignalContract) -> None:
    moving = walk(4, seed=8)
    # the last two days: an hour's volatility is rounded to 0, that of four hours is not
    level = np.log(moving.close) * np.where(np.arange(len(moving)) < 2 * 1_440, 1.0, 8e-5)
    close = 100.0 * np.exp(level - np.log(100.0))
    open_ = np.concatenate(([100.0], close[:-1]))
    bars = Bars(
        moving.symbol, moving.open_time_ms, open_, np.maximum(open_, close), np.minimum(open_, close), close, moving.volume
    )
    data = build_dataset(SCHEMA, [bars], contract=contract)
    assert len(data) > 50
    for row in range(0, len(data), 5):
        assert settle_signal(contract, bars, from_ms(int(data.decided_at_ms[row])), 1) is not None


@ALL
def test_no_price_from_the_decision_on_changes_a_volatility(contract: SignalContract) -> None:
    bars, data = made(contract)
    if data.volatility is None:
        assert not contract.needs_volatility
        return
    for row in range(0, len(data), 40):
        after = int(np.searchsorted(bars.open_time_ms, data.decided_at_ms[row]))
        scale = np.where(np.arange(len(bars)) < after, 1.0, 1.5 + np.arange(len(bars)) % 2)
        open_, high, low, close = (column * scale for column in (bars.open, bars.high, bars.low, bars.close))
        other = Bars(bars.symbol, bars.open_time_ms, open_, high, low, close, bars.volume)
        assert volatilities(other, np.array([after - 1]), contract.horizon_minutes)[0] == data.volatility[row]


@settings(max_examples=examples(12), deadline=None)
@given(seed=st.integers(0, 10_000), side=st.sampled_from([1, -1]), start=st.integers(300, 900))
def test_the_paper_venue_leaves_where_the_contract_does(seed: int, side: int, start: int) -> None:
    contract = CONTRACTS["hit75@1"]
    assert contract.barriers is not None
    bars = walk(1, seed=seed)
    at = from_ms(int(bars.open_time_ms[start]))
    found = settle_signal(contract, bars, at, side)
    move = volatility(bars, at, contract.barriers.volatility_minutes)
    assert found is not None
    assert move is not None
    entry = Decimal(repr(found.entry))
    target = entry * (1 + side * Decimal(repr(contract.barriers.target_volatilities)) * move)
    stop = entry * (1 - side * Decimal(repr(contract.barriers.stop_volatilities)) * move)
    bracket = Bracket(
        side=Side.BUY if side > 0 else Side.SELL,
        entry_bar=at,
        timing=EntryTiming.AT_OPEN,
        stop_loss=stop,
        take_profit=target,
        deadline=at + timedelta(minutes=contract.horizon_minutes),
    )
    for place in range(start, start + contract.horizon_minutes + 1):
        hit = barrier_hit(bracket, candle(bars, place), Decimal(0))
        if hit is not None:
            assert _LEGS[hit.leg] is found.ending
            assert found.at == from_ms(int(bars.open_time_ms[place]))
            assert float(hit.execution.price) == pytest.approx(found.price, rel=1e-12)
            return
    pytest.fail("the paper venue never left")


def candle(bars: Bars, place: int) -> Candle:
    numbers = (Decimal(repr(float(column[place]))) for column in (bars.open, bars.high, bars.low, bars.close, bars.volume))
    return Candle(bars.symbol, from_ms(int(bars.open_time_ms[place])), *numbers)


@ALL
def test_a_random_side_is_right_half_of_the_time_only_without_barriers(contract: SignalContract) -> None:
    _, data = made(contract, days=5)
    rate = float(random_hits(data).mean())
    if contract.is_symmetric:
        assert rate == pytest.approx(0.5, abs=0.01)  # flats alone take from it
    else:
        assert 0.6 < rate < 0.75  # a target at a third of the stop's distance is reached first by either side


@ALL
def test_the_sides_of_mirrored_prices_change_places(contract: SignalContract) -> None:
    bars, data = made(contract)
    high, low = 1e4 / bars.low, 1e4 / bars.high
    mirrored = Bars(bars.symbol, bars.open_time_ms, 1e4 / bars.open, high, low, 1e4 / bars.close, bars.volume)
    other = build_dataset(SCHEMA, [mirrored], contract=contract)
    ones = np.ones(len(data))
    assert np.array_equal(data.decided_at_ms, other.decided_at_ms)
    # levels are fractions of a price, so a mirrored barrier is not at exactly the mirrored price
    assert (hits(data, ones) != hits(other, -ones)).mean() < 0.02


@ALL
def test_no_label_uses_a_bar_after_its_window(contract: SignalContract) -> None:
    bars, data = made(contract)
    last = int(np.flatnonzero(data.decided_at_ms == data.decided_at_ms[len(data) // 2])[0])
    end = int(data.decided_at_ms[last]) + contract.horizon_minutes * MINUTE_MS
    cut = bars.window(slice(0, int(np.searchsorted(bars.open_time_ms, end, side="right"))))
    part = build_dataset(SCHEMA, [cut], contract=contract)
    assert len(part) == last + 1
    np.testing.assert_array_equal(part.outcome, data.outcome[: last + 1])
    np.testing.assert_array_equal(part.target, data.target[: last + 1])
    if data.sides is not None and part.sides is not None:
        np.testing.assert_array_equal(part.sides.buy_right, data.sides.buy_right[: last + 1])
        np.testing.assert_array_equal(part.sides.sell_earned, data.sides.sell_earned[: last + 1])


def test_many_volatilities_are_those_of_one_decision_at_a_time() -> None:
    bars = without(walk(1, seed=5), 700, 702)
    rows = np.arange(30, len(bars), 11)
    found = volatilities(bars, rows, 60)
    for row, one in zip(rows.tolist(), found.tolist(), strict=True):
        alone = volatility(bars, from_ms(int(bars.open_time_ms[row]) + MINUTE_MS), 60)
        assert (alone is None and np.isnan(one)) or float(alone or 0) == one


def test_a_signal_across_a_gap_or_before_its_end_is_not_settled() -> None:
    bars = walk(1)
    at = from_ms(int(bars.open_time_ms[600]))
    assert settle_signal(DIR60, bars, at, 1) is not None
    assert settle_signal(DIR60, bars.window(slice(0, 660)), at, 1) is None
    assert settle_signal(DIR60, without(bars, 620, 620), at, 1) is None
    assert settle_signal(DIR60, without(bars, 600, 600), at, 1) is None
    assert settle_signal(CONTRACTS["hit75@1"], bars.window(slice(500, 900)), at, 1) is None  # 100 returns are no volatility


def test_a_signal_is_issued_only_if_its_expected_move_covers_the_cost() -> None:
    up = np.array([0.5, 0.55, 0.60, 0.40, 0.60])
    move = np.array([0.01, 0.01, 0.01, 0.01, np.nan])  # 0.8 * 0.2 * 100 bps is above 6.5 bps, half of it is above as well
    assert covers_cost(CONTRACTS["ret240@1"], up, move).tolist() == [False, True, True, True, False]
    assert covers_cost(CONTRACTS["ret240@1"], up, move / 4).tolist() == [False, False, False, False, False]
    assert not covers_cost(CONTRACTS["ret240@1"], up, None).any()
    assert covers_cost(DIR60, up, None).all()
