"""Hot swap: a new deployment is verified, warmed and swapped in by one reference, and whatever fails leaves the old model."""

from __future__ import annotations

import errno
import io
import threading
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from signalbox.application.serving import ServingModels
from signalbox.inference.archive import pack_bundle
from signalbox.inference.manifest import Gate
from signalbox.library.deployments import ALL_SYMBOLS, DeploymentState, SignalCount
from signalbox.market.candles import Symbol
from signalbox.signals.cycle import NO_WRITES, CycleOutcome, RefusalReason
from signalbox.signals.model import ModelChoice, ModelProblem
from signalbox.signals.ports import CycleState, SymbolRefusal
from signalbox.signals.signal import DeploymentStage, Signal
from tests.examples import examples
from tests.fakes.memory_deployments import AT, MemoryBundles, MemoryDeployments
from tests.integration.samples import SIGNAL
from tests.unit.inference.hostile import GOLDENS
from tests.unit.inference.tiny_bundle import linear_member, packed_models, rows, write_bundle

NAMES = ("one", "two", "three")


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Three models that score differently, each packed."""
    return packed_models(tmp_path_factory.mktemp("bundles"), NAMES)


def decided_signal(at: datetime, deployment: str) -> Signal:
    return replace(SIGNAL, decided_at=at, deployment=deployment)


@dataclass
class Stage:
    """A slot, its bundles, and a function that serves from them."""

    archives: dict[str, bytes]
    bundles: MemoryBundles = field(default_factory=MemoryBundles)
    book: MemoryDeployments = field(default_factory=MemoryDeployments)
    at: datetime = AT

    def __post_init__(self) -> None:
        self.serving = ServingModels(self.book, self.bundles)

    def deploy(self, name: str, archive: bytes | None = None, **changes: Any) -> str:
        return self.book.deploy(name, archive or self.archives[name], self.bundles, **changes).name

    def cycle(self, *, signals: bool = True, refusal: str | None = None) -> tuple[ModelChoice, ModelProblem | None]:
        """One cycle: the choice, and what it ended. signals: whether it decides any symbol."""
        self.at += timedelta(minutes=5)
        choice = self.serving.choose(self.at)
        made = (decided_signal(self.at, choice.model.deployment),) if signals and choice.model is not None else ()
        refused = () if refusal is None else (SymbolRefusal(Symbol("BTC-USD"), self.at, refusal, "it does not score"),)
        return choice, self.serving.decided(CycleOutcome(self.at, CycleState.READY, NO_WRITES, made, refused), choice)

    def states(self) -> dict[str, str]:
        return {name: one.state.value for name, one in self.book.rows.items()}


@pytest.fixture
def stage(archives: dict[str, bytes]) -> Stage:
    return Stage(archives)


def serving(stage: Stage, name: str = "one", **changes: Any) -> str:
    deployment = stage.deploy(name, **changes)
    choice, _ = stage.cycle()
    assert choice.model is not None
    assert choice.model.deployment == deployment
    assert stage.states()[deployment] == "healthy"
    return deployment


def test_without_a_deployment_there_is_no_model_and_a_word_about_it(stage: Stage) -> None:
    choice, _ = stage.cycle()
    assert choice.model is None
    assert choice.problem == ModelProblem("none", "nothing is deployed; run `signalbox library deploy`", None)


def test_a_deployment_decides_the_next_cycle_and_is_confirmed_by_it(stage: Stage) -> None:
    serving(stage)
    second = stage.deploy("two")
    choice, ended = stage.cycle()
    assert (choice.problem, ended) == (None, None)
    assert choice.model is not None
    assert (choice.model.deployment, choice.model.stage) == (second, DeploymentStage.SHADOW)
    assert stage.states() == {"one-v1": "superseded", "two-v2": "healthy"}


def test_a_warm_function_fetches_a_deployment_once(stage: Stage) -> None:
    serving(stage)
    before = stage.serving.model
    for _ in range(3):
        stage.cycle()
    assert stage.serving.model is before
    assert len(stage.bundles.fetched) == 1


def _cut(archive: bytes) -> bytes:
    return archive[: len(archive) // 2]


def _altered(archive: bytes) -> bytes:
    return archive[:-200] + bytes([archive[-200] ^ 1]) + archive[-199:]


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (lambda _: None, "BundleMissingError: no bundle at"),
        (_cut, "expected sha256"),
        (_altered, "expected sha256"),
        (lambda _: b"", "expected sha256"),
    ],
)
def test_an_object_that_is_not_the_recorded_one_keeps_the_old_model(
    stage: Stage, fault: Callable[[bytes], bytes | None], reason: str
) -> None:
    serving(stage)
    before = stage.serving.model
    assert before is not None
    bad = stage.deploy("two")
    key, stored = stage.book.rows[bad].bundle_key, fault(stage.archives["two"])
    if stored is None:
        del stage.bundles.objects[key]
    else:
        stage.bundles.objects[key] = stored
    refused(stage, bad, reason, before)


def refused(stage: Stage, bad: str, reason: str, before: Any) -> None:
    """The next cycle keeps the model, marks the deployment failed and says why; the cycle after is as if nothing had been."""
    kept: str = before.deployment
    choice, _ = stage.cycle()
    assert choice.model is before
    assert choice.problem is not None
    assert (choice.problem.deployment, choice.problem.kept) == (bad, kept)
    assert reason in choice.problem.reason
    assert (stage.book.rows[bad].state, stage.book.rows[bad].reason) == (DeploymentState.FAILED, choice.problem.reason)
    assert stage.cycle()[0] == ModelChoice(before)


def _another_schema(content: dict[str, Any]) -> None:
    content["feature_schema"]["hash"] = "0" * 64


def _wrong_golden(folder: Path) -> Path:
    return write_bundle(folder, "two", files={"golden.npz": GOLDENS["header of 10^12 rows"]()})


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (lambda folder: write_bundle(folder, "two", change=_another_schema), "BundleSchemaError"),
        (_wrong_golden, "BundleGoldenError"),
        (lambda folder: write_bundle(folder, "two", files={"linear-1.onnx": linear_member(99)}), "BundleGoldenError"),
        (lambda folder: write_bundle(folder, "two", files={"linear-1.onnx": b"no graph"}), "BundleIncompleteError"),
        (lambda folder: write_bundle(folder, "other"), "expected a bundle of two, got other"),
    ],
    ids=["schema", "golden", "another model", "no graph", "another name"],
)
def test_a_bundle_that_does_not_verify_keeps_the_old_model(
    stage: Stage, tmp_path: Path, made: Callable[[Path], Path], reason: str
) -> None:
    serving(stage)
    before = stage.serving.model
    refused(stage, stage.deploy("two", pack_bundle(made(tmp_path / "b"))), reason, before)


def test_an_archive_that_unpacks_to_more_than_a_bundle_keeps_the_old_model(stage: Stage) -> None:
    serving(stage)
    before, sink = stage.serving.model, io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(8):
            archive.writestr(f"zeros-{number}.onnx", bytes(64 * 2**20))
    refused(stage, stage.deploy("two", sink.getvalue()), "unpacks to more than", before)


@pytest.mark.parametrize("error", [MemoryError("no room"), RecursionError("too deep")])
def test_too_little_memory_while_loading_keeps_the_old_model(stage: Stage, error: Exception) -> None:
    serving(stage)
    before = stage.serving.model

    def load(_folder: Path) -> Any:
        raise error

    stage.serving._loader.load = load
    refused(stage, stage.deploy("two"), type(error).__name__, before)


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "no space left"), ConnectionError("S3 is silent"), KeyError("odd")])
def test_what_is_not_the_bundles_fault_is_tried_again_and_fails_at_the_second_cycle(stage: Stage, error: Exception) -> None:
    serving(stage)
    before = stage.serving.model
    waiting = stage.deploy("two")
    stage.bundles.fault = error
    choice, ended = stage.cycle()
    assert (choice.model, ended) == (before, None)
    assert choice.problem is not None
    assert stage.states()[waiting] == "validating"
    choice, ended = stage.cycle()
    assert choice.model is before
    assert ended is not None
    assert (ended.deployment, ended.kept) == (waiting, "one-v1")
    assert ended.reason.startswith("not confirmed within 2 cycles")
    assert stage.states()[waiting] == "failed"
    assert stage.cycle()[0] == ModelChoice(before)


def test_s3_that_answers_in_the_second_cycle_is_in_time(stage: Stage) -> None:
    serving(stage)
    waiting = stage.deploy("two")
    stage.bundles.fault = ConnectionError("S3 is silent")
    stage.cycle()
    stage.bundles.fault = None
    stage.cycle()
    assert stage.states()[waiting] == "healthy"


def test_a_model_that_loads_and_cannot_score_fails_at_the_second_cycle(stage: Stage) -> None:
    serving(stage)
    bad = stage.deploy("two")
    choice, ended = stage.cycle(signals=False, refusal=RefusalReason.MODEL_FAILED)
    assert choice.model is not None
    assert (choice.model.deployment, ended) == (bad, None)
    _, ended = stage.cycle(signals=False, refusal=RefusalReason.MODEL_FAILED)
    assert ended is not None
    assert "it cannot score: BTC-USD" in ended.reason
    choice, _ = stage.cycle()
    assert choice.model is not None
    assert choice.model.deployment == "one-v1"


def test_cycles_without_bars_say_nothing_about_a_model(stage: Stage) -> None:
    serving(stage)
    waiting = stage.deploy("two")
    for _ in range(4):
        stage.cycle(signals=False, refusal=RefusalReason.STALE_DATA)
    assert stage.states()[waiting] == "warming"
    stage.cycle()
    assert stage.states()[waiting] == "healthy"


def test_a_cycle_that_came_again_confirms_nothing(stage: Stage) -> None:
    name = stage.deploy("one")
    choice = stage.serving.choose(AT)
    for state in (CycleState.DECIDED, CycleState.WAITING):
        outcome = CycleOutcome(AT, state, NO_WRITES, (decided_signal(AT, name),), ())
        assert stage.serving.decided(outcome, choice) is None
    assert stage.states()[name] == "warming"


def test_a_ledger_that_does_not_answer_keeps_the_model(stage: Stage) -> None:
    serving(stage)
    before = stage.serving.model
    stage.book.fault = ConnectionError("the ledger is silent")
    choice = stage.serving.choose(AT)
    assert choice.model is before
    assert choice.problem is not None
    assert "the ledger is silent" in choice.problem.reason


def test_a_new_function_serves_what_is_healthy_and_fails_what_is_not(stage: Stage) -> None:
    serving(stage)
    bad = stage.deploy("two")
    del stage.bundles.objects[stage.book.rows[bad].bundle_key]
    stage.serving = ServingModels(stage.book, stage.bundles)
    choice, _ = stage.cycle()
    assert choice.model is not None
    assert choice.model.deployment == "one-v1"
    assert stage.states()[bad] == "failed"


def test_a_new_function_whose_serving_bundle_is_corrupt_has_no_model(stage: Stage) -> None:
    name = serving(stage)
    stage.bundles.objects.clear()
    stage.serving = ServingModels(stage.book, stage.bundles)
    choice, _ = stage.cycle()
    assert choice.model is None
    assert choice.problem is not None
    assert (choice.problem.deployment, choice.problem.kept) == (name, None)


def test_a_new_function_goes_back_from_a_corrupt_bundle_by_itself(stage: Stage) -> None:
    serving(stage)
    serving(stage, "two")
    del stage.bundles.objects[stage.book.rows["two-v2"].bundle_key]
    stage.serving = ServingModels(stage.book, stage.bundles)
    choice, _ = stage.cycle()
    assert choice.model is not None
    assert choice.problem is not None
    assert (choice.model.deployment, choice.problem.deployment, choice.problem.kept) == ("one-v1-2", "two-v2", "one-v1-2")
    assert stage.states() == {"one-v1": "superseded", "two-v2": "rolled_back", "one-v1-2": "healthy"}
    assert "BundleMissingError" in choice.problem.reason
    assert stage.cycle()[0] == ModelChoice(choice.model)


def test_it_goes_back_past_an_earlier_bundle_that_is_corrupt_too(stage: Stage) -> None:
    for name in NAMES:
        serving(stage, name)
    for name in ("two-v2", "three-v3"):
        stage.bundles.objects[stage.book.rows[name].bundle_key] = b"corrupt"
    stage.serving = ServingModels(stage.book, stage.bundles)
    choice, _ = stage.cycle()
    assert choice.model is not None
    assert choice.model.deployment == "one-v1-2"
    assert stage.states()["two-v2-2"] == "failed"
    assert stage.states()["three-v3"] == "rolled_back"


def test_what_s3_does_not_answer_for_is_not_taken_back(stage: Stage) -> None:
    serving(stage)
    serving(stage, "two")
    stage.bundles.fault = ConnectionError("S3 is silent")
    stage.serving = ServingModels(stage.book, stage.bundles)
    choice, _ = stage.cycle()
    assert choice.model is None
    assert stage.states() == {"one-v1": "superseded", "two-v2": "healthy"}


def test_rollback_works_while_what_serves_is_corrupt(stage: Stage) -> None:
    serving(stage)
    serving(stage, "two")
    del stage.bundles.objects[stage.book.rows["two-v2"].bundle_key]
    stage.serving = ServingModels(stage.book, stage.bundles)
    stage.book.roll_back(ALL_SYMBOLS, to=None, at=AT, who="anna", why="it is broken", request_id="r")
    choice, _ = stage.cycle()
    assert choice.model is not None
    assert choice.model.deployment == "one-v1-2"
    assert stage.states() == {"one-v1": "superseded", "two-v2": "rolled_back", "one-v1-2": "healthy"}


def test_a_share_of_signals_far_from_the_evaluated_one_takes_the_deployment_back(stage: Stage) -> None:
    serving(stage)
    serving(stage, "two", rate=0.2)
    stage.book.counts["two-v2"] = SignalCount(600, 590)
    _, ended = stage.cycle()
    assert ended is not None
    assert (ended.deployment, ended.kept) == ("two-v2", "one-v1-2")
    assert "rolled back: 590 signals in 600 decisions" in ended.reason
    choice, _ = stage.cycle()
    assert choice.model is not None
    assert choice.model.deployment == "one-v1-2"
    assert stage.states()["two-v2"] == "rolled_back"


def test_if_what_would_take_its_place_is_corrupt_the_watch_goes_further_back(stage: Stage) -> None:
    for name in ("one", "two"):
        serving(stage, name)
    serving(stage, "three", rate=0.2)
    stage.book.counts["three-v3"] = SignalCount(600, 590)
    _, ended = stage.cycle()
    assert ended is not None
    assert ended.kept == "two-v2-2"
    del stage.bundles.objects[stage.book.rows["two-v2"].bundle_key]
    stage.serving = ServingModels(stage.book, stage.bundles)
    seen = [stage.cycle() for _ in range(3)]
    assert (stage.states()["two-v2-2"], stage.states()["one-v1-2"]) == ("failed", "healthy")
    assert stage.states()["three-v3"] == "rolled_back"
    assert [ended.kept for _, ended in seen if ended is not None] == ["one-v1-2"]


def test_a_person_who_takes_back_what_the_watch_asked_for_has_the_last_word(stage: Stage) -> None:
    serving(stage)
    serving(stage, "two", rate=0.2)
    stage.book.counts["two-v2"] = SignalCount(600, 590)
    stage.cycle()
    stage.book.roll_back(ALL_SYMBOLS, to=None, at=stage.at, who="anna", why="it may stay", request_id="req-stay")
    _, ended = stage.cycle()
    assert ended is not None
    assert "it stays in use, because somebody took back one-v1-2" in ended.reason
    assert stage.cycle()[1] is None
    assert stage.states()["two-v2"] == "healthy"


def test_the_watch_leaves_what_a_person_asked_for_in_the_same_cycle(stage: Stage) -> None:
    serving(stage)
    serving(stage, "two", rate=0.2)
    stage.book.counts["two-v2"] = SignalCount(600, 590)
    stage.at += timedelta(minutes=5)
    choice = stage.serving.choose(stage.at)
    remedy = stage.deploy("three")
    signal = decided_signal(stage.at, "two-v2")
    outcome = CycleOutcome(stage.at, CycleState.READY, NO_WRITES, (signal,), ())
    assert stage.serving.decided(outcome, choice) is None
    stage.cycle()
    assert stage.states() == {"one-v1": "superseded", "two-v2": "superseded", remedy: "healthy"}


def test_with_nothing_to_go_back_to_the_first_deployment_stays_and_it_is_said_once(stage: Stage) -> None:
    serving(stage, rate=0.2)
    stage.book.counts["one-v1"] = SignalCount(600, 590)
    _, ended = stage.cycle()
    assert ended is not None
    assert "it stays in use: there is no earlier healthy deployment" in ended.reason
    assert stage.cycle()[1] is None
    assert stage.states() == {"one-v1": "healthy"}


def _verdicts(**changed: str) -> Callable[[dict[str, Any]], None]:
    def change(content: dict[str, Any]) -> None:
        gates = dict.fromkeys(map(str, Gate), "pass") | changed
        content |= {"gates": gates, "passes_promotion": all(gates[gate] == "pass" for gate in ("G0", "G1", "G2", "G3"))}

    return change


@pytest.mark.parametrize(
    ("gates", "overridden", "expected"),
    [
        ({"G4": "fail"}, False, DeploymentStage.ACTIVE),
        ({"G1": "fail"}, False, DeploymentStage.SHADOW),  # whatever the row says
        ({"G1": "fail"}, True, DeploymentStage.ACTIVE),
    ],
)
def test_active_needs_the_gates_or_a_recorded_override(
    stage: Stage, tmp_path: Path, gates: dict[str, str], overridden: bool, expected: DeploymentStage
) -> None:
    archive = pack_bundle(write_bundle(tmp_path / "b", "two", change=_verdicts(**gates)))
    stage.deploy("two", archive, stage=DeploymentStage.ACTIVE, overridden=overridden)
    choice, _ = stage.cycle()
    assert choice.model is not None
    assert (choice.model.stage, choice.model.overridden) == (expected, overridden)
    assert choice.model.gates["G1"] == gates.get("G1", "pass")


def test_scores_from_four_threads_during_swaps_are_each_of_one_model_and_none_fails(stage: Stage) -> None:
    features = rows(3)
    scores: dict[str, bytes] = {}
    serving(stage)
    ended, faults, mixed, scored = threading.Event(), list[BaseException](), list[str](), [0, 0, 0, 0]

    def score(place: int) -> None:
        try:
            while not ended.is_set():
                model = stage.serving.model
                assert model is not None
                found = model.scorer.predict(features).tobytes()
                if scores.setdefault(model.bundle, found) != found:
                    mixed.append(model.deployment)
                scored[place] += 1
        except BaseException as error:  # noqa: BLE001 - whatever it is, the test shows it
            faults.append(error)

    threads = [threading.Thread(target=score, args=(place,)) for place in range(4)]
    for thread in threads:
        thread.start()
    try:
        for swap in range(6):
            deployment = stage.deploy(NAMES[(swap + 1) % len(NAMES)])
            stage.cycle()
            assert stage.states()[deployment] == "healthy"
    finally:
        ended.set()
        for thread in threads:
            thread.join(timeout=30)
    assert (faults, mixed) == ([], [])
    assert min(scored) > 0
    assert len(set(scores.values())) == len(scores)
    assert len(stage.serving._loaded) <= 2  # memory: what served before is let go


class Machine(RuleBasedStateMachine):
    """Deployments, faults and cycles in any order: there is a model from the first confirmed one on, and it is a verified one."""

    packed: dict[str, bytes]

    @initialize()
    def begin(self) -> None:
        self.stage = Stage(self.packed)
        self.served = False

    @rule(name=st.sampled_from(NAMES), good=st.booleans())
    def deploy(self, name: str, good: bool) -> None:
        if self.stage.book.slot(ALL_SYMBOLS).incoming is None:
            one = self.stage.deploy(name)
            if not good:
                self.stage.bundles.objects[self.stage.book.rows[one].bundle_key] = b"corrupt"

    @rule()
    def s3_fails(self) -> None:
        self.stage.bundles.fault = ConnectionError("silent")

    @rule()
    def s3_answers(self) -> None:
        self.stage.bundles.fault = None

    @rule(signals=st.booleans())
    def cycle(self, signals: bool) -> None:
        choice, _ = self.stage.cycle(signals=signals, refusal=None if signals else RefusalReason.MODEL_FAILED)
        assert choice.model is not None or not self.served
        assert choice.model is not None or choice.problem is not None
        self.served = self.served or "healthy" in self.stage.states().values()

    @invariant()
    def one_serves_and_one_is_on_its_way(self) -> None:
        states = list(self.stage.states().values()) if hasattr(self, "stage") else []
        assert states.count("healthy") <= 1
        assert sum(state in {"pending", "validating", "warming"} for state in states) <= 1


def test_no_order_of_deployments_faults_and_cycles_loses_the_model(archives: dict[str, bytes]) -> None:
    Machine.packed = archives
    run_state_machine_as_test(Machine, settings=settings(max_examples=examples(15), stateful_step_count=15, deadline=None))
