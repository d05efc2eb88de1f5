import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox.signals.signal import Direction, SignalError, Thresholds, Tier, classify

THRESHOLDS = Thresholds(issue_margin=0.03, high_margin=0.06)


@pytest.mark.parametrize(
    ("probability", "expected"),
    [
        (0.5, (Direction.HOLD, Tier.LOW)),
        (0.5299, (Direction.HOLD, Tier.LOW)),
        (0.5301, (Direction.BUY, Tier.MEDIUM)),
        (0.4699, (Direction.SELL, Tier.MEDIUM)),
        (0.5601, (Direction.BUY, Tier.HIGH)),
        (0.0, (Direction.SELL, Tier.HIGH)),
        (1.0, (Direction.BUY, Tier.HIGH)),
    ],
)
def test_margin_decides_direction_and_tier(probability: float, expected: tuple[Direction, Tier]) -> None:
    assert classify(probability, THRESHOLDS) == expected


@pytest.mark.parametrize("probability", [-0.01, 1.01, float("nan"), float("inf")])
def test_what_is_no_probability_is_an_error(probability: float) -> None:
    with pytest.raises(SignalError):
        classify(probability, THRESHOLDS)


@pytest.mark.parametrize("margins", [(0.0, 0.1), (0.2, 0.1), (0.1, 0.5), (float("nan"), 0.1)])
def test_thresholds_out_of_order_are_an_error(margins: tuple[float, float]) -> None:
    with pytest.raises(SignalError):
        Thresholds(*margins)


@given(st.floats(0, 1), st.floats(0.001, 0.2), st.floats(0, 0.29))
def test_a_stronger_probability_never_gets_a_weaker_tier(p: float, issue: float, extra: float) -> None:
    thresholds = Thresholds(issue, issue + extra)
    order = [Tier.LOW, Tier.MEDIUM, Tier.HIGH]
    stronger = min(max(p + (0.01 if p >= 0.5 else -0.01), 0.0), 1.0)
    assert order.index(classify(stronger, thresholds)[1]) >= order.index(classify(p, thresholds)[1])


@given(st.floats(0, 1))
def test_sides_are_mirrored(p: float) -> None:
    mirror = {Direction.BUY: Direction.SELL, Direction.SELL: Direction.BUY, Direction.HOLD: Direction.HOLD}
    margin = abs(p - 0.5)
    if abs(margin - 0.03) > 1e-9 and abs(margin - 0.06) > 1e-9:  # 1 - p may round across a threshold
        direction, tier = classify(p, THRESHOLDS)
        assert classify(1 - p, THRESHOLDS) == (mirror[direction], tier)
