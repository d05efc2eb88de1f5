"""Registration on memory and on PostgreSQL: the same promises."""

from __future__ import annotations

import json
import tarfile
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

import psycopg
import pytest

from signalbox.adapters.postgres.library import PostgresLibrary
from signalbox.contracts import EventType
from signalbox.events import parse_event
from signalbox.inference import load_bundle
from signalbox.inference.archive import unpack_bundle
from signalbox.inference.manifest import Gate, Verdict
from signalbox.ledger_errors import LedgerError, LedgerRefusedError
from signalbox.library.entries import (
    EntityKey,
    EntityKind,
    EvaluationPeriod,
    NewVersion,
    VersionEvaluation,
    VersionKey,
    VersionState,
)
from signalbox.library.evaluations import EvaluationOutcome, FinishedEvaluation, record_evaluation
from signalbox.library.events import EvaluationFailed, ModelEvaluated, ModelNotQualified, ModelRegistered, TrainingFailed
from signalbox.library.parameters import RegisterWhen
from signalbox.library.ports import Library
from signalbox.library.registration import JobEvaluation, JobOutcome, RegistrationOutcome, register
from tests.fakes.memory_library import MemoryArtifacts, MemoryLibrary
from tests.fakes.postgres_server import PostgresServer, app_source, either_world
from tests.unit.library.samples import (
    FINISHED,
    MODEL,
    URI,
    artifact,
    bundle,
    bundle_hash,
    evaluation,
    evaluation_output,
    job,
    packed,
)

pytestmark = pytest.mark.integration

Rows = list[tuple[Any, ...]]


class LibraryWorld(Protocol):
    def library(self) -> Library: ...

    def versions(self) -> Rows: ...

    def evaluations(self) -> Rows: ...

    def periods(self) -> Rows: ...

    def hashes(self) -> Rows: ...

    def lineage(self) -> Rows: ...

    def events(self) -> list[Any]: ...


class MemoryWorld:
    def __init__(self) -> None:
        self._library = MemoryLibrary()

    def library(self) -> Library:
        return self._library

    def versions(self) -> Rows:
        found = self._library.tables.versions.items()
        return sorted((k.entity.kind.value, k.entity.name, k.number, v.state.value, v.bundle_key, v.reason) for k, v in found)

    def evaluations(self) -> Rows:
        found = self._library.tables.evaluations
        return sorted((key.number, source, one.qualifies, one.gates[Gate.G1].value) for (key, source), one in found.items())

    def periods(self) -> Rows:
        found = self._library.tables.evaluations
        return sorted(
            (source, one.period and one.period.start, one.period and one.period.end) for (_, source), one in found.items()
        )

    def hashes(self) -> Rows:
        found = self._library.tables.versions.items()
        return [(one.sha256, one.manifest is not None) for key, one in sorted(found) if key.entity.kind is EntityKind.MODEL]

    def lineage(self) -> Rows:
        found = self._library.tables.dependencies
        return sorted((a.entity.name, a.number, b.entity.kind.value, b.entity.name, b.number) for a, b in found)

    def events(self) -> list[Any]:
        return list(self._library.tables.events.values())


class PostgresWorld:
    def __init__(self, server: PostgresServer, database: str, stack: ExitStack) -> None:
        self._server, self._database, self._stack = server, database, stack

    def library(self) -> Library:
        return PostgresLibrary(self._stack.enter_context(app_source(self._server, self._database)))

    def _rows(self, statement: str) -> Rows:
        return self._server.execute(statement, self._database)

    def versions(self) -> Rows:
        return self._rows("SELECT kind, name, number, state, bundle_key, reason FROM versions ORDER BY 1, 2, 3")

    def evaluations(self) -> Rows:
        return self._rows("SELECT number, source, qualifies, gates ->> 'G1' FROM evaluations ORDER BY 1, 2")

    def periods(self) -> Rows:
        return self._rows("SELECT source, period_start, period_end FROM evaluations ORDER BY 1")

    def hashes(self) -> Rows:
        return self._rows("SELECT sha256, manifest IS NOT NULL FROM versions WHERE kind = 'model' ORDER BY number")

    def lineage(self) -> Rows:
        return self._rows("SELECT name, number, needs_kind, needs_name, needs_number FROM dependencies ORDER BY 1, 2, 3, 4, 5")

    def events(self) -> list[Any]:
        return [parse_event(kind, json.loads(detail)) for kind, detail in self._rows("SELECT event_type, detail FROM outbox")]


