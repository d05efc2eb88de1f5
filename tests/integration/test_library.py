"""Registration on memory and on PostgreSQL: the same promises."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import psycopg
import pytest

from signalbox.adapters.postgres.errors import LedgerError, LedgerRefusedError
from signalbox.adapters.postgres.library import PostgresLibrary
from signalbox.contracts import EventType
from signalbox.events import parse_event
from signalbox.inference import load_bundle
from signalbox.inference.archive import unpack_bundle
from signalbox.inference.manifest import Gate, Verdict
from signalbox.library.entries import EntityKey, Evaluation, Kind, NewVersion, VersionKey, VersionState
from signalbox.library.events import ModelRegistered, TrainingFailed
from signalbox.library.ports import Library
from signalbox.library.registration import JobEvaluation, JobOutcome, Registered, register
from tests.fakes.memory_library import MemoryArtifacts, MemoryLibrary
from tests.fakes.postgres_server import PostgresServer, app_source
from tests.unit.library.samples import FINISHED, MODEL, URI, artifact, bundle, job, report

pytestmark = pytest.mark.integration

Rows = list[tuple[Any, ...]]


class LibraryWorld(Protocol):
    def library(self) -> Library: ...

    def versions(self) -> Rows: ...

    def evaluations(self) -> Rows: ...

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

    def lineage(self) -> Rows:
        return self._rows("SELECT name, number, needs_kind, needs_name, needs_number FROM dependencies ORDER BY 1, 2, 3, 4, 5")

    def events(self) -> list[Any]:
        return [parse_event(kind, json.loads(detail)) for kind, detail in self._rows("SELECT event_type, detail FROM outbox")]


@pytest.fixture(params=["memory", "postgres"])
def world(request: pytest.FixtureRequest) -> Iterator[LibraryWorld]:
    if request.param == "memory":
        yield MemoryWorld()
        return
    server, name = request.getfixturevalue("postgres"), request.getfixturevalue("database")
    with ExitStack() as stack:
        yield PostgresWorld(server, name, stack)


@pytest.fixture
def artifacts(tmp_path: Path) -> MemoryArtifacts:
    return MemoryArtifacts(**{URI: artifact(bundle(tmp_path / "made"))})


def registered(world: LibraryWorld, artifacts: MemoryArtifacts, tmp_path: Path, **changes: Any) -> Registered:
    workspace = tmp_path / f"work-{len(list(tmp_path.iterdir()))}"
    workspace.mkdir()
    return register(job(**changes), artifacts=artifacts, library=world.library(), workspace=workspace)


def test_a_finished_training_is_a_candidate_with_its_judgement_and_its_lineage(
    world: LibraryWorld, artifacts: MemoryArtifacts, tmp_path: Path
) -> None:
    found = registered(world, artifacts, tmp_path)
    assert found == Registered(VersionKey(EntityKey(Kind.MODEL, MODEL), 1), VersionState.CANDIDATE, new=True)
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
    assert again == late == Registered(first.version, None, new=False)
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


EVALUATION = JobEvaluation("evaluate-abc", "s3://models/training/evaluations/abc/evaluation.json")


def test_a_pipelines_evaluation_is_recorded_beside_that_of_the_training(
    world: LibraryWorld, artifacts: MemoryArtifacts, tmp_path: Path
) -> None:
    gates = dict.fromkeys(Gate, Verdict.PASS)
    gates[Gate.G3] = Verdict.FAIL
    artifacts.objects[EVALUATION.uri] = json.dumps(report(gates)).encode()
    registered(world, artifacts, tmp_path, evaluation=EVALUATION)
    assert world.evaluations() == [(1, "evaluate-abc", False, "pass"), (1, "training", False, "fail")]
    (event,) = world.events()
    assert event.shortfalls == ("G1 fail: what G1 found", "evaluate-abc: G3 fail: what G3 found")


@pytest.mark.parametrize("content", [b"no json", b"[]", b'{"name": "another"}', b'{"name": "dir60-v31-tiny", "gates": 7}'])
def test_an_evaluation_that_is_none_refuses_the_registration(
    world: LibraryWorld, artifacts: MemoryArtifacts, tmp_path: Path, content: bytes
) -> None:
    artifacts.objects[EVALUATION.uri] = content
    assert registered(world, artifacts, tmp_path, evaluation=EVALUATION).state is VersionState.REFUSED


def test_a_failure_in_the_middle_leaves_nothing(world: LibraryWorld) -> None:
    entity = EntityKey(Kind.MODEL, MODEL)

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

    def deliver(place: int) -> Registered:
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
    ENTITY = EntityKey(Kind.MODEL, MODEL)
    CANDIDATE = NewVersion(ENTITY, "job", VersionState.CANDIDATE, FINISHED, bundle_key="k", sha256="0" * 64, manifest="{}")

    @pytest.mark.parametrize(
        "wrong",
        [
            replace(CANDIDATE, reason="a candidate has no reason"),
            replace(CANDIDATE, bundle_key=None),
            replace(CANDIDATE, sha256="short"),
            replace(CANDIDATE, manifest="no json"),
            replace(CANDIDATE, state=VersionState.REFUSED),
            replace(CANDIDATE, state=VersionState.RECORDED, bundle_key=None, sha256=None, manifest=None),
            replace(CANDIDATE, entity=EntityKey(Kind.DATASET, "candles")),
            replace(CANDIDATE, entity=EntityKey(Kind.MODEL, "Not A Name")),
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
                tx.add_evaluation(key, Evaluation("training", FINISHED, True, "", gates, "{}"))

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


def test_both_events_are_known_to_the_bus() -> None:
    assert ModelRegistered.type is EventType.MODEL_REGISTERED
    assert TrainingFailed.type is EventType.TRAINING_FAILED
