from __future__ import annotations

import numpy as np
import pytest

from signalbox.features import compute_features, get_schema
from signalbox.market.candles import MINUTE_MS, MarketDataError
from tests.unit.training.synthetic import START_MS, walk, without
from training.data.dataset import DECISION_MINUTES, build_dataset

SCHEMA = get_schema("v31")
FIVE = DECISION_MINUTES * MINUTE_MS


def test_label_is_the_sign_from_the_entry_open_to_the_open_an_hour_later() -> None:
    bars = walk(2)
    data = build_dataset(SCHEMA, [bars])
    for i in (0, 7, len(data) - 1):
        entry = np.searchsorted(bars.open_time_ms, data.decided_at_ms[i])  # the bar that opens at the decision
        assert bars.open_time_ms[entry] == data.decided_at_ms[i]
        outcome = bars.open[entry + 60] / bars.open[entry] - 1
        assert data.outcome[i] == pytest.approx(outcome, abs=1e-15)
        assert data.label[i] == float(outcome > 0)
        assert data.momentum[i] == pytest.approx(bars.close[entry - 1] / bars.close[entry - 61] - 1, abs=1e-15)


def test_features_are_those_of_the_bar_that_closes_at_the_decision() -> None:
    bars = walk(2)
    data = build_dataset(SCHEMA, [bars])
    matrix = compute_features(SCHEMA, bars)
    row = np.searchsorted(bars.open_time_ms, data.decided_at_ms[5] - MINUTE_MS)
    np.testing.assert_array_equal(data.features[5], matrix.values[row].astype(np.float32))


def test_decisions_are_at_five_minute_boundaries_of_all_symbols_in_time_order() -> None:
    data = build_dataset(SCHEMA, [walk(2), walk(2, seed=2, symbol="ETH-USD")])
    assert not (data.decided_at_ms % FIVE).any()
    assert (np.diff(data.decided_at_ms) >= 0).all()
    assert data.symbol[:4].tolist() == [0, 1, 0, 1]


def test_every_boundary_is_kept_or_counted() -> None:
    bars = without(walk(3), 3_000, 3_002)
    counts = build_dataset(SCHEMA, [bars]).counts[bars.symbol]
    left_out = counts.warm_up + counts.gap_in_features + counts.gap_in_label + counts.beyond_the_end
    assert counts.boundaries == counts.kept + left_out
    assert counts.gap_in_label == 13  # decisions whose entry, exit or any minute between is missing
    assert counts.gap_in_features == 12  # and of the hour after it
    assert counts.beyond_the_end == 13  # the newest hour has no outcome yet


def test_no_row_spans_a_gap() -> None:
    bars = without(walk(3), 3_000, 3_002)
    decided = build_dataset(SCHEMA, [bars]).decided_at_ms
    first, last = START_MS + 3_000 * MINUTE_MS, START_MS + 3_003 * MINUTE_MS
    assert not ((decided > first - 61 * MINUTE_MS) & (decided < last + 60 * MINUTE_MS)).any()


def test_flats_are_kept_and_count_as_not_up() -> None:
    bars = walk(2)
    bars.open[:], bars.close[:], bars.high[:], bars.low[:] = 100.0, 100.0, 100.0, 100.0
    data = build_dataset(SCHEMA, [bars])
    assert data.counts[bars.symbol].flats == len(data) > 0
    assert not data.label.any()


def test_too_little_history_is_refused_with_the_number_needed() -> None:
    with pytest.raises(MarketDataError, match=r"more than 2,041 candles.*BTC-USD 1,440"):
        build_dataset(SCHEMA, [walk(1)])


def test_candles_with_a_gap_in_every_window_are_said_to_have_gaps() -> None:
    bars = walk(4)
    for first in range(20, len(bars), 20):  # twenty are kept, twenty are missing
        bars = without(bars, first, first + 19)
    with pytest.raises(MarketDataError, match=r"got none in BTC-USD 2,880 candles: too many minutes are missing"):
        build_dataset(SCHEMA, [bars])
