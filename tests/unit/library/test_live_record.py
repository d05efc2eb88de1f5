"""The live record of a deployment, and the evidence of a comparison: worked examples, an honest null, and a real difference."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from signalbox.library.day_blocks import calibration_error
from signalbox.library.live_record import (
    STAKES,
    LiveDecision,
    compared_live,
    evidence,
    live_record,
    outcomes_of_bets,
)

BEGIN = datetime(2026, 11, 1, tzinfo=UTC)
HORIZON = 60


def decision(minute: int, probability: float, close: str | None, *, issued: bool = True, symbol: str = "BTC-USD") -> LiveDecision:
    at = BEGIN + timedelta(minutes=minute)
    ends = None if close is None else Decimal(close)
    return LiveDecision(symbol, at, "m-v1", probability, probability > 0.5, issued, Decimal(100), ends)


def test_a_record_counts_what_is_settled_and_says_what_is_not() -> None:
    found = live_record(
        [
            decision(0, 0.7, "101"),  # right, +100 bps
            decision(5, 0.3, "101"),  # wrong, -100 bps
            decision(10, 0.2, "98"),  # right, +200 bps
            decision(15, 0.52, "99", issued=False),
            decision(20, 0.9, None),
        ],
        costs_bps=6.5,
    )
    assert (found.decisions, found.settled, found.unsettled, found.signals, found.days) == (5, 4, 1, 3, 1)
    assert found.precision is not None
    assert found.net_bps is not None
    assert found.squared_error is not None
    assert found.precision.value == pytest.approx(2 / 3)
    assert (found.precision.low, found.precision.high) == (None, None)  # of one day no interval is given
    assert found.net_bps.value == pytest.approx((100 - 100 + 200) / 3 - 6.5)
    assert found.squared_error.value == pytest.approx((0.3**2 + 0.7**2 + 0.2**2 + 0.52**2) / 4)
    assert (found.first, found.last) == (BEGIN, BEGIN + timedelta(minutes=15))


def test_a_price_that_did_not_move_makes_no_signal_right() -> None:
    found = live_record([decision(0, 0.7, "100"), decision(5, 0.3, "100")], None)
    assert found.precision is not None
    assert (found.precision.value, found.net_bps, found.costs_bps) == (0.0, None, None)


def test_a_deployment_without_a_settled_decision_has_no_figures() -> None:
    found = live_record([decision(0, 0.7, None)], 6.5)
    assert (found.settled, found.unsettled, found.first) == (0, 1, None)
    assert (found.precision, found.calibration_error, found.squared_error, found.net_bps) == (None, None, None, None)


def test_the_interval_resamples_whole_days() -> None:
    """All signals of a day are right or wrong together: the interval is that of so many days, not of so many signals."""
    days = 20
    found = live_record([decision(1440 * d + 5 * i, 0.7, "101" if d % 2 else "99") for d in range(days) for i in range(50)], 0.0)
    assert found.precision is not None
    assert found.precision.low is not None
    assert found.precision.high is not None
    half = (found.precision.high - found.precision.low) / 2
    assert half == pytest.approx(1.96 * math.sqrt(0.25 / days), rel=0.15)


def test_the_calibration_error_is_the_gap_and_nothing_for_a_calibrated_model() -> None:
    rng = np.random.default_rng(3)
    confidence = rng.uniform(0.5, 0.9, 20_000)
    calibrated = (rng.uniform(size=20_000) < confidence).astype(np.float64)
    bold = (rng.uniform(size=20_000) < confidence - 0.1).astype(np.float64)
    assert (calibration_error(confidence, calibrated) or 0.0) < 0.01
    assert calibration_error(confidence, bold) == pytest.approx(0.1, abs=0.01)


def test_only_decisions_that_both_made_and_that_are_settled_are_compared() -> None:
    one = [decision(0, 0.7, "101"), decision(5, 0.7, "101"), decision(60, 0.7, None)]
    other = [decision(0, 0.9, "101"), decision(10, 0.9, "101"), decision(60, 0.9, None)]
    found = compared_live(one, other, horizon_minutes=HORIZON, costs_bps=6.5)
    assert (found.pairs, found.bets) == (1, 1)
    assert found.squared_error is not None
    assert found.squared_error.value == pytest.approx(0.3**2 - 0.1**2)
    assert found.for_second > 1 > found.for_first


def test_decisions_on_other_prices_are_no_pair() -> None:
    one = [decision(0, 0.7, "101"), decision(60, 0.7, "101"), decision(120, 0.7, "101")]
    other = [decision(0, 0.9, "99"), replace(decision(60, 0.9, "101"), price=Decimal(102)), decision(120, 0.9, "101")]
    found = compared_live(one, other, horizon_minutes=HORIZON, costs_bps=6.5)
    assert (found.pairs, found.bets) == (1, 1)


def test_one_bet_a_horizon_and_none_where_both_say_the_same() -> None:
    minutes, both = range(0, 300, 5), ("BTC-USD", "ETH-USD")
    one = [decision(minute, 0.6, "101", symbol=symbol) for minute in minutes for symbol in both]
    other = [replace(found, probability_up=0.7 if found.decided_at.hour else 0.6) for found in one]
    outcomes = outcomes_of_bets(list(zip(one, other, strict=True)), HORIZON)
    assert outcomes.shape == (4,)  # 01:00 to 04:00; at 00:00 they agree
    assert outcomes == pytest.approx([(0.4**2 - 0.3**2) / (0.7**2 - 0.6**2)] * 4)


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1), st.booleans()), min_size=1, max_size=30))
def test_a_bet_never_loses_more_than_its_stake_and_models_change_places(facts: list[tuple[float, float, bool]]) -> None:
    one = [decision(HORIZON * i, a, "101" if up else "99") for i, (a, _, up) in enumerate(facts)]
    other = [decision(HORIZON * i, b, "101" if up else "99") for i, (_, b, up) in enumerate(facts)]
    outcomes = outcomes_of_bets(list(zip(one, other, strict=True)), HORIZON)
    assert (np.abs(outcomes) <= 1.0 + 1e-9).all()
    found = compared_live(one, other, horizon_minutes=HORIZON, costs_bps=None)
    back = compared_live(other, one, horizon_minutes=HORIZON, costs_bps=None)
    assert (found.for_first, found.for_second) == pytest.approx((back.for_second, back.for_first))


def capital_paths(outcomes: NDArray[np.float64]) -> NDArray[np.float64]:
    """The e-value after each bet, (paths, bets), of (paths, bets) outcomes; the last one is `evidence` of the row."""
    paths: NDArray[np.float64] = np.mean([np.exp(np.cumsum(np.log1p(stake * outcomes), axis=1)) for stake in STAKES], axis=0)
    assert paths[0, -1] == pytest.approx(evidence(outcomes[0]))
    return paths


def simulated(truth: Callable[..., NDArray[np.float64]], paths: int, bets: int, seed: int) -> NDArray[np.float64]:
    """Outcomes of bets on the second of two models, whose probabilities and the truth wander with the market's state."""
    rng = np.random.default_rng(seed)
    state = np.cumsum(rng.normal(0, 0.02, (paths, bets)), axis=1)
    first = np.clip(0.5 + 0.1 * np.sin(state * 7), 0.05, 0.95)
    second = np.clip(first + rng.choice([-0.08, 0.08], (paths, bets)), 0.05, 0.95)
    up = rng.uniform(size=(paths, bets)) < truth(first, second)
    loss = (first - up) ** 2 - (second - up) ** 2
    largest = np.maximum(np.abs(first**2 - second**2), np.abs((1 - first) ** 2 - (1 - second) ** 2))
    outcomes: NDArray[np.float64] = loss / largest
    return outcomes


