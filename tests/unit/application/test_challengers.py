"""Challengers decide a cycle beside the model that serves. Whatever is wrong with one, the cycle is decided without it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from typing_extensions import override

from signalbox.application.challengers import MAX_CHALLENGER_SECONDS, Challengers
from signalbox.application.generate_signals import BesideOutcome, GenerateSignals
from signalbox.application.serving import ServingModels
from signalbox.contracts import EventType
from signalbox.events import parse_event
from signalbox.inference.archive import pack_bundle
from signalbox.ledger_errors import LedgerUnavailableError
from signalbox.library.deployments import ALL_SYMBOLS, DeploymentState, LibraryDeployment
from signalbox.library.errors import DeploymentConflictError
from signalbox.signals.cycle import CycleOutcome
from signalbox.signals.ports import CycleState
from signalbox.signals.rate_limit import SignalLimits
from signalbox.signals.rows import newest_rows
from signalbox.signals.signal import DeploymentStage
from tests.builders import NOON, SYMBOLS, candles, event, minutes
from tests.fakes.memory_deployments import MemoryBundles, MemoryDeployments
from tests.fakes.memory_ledger import MemoryDatabase, MemoryLedger, MemoryOutbox
from tests.unit.inference.hostile import GRAPHS
from tests.unit.inference.tiny_bundle import packed_models, write_bundle

PLENTY = 60.0
NAMES = ("one", "two", "three", "four")


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return packed_models(tmp_path_factory.mktemp("bundles"), NAMES)


class Nobody:
    def publish(self, events: Any) -> None:
        """Take every event."""


@dataclass
class Clock:
    """Seconds, which pass when somebody says so."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Stage:
    """A slot, a ledger with history, and the function between them."""

    archives: dict[str, bytes]
    bundles: MemoryBundles = field(default_factory=MemoryBundles)
    book: MemoryDeployments = field(default_factory=MemoryDeployments)
    clock: Clock = field(default_factory=Clock)
    at: datetime = NOON

    def __post_init__(self) -> None:
        self.database = MemoryDatabase()
        with MemoryLedger(self.database).transaction() as tx:
            for symbol in SYMBOLS:
                tx.add_candles("coinbase", candles(symbol, NOON + minutes(60), 2_400))
        self.start()

    def start(self) -> None:
        """A function that has nothing in memory."""
        models = ServingModels(self.book, self.bundles)
        self.models, self.challengers = models, models.challengers
        self.app = GenerateSignals(
            MemoryLedger(self.database), MemoryOutbox(self.database), Nobody(), models, SignalLimits(), lambda _: None,
            challengers=models.challengers, clock=self.clock,
        )  # fmt: skip

    def deploy(self, name: str, archive: bytes | None = None, **changes: Any) -> str:
        return self.book.deploy(name, archive or self.archives[name], self.bundles, **changes).name

    def cycle(self, seconds: float = PLENTY) -> tuple[CycleOutcome, BesideOutcome]:
        what = event(self.at)
        outcome, choice = self.app.decide(what)
        served = None if choice.model is None else choice.model.deployment
        self.at += timedelta(minutes=5)
        return outcome, self.app.decide_beside(what, outcome, served, seconds)

    def states(self) -> dict[str, str]:
        return {name: one.state.value for name, one in self.book.rows.items()}

    def deciders(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for signal in self.database.signals:
            found[signal.deployment] = found.get(signal.deployment, 0) + 1
        return found

    def refusals(self) -> dict[str, str | None]:
        found = (parse_event(e.event_type, json.loads(e.detail)) for e in self.database.events)
        return {one.deployment: one.kept for one in found if one.type is EventType.MODEL_REFUSED}  # type: ignore[attr-defined]


@pytest.fixture
def stage(archives: dict[str, bytes]) -> Stage:
    found = Stage(archives)
    found.deploy("one")
    found.cycle()
    assert found.states() == {"one-v1": "healthy"}
    return found


def test_three_models_decide_each_cycle_and_their_signals_do_not_collide(stage: Stage) -> None:
    second, third = stage.deploy("two", beside=True), stage.deploy("three", beside=True)
    cycles = [stage.cycle() for _ in range(3)]  # one bundle is loaded a cycle
    assert all({one.deployment for one in decided.signals} == {"one-v1"} for decided, _ in cycles)
    outcome, beside = cycles[-1]
    assert stage.states() == {"one-v1": "healthy", second: "healthy", third: "healthy"}
    assert {one.deployment for one in beside.signals} == {second, third}
    assert stage.deciders() == {"one-v1": 12, second: 9, third: 6}
    instant = [one for one in stage.database.signals if one.decided_at == outcome.cycle_at]
    assert len(instant) == 9
    assert {(one.challenger, one.stage) for one in instant if one.deployment != "one-v1"} == {(True, DeploymentStage.SHADOW)}
    assert len({one.probability_up for one in instant}) == 3  # the symbols have the same bars here
    ids = [e.event_id for e in stage.database.events if e.event_type == EventType.SIGNAL_GENERATED]
    assert len(ids) == len(set(ids)) == 27


def test_a_challenger_decides_exactly_what_it_would_as_the_model_that_serves(stage: Stage, archives: dict[str, bytes]) -> None:
    stage.deploy("two", beside=True)
    stage.cycle()
    alone = Stage(archives, at=NOON + minutes(5))
    alone.deploy("two")
    alone.cycle()
    own = {(one.symbol, one.decided_at): one for one in stage.database.signals if one.deployment == "two-v2"}
    assert len(own) == 3
    for one in alone.database.signals:
        assert own[one.symbol, one.decided_at] == replace(one, deployment="two-v2", challenger=True)


def test_feature_rows_are_computed_once_for_models_of_one_schema(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("two", "three"):
        stage.deploy(name, beside=True)
        stage.cycle()
    computed = []

    def counted(*values: Any) -> Any:
        computed.append(values)
        return newest_rows(*values)

    monkeypatch.setattr("signalbox.signals.cycle.newest_rows", counted)
    stage.cycle()
    assert len(computed) == len(SYMBOLS)


def left_out(stage: Stage, name: str, reason: str, state: str) -> None:
    """The cycle is decided, the challenger is marked with its reason and announced, and the next cycle is without it."""
    outcome, beside = stage.cycle()
    assert len(outcome.signals) == len(SYMBOLS)
    assert [(one.deployment, one.kept) for one in beside.problems] == [(name, "one-v1")]
    assert reason in beside.problems[0].reason
    assert stage.states()[name] == state
    assert stage.book.rows[name].reason == beside.problems[0].reason
    assert stage.refusals() == {name: "one-v1"}
    outcome, beside = stage.cycle()
    assert (len(outcome.signals), beside) == (len(SYMBOLS), BesideOutcome())
    assert stage.states()["one-v1"] == "healthy"


@pytest.mark.parametrize("graph", ["loop without end", "gigabytes of one number", "rows that double while it runs"])
def test_a_graph_without_end_or_of_gigabytes_is_left_out(stage: Stage, tmp_path: Path, graph: str) -> None:
    archive = pack_bundle(write_bundle(tmp_path / "b", "two", files={"linear-1.onnx": GRAPHS[graph]()}))
    left_out(stage, stage.deploy("two", archive, beside=True), "Bundle", "failed")


@pytest.mark.parametrize("fault", [None, b"another object", b""], ids=["missing", "wrong hash", "empty"])
@pytest.mark.parametrize("cold", [False, True], ids=["on its way", "healthy, in a new function"])
def test_a_missing_or_changed_object_is_left_out(stage: Stage, fault: bytes | None, cold: bool) -> None:
    name = stage.deploy("two", beside=True)
    if cold:
        stage.cycle()
        stage.start()
    key = stage.book.rows[name].bundle_key
    if fault is None:
        del stage.bundles.objects[key]
    else:
        stage.bundles.objects[key] = fault
    left_out(stage, name, "BundleMissingError", "rolled_back" if cold else "failed")


@dataclass(frozen=True)
class Scoring:
    """A scorer that does something else first."""

    of: Any
    first: Callable[[], None]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.of, name)

    def predict(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        self.first()
        found: NDArray[np.float64] = self.of.predict(features)
        return found


def scoring(stage: Stage, name: str, first: Callable[[], None]) -> None:
    """Let a loaded challenger do something before each score."""
    model = stage.challengers._loaded[name]
    stage.challengers._loaded[name] = replace(model, scorer=Scoring(model.scorer, first))


def raised(error: BaseException) -> Callable[[], None]:
    def first() -> None:
        raise error

    return first


@pytest.mark.parametrize("error", [ValueError("odd"), MemoryError("no room"), RecursionError("too deep")])
def test_a_challenger_that_cannot_score_is_left_out(stage: Stage, error: Exception) -> None:
    name = stage.deploy("two", beside=True)
    stage.cycle()
    scoring(stage, name, raised(error))
    left_out(stage, name, f"it cannot score: BTC-USD: {type(error).__name__}", "rolled_back")


def test_a_challenger_that_gives_too_few_probabilities_is_left_out(stage: Stage) -> None:
    name = stage.deploy("two", beside=True)
    stage.cycle()
    model = stage.challengers._loaded[name]

    @dataclass(frozen=True)
    class OfOne(Scoring):
        @override
        def predict(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
            return super().predict(features)[:1]

    stage.challengers._loaded[name] = replace(model, scorer=OfOne(model.scorer, lambda: None))
    left_out(stage, name, "expected 3 probabilities, got (1,)", "rolled_back")


def test_a_slow_challenger_is_left_out_and_its_late_decision_with_it(stage: Stage) -> None:
    name = stage.deploy("two", beside=True)
    stage.cycle()

    def late() -> None:
        stage.clock.now += MAX_CHALLENGER_SECONDS + 0.5

    scoring(stage, name, late)
    before = stage.deciders()[name]
    left_out(stage, name, "it is too slow: expected a decision within 2 s, got one after 2.5 s", "rolled_back")
    assert stage.deciders()[name] == before


def test_one_that_fails_does_not_disturb_the_other(stage: Stage) -> None:
    bad, good = stage.deploy("two", beside=True), stage.deploy("three", beside=True)
    stage.cycle()
    stage.cycle()
    scoring(stage, bad, raised(ValueError("odd")))
    _, beside = stage.cycle()
    assert {one.deployment for one in beside.signals} == {good}
    assert stage.states() == {"one-v1": "healthy", bad: "rolled_back", good: "healthy"}


def test_s3_that_is_silent_fails_one_on_its_way_and_a_healthy_one_never(stage: Stage) -> None:
    healthy = stage.deploy("two", beside=True)
    stage.cycle()
    waiting = stage.deploy("three", beside=True)
    stage.bundles.fault = ConnectionError("S3 is silent")
    for state in ("validating", "failed"):
        _, beside = stage.cycle()
        assert [one.deployment for one in beside.problems] == [waiting]
        assert stage.states()[waiting] == state
    models, stage.models._loaded = stage.models, dict(stage.models._loaded)
    stage.challengers = models.challengers = Challengers(stage.book, models._loader)  # a new function
    stage.app = replace(stage.app, challengers=models.challengers)
    for _ in range(3):
        outcome, beside = stage.cycle()
        assert len(outcome.signals) == len(SYMBOLS)
        assert [one.deployment for one in beside.problems] == [healthy]
    stage.bundles.fault = None
    _, beside = stage.cycle()
    assert {one.deployment for one in beside.signals} == {healthy}


def test_a_ledger_that_falls_silent_after_the_cycle_takes_no_challenger_back(stage: Stage) -> None:
    name = stage.deploy("two", beside=True)
    stage.cycle()
    what = event(stage.at)
    outcome, _ = stage.app.decide(what)

    class Silent:
        def transaction(self) -> Any:
            raise LedgerUnavailableError("silent")

    beside = replace(stage.app, ledger=Silent()).decide_beside(what, outcome, "one-v1", PLENTY)
    assert [one.deployment for one in beside.problems] == [name]
    assert stage.states()[name] == "healthy"


def test_without_time_left_nothing_is_loaded_or_decided_and_nobody_is_blamed(stage: Stage) -> None:
    name = stage.deploy("two", beside=True)
    assert stage.cycle(seconds=20.0)[1] == BesideOutcome(waiting=(name,))
    assert stage.states()[name] == "pending"
    stage.cycle()
    assert stage.cycle(seconds=5.0)[1] == BesideOutcome(waiting=(name,))
    assert stage.states()[name] == "healthy"


@pytest.mark.parametrize("state", [CycleState.DECIDED, CycleState.WAITING])
def test_a_cycle_that_came_again_or_is_not_whole_is_not_decided_beside(stage: Stage, state: CycleState) -> None:
    stage.deploy("two", beside=True)
    outcome = replace(stage.cycle()[0], state=state)
    assert stage.app.decide_beside(event(stage.at), outcome, "one-v1", PLENTY) == BesideOutcome()


def test_challengers_decide_where_nothing_that_serves_can_be_loaded(stage: Stage) -> None:
    name = stage.deploy("two", beside=True)
    stage.cycle()
    stage.start()
    del stage.bundles.objects[stage.book.rows["one-v1"].bundle_key]
    outcome, beside = stage.cycle()
    assert outcome.signals == ()
    assert {one.deployment for one in beside.signals} == {name}


def test_one_swap_of_what_serves_leaves_the_challengers_as_they_are(stage: Stage) -> None:
    name = stage.deploy("two", beside=True)
    stage.cycle()
    loaded = stage.challengers._loaded[name]
    stage.deploy("three")
    outcome, beside = stage.cycle()
    assert {one.deployment for one in outcome.signals} == {"three-v3"}
    assert {one.deployment for one in beside.signals} == {name}
    assert stage.challengers._loaded[name] is loaded


def test_the_book_refuses_a_challenger_over_the_limit(stage: Stage) -> None:
    stage.deploy("two", beside=True)
    stage.deploy("three", beside=True)
    one = stage.book.deploy("four", stage.archives["four"], stage.bundles, beside=True)
    assert one.challenger
    with pytest.raises(DeploymentConflictError, match="expected at most 3 models beside"):
        stage.deploy("four", beside=True)
    assert len(stage.book.slot(ALL_SYMBOLS).challengers) == 3
    assert stage.book.rows["one-v1"].state is DeploymentState.HEALTHY


def test_a_challenger_whose_version_is_promoted_before_it_decided_is_no_fault(stage: Stage) -> None:
    rival = stage.book.rows[stage.deploy("two", beside=True)]
    promoted = stage.book.ask(rival.version, DeploymentStage.ACTIVE, rival.bundle_key, rival.sha256, overridden=True)
    outcome, beside = stage.cycle()
    assert {one.deployment for one in outcome.signals} == {promoted.name}
    assert stage.states()[rival.name] == "failed"
    assert (beside.problems, beside.signals) == ((), ())
    assert stage.refusals() == {}


def test_a_challenger_that_a_person_takes_back_while_it_decides_is_no_fault(stage: Stage) -> None:
    name = stage.deploy("two", beside=True)

    class Late(MemoryDeployments):
        @override
        def confirm(self, name: str, at: datetime, why: str) -> LibraryDeployment:
            self.end(name, at, "anna", "withdrawn: enough")
            return super().confirm(name, at, why)

    stage.book = Late(rows=stage.book.rows)
    stage.start()
    _, beside = stage.cycle()
    assert beside.problems == ()
    assert {one.deployment for one in beside.signals} == {name}  # they are committed
    assert stage.refusals() == {}
    assert stage.cycle()[1].signals == ()
