"""The library's answers as JSON documents, for the API, `--json` and whoever else asks."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any, Final, cast

from signalbox.library.catalogue import (
    DeploymentStep,
    HistoryEntry,
    LibraryEntity,
    LineageEdge,
    VersionRecord,
    VersionSummary,
    difference,
)
from signalbox.library.deployments import LibraryDeployment, Slot
from signalbox.library.documents import (
    ChangeDocument,
    ComparedDocument,
    DeploymentStepsDocument,
    EdgeDocument,
    EntityDocument,
    EvaluationsDocument,
    JudgementDocument,
    LibraryDeploymentDocument,
    LiveComparedDocument,
    LiveRecordDocument,
    ObservationDocument,
    SlotDocument,
    VersionDocument,
    VersionLineDocument,
)
from signalbox.library.entries import VersionEvaluation, VersionKey
from signalbox.library.lifecycle import gate_shortfalls
from signalbox.library.live_record import LiveComparison, LiveRecord
from signalbox.observation.ports import RecordedObservation

_COMPARED: Final = ("figures", "gates")  # of a report
_MANIFEST_LEFT_OUT: Final = ("files", "created_at")


def key_text(version: VersionKey) -> str:
    """Return a version as a person names it, such as dir60@3; with its kind if it is no model."""
    kind = version.entity.kind.value
    return version.reference if kind == "model" else f"{kind} {version.reference}"


def entity_view(one: LibraryEntity) -> EntityDocument:
    """Return an entity."""
    return {
        "kind": one.key.kind.value,
        "name": one.key.name,
        "description": one.description,
        "archived": one.archived,
        "revision": one.revision,
        "versions": one.versions,
        "created_at": one.created_at.isoformat(),
        "changed_at": None if one.changed_at is None else one.changed_at.isoformat(),
        "who": one.who,
        "why": one.why,
    }


def summary_view(one: VersionSummary) -> VersionLineDocument:
    """Return one line of a list."""
    return {
        "version": key_text(one.version),
        "semantic": one.semantic,
        "kind": one.version.entity.kind.value,
        "made": one.made.value,
        "lifecycle": None if one.lifecycle is None else one.lifecycle.value,
        "overridden": one.overridden,
        "deployed": one.deployed,
        "tags": list(one.tags),
        "created_at": one.created_at.isoformat(),
        "reason": one.reason,
    }


def record_view(one: VersionRecord) -> VersionDocument:
    """Return everything of a version; of its reports the headlines and gates."""
    return {
        "version": key_text(one.version),
        "semantic": one.semantic,
        "kind": one.version.entity.kind.value,
        "made": one.made.value,
        "origin": one.origin,
        "lifecycle": None if one.lifecycle is None else one.lifecycle.value,
        "overridden": one.is_overridden,
        "archived": one.archived,
        "created_at": one.created_at.isoformat(),
        "description": one.description,
        "reason": one.reason,
        "tags": list(one.tags),
        "bundle_key": one.bundle_key,
        "sha256": one.sha256,
        "approved_by_gates": not gate_shortfalls(one.judgements()),
        "shortfalls": list(gate_shortfalls(one.judgements())),
        "decisions": [
            {
                "state": step.state.value,
                "who": step.who,
                "at": step.at.isoformat(),
                "why": step.why,
                "overridden": step.overridden,
            }
            for step in one.decisions
        ],
        "evaluations": [_judgement(judged) for judged in one.evaluations],
    }


def evaluations_view(one: VersionRecord) -> EvaluationsDocument:
    """Return the judgements of a version with their reports."""
    return {
        "version": key_text(one.version),
        "evaluations": [
            {
                **_judgement(judged),
                "period": None
                if judged.period is None
                else {"start": judged.period.start.isoformat(), "end": judged.period.end.isoformat()},
                "report": _object(judged.report),
            }
            for judged in one.evaluations
        ],
    }


def _judgement(judged: VersionEvaluation) -> JudgementDocument:
    return {
        "source": judged.source,
        "evaluated_at": judged.evaluated_at.isoformat(),
        "qualifies": judged.qualifies,
        "headline": judged.headline,
        "gates": {gate.value: verdict.value for gate, verdict in sorted(judged.gates.items())},
    }


def deployment_view(one: LibraryDeployment) -> LibraryDeploymentDocument:
    """Return a deployment."""
    return {
        "deployment": one.name,
        "ordinal": one.ordinal,
        "version": key_text(one.version),
        "semantic": one.semantic,
        "group": one.group,
        "stage": one.stage.value,
        "state": one.state.value,
        "overridden": one.overridden,
        "requested_at": one.requested_at.isoformat(),
        "changed_at": one.changed_at.isoformat(),
        "who": one.who,
        "why": one.why,
        "evaluated_rate": one.evaluated_rate,
        "replaces": one.replaces,
        "restores": one.restores,
        "reason": one.reason,
        "challenger": one.challenger,
    }


def observation_view(one: RecordedObservation) -> ObservationDocument:
    """Return an observation: its rules and its steps."""
    return {
        "observation": one.rules.observation,
        "state": one.state.value,
        "rules_sha256": one.rules.sha256,
        "rules": one.rules.model_dump(mode="json"),
        "steps": [
            {
                "state": step.state.value,
                "at": step.at.isoformat(),
                "who": step.who,
                "why": step.why,
                "verdict": None if step.verdict is None else step.verdict.value,
                "reasons": list(step.reasons),
            }
            for step in one.steps
        ],
    }


def steps_view(one: LibraryDeployment, steps: Sequence[DeploymentStep]) -> DeploymentStepsDocument:
    """Return a deployment with its steps."""
    return {
        **deployment_view(one),
        "steps": [{"state": step.state, "at": step.at.isoformat(), "who": step.who, "why": step.why} for step in steps],
    }


def slot_view(slot: Slot) -> SlotDocument:
    """Return what serves, what is on its way, and what decides beside it."""
    return {
        "current": None if slot.current is None else deployment_view(slot.current),
        "incoming": None if slot.incoming is None else deployment_view(slot.incoming),
        "challengers": [deployment_view(one) for one in slot.challengers],
    }


def edge_view(one: LineageEdge) -> EdgeDocument:
    """Return one step of a lineage."""
    return {"version": key_text(one.version), "needs": key_text(one.needs), "depth": one.depth}


def entry_view(one: HistoryEntry) -> ChangeDocument:
    """Return one change."""
    return {
        "at": one.at.isoformat(),
        "what": one.what,
        "state": one.state,
        "who": one.who,
        "why": one.why,
        "ordinal": one.ordinal,
    }


def compared_view(one: VersionRecord, other: VersionRecord) -> ComparedDocument:
    """Return two versions beside each other: what their manifests and their newest judgements' figures and gates differ in."""
    return {
        "versions": [key_text(one.version), key_text(other.version)],
        "differences": [{"what": place, "values": [a, b]} for place, a, b in difference(_facts(one), _facts(other))],
    }


