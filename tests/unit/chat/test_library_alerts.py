"""The first line of a training's message is its verdict."""

from __future__ import annotations

import pytest

from signalbox.chat.alerts import render_alert
from signalbox.events import parse_event
from signalbox.library.events import ModelRegistered, TrainingFailed
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


def told(event: ModelRegistered | TrainingFailed) -> list[str]:
    alert = render_alert(event)
    assert alert is not None
    assert alert.alert_id == event.event_id
    return alert.text.splitlines()


def test_a_model_that_does_not_qualify_says_so_first_and_then_why() -> None:
    lines = told(REGISTERED)
    assert lines[0] == "🟡 dir60-full version 3 does not qualify: for shadow only."
    assert lines[1] == "· G1 fail: 0.5626 [0.5431, 0.5823], n = 15721"
    assert "nothing is deployed" in lines[-1]


def test_a_model_that_qualifies_is_never_called_shadow() -> None:
    lines = told(REGISTERED.model_copy(update={"qualifies": True, "shortfalls": (), "headline": "PROMOTABLE"}))
    assert lines[0] == "✅ dir60-full version 3 passes its promotion gates and is a candidate."
    assert "shadow" not in "".join(lines)


@pytest.mark.parametrize(
    ("outcome", "words"), [("failed", "failed"), ("stopped", "was stopped"), ("refused", "gave a model that is refused")]
)
def test_a_training_without_a_model_says_how_it_ended_and_why(outcome: str, words: str) -> None:
    lines = told(FAILED.model_copy(update={"outcome": outcome}))
    assert lines[0] == f"⛔ Training of dir60-full {words}: no new version to use."
    assert lines[1] == FAILED.reason
    assert FAILED.job in lines[2]


@pytest.mark.parametrize("event", [REGISTERED, FAILED], ids=lambda event: event.type.value)
def test_events_survive_the_bus(event: ModelRegistered | TrainingFailed) -> None:
    assert parse_event(event.type.value, event.to_detail()) == event
