from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox.market.candles import Symbol
from signalbox.signals.rate_limit import WINDOW, HoldReason, Issued, SignalLimits, limit_rate
from signalbox.signals.signal import DeploymentStage, Direction, Signal, Tier

T0 = datetime(2024, 3, 1, tzinfo=UTC)
FIVE = timedelta(minutes=5)
SYMBOLS = tuple(Symbol(s) for s in ("BTC-USD", "ETH-USD", "SOL-USD"))


def signal(symbol: str = "BTC-USD", tier: Tier = Tier.MEDIUM, probability: float = 0.6, at: datetime = T0) -> Signal:
    hold = tier is Tier.LOW
    return Signal(
        symbol=Symbol(symbol), decided_at=at, deployment="d", stage=DeploymentStage.SHADOW,
        direction=Direction.HOLD if hold else Direction.BUY if probability > 0.5 else Direction.SELL,
        tier=tier, probability_up=probability, price=Decimal(100), late=False, schema_name="v31", schema_hash="h", features=(),
    )  # fmt: skip


def issued(count: int, *, tier: Tier = Tier.MEDIUM, symbol: str = "ETH-USD", at: datetime = T0 - FIVE) -> list[Issued]:
    return [Issued(Symbol(symbol), at, tier) for _ in range(count)]


def test_signal_within_every_limit_is_issued_as_it_was() -> None:
    one = signal()
    assert limit_rate([one], issued(9), SignalLimits()) == (one,)


@pytest.mark.parametrize(
    ("tier", "before", "reason"),
    [
        (Tier.MEDIUM, issued(10), HoldReason.RATE),
        (Tier.HIGH, issued(5, tier=Tier.HIGH), HoldReason.HIGH_RATE),
        (Tier.HIGH, issued(5, tier=Tier.HIGH, symbol="BTC-USD"), HoldReason.SYMBOL_HIGH_RATE),
        (Tier.MEDIUM, issued(10, symbol="BTC-USD"), HoldReason.SYMBOL_RATE),
    ],
)
def test_signal_over_a_limit_keeps_its_facts_and_carries_the_reason(tier: Tier, before: list[Issued], reason: HoldReason) -> None:
    (found,) = limit_rate([signal(tier=tier)], before, SignalLimits())
    assert (found.held_back, found.issued, found.direction, found.tier) == (reason, False, Direction.BUY, tier)


def test_medium_signals_do_not_use_up_the_high_limit_but_high_ones_count_among_all() -> None:
    (high,) = limit_rate([signal(tier=Tier.HIGH)], issued(9), SignalLimits())
    assert high.issued
    (medium,) = limit_rate([signal()], issued(5, tier=Tier.HIGH) + issued(5), SignalLimits())
    assert medium.held_back == HoldReason.RATE


def test_signals_that_left_the_hour_count_no_more() -> None:
    (found,) = limit_rate([signal()], issued(10, at=T0 - WINDOW), SignalLimits())
    assert found.issued


def test_surest_signal_of_a_cycle_takes_the_last_place() -> None:
    weak, sure = signal("BTC-USD", probability=0.58), signal("SOL-USD", probability=0.35)
    assert [s.issued for s in limit_rate([weak, sure], issued(9), SignalLimits())] == [False, True]


def test_hold_is_never_held_back() -> None:
    (found,) = limit_rate([signal(tier=Tier.LOW, probability=0.5)], issued(50), SignalLimits())
    assert found.held_back is None


CYCLES = st.lists(
    st.lists(
        st.tuples(
            st.sampled_from(SYMBOLS), st.sampled_from(list(Tier)), st.sampled_from([0.3, 0.42, 0.58, 0.6, 0.7])
        ),
        max_size=3, unique_by=lambda s: s[0],
    ),
    max_size=30,
)  # fmt: skip
LIMITS = st.builds(
    SignalLimits, per_hour=st.integers(0, 6), high_per_hour=st.integers(0, 4), symbol_per_hour=st.integers(0, 4),
    symbol_high_per_hour=st.integers(0, 3),
)  # fmt: skip


@given(cycles=CYCLES, limits=LIMITS)
def test_no_hour_ever_has_more_than_its_limits(cycles: list[list[tuple[Symbol, Tier, float]]], limits: SignalLimits) -> None:
    kept: list[Issued] = []
    for number, cycle in enumerate(cycles):
        at = T0 + number * FIVE
        signals = [signal(symbol, tier, p, at) for symbol, tier, p in cycle]
        found = limit_rate(signals, kept, limits)
        assert [(s.symbol, s.direction, s.tier) for s in found] == [(s.symbol, s.direction, s.tier) for s in signals]
        kept += [Issued(s.symbol, s.decided_at, s.tier) for s in found if s.issued]
    for end in {one.decided_at for one in kept}:
        hour = [one for one in kept if end - WINDOW < one.decided_at <= end]
        assert len(hour) <= limits.per_hour
        assert sum(one.tier is Tier.HIGH for one in hour) <= limits.high_per_hour
        for symbol in SYMBOLS:
            own = [one for one in hour if one.symbol == symbol]
            assert len(own) <= limits.symbol_per_hour
            assert sum(one.tier is Tier.HIGH for one in own) <= limits.symbol_high_per_hour


@given(cycle=CYCLES, limits=LIMITS, data=st.data())
def test_order_of_the_symbols_changes_nothing(
    cycle: list[list[tuple[Symbol, Tier, float]]], limits: SignalLimits, data: st.DataObject
) -> None:
    for one in cycle[:1]:
        signals = [signal(*facts) for facts in one]
        shuffled = data.draw(st.permutations(signals))
        by_symbol = {s.symbol: s for s in limit_rate(shuffled, issued(3), limits)}
        assert {s.symbol: s for s in limit_rate(signals, issued(3), limits)} == by_symbol