world = either_world(MemoryWorld, PostgresWorld)


@pytest.fixture
def artifacts(tmp_path: Path) -> MemoryArtifacts:
    return MemoryArtifacts(**{URI: artifact(bundle(tmp_path / "made"))})


def registered(world: LibraryWorld, artifacts: MemoryArtifacts, tmp_path: Path, **changes: Any) -> RegistrationOutcome:
    workspace = tmp_path / f"work-{len(list(tmp_path.iterdir()))}"
    workspace.mkdir()
    return register(job(**changes), artifacts=artifacts, library=world.library(), workspace=workspace)


def test_a_finished_training_is_a_candidate_with_its_judgement_and_its_lineage(
    world: LibraryWorld, artifacts: MemoryArtifacts, tmp_path: Path
) -> None:
    found = registered(world, artifacts, tmp_path)
    assert found == RegistrationOutcome(VersionKey(EntityKey(EntityKind.MODEL, MODEL), 1), VersionState.CANDIDATE, new=True)
    ((key, archive),) = artifacts.kept.items()
    assert world.versions() == [
        ("dataset", "candles", 1, "recorded", None, None),
        ("feature_set", "v31", 1, "recorded", None, None),
        ("model", MODEL, 1, "candidate", key, None),
    ]
    assert load_bundle(unpack_bundle(archive, tmp_path / "served")).name == MODEL
    assert world.evaluations() == [(1, "training", False, "fail")]
    assert world.lineage() == [(MODEL, 1, "dataset", "candles", 1), (MODEL, 1, "feature_set", "v31", 1)]
    (event,) = world.events()
    assert event == ModelRegistered(
        model=MODEL,
        version=1,
        job=job().name,
        at=FINISHED,
        qualifies=False,
        headline="NOT PROMOTABLE: G1 not passed",
        shortfalls=("G1 fail: what G1 found",),
        bundle_key=key,
    )


def test_a_redelivered_event_changes_nothing_and_downloads_nothing(
    world: LibraryWorld, artifacts: MemoryArtifacts, tmp_path: Path
) -> None:
    first = registered(world, artifacts, tmp_path)
    before = (world.versions(), world.evaluations(), world.lineage(), len(world.events()))
    again = registered(world, artifacts, tmp_path)
    late = registered(world, artifacts, tmp_path, outcome=JobOutcome.FAILED, reason="told twice")
    assert again == late == RegistrationOutcome(first.version, None, new=False)
    assert (world.versions(), world.evaluations(), world.lineage(), len(world.events())) == before
    assert artifacts.fetched == [URI]


def test_two_trainings_on_the_same_data_share_their_lineage(
    world: LibraryWorld, artifacts: MemoryArtifacts, tmp_path: Path
) -> None:
    registered(world, artifacts, tmp_path)
    second = registered(world, artifacts, tmp_path, name="signalbox-test-train-20261122t020000z")
    assert second.version.number == 2
    assert [row[:3] for row in world.versions()] == [
        ("dataset", "candles", 1),
        ("feature_set", "v31", 1),
        ("model", MODEL, 1),
        ("model", MODEL, 2),
    ]


def test_a_model_that_passes_says_so(world: LibraryWorld, tmp_path: Path) -> None:
    artifacts = MemoryArtifacts(**{URI: artifact(bundle(tmp_path / "made", passes=True))})
    registered(world, artifacts, tmp_path)
    (event,) = world.events()
    assert event.qualifies
    assert event.shortfalls == ()
    assert world.evaluations() == [(1, "training", True, "pass")]


@pytest.mark.parametrize("outcome", [JobOutcome.FAILED, JobOutcome.STOPPED])
def test_a_job_without_a_model_is_recorded_with_its_reason(
    world: LibraryWorld, artifacts: MemoryArtifacts, tmp_path: Path, outcome: JobOutcome
) -> None:
    found = registered(world, artifacts, tmp_path, outcome=outcome, reason="AlgorithmError: MarketDataError: 45 whole days")
    assert found.state is VersionState.FAILED
    assert world.versions() == [("model", MODEL, 1, "failed", None, "AlgorithmError: MarketDataError: 45 whole days")]
    (event,) = world.events()
    assert isinstance(event, TrainingFailed)
    assert event.outcome == outcome.value.lower()
    assert artifacts.fetched == []


