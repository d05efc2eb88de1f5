"""What the library answers of deployed models' live records: one deployment's, and two versions on what both decided."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pydantic import ValidationError

from signalbox.inference.manifest import BundleManifest
from signalbox.library.catalogue import VersionRecord
from signalbox.library.commands import COMPARED_DAYS, LIVE_DAYS
from signalbox.library.documents import LiveComparedDocument, LiveRecordDocument
from signalbox.library.entries import EntityKind
from signalbox.library.errors import ArtifactError, DeploymentRefusedError
from signalbox.library.judgements import read_object
from signalbox.library.live_record import LiveDecision, compared_live, live_record
from signalbox.library.ports import LiveDecisions
from signalbox.library.views import compared_live_view, live_view


@dataclass(frozen=True, slots=True)
class LiveAnswers:
    """Answers from the signals and candles of the ledger."""

    live: LiveDecisions

    def of(self, record: VersionRecord, at: datetime) -> list[LiveRecordDocument]:
        """Return the live record of each deployment of a version that decided within LIVE_DAYS. Raises LedgerError."""
        horizon = horizon_of(record)
        if record.version.entity.kind is not EntityKind.MODEL or horizon is None:
            return []
        decisions = self.live.of(record.version, horizon_minutes=horizon, since=at - timedelta(days=LIVE_DAYS), until=at)
        by_name: dict[str, list[LiveDecision]] = {}
        for one in decisions:
            by_name.setdefault(one.deployment, []).append(one)
        return [live_view(name, live_record(found, costs_of(record))) for name, found in sorted(by_name.items())]

    def compared(self, one: VersionRecord, other: VersionRecord, at: datetime) -> LiveComparedDocument:
        """Compare two versions on the decisions that both made. Raises DeploymentRefusedError, LedgerError."""
        horizons = [horizon_of(record) for record in (one, other)]
        if horizons[0] is None or horizons[0] != horizons[1]:
            texts = " and ".join("none" if found is None else f"{found} minutes" for found in horizons)
            raise DeploymentRefusedError(f"expected two versions with one horizon to compare live, got {texts}")
        began = [self.live.began(record.version) for record in (one, other)]
        if began[0] is None or began[1] is None:
            raise DeploymentRefusedError("expected two versions that were deployed to compare live, and one never was")
        since = max(began[0], began[1])
        until = min(at, since + timedelta(days=COMPARED_DAYS))
        first, second = (
            self.live.of(record.version, horizon_minutes=horizons[0], since=since, until=until) for record in (one, other)
        )
        found = compared_live(first, second, horizon_minutes=horizons[0], costs_bps=costs_of(one))
        return compared_live_view((one.name, other.name), since, until, found)


def report_of(record: VersionRecord) -> Mapping[str, Any]:
    """Return the report of a version's newest evaluation; empty without one that can be read."""
    judged = record.newest_evaluation()
    try:
        return {} if judged is None else read_object(judged.report.encode(), "the report")
    except ArtifactError:
        return {}


def horizon_of(record: VersionRecord) -> int | None:
    """Return the minutes after which a version's decisions are settled; None if its manifest cannot be read."""
    try:
        return BundleManifest.model_validate_json(record.manifest or "").label.horizon_minutes
    except ValidationError:
        return None


def costs_of(record: VersionRecord) -> float | None:
    """Return the costs of a round trip in basis points by the first cost model of its newest evaluation; None: not stated."""
    figures = report_of(record).get("figures")
    costs = figures.get("costs") if isinstance(figures, dict) else None
    side = next(iter(costs.values()), None) if isinstance(costs, dict) else None
    return 2.0 * side if isinstance(side, int | float) and not isinstance(side, bool) and side >= 0 else None
