"""start_training and register_model as Lambda calls them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typing_extensions import override

from signalbox.application.register_model import RETRY_PAUSES_SECONDS, RegisterModel
from signalbox.ledger_errors import LedgerUnavailableError
from signalbox.library.entries import EntityKind, VersionState
from signalbox.library.training_jobs import StartedJob
from tests.fakes.lambda_context import FakeLambdaContext
from tests.fakes.memory_library import MemoryArtifacts, MemoryLibrary
from tests.unit.lambdas.test_handlers import logged, metric_values, sqs
from tests.unit.library.samples import MODEL, URI, artifact, bundle, evaluation_output, job
from tests.unit.library.samples import evaluation as evaluated
from tests.unit.library.test_job_events import EVALUATION, announced, judged

CONTEXT = FakeLambdaContext()
STEP_EVALUATION = "s3://models/training/artifacts/evaluations/abc/evaluation.json"


class NoOutbox:
    def claim(self, limit: int, after: int = 0) -> Any:
        raise AssertionError("expected no look into the outbox")


class Published(RegisterModel):
    """Counts what would be published: the library in memory has its events in hand."""

    @override
    def publish(self) -> int:
        return len(self.library.tables.events)  # type: ignore[attr-defined]


def application(tmp_path: Path, library: Any = None) -> Published:
    artifacts = MemoryArtifacts(**{URI: artifact(bundle(tmp_path / "made"))})
    return Published(library or MemoryLibrary(), artifacts, NoOutbox(), NoOutbox(), pause=lambda _: None)  # type: ignore[arg-type]


def step(*, passed: bool) -> dict[str, Any]:
    """What the last step of a pipeline says, by the side of its condition."""
    return {
        "job": job().name,
        "model": MODEL,
        "finished_at": "2026-11-15T03:40:00Z",
        "artifact_uri": URI,
        "evaluation": "pipelines-abc-Evaluate",
        "evaluation_uri": STEP_EVALUATION,
        "register_when": "promotion",
        "passed": passed,
    }


def messages(*events: dict[str, Any]) -> dict[str, Any]:
    return sqs(*(json.dumps(event) for event in events))


class TestRegisterModel:
    def test_a_finished_training_is_registered_and_counted(self, load: Any, tmp_path: Path, capsys: Any) -> None:
        app = application(tmp_path)
        answer = load("register_model").make_handler(app)(messages(announced()), CONTEXT)
        assert answer == {"batchItemFailures": []}
        states = {key.entity.kind: one.state for key, one in app.library.tables.versions.items()}  # type: ignore[attr-defined]
        assert states[EntityKind.MODEL] is VersionState.CANDIDATE
        counted = metric_values(logged(capsys))
        assert (counted["ModelsRegistered"], counted["TrainingsFailed"]) == (1, 0)

    def test_a_redelivery_is_counted_and_changes_nothing(self, load: Any, tmp_path: Path, capsys: Any) -> None:
        app = application(tmp_path)
        handler = load("register_model").make_handler(app)
        handler(messages(announced()), CONTEXT)
        before = dict(app.library.tables.versions)  # type: ignore[attr-defined]
        capsys.readouterr()
        handler(messages(announced()), CONTEXT)
        assert app.library.tables.versions == before  # type: ignore[attr-defined]
        assert metric_values(logged(capsys))["DuplicatesIgnored"] == 1

    def test_a_failed_training_is_counted_as_such(self, load: Any, tmp_path: Path, capsys: Any) -> None:
        load("register_model").make_handler(application(tmp_path))(messages(announced("Failed", FailureReason="x")), CONTEXT)
        assert metric_values(logged(capsys))["TrainingsFailed"] == 1

    def test_what_is_not_ours_is_put_away_and_what_cannot_be_read_is_put_back(self, load: Any, tmp_path: Path) -> None:
        broken = announced()
        del broken["detail"]["OutputDataConfig"]
        answer = load("register_model").make_handler(application(tmp_path))(messages(announced("InProgress"), broken), CONTEXT)
        assert answer == {"batchItemFailures": [{"itemIdentifier": "m1"}]}

    def test_the_last_step_of_a_pipeline_gets_the_version(self, load: Any, tmp_path: Path) -> None:
        app = application(tmp_path)
        app.artifacts.objects[STEP_EVALUATION] = evaluated(tmp_path / "made", passes=True)  # type: ignore[attr-defined]
        handler = load("register_model").make_handler(app)
        assert handler(step(passed=True), CONTEXT) == {"version": "1", "state": "candidate"}
        assert handler(step(passed=True), CONTEXT) == {"version": "1", "state": "known"}
        assert len(app.library.tables.evaluations) == 2  # type: ignore[attr-defined]

    def test_a_pipelines_rejected_branch_is_recorded_and_not_counted_as_a_failure(
        self, load: Any, tmp_path: Path, capsys: Any
    ) -> None:
        app = application(tmp_path)
        app.artifacts.objects[STEP_EVALUATION] = evaluated(tmp_path / "made")  # type: ignore[attr-defined]
        assert load("register_model").make_handler(app)(step(passed=False), CONTEXT) == {"version": "1", "state": "refused"}
        counted = metric_values(logged(capsys))
        assert (counted["ModelsNotQualified"], counted["TrainingsFailed"], counted["ModelsRegistered"]) == (1, 0, 0)

    def test_an_evaluation_is_a_judgement_of_the_version_from_the_queue_and_by_hand(
        self, load: Any, tmp_path: Path, capsys: Any
    ) -> None:
        app = application(tmp_path)
        handler = load("register_model").make_handler(app)
        output = f"s3://models/training/artifacts/{EVALUATION}/output/output.tar.gz"
        app.artifacts.objects[output] = evaluation_output(evaluated(tmp_path / "made"))  # type: ignore[attr-defined]
        too_early = handler(messages(judged()), CONTEXT)
        assert too_early == {"batchItemFailures": []}, "nothing loops in the queue"
        assert metric_values(logged(capsys))["EvaluationsFailed"] == 1
        handler(messages(announced()), CONTEXT)
        capsys.readouterr()
        assert handler(judged(), CONTEXT) == {"version": "1", "state": "evaluated"}
        counted = metric_values(logged(capsys))
        assert (counted["ModelsEvaluated"], counted["EvaluationsFailed"]) == (1, 0)
        assert handler(judged(), CONTEXT) == {"version": "1", "state": "known"}

    def test_a_failed_evaluation_is_counted_once(self, load: Any, tmp_path: Path, capsys: Any) -> None:
        handler = load("register_model").make_handler(application(tmp_path))
        for count, again in ((1, 0), (0, 1)):
            assert handler(messages(judged("Failed", FailureReason="x")), CONTEXT) == {"batchItemFailures": []}
            counted = metric_values(logged(capsys))
            assert (counted["EvaluationsFailed"], counted["DuplicatesIgnored"]) == (count, again)

    def test_a_lost_connection_is_tried_again_within_the_delivery(self, tmp_path: Path) -> None:
        class Flaky(MemoryLibrary):
            failures = len(RETRY_PAUSES_SECONDS)

            @override
            def transaction(self) -> Any:
                if self.failures:
                    self.failures -= 1
                    raise LedgerUnavailableError("failover")
                return super().transaction()

        assert application(tmp_path, Flaky()).register(job()).new
        always = Flaky()
        always.failures = 99
        with pytest.raises(LedgerUnavailableError):
            application(tmp_path / "again", always).register(job())


def test_the_scheduled_instant_is_what_is_started(load: Any, capsys: Any) -> None:
    class App:
        asked: list[Any] = []  # noqa: RUF012 - of one test

        def start(self, scheduled_at: Any) -> StartedJob:
            self.asked.append(scheduled_at)
            return StartedJob("job", "arn", new=False)

    app = App()
    event = {"job": "start_training", "scheduled_at": "2026-11-15T02:00:00Z"}
    answer = load("start_training").make_handler(app)(event, CONTEXT)
    assert answer == {"name": "job", "arn": "arn", "new": False}
    assert app.asked[0].isoformat() == "2026-11-15T02:00:00+00:00"
    assert metric_values(logged(capsys))["DuplicatesIgnored"] == 1
