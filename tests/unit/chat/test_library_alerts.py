"""The first line of a training's message is its verdict."""

from __future__ import annotations

from datetime import timedelta

import pytest

from signalbox.chat.alerts import render_alert
from signalbox.chat.library_alerts import LibraryEvent
from signalbox.events import parse_event
from signalbox.library.events import EvaluationFailed, ModelEvaluated, ModelNotQualified, ModelRegistered, TrainingFailed
from tests.builders import NOON

REGISTERED = ModelRegistered(
    model="dir60-full",
    version=3,
    job="signalbox-prod-train-20261115t020000z",
    at=NOON,
    qualifies=False,
    headline="NOT PROMOTABLE: G1 not passed; this model runs in shadow only",
    shortfalls=("G1 fail: 0.5626 [0.5431, 0.5823], n = 15721",),
    bundle_key="bundles/dir60-full/0.zip",
)
FAILED = TrainingFailed(
    model="dir60-full",
    version=4,
    job="signalbox-prod-train-20261122t020000z",
    at=NOON,
    outcome="failed",
    reason="AlgorithmError: MarketDataError: 45 whole days",
)


NOT_QUALIFIED = ModelNotQualified(
    model="dir60-full",
    version=5,
    job="pipelines-abc-Train-xyz",
    evaluation="pipelines-abc-Evaluate-xyz",
    at=NOON,
    headline="NOT PROMOTABLE: G1 not passed",
    shortfalls=("G1 fail: 0.5626 [0.5431, 0.5823], n = 15721",),
)
EVALUATED = ModelEvaluated(
    model="dir60-full",
    version=3,
    job="signalbox-prod-evaluate-20261116t020000z",
    at=NOON,
    start=NOON - timedelta(days=30),
    end=NOON,
    qualifies=False,
    headline="NOT PROMOTABLE: G3 not passed",
    shortfalls=("G3 fail: 0.08",),
)
EVALUATION_FAILED = EvaluationFailed(
    job="signalbox-prod-evaluate-20261116t020000z",
    at=NOON,
    outcome="failed",
    reason="MarketDataError: no decision",
    model_uri="s3://models/training/artifacts/x/output/model.tar.gz",
)


def reported(event: LibraryEvent) -> list[str]:
    alert = render_alert(event)
    assert alert is not None
    assert alert.alert_id == event.event_id
    return alert.text.splitlines()


def test_a_model_that_does_not_qualify_says_so_first_and_then_why() -> None:
    lines = reported(REGISTERED)
    assert lines[0] == "🟡 dir60-full version 3 does not qualify: for shadow only."
    assert lines[1] == "· G1 fail: 0.5626 [0.5431, 0.5823], n = 15721"
    assert "nothing is deployed" in lines[-1]


def test_a_model_that_qualifies_is_never_called_shadow() -> None:
    lines = reported(REGISTERED.model_copy(update={"qualifies": True, "shortfalls": (), "headline": "PROMOTABLE"}))
    assert lines[0] == "✅ dir60-full version 3 passes its promotion gates and is a candidate."
    assert "shadow" not in "".join(lines)


@pytest.mark.parametrize(
    ("outcome", "words"), [("failed", "failed"), ("stopped", "was stopped"), ("refused", "gave a model that is refused")]
)
def test_a_training_without_a_model_says_how_it_ended_and_why(outcome: str, words: str) -> None:
    lines = reported(FAILED.model_copy(update={"outcome": outcome}))
    assert lines[0] == f"⛔ Training of dir60-full {words}: no new version to use."
    assert lines[1] == FAILED.reason
    assert FAILED.job in lines[2]


def test_a_model_that_is_not_registered_says_first_that_it_does_not_qualify() -> None:
    lines = reported(NOT_QUALIFIED)
    assert lines[0] == "🟡 dir60-full version 5 does not qualify: not registered, it cannot be deployed."
    assert lines[1] == "· G1 fail: 0.5626 [0.5431, 0.5823], n = 15721"
    assert "Recorded as refused, with its evaluation pipelines-abc-Evaluate-xyz" in lines[2]


def test_an_evaluation_says_first_of_which_version_and_period_and_how_it_ended() -> None:
    lines = reported(EVALUATED)
    assert lines[0].startswith("🟡 dir60-full version 3 does not pass its promotion gates from ")
    assert lines[1] == "· G3 fail: 0.08"
    assert "as they were" in lines[-1]
    passed = reported(EVALUATED.model_copy(update={"qualifies": True, "shortfalls": (), "headline": "PROMOTABLE"}))
    assert passed[0].startswith("✅ dir60-full version 3 passes its promotion gates from ")
    assert passed[1] == "PROMOTABLE"


@pytest.mark.parametrize(("outcome", "words"), [("failed", "failed"), ("stopped", "was stopped"), ("refused", "is refused")])
def test_an_evaluation_that_judged_nothing_says_why(outcome: str, words: str) -> None:
    lines = reported(EVALUATION_FAILED.model_copy(update={"outcome": outcome}))
    assert lines[0] == f"⛔ An evaluation {words}: no version is judged by it."
    assert lines[1] == "MarketDataError: no decision"
    assert EVALUATION_FAILED.model_uri in lines[2]


@pytest.mark.parametrize(
    "event", [REGISTERED, NOT_QUALIFIED, EVALUATED, FAILED, EVALUATION_FAILED], ids=lambda event: event.type.value
)
def test_events_survive_the_bus(event: LibraryEvent) -> None:
    assert parse_event(event.type.value, event.to_detail()) == event
