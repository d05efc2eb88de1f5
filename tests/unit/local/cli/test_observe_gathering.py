"""What is still being decided is not lost, what spoke against a model is never left out, and sides follow from the margins."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import cast

import numpy as np
import pytest

from local.cli.observe.command import judged_until
from local.cli.observe.gathering import ObservedLedger, gather
from local.market.simulator import SimulatedSource
from local.settings import REPOSITORY
from signalbox.adapters.postgres.reading import LedgerReader
from signalbox.adapters.postgres.trading_reading import TradingReader
from signalbox.inference import Ensemble, load_bundle
from signalbox.market.candles import ONE_MINUTE, Bars, Symbol, from_ms, to_ms
from signalbox.market.clock import CYCLE
from signalbox.market.revisions import BarRevision
from signalbox.observation.findings import ObservationFindings
from signalbox.observation.ports import ObservationState, ObservationStep, RecordedObservation
from signalbox.observation.rules import ObservationRules
from signalbox.observation.verdicts import ObservationVerdict
from signalbox.signals.cycle import ReadySymbol, score_ready
from signalbox.signals.model import DeployedModel
from signalbox.signals.rows import IncompleteRows, newest_rows
from signalbox.signals.signal import DeploymentStage, Direction, Signal, Thresholds, Tier
from tests.unit.observation.samples import BTC, START, rules

VENUE = "coinbase"
HOUR = timedelta(hours=1)


@dataclass
class Rows:
    """Rows of a ledger. Without bars every close is 1 above the price of a signal."""

    made: Sequence[Signal]
    known: dict[Symbol, Bars]
    revised: Sequence[BarRevision] = ()

    def signals(self, start: datetime, end: datetime) -> tuple[Signal, ...]:
        return tuple(one for one in self.made if start < one.decided_at <= end)

    def refusals(self, _venue: str, _start: datetime, _end: datetime) -> tuple[()]:
        return ()

    def closes(self, _venue: str, minutes: Collection[tuple[Symbol, datetime]]) -> dict[tuple[Symbol, datetime], Decimal]:
        return dict.fromkeys(minutes, Decimal(101))

    def bars(self, _venue: str, symbol: Symbol, start: datetime, end: datetime) -> Bars:
        found = self.known.get(symbol, Bars.from_candles(symbol, ()))
        low, high = np.searchsorted(found.open_time_ms, [to_ms(start), to_ms(end)])
        return found.window(slice(int(low), int(high)))

    def revisions(self, _venue: str, _start: datetime, _end: datetime) -> Sequence[BarRevision]:
        return self.revised

    def accounts(self) -> tuple[()]:
        return ()


def gathered(
    observed: ObservationRules, until: datetime, rows: Rows, *, scorer: Ensemble | None = None,
    earlier: Sequence[RecordedObservation] = (),
) -> ObservationFindings:  # fmt: skip
    ledger = ObservedLedger(cast("LedgerReader", rows), cast("TradingReader", rows), VENUE, None, own_bars=True, scorer=scorer)
    return gather(observed, until, ledger, earlier=earlier)


def step(state: ObservationState, at: datetime) -> ObservationStep:
    verdict = ObservationVerdict.EXTEND if state is ObservationState.ENDED else None
    return ObservationStep(state, at, "anna", "a reason", "request", verdict)


def wrong_signal(at: datetime) -> Signal:
    """A SELL before a rise."""
    return Signal(
        BTC, at, "good-v1", DeploymentStage.SHADOW, Direction.SELL, Tier.HIGH, 0.2, Decimal(100),
        late=False, schema_name="gone", schema_hash="gone", features=(),
    )  # fmt: skip


def test_cycle_that_is_still_being_decided_has_lost_no_slot() -> None:
    recorded = RecordedObservation(rules(), (step(ObservationState.RUNNING, START - HOUR),))
    for second in (0, 1, 299):
        now = START + 3 * CYCLE + timedelta(seconds=second)
        until = judged_until(recorded, now)
        assert until == START + 2 * CYCLE  # the newest cycle whose successor has begun
        assert rules().slots(until) == 2 * 3
    assert judged_until(recorded, rules().ends_at) < rules().ends_at
    assert judged_until(recorded, rules().ends_at + CYCLE) == rules().ends_at


def test_ended_observation_is_judged_as_of_its_end() -> None:
    ended = START + timedelta(days=2, seconds=7)
    recorded = RecordedObservation(rules(), (step(ObservationState.RUNNING, START - HOUR), step(ObservationState.ENDED, ended)))
    assert judged_until(recorded, ended + timedelta(days=40)) == START + timedelta(days=2) - CYCLE


def test_starting_again_within_a_horizon_leaves_no_signal_out() -> None:
    """Who sees the last hour go wrong may stop and start again before it is settled: it counts against the model all the same."""
    first = rules()
    again = rules(starts_at=START + 4 * HOUR)
    stopped = again.starts_at - CYCLE
    earlier = RecordedObservation(first, (step(ObservationState.RUNNING, START - HOUR), step(ObservationState.ENDED, stopped)))
    made = [wrong_signal(START + n * HOUR / 2) for n in range(1, 8)]
    found = gathered(again, again.starts_at + 2 * HOUR, Rows(made, {}), earlier=[earlier])
    assert [one.decided_at for one in found.before] == [one.decided_at for one in made]
    assert not any(one.is_right for one in found.before)
    assert not found.settled


@pytest.fixture(scope="module")
def starter() -> Ensemble:
    return load_bundle(REPOSITORY / "training" / "starter_bundle")


def decided(model: Ensemble, bars: dict[Symbol, Bars], at: datetime) -> Signal:
    """Return the decision of a bundle on these bars, as the deployed function makes it."""
    seen = {symbol: one.until(at).last(model.history_bars) for symbol, one in bars.items()}
    reference = model.schema.reference_symbol
    window = newest_rows(model, seen[BTC], None if reference is None else seen[reference])
    assert not isinstance(window, IncompleteRows)
    thresholds = Thresholds(model.issue_margin, model.high_margin)
    deployed = DeployedModel("good-v1", DeploymentStage.SHADOW, model, thresholds, 60)
    ready = [ReadySymbol(BTC, window, Decimal(repr(float(seen[BTC].close[-1]))), None)]
    signals, failed = score_ready(ready, at, deployed, late=False, known_at=None)
    assert not failed
    (found,) = signals
    return found


@pytest.fixture(scope="module")
def market(starter: Ensemble) -> dict[Symbol, Bars]:
    reference = starter.schema.reference_symbol
    source, symbols = SimulatedSource(7), {BTC} | ({reference} if reference is not None else set())
    start = START - timedelta(days=3)
    return {symbol: source.bars(symbol, start, START + HOUR) for symbol in symbols}


def test_window_of_a_decision_is_that_of_the_bars_it_saw_before_a_revision(starter: Ensemble, market: dict[Symbol, Bars]) -> None:
    assert starter.window_bars > 1
    first = START + CYCLE
    at = int(np.searchsorted(market[BTC].open_time_ms, int((first - 10 * ONE_MINUTE).timestamp() * 1000)))
    was = [float(getattr(market[BTC], name)[at]) for name in ("open", "high", "low", "close", "volume")]
    revision = BarRevision(BTC, from_ms(int(market[BTC].open_time_ms[at])), first + CYCLE, *was)
    columns = {name: getattr(market[BTC], name).copy() for name in ("open", "high", "low", "close")}
    for column in columns.values():
        column[at] *= 1.02
    now = {**market, BTC: replace(market[BTC], **columns)}
    made = [decided(starter, market, first), decided(starter, now, first + 2 * CYCLE)]
    found = gathered(rules(), START + HOUR, Rows(made, now, [revision]), scorer=starter)
    assert (found.features.agreeing, found.features.differing, found.features.unchecked) == (2, 0, 0)
    assert (found.parity.agreeing, found.parity.differing, found.parity.unchecked) == (2, 0, 0), found.parity.worst


def test_side_that_does_not_follow_from_the_margins_of_the_bundle_differs(starter: Ensemble, market: dict[Symbol, Bars]) -> None:
    """Wrong margins in the pipeline: the probability is right, and what is recommended is not what was evaluated."""
    one = decided(starter, market, START + CYCLE)
    side = Direction.BUY if one.probability_up > 0.5 else Direction.SELL
    other = {"direction": side, "tier": Tier.MEDIUM} if one.direction is Direction.HOLD else {"direction": Direction.HOLD}
    found = gathered(rules(), START + HOUR, Rows([replace(one, **other)], market), scorer=starter)
    assert (found.parity.agreeing, found.parity.differing) == (0, 1)
    assert found.parity.worst is not None
    assert "by the margins of the bundle" in found.parity.worst