def live_view(name: str, one: LiveRecord) -> LiveRecordDocument:
    """Return the live record of a deployment."""
    facts = {**asdict(one), "first": _instant(one.first), "last": _instant(one.last)}
    return cast("LiveRecordDocument", {"deployment": name, **facts})


def compared_live_view(names: Sequence[str], since: datetime, until: datetime, found: LiveComparison) -> LiveComparedDocument:
    """Return two versions compared on what both decided."""
    period = {"since": since.isoformat(), "until": until.isoformat()}
    return cast("LiveComparedDocument", {"versions": list(names), **period, "live": asdict(found)})


def _instant(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()


def _facts(one: VersionRecord) -> dict[str, Any]:
    manifest = _object(one.manifest)
    judged = one.newest_evaluation()
    report = _object(None if judged is None else judged.report)
    return {
        "semantic": one.semantic,
        "lifecycle": None if one.lifecycle is None else one.lifecycle.value,
        "manifest": {key: value for key, value in manifest.items() if key not in _MANIFEST_LEFT_OUT},
        "evaluation": {
            "period": report.get("period"),
            "figures": report.get("figures"),
            "gates": {} if judged is None else {gate.value: verdict.value for gate, verdict in judged.gates.items()},
        },
    }


def _object(text: str | None) -> dict[str, Any]:
    try:
        found = json.loads(text or "{}")
    except ValueError:  # a corrupt row is shown as one that says nothing
        return {}
    return found if isinstance(found, dict) else {}
