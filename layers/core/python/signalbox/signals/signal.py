"""What a signal is and how a calibrated probability becomes one. Pure; the thresholds come frozen with the model.

`dir60` (docs/labels.md): the probability is that the 60-minute return is positive. |p - 1/2| at or above `issue_margin`
issues a BUY or SELL (tier MEDIUM), at or above `high_margin` tier HIGH; below it abstains: HOLD, tier LOW.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from signalbox.errors import SignalboxError
from signalbox.market.candles import Symbol


class SignalError(SignalboxError):
    """A probability or a threshold outside its range."""


class Direction(StrEnum):
    """What the signal says to do."""

    BUY = "BUY"
    SELL = "SELL"
    HOLD = "HOLD"


class Tier(StrEnum):
    """How far from a coin flip: HIGH about one decision in ten, MEDIUM the rest of what is issued, LOW abstains."""

    HIGH = "HIGH"
    MEDIUM = "MEDIUM"
    LOW = "LOW"


class DeploymentStage(StrEnum):
    """ACTIVE passed the gates; SHADOW is recorded and shown as such and never reaches a live account."""

    SHADOW = "shadow"
    ACTIVE = "active"


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Margins around 1/2, frozen on validation data. 0 < issue_margin <= high_margin < 1/2, else SignalError."""

    issue_margin: float
    high_margin: float

    def __post_init__(self) -> None:
        if not 0 < self.issue_margin <= self.high_margin < 0.5:
            raise SignalError(f"expected 0 < issue <= high < 0.5, was {self.issue_margin} and {self.high_margin}")


def classify(probability_up: float, thresholds: Thresholds) -> tuple[Direction, Tier]:
    """Return the direction and tier of one calibrated probability. Raises SignalError outside [0, 1] or NaN."""
    if not 0.0 <= probability_up <= 1.0:
        raise SignalError(f"expected a probability in [0, 1], was {probability_up}")
    margin = abs(probability_up - 0.5)
    if margin < thresholds.issue_margin:
        return Direction.HOLD, Tier.LOW
    direction = Direction.BUY if probability_up > 0.5 else Direction.SELL
    return direction, Tier.HIGH if margin >= thresholds.high_margin else Tier.MEDIUM


@dataclass(frozen=True, slots=True)
class Signal:
    """One decision; its natural key is (symbol, decided_at, deployment). The feature vector is kept with it."""

    symbol: Symbol
    decided_at: datetime
    deployment: str
    stage: DeploymentStage
    direction: Direction
    tier: Tier
    probability_up: float
    price: Decimal  # close of the newest bar the decision saw
    late: bool  # a newer cycle had been decided before this one
    schema_name: str
    schema_hash: str
    features: tuple[float, ...]
    held_back: str | None = None  # the limit it was over (rate_limit.py): recorded as decided, told to nobody
    known_at: datetime | None = None  # when its bars were complete, if the venue published some of them late

    @property
    def issued(self) -> bool:
        """Whether it says to do something, and may."""
        return self.direction is not Direction.HOLD and self.held_back is None

    @property
    def confidence(self) -> float:
        """Calibrated probability of the side it takes (of the likelier side for HOLD)."""
        return max(self.probability_up, 1.0 - self.probability_up)
