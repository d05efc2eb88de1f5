"""The report of an observation: text, `observation.json`, one self-contained page, and a picture for a chat."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import accumulate
from pathlib import Path
from typing import Any, Final

from markupsafe import Markup
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure

from signalbox.observation.clusters import clusters_of
from signalbox.observation.judgement import ObservationJudgement
from signalbox.observation.ports import ObservationStep
from signalbox.observation.rules import changed_from_preset
from signalbox.observation.verdicts import CriterionState, ObservationVerdict
from signalbox.reports.page import Table, badge, render
from signalbox.reports.plane import Line, Tick, time_chart
from signalbox.wire import in_one_line
from training.write.report_page import TEMPLATES

TEMPLATE: Final = Path(__file__).with_name("templates") / "observation.html.jinja"
TONES: Final = {ObservationVerdict.GO: "ok", ObservationVerdict.NO_GO: "bad", ObservationVerdict.EXTEND: "shadow"}
_BADGES: Final = {CriterionState.PASSED: "ok", CriterionState.FAILED: "bad", CriterionState.MISSING: "shadow"}
_LN10: Final = math.log(10.0)
INK, LINE, LIMIT, GOOD = "#1f2933", "#3d6a99", "#b3261e", "#1b7f4b"


def write_observation(found: ObservationJudgement, out: Path, ended: ObservationStep | None = None) -> list[str]:
    """Write the report into a folder, and return the paths. ended: the step that recorded a verdict, if one did."""
    contents = {
        "observation.html": render_observation(found, ended).encode(),
        "observation.png": draw_observation(found),
        "observation.json": (json.dumps(observation_json(found, ended), indent=2) + "\n").encode(),
        "observation.txt": observation_text(found, ended).encode(),
    }
    for name, content in contents.items():
        (out / name).write_bytes(content)
    return [str(out / name) for name in contents]


def observation_text(found: ObservationJudgement, ended: ObservationStep | None = None) -> str:
    """Return the report as lines for a terminal or a message."""
    lines = [
        _verdict_line(found),
        f"  {_span(found)}",
        *(f"  {one}" for one in _remarks(found, ended)),
        *(f"  {one.state.value:<7} {one.code.value:<16} {one.found}; expected {one.limit}" for one in found.criteria),
        f"  power   {_power(found)}",
        *(
            f"  {one.day}  {one.decided}/{one.expected} slots, {one.signals} signals, {one.right}/{one.settled} right,"
            f" {one.net_bps:+.0f} bp"
            for one in found.findings.days
        ),
    ]
    return "\n".join(lines) + "\n"


def observation_json(found: ObservationJudgement, ended: ObservationStep | None = None) -> dict[str, Any]:
    """Return the report as JSON: the verdict first, then each criterion, the tests, the days and the rules."""
    interval, findings = found.expectancy, found.findings
    return {
        "verdict": found.verdict.value,
        "observation": found.rules.observation,
        "rules_sha256": found.rules.sha256,
        "until": findings.until.isoformat(),
        "recorded": None
        if ended is None or ended.verdict is None
        else {"verdict": ended.verdict.value, "at": ended.at.isoformat(), "who": ended.who, "reasons": list(ended.reasons)},
        "earlier_observations": findings.earlier,
        "changed_rules": list(changed_from_preset(found.rules)),
        "reasons": list(found.reasons),
        "criteria": [
            {"code": one.code.value, "state": one.state.value, "found": one.found, "limit": one.limit} for one in found.criteria
        ],
        "sequential": {
            "decision": found.sprt.decision.value,
            "log_ratio": found.sprt.log_ratio,
            "accepted_at": found.sprt.upper,
            "rejected_at": found.sprt.lower,
            "clusters": len(found.clusters),
            "decided_after": found.sprt.decided_after,
            "power": [
                {
                    "precision": one.precision,
                    "clusters": one.clusters,
                    "accepted": one.accepted,
                    "rejected": one.rejected,
                    "undecided": one.undecided,
                }
                for one in found.powers
            ],
        },
        "evidence": {
            "against_at_most": found.proof.largest / _LN10,
            "against_at_least": found.disproof.largest / _LN10,
            "unit": "log10 of the largest e-value",
            "clusters": len(found.proof.path),
        },
        "expectancy": None
        if interval is None
        else {
            "mean_bps": interval.mean_bps,
            "low_bps": interval.low_bps,
            "high_bps": interval.high_bps,
            "signals": interval.signals,
            "days": interval.days,
        },
        "execution": {
            "fills": findings.execution.fills,
            "cost_bps": findings.execution.cost_bps,
            "unmeasured": findings.execution.unmeasured,
        },
        "lost_slots": dict(findings.refusals),
        "days": [
            {
                "day": one.day.isoformat(),
                "expected": one.expected,
                "decided": one.decided,
                "signals": one.signals,
                "settled": one.settled,
                "right": one.right,
                "net_bps": one.net_bps,
            }
            for one in findings.days
        ],
        "rules": found.rules.model_dump(mode="json"),
    }


def render_observation(found: ObservationJudgement, ended: ObservationStep | None = None) -> str:
    """Return the page. It loads nothing from elsewhere."""
    times = [one.begins_at.timestamp() for one in found.clusters]
    every = clusters_of((*found.findings.before, *found.findings.settled), found.rules.horizon)
    alpha = -math.log10(found.rules.claim.alpha)
    settled = sorted(found.findings.settled, key=lambda one: one.decided_at)
    profit = list(accumulate(one.net_bps for one in settled))
    claim = found.rules.claim
    return render(
        TEMPLATE,
        TEMPLATES,
        title=f"Signalbox observation {found.rules.observation}",
        tone=TONES[found.verdict],
        verdict=_verdict_line(found),
        heading=f"Observation of {found.rules.model.deployment}",
        period="; ".join((_span(found), *_remarks(found, ended))),
        figures=_figures(found),
        criteria=Table(
            ["criterion", "state", "found", "expected"],
            [
                (one.code.value, badge(_BADGES[one.state], one.state.value.lower()), one.found, one.limit)
                for one in found.criteria
            ],
        ),
        sprt=_chart(
            "log likelihood ratio by cluster",
            [Line("log ratio", "c0", list(zip(times, found.sprt.path, strict=True)))],
            [
                Tick(found.sprt.upper, f"{claim.precision:.0%} accepted"),
                Tick(found.sprt.lower, f"{claim.precision:.0%} rejected"),
            ],
            "log ratio",
        ),
        evidence=_chart(
            "e-values by cluster",
            [
                Line(f"against at most {claim.precision:.0%}", "c0", _log10(every, found.proof.path)),
                Line(f"against at least {claim.precision:.0%}", "c1", _log10(every, found.disproof.path)),
            ],
            [Tick(alpha, f"proof at {1 / claim.alpha:.0f}")],
            "log10 of the e-value",
        ),
        profit=_chart(
            "profit of the signals",
            [Line("profit", "c0", [(one.decided_at.timestamp(), sum_) for one, sum_ in zip(settled, profit, strict=True)])],
            [Tick(0.0, "0")],
            "bp",
        ),
        days=_day_table(found),
        lost=Table(["reason", "slots"], sorted(found.findings.refusals.items()), (1,)),
        rules=_rule_table(found),
    )


def draw_observation(found: ObservationJudgement) -> bytes:
    """Return the picture as PNG: the sequential test, and the profit after costs."""
    figure = Figure(figsize=(10, 6.4), dpi=110, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    above, below = figure.subplots(2, 1, sharex=True)
    above.set_title(_verdict_line(found), loc="left", color=INK)
    times = [one.begins_at for one in found.clusters]
    above.plot(times, found.sprt.path, color=LINE, linewidth=1.4)
    above.axhline(found.sprt.upper, color=GOOD, linestyle="--", linewidth=1, label="claim accepted")
    above.axhline(found.sprt.lower, color=LIMIT, linestyle="--", linewidth=1, label="claim rejected")
    above.set_ylabel("log ratio", color=INK)
    above.legend(loc="upper left", frameon=False, ncols=2)
    settled = sorted(found.findings.settled, key=lambda one: one.decided_at)
    below.plot([one.decided_at for one in settled], list(accumulate(one.net_bps for one in settled)), color=LINE, linewidth=1.4)
    below.axhline(0.0, color=INK, linewidth=0.7)
    below.set_ylabel("bp after costs", color=INK)
    for axes in (above, below):
        axes.grid(visible=True, color="#e4e7eb", linewidth=0.7)
        axes.spines[["top", "right"]].set_visible(False)
    if settled:
        locator: Any = AutoDateLocator()  # type: ignore[no-untyped-call]
        below.xaxis.set_major_locator(locator)
        below.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
    sink = io.BytesIO()
    figure.savefig(sink, format="png")
    return sink.getvalue()


def _verdict_line(found: ObservationJudgement) -> str:
    wrong = [one.code.value for one in found.criteria if one.state is CriterionState.FAILED]
    missing = [one.code.value for one in found.criteria if one.state is CriterionState.MISSING]
    why = [f"{', '.join(names)} {word}" for names, word in ((wrong, "failed"), (missing, "missing")) if names]
    return f"{found.verdict.value}: {'; '.join(why) or f'all {len(found.criteria)} criteria passed'}"


def _span(found: ObservationJudgement) -> str:
    start, until = found.rules.starts_at, found.findings.until
    return (
        f"{found.rules.model.deployment}, {start:%Y-%m-%d %H:%M} to {until:%Y-%m-%d %H:%M} UTC of {found.rules.days} days,"
        f" rules {found.rules.observation}"
    )


def _remarks(found: ObservationJudgement, ended: ObservationStep | None) -> list[str]:
    """Return what a reader has to know beside the figures: what was recorded, how many tries there were, other limits."""
    remarks = []
    if ended is not None and ended.verdict is not None:
        at = ended.at.astimezone(UTC)
        remarks.append(f"recorded as {ended.verdict.value} by {in_one_line(ended.who)} at {at:%Y-%m-%d %H:%M} UTC")
    if found.findings.earlier:
        remarks.append(
            f"observation {found.findings.earlier + 1} of this bundle; each is another try of the sequential test,"
            f" {found.rules.claim.alpha:.0%} each"
        )
    if changed := changed_from_preset(found.rules):
        remarks.append(f"limits other than the preset's: {', '.join(changed)}")
    return remarks


def _power(found: ObservationJudgement) -> str:
    null, claim = found.powers
    return (
        f"within {null.clusters} clusters: accepts {claim.precision:.0%} with {claim.accepted:.0%} and {null.precision:.0%} with"
        f" {null.accepted:.1%}, rejects {null.precision:.0%} with {null.rejected:.0%}"
    )


def _figures(found: ObservationJudgement) -> dict[str, str]:
    findings = found.findings
    right = sum(one.is_right for one in findings.settled)
    due = found.rules.slots(findings.until)
    return {
        "slots decided": f"{findings.decided / due:.2%}" if due else "-",
        "signals right": f"{right / len(findings.settled):.1%}" if findings.settled else "-",
        "settled / clusters": f"{len(findings.settled)} / {len(found.clusters)}",
        "a signal after costs": "-" if found.expectancy is None else f"{found.expectancy.mean_bps:+.1f} bp",
        "cost of a fill": "-" if findings.execution.cost_bps is None else f"{findings.execution.cost_bps:+.2f} bp",
    }


def _day_table(found: ObservationJudgement) -> Table:
    rows = [
        (one.day, one.expected, one.decided, one.signals, one.settled, one.right, f"{one.net_bps:+.0f}")
        for one in found.findings.days
    ]
    return Table(["day (UTC)", "slots", "decided", "signals", "settled", "right", "bp after costs"], rows, range(1, 7))


def _rule_table(found: ObservationJudgement) -> Table:
    document = found.rules.model_dump(mode="json")
    rows: list[tuple[str, object]] = [
        ("sha256", f"{found.rules.sha256[:32]} {found.rules.sha256[32:]}"),
        ("power", _power(found)),
    ]
    for name, value in document.items():
        inner = value if isinstance(value, dict) else {"": value}
        rows += [(f"{name} {key}".strip().replace("_", " "), _shown(one)) for key, one in inner.items()]
    return Table(["", ""], rows)


def _shown(value: object) -> object:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return f"{value[:32]} {value[32:]}" if isinstance(value, str) and len(value) == 64 else value


def _chart(label: str, lines: Sequence[Line], levels: Sequence[Tick], unit: str) -> Markup:
    return time_chart(label, lines, unit=unit, levels=levels, height="middle")


def _log10(clusters: Sequence[Any], path: Sequence[float]) -> list[tuple[float, float]]:
    at: list[datetime] = [one.begins_at for one in clusters]
    return [(instant.timestamp(), value / _LN10) for instant, value in zip(at, path, strict=True)]
