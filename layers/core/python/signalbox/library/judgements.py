"""Reads evaluations, which are as untrusted as the models they are about: evaluation.json, and the gates in a report.

An evaluation names its bundle by the sha256 of the archive (`pack_bundle`), because many versions share one name.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from math import isfinite
from typing import Annotated, Any, Final, NoReturn

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StrictBool, ValidationError

from signalbox.inference.manifest import PROMOTION_GATES, Gate, Sha256, Verdict
from signalbox.library.entries import EvaluationPeriod, VersionEvaluation
from signalbox.library.errors import ArtifactError
from signalbox.library.parameters import MODEL_NAME_PATTERN, RegisterWhen

EVALUATION_FILE: Final = "evaluation.json"
VERDICT_FILE: Final = "verdict.json"
MAX_EVALUATION_BYTES: Final = 8 * 1024 * 1024
MAX_TEXT: Final = 1_000  # characters of a reason or a headline
_EARLIEST: Final = datetime(1970, 1, 1, tzinfo=UTC)  # bounds of a period; other time zones cannot express instants beyond them
_LATEST: Final = datetime(9000, 1, 1, tzinfo=UTC)
_MAX_FOUND: Final = 300  # how many characters of a gate's figures a message quotes


@dataclass(frozen=True, slots=True)
class EvaluationFile:
    """The content of one evaluation.json."""

    model: str
    bundle_sha256: str
    period: EvaluationPeriod
    evaluation: VersionEvaluation


class _EvaluationPart(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class _Gate(_EvaluationPart):
    verdict: Verdict


class _FilePeriod(_EvaluationPart):
    start: AwareDatetime
    end: AwareDatetime


class _EvaluationFile(_EvaluationPart):
    name: Annotated[str, Field(pattern=MODEL_NAME_PATTERN)]
    bundle_sha256: Sha256
    qualifies: StrictBool
    headline: str
    gates: dict[Gate, _Gate]
    period: _FilePeriod


def read_evaluation(content: bytes, name: str, *, source: str, at: datetime) -> EvaluationFile:
    """Return the content of an evaluation.json. Raises ArtifactError that names each wrong part.

    name: the file's name in error messages. source, at: source and instant of the evaluation in the library.
    """
    document = read_object(content, name)
    try:
        found = _EvaluationFile.model_validate(document)
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'evaluation'}: {e['msg']}" for e in error.errors()[:5])
        raise ArtifactError(f"{name}: {wrong}") from error
    gates = {gate: one.verdict for gate, one in found.gates.items()}
    if found.qualifies != registers(gates, RegisterWhen.PROMOTION):
        raise ArtifactError(f"{name}: qualifies must be true if {', '.join(PROMOTION_GATES)} all pass, and false otherwise")
    if not _EARLIEST <= found.period.start < found.period.end <= _LATEST:
        raise ArtifactError(
            f"{name}: expected a period whose end is after its start, within {_EARLIEST.year} to {_LATEST.year}, got"
            f" {found.period.start.isoformat()} to {found.period.end.isoformat()}"
        )
    period = EvaluationPeriod(found.period.start, found.period.end)
    evaluation = VersionEvaluation(
        source=source,
        evaluated_at=at,
        qualifies=found.qualifies,
        headline=plain(found.headline),
        gates=gates,
        report=json.dumps(document, allow_nan=False),
        period=period,
    )
    return EvaluationFile(found.name, found.bundle_sha256, period, evaluation)


def read_object(content: bytes, name: str) -> dict[str, Any]:
    """Return a JSON object that the ledger can store: no NaN or infinity, not nested too deeply. Raises ArtifactError."""
    try:
        found = json.loads(content, parse_constant=_refuse_constant, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"{name} is not valid JSON: {error}") from error
    if not isinstance(found, dict):
        raise ArtifactError(f"{name}: expected a JSON object, got {type(found).__name__}")
    return found


def _finite(text: str) -> float:
    """Return a number with a fraction, or raise ValueError if it is too large for a float, which would give infinity."""
    return float(text) if isfinite(float(text)) else _refuse_constant(text)


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(f"expected finite numbers, got {text}")


def period_of(report: Mapping[str, Any]) -> EvaluationPeriod | None:
    """Return the period of a report, or None if the report states none."""
    try:
        found = _FilePeriod.model_validate(report.get("period"))
    except ValidationError:
        return None
    return EvaluationPeriod(found.start, found.end) if _EARLIEST <= found.start < found.end <= _LATEST else None


def plain(text: str, limit: int = MAX_TEXT) -> str:
    """Return a text in a form that the ledger and a message can hold: no NUL or unpaired surrogate, at most `limit` long."""
    return text.encode("utf-8", "replace").decode("utf-8").replace("\x00", "?")[:limit]


def registers(gates: Mapping[Gate, Verdict], when: RegisterWhen) -> bool:
    """Return whether these gate results are good enough to register the model."""
    return all(gates.get(gate) is Verdict.PASS for gate in needed_gates(when))


def needed_gates(when: RegisterWhen) -> tuple[Gate, ...]:
    """Return the gates that must pass before a model is registered."""
    return PROMOTION_GATES if when is RegisterWhen.PROMOTION else (Gate.G0,)


def shortfalls(
    gates: Mapping[Gate, Verdict], report: Mapping[str, Any], needed: tuple[Gate, ...] = PROMOTION_GATES
) -> tuple[str, ...]:
    """Return a line for each needed gate that did not pass, with its figures from the report."""
    lines = []
    for gate in needed:
        verdict = gates.get(gate, Verdict.NOT_EVALUATED)
        if verdict is not Verdict.PASS:
            found = _found(report, gate)
            lines.append(f"{gate.value} {verdict.value}: {found}" if found else f"{gate.value} {verdict.value}")
    return tuple(lines)


def _found(report: Mapping[str, Any], gate: Gate) -> str:
    document = report.get("gates")
    result = document.get(gate.value) if isinstance(document, dict) else None
    return plain(str(result.get("found", "")), _MAX_FOUND) if isinstance(result, dict) else ""
