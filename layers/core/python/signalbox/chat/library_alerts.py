"""Events of the library as messages. The first line gives the verdict, so that nobody has to read further for it."""

from __future__ import annotations

from typing import TypeAlias, assert_never

from signalbox.chat.words import bullets, clock
from signalbox.library.events import EvaluationFailed, ModelEvaluated, ModelNotQualified, ModelRegistered, TrainingFailed

LibraryEvent: TypeAlias = ModelRegistered | ModelNotQualified | ModelEvaluated | TrainingFailed | EvaluationFailed


def render_library(event: LibraryEvent) -> str:
    """Return the text of an alert about a library event."""
    match event:
        case ModelRegistered():
            return _registered(event)
        case ModelNotQualified():
            return _not_qualified(event)
        case ModelEvaluated():
            return _evaluated(event)
        case TrainingFailed():
            return _failed(event)
        case EvaluationFailed():
            return _evaluation_failed(event)
        case _:
            assert_never(event)


def _registered(event: ModelRegistered) -> str:
    what = f"{event.model} version {event.version}"
    if event.qualifies:
        return f"✅ {what} passes its promotion gates and is a candidate.\n{event.headline}\nNothing is deployed by this."
    why = bullets(event.shortfalls or (event.headline,))
    return f"🟡 {what} does not qualify: for shadow only.\n{why}\nRecorded as a candidate; nothing is deployed by this."


def _not_qualified(event: ModelNotQualified) -> str:
    return (
        f"🟡 {event.model} version {event.version} does not qualify: not registered, it cannot be deployed.\n"
        f"{bullets(event.shortfalls)}\n"
        f"Recorded as refused, with its evaluation {event.evaluation}. Job {event.job}."
    )


def _evaluated(event: ModelEvaluated) -> str:
    what = f"{event.model} version {event.version}"
    when = f"{clock(event.start)} to {clock(event.end)}"
    end = f"Evaluation {event.job}; version and deployment are as they were."
    if event.qualifies:
        return f"✅ {what} passes its promotion gates from {when}.\n{event.headline}\n{end}"
    why = bullets(event.shortfalls or (event.headline,))
    return f"🟡 {what} does not pass its promotion gates from {when}.\n{why}\n{end}"


def _evaluation_failed(event: EvaluationFailed) -> str:
    outcome = {"failed": "failed", "stopped": "was stopped", "refused": "is refused"}[event.outcome]
    of = f" of {event.model_uri}" if event.model_uri else ""
    return f"⛔ An evaluation {outcome}: no version is judged by it.\n{event.reason}\nJob {event.job}{of}, {clock(event.at)}."


def _failed(event: TrainingFailed) -> str:
    outcome = {"failed": "failed", "stopped": "was stopped", "refused": "gave a model that is refused"}[event.outcome]
    return f"⛔ Training of {event.model} {outcome}: no new version to use.\n{event.reason}\nJob {event.job}, {clock(event.at)}."
