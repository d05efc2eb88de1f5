"""Verdicts of the gates G0 to G6, and the headline of every report. A verdict uses the interval's bound, not only the figure."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final

from signalbox.inference.manifest import PROMOTION_GATES, Gate, Verdict
from training.judge.estimates import Estimate
from training.judge.evaluation import ModelEvaluation, TierReport
from training.judge.integrity import Integrity
from training.judge.overfitting import MAX_OVERFITTING, MIN_DEFLATED_SHARPE, Overfitting
from training.judge.stability import MIN_STABLE, Stability

MIN_PRECISION: Final = 0.68
MAX_CALIBRATION_ERROR: Final = 0.05
MIN_DAYS: Final = 20  # days with signals; with fewer, resampled intervals are too narrow to judge by


@dataclass(frozen=True, slots=True)
class GateResult:
    """One gate: its requirement (`asks`), what was found, and the verdict.

    value, low, high: the figure with its interval, in the unit of `threshold`; None if the gate has no single figure.
    """

    verdict: Verdict
    asks: str
    found: str
    threshold: float | None = None
    value: float | None = None
    low: float | None = None
    high: float | None = None
    n: int | None = None
    detail: dict[str, Any] = field(default_factory=dict)
    in_sample: bool = False

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def verdict_text(self) -> str:
        """The verdict as text. A verdict on the model's own training data is marked as in-sample."""
        return f"{self.verdict.value} (in-sample)" if self.in_sample else self.verdict.value


@dataclass(frozen=True, slots=True)
class Evidence:
    """The figures from which the verdicts of the gates follow."""

    evaluation: ModelEvaluation
    integrity: Integrity
    overfitting: Overfitting
    stability: Stability


def judge(evidence: Evidence, *, in_sample: bool = False) -> dict[Gate, GateResult]:
    """Return a result for every gate.

    in_sample: the period is part of the model's own training data. Every verdict but G0 is marked so.
    """
    issued = evidence.evaluation.issued
    cost = evidence.evaluation.gate_cost
    rule, lift = issued.weakest_lift
    net = issued.net_bps[cost]
    found = {
        Gate.G0: _integrity(evidence.integrity),
        Gate.G1: _judged(
            issued,
            issued.precision,
            "precision of issued signals, lower 95 % bound >= 68%",
            MIN_PRECISION,
            f"{_share(issued.precision)} at {issued.coverage:.1%} coverage",
            passed=issued.precision.low >= MIN_PRECISION,
        ),
        Gate.G2: _judged(
            issued,
            lift,
            "precision above majority, momentum, reversal and a random side on the same timestamps, lower 95 % bound > 0",
            0.0,
            f"least over {rule}: {_share(lift)}",
            passed=lift.low > 0,
        ),
        Gate.G3: _judged(
            issued,
            issued.calibration_error,
            "debiased calibration error of issued signals, upper 95 % bound <= 5%",
            MAX_CALIBRATION_ERROR,
            _share(issued.calibration_error),
            passed=issued.calibration_error.high <= MAX_CALIBRATION_ERROR,
        ),
        Gate.G4: _judged(
            issued,
            net,
            f"mean outcome after {2 * evidence.evaluation.costs[cost]:g} bps a round trip ({cost}), lower 95 % bound > 0",
            0.0,
            f"{net.value:+.2f} bps [{net.low:+.2f}, {net.high:+.2f}], n = {net.n}",
            passed=net.low > 0,
        ),
        Gate.G5: _overfitting(evidence.overfitting),
        Gate.G6: _stability(evidence.stability),
    }
    if not in_sample:
        return found
    return {gate: result if gate is Gate.G0 else replace(result, in_sample=True) for gate, result in found.items()}


def headline(gates: dict[Gate, GateResult]) -> str:
    """Return the first line of a report: whether the model may be promoted, and if not, why."""
    failed = [gate.value for gate in PROMOTION_GATES if gates[gate].verdict is not Verdict.PASS]
    if any(gates[gate].in_sample for gate in gates):
        return "NOT JUDGED: the bundle was trained on this period, so the verdicts are in-sample and prove nothing"
    if failed:
        reason = f"NOT PROMOTABLE: {', '.join(failed)} not passed"
        stage = "may not run at all" if Gate.G0.value in failed else "runs in shadow only"
        return f"{reason}; this model {stage}"
    if gates[Gate.G4].verdict is not Verdict.PASS:
        return "PROMOTABLE, directional, not tradable: G0 to G3 passed, G4 (after costs) not"
    return "PROMOTABLE: G0 to G4 passed"


