"""Assesses a bundle for `signalbox train` and `signalbox evaluate` alike: figures, curves, gates and report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from signalbox.inference import BundleManifest
from signalbox.inference.manifest import Gate
from training.data.splits import Span
from training.judge.costs import DEFAULT_COSTS, CostModel
from training.judge.curves import Curves, draw_curves
from training.judge.evaluation import ModelEvaluation, evaluate
from training.judge.gates import Evidence, GateResult, headline, judge, passes_promotion
from training.judge.history import Overlap
from training.judge.integrity import Integrity
from training.judge.overfitting import Trials, daily_returns, judge_overfitting
from training.judge.scoring import Scored
from training.judge.stability import Stability, by_month


@dataclass(frozen=True, eq=False)
class Assessment:
    """The assessment of a frozen model on one period."""

    manifest: BundleManifest
    span: Span
    scored: Scored
    evaluation: ModelEvaluation
    gates: dict[Gate, GateResult]
    curves: Curves
    overlap: Overlap
    judged_by: str  # which fit the figures are of

    @property
    def headline(self) -> str:
        return headline(self.gates)

    @property
    def qualifies(self) -> bool:
        return passes_promotion(self.gates)

    def to_json(self) -> dict[str, Any]:
        """Return the report: the headline first, then verdicts, figures and series."""
        data = self.scored.data
        return {
            "headline": self.headline,
            "qualifies": self.qualifies,
            "judged_by": self.judged_by,
            "seen_before": self.overlap.to_json(),
            "name": self.manifest.name,
            "label": self.manifest.label.name,
            "contract": {"title": data.contract.title, "hash": data.contract.hash, "first_line": data.contract.first_line},
            "feature_schema": self.manifest.feature_schema.model_dump(),
            "period": {"start": self.span.start.isoformat(), "end": self.span.end.isoformat()},
            "symbols": list(data.symbols),
            "symbols_not_trained_on": sorted(set(data.symbols) - set(self.manifest.training.symbols)),
            "gates": {gate.value: result.to_json() for gate, result in self.gates.items()},
            "figures": self.evaluation.to_json(),
            "curves": self.curves.to_json(),
        }


def assess(
    manifest: BundleManifest,
    scored: Scored,
    span: Span,
    *,
    integrity: Integrity,
    trials: Trials,
    train_up_rate: float | None,
    overlap: Overlap,
    costs: Sequence[CostModel] = DEFAULT_COSTS,
    folds: Stability | None = None,
    judged_by: str = "this bundle",
) -> Assessment:
    """Return the assessment.

    folds: the walk-forward of the recipe if there is one; without it G6 is judged by month.
    """
    evaluation = evaluate(scored, train_up_rate=train_up_rate, costs=costs)
    evidence = Evidence(
        evaluation,
        integrity,
        judge_overfitting(daily_returns(scored, costs[0]), trials),
        folds or by_month(scored, costs[0]),
    )
    gates = judge(evidence, in_sample=overlap.in_sample)
    return Assessment(manifest, span, scored, evaluation, gates, draw_curves(scored, costs), overlap, judged_by)
