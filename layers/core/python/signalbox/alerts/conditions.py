"""Events of market data and of the library as alerts. The first line gives the verdict, so that nobody has to read further."""

from __future__ import annotations

from datetime import datetime
from typing import Final, TypeAlias, assert_never

from signalbox.alerts.alert import Alert
from signalbox.alerts.catalogue import Words, bullets
from signalbox.alerts.kinds import AlertKind
from signalbox.alerts.settings import ChatSettings
from signalbox.chat.styled import StyledText, joined, plain_text
from signalbox.events import MarketDataRecovered, MarketDataStale, ModelRefused
from signalbox.library.events import (
    DeploymentChanged,
    EvaluationFailed,
    ModelEvaluated,
    ModelNotQualified,
    ModelRegistered,
    TrainingFailed,
)

ConditionEvent: TypeAlias = MarketDataStale | MarketDataRecovered | ModelRefused
LibraryEvent: TypeAlias = (
    ModelRegistered | ModelNotQualified | ModelEvaluated | TrainingFailed | EvaluationFailed | DeploymentChanged
)
_DEPLOYMENT_MARKS: Final = {"healthy": "✅", "failed": "⛔", "rolled_back": "↩️"}


def condition_alert(event: ConditionEvent) -> Alert:
    """Return the alert of an event about market data or the model in use."""
    thread = reply_to = None
    match event:
        case MarketDataStale():
            kind, thread = AlertKind.DATA_STALE, _outage_thread(event.symbol, event.since)
        case MarketDataRecovered():
            kind, reply_to = AlertKind.DATA_RECOVERED, _outage_thread(event.symbol, event.stale_since)
        case ModelRefused():
            kind = AlertKind.MODEL_REFUSED
        case _:
            assert_never(event)
    return Alert(
        alert_id=event.event_id,
        kind=kind,
        write=lambda words, _settings: joined(_condition(event, words)),
        thread=thread,
        reply_to=reply_to,
    )


def _outage_thread(symbol: str, since: datetime) -> str:
    return f"outage:{symbol}:{since.isoformat()}"


def _condition(event: ConditionEvent, words: Words) -> tuple[StyledText, ...]:
    match event:
        case MarketDataStale():
            newest = StyledText() if event.newest_close is None else words.say("data.newest", time=words.time(event.newest_close))
            headline = words.headline("⚠️", "data.stale", symbol=event.symbol, time=words.time(event.since))
            return headline, plain_text(words.name("reason", event.reason)), newest
        case MarketDataRecovered():
            minutes = int((event.at - event.stale_since).total_seconds() // 60)
            after = words.say("data.recovered_after", time=words.time(event.at), minutes=str(minutes))
            return words.headline("✅", "data.recovered", symbol=event.symbol), after
        case ModelRefused():
            kept = words.say("model.none_kept") if event.kept is None else words.say("model.kept", model=event.kept)
            return words.headline("⛔", "model.refused", model=event.deployment), plain_text(event.reason), kept
        case _:
            assert_never(event)


def library_alert(event: LibraryEvent) -> Alert:
    """Return the alert of an event about a model of the library."""

    def write(words: Words, _settings: ChatSettings) -> StyledText:
        return joined(_library(event, words))

    kind = AlertKind.DEPLOYMENT if isinstance(event, DeploymentChanged) else AlertKind.MODEL
    return Alert(alert_id=event.event_id, kind=kind, write=write)


def _library(event: LibraryEvent, words: Words) -> tuple[StyledText, ...]:
    match event:
        case ModelRegistered() | ModelNotQualified() | ModelEvaluated():
            return _judged(event, words)
        case TrainingFailed():
            headline = words.headline("⛔", f"model.training_{event.outcome}", model=event.model)
        case EvaluationFailed():
            headline = words.headline("⛔", f"model.evaluation_{event.outcome}")
        case DeploymentChanged():
            return _deployed(event, words)
        case _:
            assert_never(event)
    return headline, plain_text(event.reason), words.say("model.job", job=event.job, time=words.time(event.at))


def _deployed(event: DeploymentChanged, words: Words) -> tuple[StyledText, ...]:
    stage = words.name("stage", event.stage)
    serves = words.say("deployment.nothing") if event.serves is None else words.say("deployment.serves", model=event.serves)
    return (
        words.headline(
            _DEPLOYMENT_MARKS[event.state], f"deployment.{event.state}", model=event.deployment, version=event.version
        ),
        words.say("deployment.by", stage=stage, who=event.who, time=words.time(event.at)),
        plain_text(event.why),
        StyledText() if event.state == "healthy" else serves,
    )


def _judged(event: ModelRegistered | ModelNotQualified | ModelEvaluated, words: Words) -> tuple[StyledText, ...]:
    named = {"model": event.model, "version": str(event.version)}
    if isinstance(event, ModelNotQualified):
        end = words.say("model.not_qualified_end", evaluation=event.evaluation, job=event.job)
        return words.headline("🟡", "model.not_qualified", **named), bullets(event.shortfalls or (event.headline,)), end
    facts = plain_text(event.headline) if event.qualifies else bullets(event.shortfalls or (event.headline,))
    mark = "✅" if event.qualifies else "🟡"
    if isinstance(event, ModelRegistered):
        key, last = ("registered", "registered_end") if event.qualifies else ("shadow_only", "shadow_end")
        return words.headline(mark, f"model.{key}", **named), facts, words.say(f"model.{last}")
    return (
        words.headline(mark, "model.passed" if event.qualifies else "model.failed_gates", **named),
        words.say("model.period", start=words.time(event.start), end=words.time(event.end)),
        facts,
        words.say("model.evaluated_end", evaluation=event.job),
    )
