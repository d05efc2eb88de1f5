"""E-processes: evidence about a precision that may be read at any time and is never reset.

Against "at most p": the mean over bets q > p of the product of 1 + (q - p) (x - p) / (p (1 - p)), where x in [0, 1] is the
share of right signals of a cluster. For x of 0 or 1 this is the likelihood ratio of q against p. If every cluster is right with
a chance of at most p given what was known when it began, each product is a nonnegative supermartingale that starts at 1, and so
is their mean. Ville's inequality: the chance that it ever reaches 1 / alpha is at most alpha, however often it is read and
whenever one stops. Against "at least p" the same with q < p. Source: Waudby-Smith and Ramdas, Estimating means of bounded
random variables by betting (2024).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

BETS: Final = 40


class EvidenceSide(StrEnum):
    """What an e-process is evidence against."""

    AT_MOST = "AT_MOST"
    AT_LEAST = "AT_LEAST"


@dataclass(frozen=True, slots=True)
class EvidencePath:
    """The e-value after each cluster, as its natural logarithm. largest: of all of them, at least 0 for the start."""

    side: EvidenceSide
    precision: float
    path: tuple[float, ...]

    @property
    def largest(self) -> float:
        """The largest log e-value so far: evidence that was found once stays found."""
        return max((0.0, *self.path))

    def reaches(self, alpha: float) -> bool:
        """Whether the e-value has ever reached 1 / alpha."""
        return self.largest >= -math.log(alpha)


def evidence_against(side: EvidenceSide, precision: float, shares: Sequence[float]) -> EvidencePath:
    """Return the e-process over shares of right signals in [0, 1], oldest first. Raises ValueError for another share."""
    found = np.asarray(shares, dtype=np.float64)
    if len(wrong := found[~((found >= 0.0) & (found <= 1.0))]):
        raise ValueError(f"expected a share of right signals in [0, 1], got {wrong[0]}")
    stakes = (_bets(side, precision) - precision) / (precision * (1.0 - precision))
    logs = np.cumsum(np.log1p(np.outer(found - precision, stakes)), axis=0)
    return EvidencePath(side, precision, tuple((np.logaddexp.reduce(logs, axis=1) - math.log(BETS)).tolist()))


def _bets(side: EvidenceSide, precision: float) -> NDArray[np.float64]:
    """Return the alternatives, evenly spaced between the precision and 1 or 0, the ends left out so that no factor is 0."""
    end = 1.0 if side is EvidenceSide.AT_MOST else 0.0
    return precision + (end - precision) * np.arange(1, BETS + 1) / (BETS + 1)
