"""The sequential probability ratio test of two precisions, on the shares of clusters, with boundaries that hold exactly.

Each cluster adds x ln(p1 / p0) + (1 - x) ln((1 - p1) / (1 - p0)), where x in [0, 1] is its share of right signals. For a share
the exponential of this is convex in x, so under either hypothesis the likelihood ratio against it is a supermartingale, and
Ville's inequality bounds both errors: ln(1 / alpha) accepts the claim, ln(beta) rejects it. Wald's usual boundaries are a little
closer and only approximate. Source: Wald, Sequential Tests of Statistical Hypotheses (1945).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from signalbox.observation.rules import GateClaim


class SprtDecision(StrEnum):
    """The state of the test. The first boundary that is crossed decides; later clusters change nothing."""

    CLAIM_ACCEPTED = "CLAIM_ACCEPTED"
    CLAIM_REJECTED = "CLAIM_REJECTED"
    UNDECIDED = "UNDECIDED"


@dataclass(frozen=True, slots=True)
class SprtResult:
    """The test over the clusters so far. path: the log ratio after each. decided_after: clusters until a boundary was crossed."""

    path: tuple[float, ...]
    upper: float
    lower: float
    decision: SprtDecision
    decided_after: int | None

    @property
    def log_ratio(self) -> float:
        """The log ratio when the test was decided, else now; 0 before the first cluster."""
        index = len(self.path) if self.decided_after is None else self.decided_after
        return self.path[index - 1] if index else 0.0


@dataclass(frozen=True, slots=True)
class SprtPower:
    """Chances of the test within a number of clusters, if each is right with a given precision. They add up to 1."""

    precision: float
    clusters: int
    accepted: float
    rejected: float

    @property
    def undecided(self) -> float:
        """The chance that no boundary is crossed."""
        return max(0.0, 1.0 - self.accepted - self.rejected)


def boundaries(claim: GateClaim) -> tuple[float, float]:
    """Return the lower and the upper boundary of the log ratio."""
    return math.log(claim.beta), -math.log(claim.alpha)


def run_sprt(claim: GateClaim, shares: Sequence[float]) -> SprtResult:
    """Return the test over shares of right signals in [0, 1], oldest first. Raises ValueError for another share."""
    lower, upper = boundaries(claim)
    gain, loss = _steps(claim)
    path, total, decided = list[float](), 0.0, None
    for count, share in enumerate(shares, start=1):
        if not 0.0 <= share <= 1.0:
            raise ValueError(f"expected a share of right signals in [0, 1], got {share}")
        total += share * gain + (1.0 - share) * loss
        path.append(total)
        if decided is None and (total >= upper or total <= lower):
            decided = count
    if decided is None:
        decision = SprtDecision.UNDECIDED
    else:
        decision = SprtDecision.CLAIM_ACCEPTED if path[decided - 1] >= upper else SprtDecision.CLAIM_REJECTED
    return SprtResult(tuple(path), upper, lower, decision, decided)


def power_of(claim: GateClaim, precision: float, clusters: int) -> SprtPower:
    """Return the exact chances of the test within so many clusters of one signal each, by counting all paths.

    Raises ValueError for a precision outside [0, 1].
    """
    if not 0.0 <= precision <= 1.0:
        raise ValueError(f"expected a precision in [0, 1], got {precision}")
    lower, upper = boundaries(claim)
    gain, loss = _steps(claim)
    chances, accepted, rejected = [1.0], 0.0, 0.0  # chance of each number of right clusters, among undecided paths
    for count in range(1, clusters + 1):
        later = [0.0] * (count + 1)
        for right, chance in enumerate(chances):
            later[right] += chance * (1.0 - precision)
            later[right + 1] += chance * precision
        for right, chance in enumerate(later):
            ratio = right * gain + (count - right) * loss
            if ratio >= upper:
                accepted, later[right] = accepted + chance, 0.0
            elif ratio <= lower:
                rejected, later[right] = rejected + chance, 0.0
        chances = later
    return SprtPower(precision, clusters, accepted, rejected)


def _steps(claim: GateClaim) -> tuple[float, float]:
    gain = math.log(claim.precision / claim.null_precision)
    return gain, math.log((1.0 - claim.precision) / (1.0 - claim.null_precision))
