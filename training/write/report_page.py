"""`report.html` of an assessment, for a trader: first whether the model qualifies, then why."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from signalbox.inference.manifest import PROMOTION_GATES, Gate, Verdict
from signalbox.library.card import GATE_QUESTIONS
from signalbox.reports.page import Table, badge, render
from training.judge.assessment import Assessment
from training.judge.estimates import Estimate
from training.judge.evaluation import Group, TierReport
from training.judge.gates import MAX_CALIBRATION_ERROR, MIN_DAYS, MIN_PRECISION, GateResult
from training.write.pictures import coverage_svg, equity_svg, hours_svg, reliability_svg

_BADGES: Final = {Verdict.PASS: ("ok", "yes"), Verdict.FAIL: ("bad", "no"), Verdict.NOT_EVALUATED: ("shadow", "not evaluated")}
TEMPLATES: Final = Path(__file__).with_name("templates")


def render_page(assessment: Assessment, candles: Sequence[str]) -> str:
    """Return the page as HTML that loads nothing from elsewhere. candles: their sources, which say if they are synthetic."""
    figures, span = assessment.evaluation, assessment.span
    curves, asked_of = assessment.curves, f"{figures.decisions:,} decisions on {figures.days} days"
    return render(
        TEMPLATES / "evaluation.html.jinja",
        title=f"Signalbox evaluation of {assessment.manifest.name}",
        tone="ok" if assessment.qualifies else "bad",
        verdict=plain_verdict(assessment),
        heading=assessment.manifest.name,
        period=f"{span.start:%Y-%m-%d} to {span.end:%Y-%m-%d %H:%M} UTC, {asked_of}, "
        f"{', '.join(assessment.scored.data.symbols)}. Brackets are 95 % intervals from resampled days.",
        figures=_headline_figures(assessment),
        gates=_gate_table(assessment.gates),
        reliability=reliability_svg(curves.reliability),
        coverage=coverage_svg(curves.precision_by_coverage, MIN_PRECISION, figures.issued.coverage),
        equity=equity_svg(curves.equity, figures.gate_cost),
        hours=hours_svg(curves.by_hour),
        tiers=_tier_table(assessment),
        by_symbol=_group_table("symbol", figures.by_symbol),
        by_side=_group_table("side", figures.by_side),
        by_month=_group_table("month", figures.by_month),
        costs=_cost_table(assessment),
        facts=_facts(assessment, assessment.manifest.training.end.date().isoformat(), candles),
    )


def plain_verdict(assessment: Assessment) -> str:
    """Return the first line: in plain words, whether the model qualifies."""
    gates, issued, overlap = assessment.gates, assessment.evaluation.issued, assessment.overlap
    if overlap.in_sample:
        return (
            f"This proves nothing: the model was trained on {overlap.days:.0f} days of this period "
            f"({overlap.first:%Y-%m-%d} to {overlap.last:%Y-%m-%d}), so every verdict below is in-sample."
        )
    if gates[Gate.G0].verdict is not Verdict.PASS:
        return "This model does not qualify and may not run: the integrity checks failed, so its figures cannot be trusted."
    if not issued.precision.n:
        return "This model does not qualify: it issued no signal in this period."
    if issued.days < MIN_DAYS:
        return (
            f"This model does not qualify on this period: it issued signals on only {issued.days} days; "
            f"fewer than {MIN_DAYS} days prove nothing."
        )
    right = f"{issued.precision.value:.1%} of its {issued.precision.n:,} signals were right"
    if not assessment.qualifies:
        asked = f"the lower bound must be {MIN_PRECISION:.0%} but is {issued.precision.low:.1%}"
        failed = ", ".join(gate.value for gate in PROMOTION_GATES if gates[gate].verdict is not Verdict.PASS)
        stage = f"It may run in shadow only. {_money(assessment)}"
        return f"This model does not qualify ({failed} not passed): {right}; {asked}. {stage}"
    return f"This model qualifies: {right}, at least {issued.precision.low:.1%} by the lower bound. {_money(assessment)}"


def _money(assessment: Assessment) -> str:
    net = assessment.evaluation.issued.net_bps[assessment.evaluation.gate_cost]
    if net.low > 0:
        return "It earned money after costs."
    return "It lost money after costs." if net.high < 0 else "It is not shown to earn money after costs."


def _headline_figures(assessment: Assessment) -> Mapping[str, object]:
    figures, issued = assessment.evaluation, assessment.evaluation.issued
    return {
        "of issued signals were right": f"{issued.precision.value:.1%}",
        "lower bound, 68 % required": f"{issued.precision.low:.1%}",
        "calibration error, upper bound, at most 5 % allowed": f"{issued.calibration_error.high:.1%}",
        "signals issued": f"{issued.precision.n:,}",
        "signals an hour / one position a symbol": f"{issued.signals_an_hour:.1f} / {figures.one_position.signals_an_hour:.1f}",
        f"bps a signal after {figures.gate_cost}": f"{issued.net_bps[figures.gate_cost].value:+.1f}",
    }


def _gate_table(gates: Mapping[Gate, GateResult]) -> Table:
    rows = []
    for gate, found in gates.items():
        kind, word = _BADGES[found.verdict]
        if found.in_sample:
            kind, word = "shadow", f"{word} (in-sample)"
        rows.append([f"{gate.value} {GATE_QUESTIONS[gate]}", badge(kind, word), found.asks, found.found])
    return Table(["gate", "verdict", "requires", "found"], rows)


def _tier_table(assessment: Assessment) -> Table:
    figures = assessment.evaluation
    tiers = (figures.issued, figures.high)

    rows = [
        ["right", *(share(t.precision) for t in tiers)],
        ["signals (BUY)", *(f"{t.precision.n:,} ({t.buys:,})" for t in tiers)],
        ["coverage, signals an hour", *(f"{t.coverage:.1%}, {t.signals_an_hour:.1f}" for t in tiers)],
        *([f"{rule} on the same timestamps", *(share(t.base_rates[rule]) for t in tiers)] for rule in figures.issued.base_rates),
        ["lift over the hardest rule to beat", *(_lift(t) for t in tiers)],
        [f"calibration error (at most {MAX_CALIBRATION_ERROR:.0%} allowed)", *(share(t.calibration_error) for t in tiers)],
        ["calibration slope (1 is right)", *(number(t.calibration_slope) for t in tiers)],
    ]
    return Table(["figure", "issued", "HIGH"], rows, (1, 2))


def _group_table(name: str, groups: Mapping[str, Group]) -> Table:
    rows = (
        [
            key,
            f"{group.precision.n:,}",
            share(group.precision),
            "-" if math.isnan(group.confidence) else f"{group.confidence:.1%}",
            number(group.gross_bps, "+.2f"),
            number(group.net_bps, "+.2f"),
        ]
        for key, group in groups.items()
    )
    return Table([name, "signals", "right", "predicted", "gross bps", "net bps"], rows, range(1, 6))


def _cost_table(assessment: Assessment) -> Table:
    figures = assessment.evaluation
    rows = [["before costs", "0", *(number(t.gross_bps, "+.2f") for t in (figures.issued, figures.high, figures.one_position))]]
    for name, side in figures.costs.items():
        cells = (number(t.net_bps[name], "+.2f") for t in (figures.issued, figures.high, figures.one_position))
        rows.append([name, f"{side:g}", *cells])
    return Table(["cost model", "bps a side", "issued", "HIGH", "one position a symbol"], rows, range(1, 5))


def _facts(assessment: Assessment, trained_until: str, candles: Sequence[str]) -> Table:
    manifest, figures = assessment.manifest, assessment.evaluation
    families = ", ".join(sorted({member.family for member in manifest.members}))
    facts = {
        "bundle": f"{manifest.name}, {len(manifest.members)} members ({families}), made {manifest.created_at:%Y-%m-%d}",
        "figures are of": assessment.judged_by,
        "contract": f"{assessment.scored.data.contract.title}: {assessment.scored.data.contract.first_line}",
        "feature schema": f"{manifest.feature_schema.name} ({manifest.feature_schema.hash[:12]})",
        "training data": f"{', '.join(manifest.training.symbols)}, until {trained_until}",
        "all decisions": f"right {share(figures.accuracy_of_all)}, area under the curve {figures.auc:.3f}, "
        f"calibration slope {number(figures.slope_of_all)}, {figures.flats:,} flat outcomes (a miss for either side)",
        "majority rule": figures.majority_side,
        "candles": ", ".join(candles),
        "seen in training": "none of this period"
        if not assessment.overlap.in_sample
        else f"{assessment.overlap.days:.0f} days ({', '.join(assessment.overlap.periods)})",
    }
    return Table(["", ""], facts.items())


def _lift(tier: TierReport) -> str:
    rule, lift = tier.weakest_lift
    return f"{number(lift, '+.3f')} over {rule}"


def share(estimate: Estimate) -> str:
    """Return a rate with its interval as text."""
    return "-" if not estimate.n else f"{estimate.value:.1%} [{estimate.low:.1%}, {estimate.high:.1%}]"


def number(estimate: Estimate, form: str = ".2f") -> str:
    """Return a figure with its interval as text."""
    return "-" if not estimate.n else f"{estimate.value:{form}} [{estimate.low:{form}}, {estimate.high:{form}}]"
