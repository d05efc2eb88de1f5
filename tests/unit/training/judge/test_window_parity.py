"""A bundle of windows from end to end: the cycle, the data set, evaluation and the integrity checks see the same windows."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signalbox.events import CandleRow, CandlesClosed, SymbolCandles
from signalbox.features import SPARING
from signalbox.inference import Ensemble, load_bundle
from signalbox.inference.manifest import read_manifest, write_manifest
from signalbox.market.candles import MINUTE_MS, ONE_MINUTE, Bars, Candle, Symbol, from_ms
from signalbox.signals.cycle import CycleOutcome, run_cycle
from signalbox.signals.model import DeployedModel, ModelChoice
from signalbox.signals.signal import DeploymentStage, Thresholds
from signalbox.signals.verification import verify_signals
from tests.examples import examples
from tests.fakes.memory_ledger import MemoryLedger
from tests.unit.inference.tiny_bundle import SCHEMA, expected_of_windows, write_window_bundle
from tests.unit.training.synthetic import START_MS, walk, write_candles
from training.data.dataset import Dataset, build_dataset
from training.data.splits import DAY_MS, Span
from training.evaluate import EvaluateRequest, evaluate_bundle
from training.judge.integrity import check_integrity
from training.judge.scoring import score
from training.progress import NoProgress

MEMBERS = {3: 20, 4: 7}  # the window of each seed
WINDOW = 20
GAP = 2_203  # the minute that some tests leave out
FIVE = 5 * ONE_MINUTE


def candles_of(bars: Bars) -> list[Candle]:
    columns = (bars.open, bars.high, bars.low, bars.close, bars.volume)
    prices = np.round(np.column_stack(columns), 8).tolist()
    times = (from_ms(int(time)) for time in bars.open_time_ms)
    return [Candle(bars.symbol, at, *(Decimal(repr(x)) for x in row)) for at, row in zip(times, prices, strict=True)]


CANDLES = {bars.symbol: candles_of(bars) for bars in (walk(1.8), walk(1.8, seed=2, symbol="ETH-USD"))}


def without(minutes: set[int]) -> dict[Symbol, list[Candle]]:
    return {symbol: [c for i, c in enumerate(all_) if i not in minutes] for symbol, all_ in CANDLES.items()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_window_bundle(tmp_path_factory.mktemp("b") / "windows", MEMBERS, row=0.3)


@pytest.fixture(scope="module")
def ensemble(folder: Path) -> Ensemble:
    return load_bundle(folder)


@pytest.fixture(scope="module")
def sparing(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Ensemble:
    """The same bundle under the hash of the schema that spares one missing minute."""
    out = tmp_path_factory.mktemp("s") / "windows"
    shutil.copytree(folder, out)
    manifest = read_manifest(out)
    named = manifest.feature_schema.model_copy(update={"hash": SPARING["v31"].hash})
    write_manifest(out, manifest.model_copy(update={"feature_schema": named}))
    return load_bundle(out)


def decided(ensemble: Ensemble, candles: dict[Symbol, list[Candle]], instants: Sequence[datetime]) -> list[CycleOutcome]:
    """Run the cycles of some instants, each on a ledger that has heard of nothing that closed after it."""
    thresholds = Thresholds(ensemble.issue_margin, ensemble.high_margin)
    choice = ModelChoice(DeployedModel("windows", DeploymentStage.SHADOW, ensemble, thresholds, 60))
    ledger, found = MemoryLedger(), []
    newest = from_ms(0)
    for at in instants:
        parts = []
        for symbol, known in candles.items():
            new = [c for c in known if newest < c.close_time <= at]
            rows = tuple(CandleRow(t=c.open_time, o=c.open, h=c.high, l=c.low, c=c.close, v=c.volume) for c in new)
            parts.append(SymbolCandles(symbol=symbol, candles=rows[-15:]))
            with ledger.transaction() as tx:
                tx.add_candles("coinbase", new[:-15])  # what a back-fill brought
        newest = at
        event = CandlesClosed(venue="coinbase", cycle_at=at, part=1, parts=1, symbols=tuple(parts))
        found.append(run_cycle(event, ledger=ledger, choice=choice))
    return found


def data_of(ensemble: Ensemble, candles: dict[Symbol, list[Candle]]) -> Dataset:
    bars = [Bars.from_candles(symbol, known) for symbol, known in candles.items()]
    return build_dataset(ensemble.schema, bars, window_bars=ensemble.window_bars)


def boundary(minute: int) -> datetime:
    """The first boundary at or after a minute of the walk."""
    return from_ms(START_MS + -(-minute // 5) * 5 * MINUTE_MS)


def test_the_cycle_says_what_a_score_of_the_same_decision_says(ensemble: Ensemble) -> None:
    data = data_of(ensemble, CANDLES)
    scored = score(ensemble, data)
    outcomes = decided(ensemble, CANDLES, [boundary(minute) for minute in (2_005, 2_100, 2_250, 2_500)])
    assert [len(outcome.signals) for outcome in outcomes] == [2, 2, 2, 2]
    for signal in (signal for outcome in outcomes for signal in outcome.signals):
        (row,) = np.flatnonzero(
            (data.decided_at_ms == round(signal.decided_at.timestamp() * 1000))
            & (data.symbol == data.symbols.index(signal.symbol))
        )
        assert signal.probability_up == pytest.approx(scored.probability_up[row], abs=1e-7)
        assert 0.02 < signal.probability_up < 0.98  # no probability that any features would give
        np.testing.assert_array_equal(np.array(signal.features, np.float32), data.features[row])
    assert len({signal.probability_up for outcome in outcomes for signal in outcome.signals}) == 8


def test_a_score_is_what_plain_numpy_says_of_the_windows(ensemble: Ensemble) -> None:
    data = data_of(ensemble, CANDLES)
    seen = data.windows(slice(None), WINDOW).astype(np.float64)
    np.testing.assert_allclose(score(ensemble, data).probability_up, expected_of_windows(seen, 0.3, MEMBERS), atol=1e-6)


def test_what_the_cycle_stored_is_derived_again_from_the_schemas_own_history(ensemble: Ensemble) -> None:
    bars = {symbol: Bars.from_candles(symbol, known) for symbol, known in CANDLES.items()}
    outcomes = decided(ensemble, CANDLES, [boundary(minute) for minute in range(2_010, 2_500, 35)])
    checked = verify_signals([signal for outcome in outcomes for signal in outcome.signals], bars, tolerance=0.0)
    assert [one.mismatches for one in checked] == [()] * 28  # to the last bit: it is made of these bars alone


def test_a_start_needs_the_history_of_the_oldest_row_and_says_so(ensemble: Ensemble) -> None:
    short, enough = SCHEMA.history_bars + WINDOW - 2, SCHEMA.history_bars + WINDOW - 1
    at = boundary(2_400)
    for count, reasons in ((short, {"INSUFFICIENT_HISTORY"}), (enough, set())):
        candles = {s: [c for c in known if c.open_time >= at - count * ONE_MINUTE] for s, known in CANDLES.items()}
        (outcome,) = decided(ensemble, candles, [at])
        assert {refusal.reason for refusal in outcome.refusals} == reasons
        assert {refusal.detail for refusal in outcome.refusals} == (
            {f"{short} bars of {enough}, {WINDOW - 1} complete rows of the newest {WINDOW}"} if reasons else set()
        )


def test_a_gap_refuses_until_the_oldest_row_of_the_window_has_its_whole_hour(ensemble: Ensemble) -> None:
    instants = [boundary(GAP) + FIVE * i for i in range(20)]
    outcomes = decided(ensemble, without({GAP}), instants)
    waited = [outcome.cycle_at for outcome in outcomes if outcome.refusals]
    assert {refusal.reason for outcome in outcomes for refusal in outcome.refusals} == {"GAP_IN_WINDOW"}
    assert waited == [at for at in instants if at < from_ms(START_MS + (GAP + 60 + WINDOW) * MINUTE_MS)]
    assert "0 complete rows of the newest 20" in outcomes[11].refusals[0].detail


def test_bundle_that_spares_a_minute_is_refused_for_fifteen_minutes(sparing: Ensemble) -> None:
    instants = [boundary(GAP) + FIVE * i for i in range(26)]
    candles = without({GAP})
    outcomes = decided(sparing, candles, instants)
    waited = [outcome.cycle_at for outcome in outcomes if outcome.refusals]
    assert waited == [at for at in instants if at < from_ms(START_MS + (GAP + 17) * MINUTE_MS)]
    assert {refusal.reason for outcome in outcomes for refusal in outcome.refusals} == {"GAP_IN_WINDOW"}
    signals = [signal for outcome in outcomes for signal in outcome.signals]
    assert {signal.schema_hash for signal in signals} == {SPARING["v31"].hash}
    bars = {symbol: Bars.from_candles(symbol, known) for symbol, known in candles.items()}
    assert {one.mismatches for one in verify_signals(signals, bars, tolerance=0.0)} == {()}
    scored = score(sparing, data_of(sparing, candles))
    for signal in signals[:20]:
        at, symbol = round(signal.decided_at.timestamp() * 1000), scored.data.symbols.index(signal.symbol)
        (row,) = np.flatnonzero((scored.data.decided_at_ms == at) & (scored.data.symbol == symbol))
        assert signal.probability_up == pytest.approx(scored.probability_up[row], abs=1e-7)


@settings(max_examples=examples(4))
@given(spares=st.booleans(), first=st.integers(2_130, 2_200), length=st.integers(1, 30) | st.just(1), again=st.integers(0, 140))
def test_training_and_the_cycle_decide_after_a_gap_at_the_same_instants(
    ensemble: Ensemble, sparing: Ensemble, spares: bool, first: int, length: int, again: int
) -> None:
    ensemble = sparing if spares else ensemble
    missing = {*range(first, first + length), first + length + again}
    candles = without(missing)
    after = first + length + again + 1
    instants = [boundary(after) + FIVE * i for i in range(20)]
    trained = set(data_of(ensemble, candles).decided_at_ms.tolist())
    for outcome in decided(ensemble, candles, instants):
        at = round(outcome.cycle_at.timestamp() * 1000)
        assert bool(outcome.signals) == (at in trained), outcome.cycle_at
        assert bool(outcome.signals) == (not outcome.refusals)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_candles(tmp_path_factory.mktemp("candles"), walk(9, seed=5), walk(9, seed=6, symbol="ETH-USD"))


def test_evaluation_scores_windows_from_the_first_decision_of_a_period_on(folder: Path, recorded: Path) -> None:
    start, end = from_ms(START_MS + 6 * DAY_MS), from_ms(START_MS + 9 * DAY_MS)
    whole = evaluate_bundle(EvaluateRequest(folder, recorded), NoProgress()).assessment.scored
    part = evaluate_bundle(EvaluateRequest(folder, recorded, start, end), NoProgress()).assessment.scored
    assert from_ms(int(part.data.decided_at_ms[0])) == start
    assert part.data.window_bars == WINDOW
    same = whole.data.decided_at_ms >= part.data.decided_at_ms[0]
    np.testing.assert_array_equal(whole.data.decided_at_ms[same], part.data.decided_at_ms)
    np.testing.assert_allclose(whole.probability_up[same], part.probability_up, atol=1e-6)


def test_integrity_checks_pass_for_sound_windows(folder: Path, ensemble: Ensemble) -> None:
    bars = [walk(9, seed=5), walk(9, seed=6, symbol="ETH-USD")]
    found = check_integrity(ensemble, folder, bars, Span(START_MS + 5 * DAY_MS, START_MS + 9 * DAY_MS))
    assert found.passed, str(found)
    assert found.placebo_precision.n > 1_000
