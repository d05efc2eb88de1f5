import itertools
import json
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from typing_extensions import override

from signalbox.contracts import EventType
from signalbox.events import CandleRow, CandlesClosed, CycleDecided, SignalGenerated, SignalResolved, parse_event
from signalbox.features import FeatureSchema, get_schema
from signalbox.market.candles import Bars, Symbol
from signalbox.signals.cycle import CycleOutcome, run_cycle
from signalbox.signals.model import DeployedModel, ModelChoice, ModelProblem
from signalbox.signals.ports import CycleState
from signalbox.signals.publishing import publish_pending
from signalbox.signals.rows import IncompleteRows, newest_rows
from signalbox.signals.signal import DeploymentStage, Direction, Thresholds, Tier
from tests.builders import BTC, ETH, NOON, SOL, SYMBOLS, candles, event, minutes
from tests.examples import examples
from tests.fakes.memory_ledger import MemoryDatabase, MemoryLedger, MemoryOutbox

SCHEMA = get_schema("v31")
HISTORY = SCHEMA.history_bars


@dataclass
class FixedScorer:
    """Answers with the given probabilities, row by row, and keeps what it was asked."""

    answers: tuple[float, ...] = (0.60, 0.41, 0.51)
    schema: FeatureSchema = SCHEMA
    asked: list[NDArray[np.float64]] = field(default_factory=list)
    window_bars: int = 1

    @property
    def history_bars(self) -> int:
        return self.schema.history_bars + self.window_bars - 1

    def predict(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        self.asked.append(features)
        return np.array(list(itertools.islice(itertools.cycle(self.answers), len(features))))


@dataclass
class Failing(FixedScorer):
    """Raises what it was given."""

    error: Exception = field(default_factory=RuntimeError)

    @override
    def predict(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        raise self.error


def model(*answers: float) -> DeployedModel:
    scorer = FixedScorer(answers) if answers else FixedScorer()
    return DeployedModel("m1", DeploymentStage.SHADOW, scorer, Thresholds(0.03, 0.08), 60)


class CycleSetup:
    """A memory ledger with history up to NOON, and a model."""

    def __init__(self, *, history: int = HISTORY + 30, symbols: tuple[Symbol, ...] = SYMBOLS) -> None:
        self.database = MemoryDatabase()
        self.ledger = MemoryLedger(self.database)
        self.choice = ModelChoice(model())
        with self.ledger.transaction() as tx:
            for symbol in symbols:
                tx.add_candles("coinbase", candles(symbol, NOON - minutes(10), history))

    def run(self, what: CandlesClosed) -> CycleOutcome:
        return run_cycle(what, ledger=self.ledger, choice=self.choice)

    def events(self, kind: EventType) -> list[Any]:
        return [e for e in self.database.events if e.event_type == kind]


def test_a_complete_cycle_gives_one_signal_a_symbol_with_price_tier_and_features() -> None:
    setup = CycleSetup()
    outcome = setup.run(event())
    assert outcome.state is CycleState.READY
    assert [(s.symbol, s.direction, s.tier) for s in outcome.signals] == [
        (BTC, Direction.BUY, Tier.HIGH),
        (ETH, Direction.SELL, Tier.HIGH),
        (SOL, Direction.HOLD, Tier.LOW),
    ]
    newest = candles(BTC, NOON, 1)[0]
    signal = outcome.signals[0]
    assert signal.price == newest.close
    assert (signal.schema_name, signal.schema_hash) == (SCHEMA.name, SCHEMA.hash)
    assert len(signal.features) == len(SCHEMA.names)
    assert setup.database.signals == tuple(sorted(outcome.signals, key=lambda s: s.symbol))


def test_every_signal_is_announced_with_its_signal_and_in_the_same_commit() -> None:
    setup = CycleSetup()
    setup.run(event())
    announced = [parse_event(e.event_type, json.loads(e.detail)) for e in setup.events(EventType.SIGNAL_GENERATED)]
    assert {(a.symbol, a.direction, a.issued, a.horizon_minutes) for a in announced if isinstance(a, SignalGenerated)} == {
        ("BTC-USD", "BUY", True, 60),
        ("ETH-USD", "SELL", True, 60),
        ("SOL-USD", "HOLD", False, 60),
    }


def test_an_issued_signal_travels_with_the_bars_its_chart_shows_and_a_hold_without() -> None:
    setup = CycleSetup()
    setup.run(event())
    announced = [json.loads(e.detail) for e in setup.events(EventType.SIGNAL_GENERATED)]
    issued = [
        SignalGenerated.model_validate({k: v for k, v in one.items() if k != "event_id"}) for one in announced if one["issued"]
    ]
    assert len(issued) == 2
    for one in issued:
        assert one.recent is not None
        assert one.recent.first + minutes(one.recent.rows[-1][0] + 1) == one.decided_at == NOON
        assert one.recent.rows[-1][4] == float(one.price)
    assert ["recent" in one for one in announced if not one["issued"]] == [False]


def outcomes(setup: CycleSetup) -> list[SignalResolved]:
    found = [parse_event(e.event_type, json.loads(e.detail)) for e in setup.events(EventType.SIGNAL_RESOLVED)]
    return [one for one in found if isinstance(one, SignalResolved)]


def test_a_signal_is_resolved_once_at_the_end_of_its_horizon_by_the_price_then() -> None:
    setup = CycleSetup()
    signals = {s.symbol: s for s in setup.run(event()).signals if s.issued}
    for step in range(5, 60, 5):
        setup.run(event(NOON + minutes(step)))
    assert outcomes(setup) == []
    for step in (60, 60, 65, 90):
        setup.run(event(NOON + minutes(step)))
    found = [one for one in outcomes(setup) if one.decided_at == NOON]
    assert {one.symbol for one in found} == set(signals)
    assert len(found) == len(signals)
    for one in found:
        close = candles(Symbol(one.symbol), NOON + minutes(60), 1)[0].close
        assert one.close == close
        assert one.right == ((close > one.price) if one.direction == "BUY" else (close < one.price))


def test_a_signal_whose_last_bar_comes_late_is_resolved_when_it_comes() -> None:
    setup = CycleSetup()
    setup.run(event())
    setup.run(event(NOON + minutes(60), without=(BTC,)))
    assert {one.symbol for one in outcomes(setup) if one.decided_at == NOON} == {ETH}
    with setup.ledger.transaction() as tx:
        tx.add_candles("coinbase", candles(BTC, NOON + minutes(60), 60))
    setup.run(event(NOON + minutes(65)))
    assert sorted(one.symbol for one in outcomes(setup) if one.decided_at == NOON) == [BTC, ETH]


def test_a_cycle_whose_bars_came_late_says_when_it_could_be_known() -> None:
    setup = CycleSetup()
    outcome = setup.run(event().model_copy(update={"waited_seconds": 20}))
    assert {s.known_at for s in outcome.signals} == {NOON + timedelta(seconds=20)}
    announced = [json.loads(e.detail) for e in setup.events(EventType.SIGNAL_GENERATED)]
    assert {a["known_at"] for a in announced} == {"2024-03-01T12:00:20Z"}
    on_time = CycleSetup()
    assert {s.known_at for s in on_time.run(event()).signals} == {None}
    assert not any("known_at" in json.loads(e.detail) for e in on_time.events(EventType.SIGNAL_GENERATED))


def on(market: str, what: CandlesClosed, *symbols: Symbol) -> CandlesClosed:
    """The event with these symbols' bars from another venue."""
    marked = tuple(one.model_copy(update={"market": market}) if one.symbol in symbols else one for one in what.symbols)
    return what.model_copy(update={"symbols": marked})


def test_a_symbol_on_a_fallback_is_decided_on_that_venues_bars_alone_and_marked() -> None:
    setup = CycleSetup()
    own = candles(BTC, NOON, HISTORY + 30)
    other = [replace(c, open=3 * c.open, high=3 * c.high, low=3 * c.low, close=3 * c.close) for c in own]
    with setup.ledger.transaction() as tx:
        tx.add_candles("kraken", other)
    what = event()
    rows = tuple(CandleRow(t=c.open_time, o=c.open, h=c.high, l=c.low, c=c.close, v=c.volume) for c in other[-10:])
    btc = what.symbols[0].model_copy(update={"market": "kraken", "candles": rows})
    outcome = setup.run(what.model_copy(update={"symbols": (btc, *what.symbols[1:])}))
    found = {s.symbol: s for s in outcome.signals}
    assert {symbol: s.market for symbol, s in found.items()} == {BTC: "kraken", ETH: None, SOL: None}
    assert found[BTC].price == other[-1].close
    usual = {s.symbol: s for s in CycleSetup().run(event()).signals}
    # its features are of one venue: three times the price changes no return, a mixed window would
    assert np.allclose(found[BTC].features, usual[BTC].features, rtol=1e-6, atol=1e-9)
    assert found[ETH] == usual[ETH]
    announced = {
        a["symbol"]: a.get("market") for a in map(json.loads, (e.detail for e in setup.events(EventType.SIGNAL_GENERATED)))
    }
    assert announced == {BTC: "kraken", ETH: None, SOL: None}


def test_a_fallback_without_enough_history_refuses_and_takes_none_of_the_other_venue() -> None:
    setup = CycleSetup()
    outcome = setup.run(on("kraken", event(), BTC))
    assert [(r.symbol, r.reason) for r in outcome.refusals] == [(BTC, "INSUFFICIENT_HISTORY")]
    assert {s.symbol for s in outcome.signals} == {ETH, SOL}


def test_the_reference_symbol_is_of_the_same_venue_or_there_is_no_decision() -> None:
    schema = get_schema("v50")
    setup = CycleSetup(history=schema.history_bars + 30)
    setup.choice = ModelChoice(
        DeployedModel("m1", DeploymentStage.SHADOW, FixedScorer(schema=schema), Thresholds(0.03, 0.08), 60)
    )
    with setup.ledger.transaction() as tx:
        tx.add_candles("kraken", candles(SOL, NOON - minutes(10), schema.history_bars + 30))
    outcome = setup.run(on("kraken", event(), SOL))
    assert {r.symbol for r in outcome.refusals} == {SOL}  # BTC is there, but at coinbase
    with setup.ledger.transaction() as tx:
        tx.add_candles("kraken", candles(BTC, NOON + minutes(5), schema.history_bars + 60))
    again = setup.run(on("kraken", event(NOON + minutes(5)), SOL))
    assert {s.symbol: s.market for s in again.signals} == {BTC: None, ETH: None, SOL: "kraken"}


def test_bars_of_other_venues_are_recorded_with_their_venue_and_decide_nothing() -> None:
    setup = CycleSetup()
    what = event()
    beside = what.symbols[0].model_copy(update={"market": "kraken"})
    outcome = setup.run(what.model_copy(update={"others": (beside,)}))
    assert {venue for venue, candle in setup.database.candles if candle.open_time == NOON - minutes(1)} == {"coinbase", "kraken"}
    assert {s.market for s in outcome.signals} == {None}
    assert outcome.writes.inserted == CycleSetup().run(event()).writes.inserted + len(beside.candles)


def test_a_bar_that_the_venue_revised_is_what_the_next_cycle_decides_on() -> None:
    setup = CycleSetup()
    first = setup.run(event())
    revised = event(NOON + minutes(5))
    rows = revised.symbols[0].candles
    old = next(row for row in rows if row.t == NOON - minutes(1))
    new = old.model_copy(update={"v": old.v + 7})
    btc = revised.symbols[0].model_copy(update={"candles": tuple(new if row is old else row for row in rows)})
    outcome = setup.run(revised.model_copy(update={"symbols": (btc, *revised.symbols[1:])}))
    assert [c.volume for c in outcome.writes.revised] == [new.v]
    assert setup.run(event()).writes.conflicting  # the first announcement comes again, and changes nothing back
    kept = {(c.symbol, c.open_time): c for _, c in setup.database.candles}
    assert kept[BTC, NOON - minutes(1)].volume == new.v
    assert [c.volume for c in setup.database.tables.revisions.values()] == [old.v]
    assert setup.database.signals[: len(first.signals)] == tuple(sorted(first.signals, key=lambda s: s.symbol))


def test_a_decided_cycle_is_announced_once_and_after_its_signals() -> None:
    setup = CycleSetup()
    for _ in range(2):
        setup.run(event())
    assert [e.event_type for e in setup.database.events] == [EventType.SIGNAL_GENERATED] * 3 + [EventType.CYCLE_DECIDED]
    (reported,) = setup.events(EventType.CYCLE_DECIDED)
    assert parse_event(reported.event_type, json.loads(reported.detail)) == CycleDecided(
        venue="coinbase", cycle_at=NOON, symbols=SYMBOLS, late=False
    )


def test_a_cycle_without_a_model_or_after_a_newer_one_is_announced_too() -> None:
    setup = CycleSetup()
    setup.run(event(NOON + minutes(5), count=15))
    setup.choice = ModelChoice(None)
    setup.run(event())
    assert [json.loads(e.detail)["late"] for e in setup.events(EventType.CYCLE_DECIDED)] == [False, True]


def test_a_decision_never_sees_a_bar_that_closed_later() -> None:
    early, late = CycleSetup(), CycleSetup()
    with late.ledger.transaction() as tx:
        for symbol in SYMBOLS:
            tx.add_candles("coinbase", candles(symbol, NOON + minutes(30), 30))
    assert early.run(event()).signals == late.run(event()).signals


def test_the_same_event_three_times_is_one_signal_each_and_two_duplicates() -> None:
    setup = CycleSetup()
    states = [setup.run(event()).state for _ in range(3)]
    assert states == [CycleState.READY, CycleState.DECIDED, CycleState.DECIDED]
    assert len(setup.database.signals) == 3
    assert len(setup.events(EventType.SIGNAL_GENERATED)) == 3


def test_the_last_part_to_arrive_decides_whatever_the_order() -> None:
    for order in itertools.permutations((1, 2, 3)):
        setup = CycleSetup(history=0)
        parts = {
            1: event(NOON, count=HISTORY + 20, part=1, parts=3),
            2: event(NOON - minutes(5), count=50, part=2, parts=3).model_copy(update={"cycle_at": NOON}),
            3: event(NOON, count=10, part=3, parts=3),
        }
        outcomes = [setup.run(parts[i]) for i in order]
        assert [o.state for o in outcomes] == [CycleState.WAITING, CycleState.WAITING, CycleState.READY]
        assert len(setup.database.signals) == 3


def test_a_symbol_without_its_newest_bar_is_refused_and_the_others_are_decided() -> None:
    setup = CycleSetup()
    outcome = setup.run(event(without=(SOL,)))
    assert [s.symbol for s in outcome.signals] == [BTC, ETH]
    assert [(r.symbol, r.reason) for r in outcome.refusals] == [(SOL, "VENUE_UNAVAILABLE")]


def test_a_gap_of_one_bar_refuses_the_symbol_until_the_last_hour_is_whole() -> None:
    setup = CycleSetup()
    missing = (NOON - minutes(3),)
    first = setup.run(event(missing=missing))
    assert {r.reason for r in first.refusals} == {"GAP_IN_WINDOW"}
    decided = []
    for i in range(1, 14):
        at = NOON + minutes(5 * i)
        decided.append(bool(setup.run(event(at, count=5, missing=missing)).signals))
    assert decided == [False] * 11 + [True, True]  # 60 whole minutes later, and not before


def test_a_gap_of_two_hours_refuses_then_recovers_and_is_never_filled() -> None:
    setup = CycleSetup()
    after = NOON + minutes(120)
    first = setup.run(event(after, count=5))
    assert {r.reason for r in first.refusals} == {"GAP_IN_WINDOW"}
    with setup.ledger.transaction() as tx:
        bars = tx.bars("coinbase", BTC, after, 10)
    assert np.diff(bars.open_time_ms).max() > 60_000 * 100
    recovered = setup.run(event(after + minutes(60), count=60))
    assert len(recovered.signals) == 3


def test_an_outage_is_announced_when_it_begins_and_when_it_ends() -> None:
    setup = CycleSetup()
    setup.run(event(without=(SOL,)))
    setup.run(event(NOON + minutes(5), count=5, without=(SOL,)))
    assert len(setup.events(EventType.MARKET_DATA_STALE)) == 1
    setup.run(event(NOON + minutes(10), count=20))
    assert len(setup.events(EventType.MARKET_DATA_RECOVERED)) == 1
    assert len(setup.events(EventType.MARKET_DATA_STALE)) == 1


def test_a_cycle_after_a_newer_one_is_decided_late_and_leaves_the_statuses_alone() -> None:
    setup = CycleSetup()
    setup.run(event(NOON + minutes(5), count=15))
    late = setup.run(event(NOON, without=(SOL,)))
    assert all(s.late for s in late.signals)
    assert late.signals[0].decided_at == NOON
    assert setup.events(EventType.MARKET_DATA_STALE) == []


def test_short_history_is_refused_not_guessed() -> None:
    setup = CycleSetup(history=100)
    outcome = setup.run(event())
    assert outcome.signals == ()
    assert {r.reason for r in outcome.refusals} == {"INSUFFICIENT_HISTORY"}


def test_without_a_model_every_symbol_is_refused_and_the_bundle_is_reported_once() -> None:
    setup = CycleSetup()
    setup.choice = ModelChoice(None, ModelProblem("m2", "BundleTamperedError: model.onnx", None))
    outcome = setup.run(event())
    setup.run(event(NOON + minutes(5), count=5))
    assert {r.reason for r in outcome.refusals} == {"NO_MODEL"}
    assert len(setup.events(EventType.MODEL_REFUSED)) == 1
    assert len(setup.database.candles) > 0  # the candles are kept


def test_a_refused_bundle_leaves_the_old_model_at_work() -> None:
    setup = CycleSetup()
    setup.choice = ModelChoice(model(), ModelProblem("m2", "BundleTamperedError", "m1"))
    assert {s.deployment for s in setup.run(event()).signals} == {"m1"}


def test_a_model_that_answers_nonsense_for_one_symbol_harms_only_that_symbol() -> None:
    setup = CycleSetup()
    setup.choice = ModelChoice(model(0.7, float("nan"), 0.3))
    outcome = setup.run(event())
    assert [s.symbol for s in outcome.signals] == [BTC, SOL]
    assert [(r.symbol, r.reason) for r in outcome.refusals] == [(ETH, "MODEL_FAILED")]


@pytest.mark.parametrize(
    "error", [RuntimeError("Exiting due to terminate flag being set to true"), MemoryError(), ValueError("x" * 9_000)]
)
def test_a_model_that_fails_refuses_its_symbols_and_the_cycle_is_decided(error: Exception) -> None:
    """Accounts wait for the cycle, to leave positions too: no model may keep it from them."""
    setup = CycleSetup()
    setup.choice = ModelChoice(replace(model(), scorer=Failing(error=error)))
    outcome = setup.run(event())
    assert outcome.signals == ()
    assert [(r.symbol, r.reason) for r in outcome.refusals] == [(s, "MODEL_FAILED") for s in (BTC, ETH, SOL)]
    assert max(len(r.detail) for r in outcome.refusals) <= 500
    assert len(setup.events(EventType.CYCLE_DECIDED)) == 1


def test_rows_that_overflow_the_model_are_incomplete() -> None:
    bars = Bars.from_candles(BTC, candles(BTC, NOON, HISTORY))
    bars.high[-11] = bars.close[-11] = 1e60  # no candle has such a price, so it can come from a fault of the features alone
    found = newest_rows(model().scorer, bars, None)
    assert isinstance(found, IncompleteRows)
    assert found.code == "FEATURES_NOT_FINITE"


def test_an_error_inside_leaves_nothing_behind_and_the_next_delivery_decides() -> None:
    setup = CycleSetup()

    class Exploding(FixedScorer):
        @property
        @override
        def history_bars(self) -> int:
            raise RuntimeError("out of memory")

    setup.choice = ModelChoice(DeployedModel("m1", DeploymentStage.SHADOW, Exploding(), Thresholds(0.03, 0.08), 60))
    candles_before = setup.database.candles
    with pytest.raises(RuntimeError):
        setup.run(event())
    assert setup.database.candles == candles_before
    setup.choice = ModelChoice(model())
    assert setup.run(event()).state is CycleState.READY


def test_the_model_of_a_decided_cycle_is_recorded_once_with_its_gates() -> None:
    setup = CycleSetup(history=HISTORY + 10)
    judged = replace(model(), bundle="b1", gates={"G1": "fail", "G0": "pass"})
    for outcome in cycle_events(NOON):
        setup.choice = ModelChoice(judged)
        setup.run(outcome)
        setup.run(outcome)
    assert setup.database.models == {("m1", "shadow", "b1", '{"G0": "pass", "G1": "fail"}'): NOON}


def cycle_events(first: datetime) -> list[CandlesClosed]:
    return [event(first + minutes(5 * i), count=5 + 5 * i + 10) for i in range(3)]


@settings(max_examples=examples(15))
@given(st.lists(st.integers(0, 2), min_size=3, max_size=8).filter(lambda order: set(order) == {0, 1, 2}))
def test_any_order_with_any_repeats_gives_the_same_signals_once(order: list[int]) -> None:
    def outcome_of(indices: list[int]) -> set[tuple[Any, ...]]:
        setup = CycleSetup(history=HISTORY + 10)
        events = cycle_events(NOON)
        for index in indices:
            setup.run(events[index])
        keys = [(s.symbol, s.decided_at, s.probability_up, s.features) for s in setup.database.signals]
        assert len(keys) == len(set(keys)) == 9
        return set(keys)

    assert outcome_of(order) == outcome_of([0, 1, 2])


class FlakyBus:
    def __init__(self) -> None:
        self.published: list[str] = []
        self.broken = False

    def publish(self, events: Any) -> None:
        if self.broken:
            raise ConnectionError("the bus is away")
        self.published.extend(e.event_id for e in events)


def test_a_crash_between_commit_and_publish_is_made_good_by_the_relay() -> None:
    setup, bus = CycleSetup(), FlakyBus()
    outbox = MemoryOutbox(setup.database)
    setup.run(event())
    bus.broken = True
    with pytest.raises(ConnectionError):
        publish_pending(outbox=outbox, publisher=bus)
    bus.broken = False
    assert publish_pending(outbox=outbox, publisher=bus) == 4
    assert publish_pending(outbox=outbox, publisher=bus) == 0
    assert len(bus.published) == len(set(bus.published)) == 4


def test_more_than_one_batch_waiting_is_published_in_one_go_and_in_order() -> None:
    setup, bus = CycleSetup(), FlakyBus()
    for i in range(40):
        setup.run(event(NOON + minutes(5 * i), count=15 if i else 10))
    sent = publish_pending(outbox=MemoryOutbox(setup.database), publisher=bus)
    assert sent == len(bus.published) >= 40 * 4  # and the outcomes of signals whose horizon passed
    assert bus.published == [e.event_id for e in setup.database.events]


def beside_btc(setup: CycleSetup) -> FixedScorer:
    """Give the cycle a model of v50, which compares with BTC, and the history that it needs."""
    scorer = FixedScorer(schema=get_schema("v50"))
    setup.choice = ModelChoice(DeployedModel("m50", DeploymentStage.SHADOW, scorer, Thresholds(0.03, 0.08), 60))
    return scorer


def test_a_model_that_compares_with_btc_gets_its_bars() -> None:
    setup = CycleSetup(history=get_schema("v50").history_bars + 30)
    scorer = beside_btc(setup)
    outcome = setup.run(event())
    assert [s.symbol for s in outcome.signals] == [BTC, ETH, SOL]
    assert {(s.schema_name, len(s.features)) for s in outcome.signals} == {("v50", 50)}
    beta = get_schema("v50").names.index("btc_beta_240")
    assert scorer.asked[0][0, -1, beta] == 1.0
    assert np.isfinite(scorer.asked[0]).all()


def test_without_btc_the_symbols_compared_with_it_are_refused_with_their_own_reason() -> None:
    setup = CycleSetup(history=get_schema("v50").history_bars + 30, symbols=(ETH, SOL))
    beside_btc(setup)
    outcome = setup.run(event(symbols=(ETH, SOL)))
    assert {r.symbol: r.reason for r in outcome.refusals} == {ETH: "REFERENCE_MISSING", SOL: "REFERENCE_MISSING"}


def test_without_btc_a_model_of_v31_decides_the_others() -> None:
    setup = CycleSetup(symbols=(ETH, SOL))
    assert [s.symbol for s in setup.run(event(symbols=(ETH, SOL))).signals] == [ETH, SOL]