def test_a_job_that_gives_no_reason_still_has_one(world: LibraryWorld, artifacts: MemoryArtifacts, tmp_path: Path) -> None:
    registered(world, artifacts, tmp_path, outcome=JobOutcome.STOPPED)
    assert world.versions()[0][5] == "the job was stopped without a reason"


def _tampered(folder: Path) -> bytes:
    (folder / "linear-1.onnx").write_bytes((folder / "linear-2.onnx").read_bytes())
    return artifact(folder)


def _cut(folder: Path) -> bytes:
    return artifact(folder)[:-40]


def _without_golden(folder: Path) -> bytes:
    (folder / "golden.npz").unlink()
    return artifact(folder)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [(_tampered, "BundleTamperedError"), (_cut, "ArtifactError"), (_without_golden, "BundleIncompleteError")],
)
def test_a_model_that_does_not_verify_is_refused_and_never_kept(
    world: LibraryWorld, tmp_path: Path, spoil: Any, reason: str
) -> None:
    artifacts = MemoryArtifacts(**{URI: spoil(bundle(tmp_path / "made"))})
    found = registered(world, artifacts, tmp_path)
    assert found.state is VersionState.REFUSED
    (row,) = world.versions()
    assert row[:5] == ("model", MODEL, 1, "refused", None)
    assert row[5].startswith(reason)
    assert artifacts.kept == {}
    (event,) = world.events()
    assert event.outcome == "refused"
    assert event.reason == row[5]


def test_a_bundle_of_another_model_is_refused(world: LibraryWorld, tmp_path: Path) -> None:
    artifacts = MemoryArtifacts(**{URI: artifact(bundle(tmp_path / "made", name="another"))})
    found = registered(world, artifacts, tmp_path)
    assert found.state is VersionState.REFUSED
    assert "expected a bundle of dir60-v31-tiny" in str(found.reason)


def test_nothing_where_the_job_should_have_left_its_model_is_refused(world: LibraryWorld, tmp_path: Path) -> None:
    found = registered(world, MemoryArtifacts(), tmp_path)
    assert found.state is VersionState.REFUSED


URI_OF_EVALUATION = "s3://models/training/evaluations/abc/evaluation.json"
PASSED = JobEvaluation("evaluate-abc", URI_OF_EVALUATION, RegisterWhen.PROMOTION, passed=True)
SHADOW = replace(PASSED, when=RegisterWhen.INTEGRITY)


def test_a_pipelines_evaluation_is_recorded_beside_that_of_the_training(
    world: LibraryWorld, artifacts: MemoryArtifacts, tmp_path: Path
) -> None:
    artifacts.objects[URI_OF_EVALUATION] = evaluation(tmp_path / "made")
    assert registered(world, artifacts, tmp_path, evaluation=SHADOW).state is VersionState.CANDIDATE
    assert world.evaluations() == [(1, "evaluate-abc", False, "pass"), (1, "training", False, "fail")]
    start, end = datetime(2026, 8, 1, tzinfo=UTC), datetime(2026, 9, 15, tzinfo=UTC)
    assert world.periods() == [("evaluate-abc", start, end), ("training", start, end)]
    (event,) = world.events()
    assert event.shortfalls == ("G1 fail: what G1 found", "evaluate-abc: G3 fail: what G3 found")


