"""Events of the library as messages: the first line is the verdict, nobody should have to read further for it."""

from __future__ import annotations

from typing import TypeAlias, assert_never

from signalbox.chat.words import clock
from signalbox.library.events import ModelRegistered, TrainingFailed

LibraryEvent: TypeAlias = ModelRegistered | TrainingFailed


def render_library(event: LibraryEvent) -> str:
    """Return the text of an alert."""
    match event:
        case ModelRegistered():
            return _registered(event)
        case TrainingFailed():
            return _failed(event)
        case _:
            assert_never(event)


def _registered(event: ModelRegistered) -> str:
    what = f"{event.model} version {event.version}"
    if event.qualifies:
        return f"✅ {what} passes its promotion gates and is a candidate.\n{event.headline}\nNothing is deployed by this."
    why = "\n".join(f"· {line}" for line in event.shortfalls or (event.headline,))
    return f"🟡 {what} does not qualify: for shadow only.\n{why}\nRecorded as a candidate; nothing is deployed by this."


def _failed(event: TrainingFailed) -> str:
    outcome = {"failed": "failed", "stopped": "was stopped", "refused": "gave a model that is refused"}[event.outcome]
    return f"⛔ Training of {event.model} {outcome}: no new version to use.\n{event.reason}\nJob {event.job}, {clock(event.at)}."
