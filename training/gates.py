"""The verdicts of G0 to G6 from an evaluation, and the sentence that comes first in every report."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Final

from signalbox.inference.manifest import PROMOTION_GATES, Gate, Verdict
from training.evaluation import Estimate, Evaluation
from training.integrity import Integrity

MIN_PRECISION: Final = 0.68
MAX_CALIBRATION_ERROR: Final = 0.05


@dataclass(frozen=True, slots=True)
class GateResult:
    """One gate: what it asks, what was found, and what that means. Judged by the bound, not by the figure."""

    verdict: Verdict
    asks: str
    found: str

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def judge(evaluation: Evaluation, integrity: Integrity) -> dict[Gate, GateResult]:
    """Return a result for every gate; those that a quick run cannot answer are not evaluated."""
    issued = evaluation.issued
    precision, error, net = issued.precision, issued.calibration_error, issued.net_bps
    weakest = min(issued.lift, key=lambda name: issued.lift[name].low)
    lift = issued.lift[weakest]
    return {
        Gate.G0: GateResult(
            _verdict(passed=integrity.passed), "prefix invariance, sign-flip placebo at 50 %, ONNX parity", str(integrity)
        ),
        Gate.G1: GateResult(
            _verdict(passed=precision.low >= MIN_PRECISION),
            f"precision of issued signals, lower 95 % bound >= {MIN_PRECISION:.0%}",
            f"{_share(precision)} at {issued.coverage:.1%} coverage",
        ),
        Gate.G2: GateResult(
            _verdict(passed=lift.low > 0),
            "precision above majority, momentum and reversal on the same timestamps, lower 95 % bound > 0",
            f"least over {weakest}: {_share(lift)}",
        ),
        Gate.G3: GateResult(
            _verdict(passed=error.high <= MAX_CALIBRATION_ERROR),
            f"debiased calibration error of issued signals, upper 95 % bound <= {MAX_CALIBRATION_ERROR:.0%}",
            _share(error),
        ),
        Gate.G4: GateResult(
            _verdict(passed=net.low > 0),
            "mean outcome after 6.5 bps a round trip, lower 95 % bound > 0",
            f"{net.value:+.2f} bps [{net.low:+.2f}, {net.high:+.2f}], n = {net.n}",
        ),
        Gate.G5: GateResult(
            Verdict.NOT_EVALUATED, "deflated Sharpe, probability of backtest overfitting", "not part of a quick run"
        ),
        Gate.G6: GateResult(Verdict.NOT_EVALUATED, "stability across walk-forward folds", "not part of a quick run"),
    }


def headline(gates: dict[Gate, GateResult]) -> str:
    """Return the first line of a report: whether it may be promoted, and if not, why not."""
    failed = [gate.value for gate in PROMOTION_GATES if gates[gate].verdict is not Verdict.PASS]
    if failed:
        reason = f"NOT PROMOTABLE: {', '.join(failed)} not passed"
        stage = "may not run at all" if Gate.G0.value in failed else "runs in shadow only"
        return f"{reason}; this model {stage}"
    if gates[Gate.G4].verdict is not Verdict.PASS:
        return "PROMOTABLE, directional, not tradable: G0 to G3 passed, G4 (after costs) not"
    return "PROMOTABLE: G0 to G4 passed"


def passes_promotion(gates: dict[Gate, GateResult]) -> bool:
    """Whether it may be deployed as active."""
    return all(gates[gate].verdict is Verdict.PASS for gate in PROMOTION_GATES)


def _verdict(*, passed: bool) -> Verdict:
    return Verdict.PASS if passed else Verdict.FAIL


def _share(estimate: Estimate) -> str:
    return f"{estimate.value:.4f} [{estimate.low:.4f}, {estimate.high:.4f}], n = {estimate.n}"