def test_a_rejected_candidate_is_a_version_with_reasons_that_cannot_be_deployed(
    world: LibraryWorld, artifacts: MemoryArtifacts, tmp_path: Path
) -> None:
    artifacts.objects[URI_OF_EVALUATION] = evaluation(tmp_path / "made")
    found = registered(world, artifacts, tmp_path, evaluation=replace(PASSED, passed=False))
    assert (found.state, found.qualified) == (VersionState.REFUSED, False)
    reason = "did not qualify for registration (promotion): G3 fail: what G3 found"
    assert world.versions()[-1] == ("model", MODEL, 1, "refused", None, reason)
    assert world.hashes() == [(bundle_hash(tmp_path / "made"), True)]
    assert artifacts.kept == {}, "nothing of it is where bundles are deployed from"
    assert world.evaluations() == [(1, "evaluate-abc", False, "pass"), (1, "training", False, "fail")]
    assert world.lineage() == [(MODEL, 1, "dataset", "candles", 1), (MODEL, 1, "feature_set", "v31", 1)]
    (event,) = world.events()
    assert event == ModelNotQualified(
        model=MODEL,
        version=1,
        job=job().name,
        evaluation="evaluate-abc",
        at=FINISHED,
        headline="NOT PROMOTABLE: G1 not passed",
        shortfalls=("G3 fail: what G3 found",),
    )
    again = registered(world, artifacts, tmp_path, evaluation=replace(PASSED, passed=False))
    assert again == RegistrationOutcome(found.version, None, new=False)
    assert len(world.events()) == 1


@pytest.mark.parametrize(
    ("asked", "passes", "state"),
    [
        (PASSED, True, VersionState.CANDIDATE),
        (PASSED, False, VersionState.REFUSED),  # the condition says yes, the gates say no
        (replace(PASSED, passed=False), True, VersionState.REFUSED),  # the other way round
        (replace(SHADOW, passed=False), False, VersionState.REFUSED),
        (SHADOW, False, VersionState.CANDIDATE),
    ],
)
def test_only_the_condition_and_the_gates_together_make_a_candidate(
    world: LibraryWorld, artifacts: MemoryArtifacts, tmp_path: Path, asked: JobEvaluation, passes: bool, state: VersionState
) -> None:
    artifacts.objects[URI_OF_EVALUATION] = evaluation(tmp_path / "made", passes=passes)
    assert registered(world, artifacts, tmp_path, evaluation=asked).state is state
    assert bool(artifacts.kept) is (state is VersionState.CANDIDATE)
    (event,) = world.events()
    assert isinstance(event, ModelRegistered if state is VersionState.CANDIDATE else ModelNotQualified)