def passes_promotion(gates: dict[Gate, GateResult]) -> bool:
    """Return whether the model may be deployed as active. In-sample verdicts never count."""
    return all(gates[gate].verdict is Verdict.PASS and not gates[gate].in_sample for gate in PROMOTION_GATES)


def _judged(issued: TierReport, estimate: Estimate, asks: str, threshold: float, found: str, *, passed: bool) -> GateResult:
    """Return a verdict by the bound. Without signals the gate fails; with signals on too few days it is not evaluated."""
    verdict = _verdict(passed=passed)
    if 0 < issued.days < MIN_DAYS:
        verdict, found = Verdict.NOT_EVALUATED, f"{issued.days} days with signals, but at least {MIN_DAYS} are needed; {found}"
    return GateResult(verdict, asks, found, threshold, estimate.value, estimate.low, estimate.high, estimate.n)


def _integrity(found: Integrity) -> GateResult:
    placebo = found.placebo_precision
    return GateResult(
        _verdict(passed=found.passed),
        "prefix invariance, sign-flip placebo at 50 %, ONNX parity",
        str(found),
        0.5,
        placebo.value,
        placebo.low,
        placebo.high,
        placebo.n,
        {"prefix_difference": found.prefix_difference, "onnx_difference": found.onnx_difference},
    )


def _overfitting(found: Overfitting) -> GateResult:
    """Fail if either figure fails. If only one configuration was tried, only the Sharpe ratio decides: nothing was selected."""
    parts = []
    if found.deflated_sharpe is not None:
        parts.append(found.deflated_sharpe >= MIN_DEFLATED_SHARPE)
    if found.overfitting is not None:
        parts.append(found.overfitting <= MAX_OVERFITTING)
    complete = found.deflated_sharpe is not None and (found.tried == 1 or (found.tried and found.overfitting is not None))
    verdict = Verdict.FAIL if not all(parts) else Verdict.PASS if complete else Verdict.NOT_EVALUATED
    sharpe = "not evaluated" if found.deflated_sharpe is None else f"{found.deflated_sharpe:.3f}"
    chance = "not evaluated" if found.overfitting is None else f"{found.overfitting:.3f}"
    return GateResult(
        verdict,
        f"deflated Sharpe of daily returns after costs >= {MIN_DEFLATED_SHARPE}, "
        f"probability of backtest overfitting <= {MAX_OVERFITTING}",
        f"deflated Sharpe {sharpe} ({found.deflated_reason}); overfitting {chance} ({found.overfitting_reason})",
        MIN_DEFLATED_SHARPE,
        found.deflated_sharpe,
        n=found.days,
        detail=asdict(found),
    )


def _stability(found: Stability) -> GateResult:
    asks = f"better than chance and than the strongest rule in at least 5 of 6 {found.kind}s (six or more)"
    detail = found.to_json()
    if found.reason is not None:
        return GateResult(Verdict.NOT_EVALUATED, asks, found.reason, MIN_STABLE, detail=detail)
    worst, best = (choose(one.precision.value for one in found.periods) for choose in (min, max))
    count = len(found.periods)
    return GateResult(
        _verdict(passed=found.stable_share >= MIN_STABLE - 1e-9),
        asks,
        f"{sum(one.stable for one in found.periods)} of {count} {found.kind}s; precision {worst:.4f} to {best:.4f}",
        MIN_STABLE,
        found.stable_share,
        n=count,
        detail=detail,
    )


def _verdict(*, passed: bool) -> Verdict:
    return Verdict.PASS if passed else Verdict.FAIL


def _share(estimate: Estimate) -> str:
    return f"{estimate.value:.4f} [{estimate.low:.4f}, {estimate.high:.4f}], n = {estimate.n}"