def test_under_the_null_stopping_at_the_best_moment_errs_as_seldom_as_promised() -> None:
    """At the border of the null both models err alike, and the analyst looks after each bet and stops when it suits."""
    paths = capital_paths(simulated(lambda first, second: (first + second) / 2, 2_000, 720, 11))  # a month of hours
    for level in (0.05, 0.01):
        ever = float((paths.max(axis=1) >= 1 / level).mean())
        assert ever <= level + 3 * math.sqrt(level * (1 - level) / 2_000)
    assert paths[:, 23].mean() == pytest.approx(1.0, abs=0.05)  # the bets are fair, so the test could fail


def test_within_the_null_where_the_first_model_is_right_the_capital_goes() -> None:
    paths = capital_paths(simulated(lambda first, _: first, 1_000, 720, 12))
    assert float((paths.max(axis=1) >= 20).mean()) <= 0.01
    assert float(np.median(paths[:, -1])) < 0.2


def test_a_model_right_by_eight_points_is_found_within_ninety_days_nearly_always() -> None:
    paths = capital_paths(simulated(lambda _, second: second, 500, 2_160, 13))
    found = (paths >= 20).argmax(axis=1)[(paths >= 20).any(axis=1)]
    assert len(found) / len(paths) >= 0.8  # 0.86 of 2,000 paths
    assert float(np.median(found)) > 240  # not within ten days: it takes weeks