WRONG: dict[str, dict[str, Any]] = {
    "of another model": {"name": "another"},
    "of another archive": {"bundle_sha256": "0" * 64},
    "without its gates": {"gates": 7},
    "with a gate that is none": {"gates": {"G9": {"verdict": "pass"}}},
    "that qualifies against its gates": {"qualifies": True},
    "that qualifies in words": {"qualifies": "true"},
    "of no period": {"period": None},
    "of a period without an end": {"period": {"start": "2026-09-15T00:00:00Z", "end": "2026-09-15T00:00:00Z"}},
    "of the year one": {"period": {"start": "0001-01-01T00:00:00+14:00", "end": "2026-09-15T00:00:00Z"}},
    "with a figure that is none": {"figures": float("nan")},
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_an_evaluation_that_is_none_refuses_the_registration(
    world: LibraryWorld, artifacts: MemoryArtifacts, tmp_path: Path, wrong: dict[str, Any]
) -> None:
    artifacts.objects[URI_OF_EVALUATION] = evaluation(tmp_path / "made", **wrong)
    found = registered(world, artifacts, tmp_path, evaluation=SHADOW)
    assert (found.state, found.qualified) == (VersionState.REFUSED, True)
    assert (found.reason or "").startswith("ArtifactError")


@pytest.mark.parametrize("content", [b"no json", b"[]", b"[" * 100_000, b'{"name": 1' + b"0" * 5_000 + b"}"])
def test_what_is_no_json_object_refuses_the_registration(
    world: LibraryWorld, artifacts: MemoryArtifacts, tmp_path: Path, content: bytes
) -> None:
    artifacts.objects[URI_OF_EVALUATION] = content
    assert registered(world, artifacts, tmp_path, evaluation=SHADOW).state is VersionState.REFUSED


@pytest.mark.parametrize("text", ["a\x00b", "half \ud83d", "x" * 100_000])
def test_texts_that_no_ledger_takes_do_not_stop_a_registration(
    world: LibraryWorld, artifacts: MemoryArtifacts, tmp_path: Path, text: str
) -> None:
    """A constraint or an encoding that fails at the ledger would come back from the queue for ever."""
    gates = {gate.value: {"verdict": "fail", "found": text} for gate in Gate}
    artifacts.objects[URI_OF_EVALUATION] = evaluation(tmp_path / "made", headline=text, gates=gates)
    assert registered(world, artifacts, tmp_path, evaluation=PASSED).state is VersionState.REFUSED
    (event,) = world.events()
    assert len(event.headline) <= 1_000
    assert (
        registered(world, artifacts, tmp_path, name="other", outcome=JobOutcome.FAILED, reason=text).state is VersionState.FAILED
    )


JOB = "signalbox-test-evaluate-20261116t020000z"
OUTPUT = f"s3://models/training/artifacts/{JOB}/output/output.tar.gz"


def evaluated(world: LibraryWorld, artifacts: MemoryArtifacts, tmp_path: Path, **changes: Any) -> EvaluationOutcome:
    workspace = tmp_path / f"work-{len(list(tmp_path.iterdir()))}"
    workspace.mkdir()
    reported: dict[str, Any] = {
        "name": JOB,
        "outcome": JobOutcome.COMPLETED,
        "finished_at": FINISHED,
        "model_uri": URI,
        "output_uri": OUTPUT,
    }
    found = FinishedEvaluation(**{**reported, **changes})
    return record_evaluation(found, artifacts=artifacts, library=world.library(), workspace=workspace)


class TestAnEvaluationByItself:
    def test_is_a_judgement_of_the_version_whose_bundle_it_loaded(
        self, world: LibraryWorld, artifacts: MemoryArtifacts, tmp_path: Path
    ) -> None:
        other = bundle(tmp_path / "other", passes=True)
        artifacts.objects["s3://other"] = artifact(other)
        registered(world, artifacts, tmp_path, name="job-1", artifact_uri="s3://other")
        version = registered(world, artifacts, tmp_path).version
        versions = world.versions()
        artifacts.objects[OUTPUT] = evaluation_output(evaluation(tmp_path / "made"))
        found = evaluated(world, artifacts, tmp_path)
        assert found == EvaluationOutcome(version, new=True, qualifies=False)
        assert version.number == 2
        assert (2, JOB, False, "pass") in world.evaluations()
        assert (JOB, datetime(2026, 8, 1, tzinfo=UTC), datetime(2026, 9, 15, tzinfo=UTC)) in world.periods()
        assert world.versions() == versions
        (event,) = (one for one in world.events() if isinstance(one, ModelEvaluated))
        assert (event.version, event.qualifies, event.shortfalls) == (2, False, ("G3 fail: what G3 found",))
        before = (world.evaluations(), len(world.events()), list(artifacts.fetched))
        late = evaluated(world, artifacts, tmp_path, outcome=JobOutcome.FAILED, reason="told twice")
        assert evaluated(world, artifacts, tmp_path) == late == EvaluationOutcome(version, new=False)
        assert (world.evaluations(), len(world.events()), artifacts.fetched) == before

    def test_may_be_of_a_model_that_a_pipeline_did_not_want(
        self, world: LibraryWorld, artifacts: MemoryArtifacts, tmp_path: Path
    ) -> None:
        artifacts.objects[URI_OF_EVALUATION] = evaluation(tmp_path / "made")
        registered(world, artifacts, tmp_path, evaluation=replace(PASSED, passed=False))
        artifacts.objects[OUTPUT] = evaluation_output(evaluation(tmp_path / "made", passes=True))
        assert evaluated(world, artifacts, tmp_path).qualifies
        assert world.versions()[-1][3:5] == ("refused", None), "a later judgement makes it no candidate"
        assert artifacts.kept == {}

    @pytest.mark.parametrize("outcome", [JobOutcome.FAILED, JobOutcome.STOPPED])
    def test_that_failed_is_told_once_and_touches_no_version(
        self, world: LibraryWorld, artifacts: MemoryArtifacts, tmp_path: Path, outcome: JobOutcome
    ) -> None:
        registered(world, artifacts, tmp_path)
        before = (world.versions(), world.evaluations())
        found = evaluated(world, artifacts, tmp_path, outcome=outcome, reason="MarketDataError: no decision")
        assert found == EvaluationOutcome(None, new=True, reason="MarketDataError: no decision")
        assert evaluated(world, artifacts, tmp_path, outcome=outcome, reason="again").new is False
        (event,) = (one for one in world.events() if isinstance(one, EvaluationFailed))
        assert (event.outcome, event.reason, event.model_uri) == (outcome.value.lower(), "MarketDataError: no decision", URI)
        assert (world.versions(), world.evaluations()) == before

    def test_an_evaluation_of_an_unknown_model_is_refused_and_recorded_once_it_is_known(
        self, world: LibraryWorld, artifacts: MemoryArtifacts, tmp_path: Path
    ) -> None:
        artifacts.objects[OUTPUT] = evaluation_output(evaluation(tmp_path / "made"))
        refused = evaluated(world, artifacts, tmp_path)
        assert refused.version is None
        assert f"the library has no version of {MODEL}" in (refused.reason or "")
        assert world.versions() == world.evaluations() == []
        registered(world, artifacts, tmp_path)
        assert evaluated(world, artifacts, tmp_path).new
        assert {type(one).__name__ for one in world.events()} == {"EvaluationFailed", "ModelRegistered", "ModelEvaluated"}

    def test_of_another_archive_than_was_registered_is_refused_by_both_hashes(
        self, world: LibraryWorld, artifacts: MemoryArtifacts, tmp_path: Path
    ) -> None:
        registered(world, artifacts, tmp_path)
        registered(world, artifacts, tmp_path, name="job-2", outcome=JobOutcome.FAILED, reason="x")
        artifacts.objects[OUTPUT] = evaluation_output(evaluation(bundle(tmp_path / "other", passes=True)))
        found = evaluated(world, artifacts, tmp_path)
        assert found.version is None
        assert bundle_hash(tmp_path / "other")[:12] in (found.reason or "")
        assert f"Newest versions: 1: {bundle_hash(tmp_path / 'made')[:12]}" in (found.reason or "")
        assert len(world.evaluations()) == 1

    @pytest.mark.parametrize(
        "wrong", [one for key, one in WRONG.items() if key not in {"of another model", "of another archive"}]
    )
    def test_that_cannot_be_read_is_refused_and_does_not_come_back(
        self, world: LibraryWorld, artifacts: MemoryArtifacts, tmp_path: Path, wrong: dict[str, Any]
    ) -> None:
        registered(world, artifacts, tmp_path)
        artifacts.objects[OUTPUT] = evaluation_output(evaluation(tmp_path / "made", **wrong))
        found = evaluated(world, artifacts, tmp_path)
        assert (found.version, found.new) == (None, True)
        assert (found.reason or "").startswith("ArtifactError: evaluation.json")

    @pytest.mark.parametrize(
        "content",
        [None, b"no archive", packed([(tarfile.TarInfo("../evaluation.json"), b"{}")]), packed([(tarfile.TarInfo("x"), b"")])],
        ids=["absent", "no archive", "a path outside", "another file"],  # an archive has the time of its making in it
    )
    def test_whose_archive_is_none_is_refused(
        self, world: LibraryWorld, artifacts: MemoryArtifacts, tmp_path: Path, content: bytes | None
    ) -> None:
        if content is not None:
            artifacts.objects[OUTPUT] = content
        found = evaluated(world, artifacts, tmp_path)
        assert (found.reason or "").startswith("ArtifactError")
        assert [type(one).__name__ for one in world.events()] == ["EvaluationFailed"]


def test_a_failure_in_the_middle_leaves_nothing(world: LibraryWorld) -> None:
    entity = EntityKey(EntityKind.MODEL, MODEL)

    def fail_after_writing() -> None:
        with world.library().transaction() as tx:
            tx.lock(entity)
            tx.add_version(NewVersion(entity, "job", VersionState.FAILED, FINISHED, reason="x"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_after_writing()
    assert world.versions() == []


def test_deliveries_at_the_same_time_make_one_version(
    postgres: PostgresServer, database: str, tmp_path: Path, artifacts: MemoryArtifacts
) -> None:
    start = threading.Barrier(4)

    def deliver(place: int) -> RegistrationOutcome:
        workspace = tmp_path / f"at-once-{place}"
        workspace.mkdir()
        with app_source(postgres, database) as source:
            start.wait()
            return register(job(), artifacts=artifacts, library=PostgresLibrary(source), workspace=workspace)

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(deliver, range(4)))
    assert sum(one.new for one in found) == 1
    assert {one.version.number for one in found} == {1}
    assert postgres.execute("SELECT count(*) FROM versions WHERE kind = 'model'", database) == [(1,)]
    assert postgres.execute("SELECT count(*) FROM outbox", database) == [(1,)]


class TestWhatTheTablesRefuse:
    ENTITY = EntityKey(EntityKind.MODEL, MODEL)
    CANDIDATE = NewVersion(ENTITY, "job", VersionState.CANDIDATE, FINISHED, bundle_key="k", sha256="0" * 64, manifest="{}")

    @pytest.mark.parametrize(
        "wrong",
        [
            replace(CANDIDATE, reason="a candidate has no reason"),
            replace(CANDIDATE, bundle_key=None),
            replace(CANDIDATE, state=VersionState.REFUSED, reason="what is refused cannot be deployed"),
            replace(CANDIDATE, state=VersionState.REFUSED, reason="by half", bundle_key=None, manifest=None),
            replace(CANDIDATE, state=VersionState.FAILED, reason="it has no content", bundle_key=None),
            replace(CANDIDATE, sha256="short"),
            replace(CANDIDATE, manifest="no json"),
            replace(CANDIDATE, state=VersionState.REFUSED),
            replace(CANDIDATE, state=VersionState.RECORDED, bundle_key=None, sha256=None, manifest=None),
            replace(CANDIDATE, entity=EntityKey(EntityKind.DATASET, "candles")),
            replace(CANDIDATE, entity=EntityKey(EntityKind.MODEL, "Not A Name")),
            replace(CANDIDATE, origin=""),
        ],
    )
    def test_a_version_that_contradicts_itself(self, postgres: PostgresServer, database: str, wrong: NewVersion) -> None:
        with (
            app_source(postgres, database) as source,
            pytest.raises(LedgerRefusedError),
            PostgresLibrary(source).transaction() as tx,
        ):
            tx.add_version(wrong)

    def test_an_evaluation_that_claims_to_qualify_without_its_gates(self, postgres: PostgresServer, database: str) -> None:
        gates = {**dict.fromkeys(Gate, Verdict.PASS), Gate.G2: Verdict.NOT_EVALUATED}
        with app_source(postgres, database) as source:
            with PostgresLibrary(source).transaction() as tx:
                key = tx.add_version(self.CANDIDATE)
            with pytest.raises(LedgerRefusedError, match="evaluations_qualify"), PostgresLibrary(source).transaction() as tx:
                tx.add_evaluation(key, VersionEvaluation("training", FINISHED, True, "", gates, "{}"))

    def test_an_evaluation_of_half_a_period(self, postgres: PostgresServer, database: str) -> None:
        gates = dict.fromkeys(Gate, Verdict.FAIL)
        backwards = VersionEvaluation(
            "x", FINISHED, False, "", gates, "{}", EvaluationPeriod(FINISHED, FINISHED - timedelta(days=1))
        )
        with app_source(postgres, database) as source:
            with PostgresLibrary(source).transaction() as tx:
                key = tx.add_version(self.CANDIDATE)
            with pytest.raises(LedgerRefusedError, match="evaluations_period"), PostgresLibrary(source).transaction() as tx:
                tx.add_evaluation(key, backwards)

    @pytest.mark.parametrize("table", ["entities", "versions", "evaluations", "dependencies"])
    @pytest.mark.parametrize("statement", ["UPDATE {} SET kind = 'model'", "DELETE FROM {}", "TRUNCATE {}"])
    def test_the_functions_role_changes_nothing_that_is_there(
        self, postgres: PostgresServer, database: str, table: str, statement: str
    ) -> None:
        with (
            app_source(postgres, database) as source,
            pytest.raises(LedgerError, match="permission denied") as caught,
            source.transaction() as connection,
        ):
            connection.execute(statement.format(table).encode())
        assert isinstance(caught.value.__cause__, psycopg.errors.InsufficientPrivilege)


def test_the_events_are_known_to_the_bus() -> None:
    assert ModelRegistered.type is EventType.MODEL_REGISTERED
    assert TrainingFailed.type is EventType.TRAINING_FAILED
