"""Features of alternative data say at each decision what was known then, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox.alternative.features import NAMES, SCHEMA_NAME, alternative_features
from signalbox.alternative.observations import WHOLE_MARKET, MarketObservation, ObservationKind, as_known
from signalbox.features import SCHEMAS
from signalbox.market.candles import to_ms
from tests.builders import NOON, minutes
from tests.unit.alternative.test_observations import observation

K = ObservationKind
DECISIONS = np.array([to_ms(NOON + minutes(5 * i)) for i in range(24 * 12)], dtype=np.int64)


def column(observations: list[MarketObservation], name: str, lag: timedelta | None = None) -> np.ndarray:
    return alternative_features(observations, "BTC-USD", DECISIONS, lag=lag)[:, NAMES.index(name)]


def test_the_experimental_schema_is_of_sixty_four_features_that_no_bundle_can_name() -> None:
    assert len(SCHEMAS["v50"].names) + len(NAMES) == 64
    assert SCHEMA_NAME not in SCHEMAS


def test_nothing_known_is_not_a_number_and_never_zero() -> None:
    assert np.isnan(alternative_features([], "BTC-USD", DECISIONS)).all()


def test_a_value_counts_from_when_it_was_known_until_it_is_outdated() -> None:
    made = [observation(NOON, "0.0001", after=7, kind=K.FUNDING_RATE)]
    found = column(made, "funding_rate")
    known = to_ms(NOON + minutes(7)) <= DECISIONS
    fresh = to_ms(NOON + timedelta(hours=16)) >= DECISIONS
    assert np.isnan(found[~known | ~fresh]).all()
    assert found[known & fresh] == pytest.approx(0.0001)
    assumed = column(made, "funding_rate", lag=timedelta(minutes=1))
    assert np.isfinite(assumed[to_ms(NOON + minutes(5)) == DECISIONS]).all()


def test_sources_of_other_units_are_compared_by_their_changes() -> None:
    made = [
        observation(NOON + minutes(5 * i), str(scale * (1 if i < 12 else 2)), after=0, source=source)
        for source, scale in (("okx", 10), ("bybit", 7_000))
        for i in range(25)
    ]
    made.append(observation(NOON, "9e9", after=0, subject="ETH-USD"))
    found = column(made, "open_interest_change_1h")
    assert found[12] == pytest.approx(np.log(2))
    assert found[24] == pytest.approx(0.0)


def test_liquidations_of_the_last_hour_are_summed_by_side() -> None:
    made = [
        observation(NOON + minutes(m), "2", after=1, kind=K.LIQUIDATION, item=f"{side} 60000.{m}")
        for m, side in ((1, "long"), (11, "long"), (12, "short"), (200, "long"))
    ]
    found = column(made, "liquidated_long_1h")
    assert np.isnan(found[0])
    assert found[3] == pytest.approx(np.log1p(4))
    assert found[20] == 0.0  # somebody watched, and nothing happened
    assert column(made, "liquidated_short_1h")[3] == pytest.approx(np.log1p(2))


def test_an_important_release_is_counted_down_to_if_it_was_announced() -> None:
    due = NOON + timedelta(hours=6)
    announced = observation(due, "3", kind=K.ECONOMIC_EVENT, subject=WHOLE_MARKET, item="CPI")
    announced = replace(announced, published_at=NOON - timedelta(days=3), known_at=NOON - timedelta(days=1))
    minor = replace(announced, value=announced.value - 2, item="survey", observed_at=NOON + timedelta(hours=1))
    unknown = replace(announced, item="surprise", observed_at=NOON + timedelta(hours=2), known_at=NOON + timedelta(hours=5))
    found = column([announced, minor, unknown], "hours_to_release")
    assert found[0] == pytest.approx(6.0)
    assert found[71] == pytest.approx(1 / 12)
    assert found[72] == pytest.approx(24.0)


_KINDS = st.sampled_from([K.FUNDING_RATE, K.OPEN_INTEREST, K.LONG_SHORT_RATIO, K.LIQUIDATION])
_SOME = st.lists(
    st.builds(
        lambda at, value, after, kind: observation(
            NOON + minutes(5 * at), str(value), after, kind=kind, item="long 1" if kind is K.LIQUIDATION else ""
        ),
        st.integers(0, 100),
        st.integers(1, 9),
        st.integers(0, 300),
        _KINDS,
    ),
    max_size=15,
)


@given(_SOME, st.integers(0, len(DECISIONS) - 1))
def test_no_feature_knows_what_was_fetched_after_the_decision(made: list[MarketObservation], row: int) -> None:
    at = NOON + minutes(5 * row)
    known = [one for one in made if one.known_at <= at]
    whole = alternative_features(made, "BTC-USD", DECISIONS)
    past = alternative_features(known, "BTC-USD", DECISIONS)
    assert np.array_equal(whole[row], past[row], equal_nan=True)
    assert {one.key for one in as_known(made, at)} == {one.key for one in known}
