"""Defines a signal and derives it from a calibrated probability. Pure; the thresholds are frozen with the model.

`dir60` (docs/labels.md): the probability that the 60-minute return is positive. If |p - 1/2| is at least `issue_margin`, a BUY or
SELL is issued with tier MEDIUM; from `high_margin` on the tier is HIGH. Below `issue_margin` the signal is HOLD with tier LOW.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from signalbox.errors import SignalboxError
from signalbox.market.candles import Symbol


class SignalError(SignalboxError):
    """A probability or a threshold is outside its range."""


class Direction(StrEnum):
    """The action that a signal recommends."""

    BUY = "BUY"
    SELL = "SELL"
    HOLD = "HOLD"


class Tier(StrEnum):
    """How far the probability is from 1/2: HIGH for about one decision in ten, MEDIUM for other issued ones, LOW for HOLD."""

    HIGH = "HIGH"
    MEDIUM = "MEDIUM"
    LOW = "LOW"


class DeploymentStage(StrEnum):
    """ACTIVE models passed the gates. Signals of SHADOW models are recorded and shown as such, and never reach a live account."""

    SHADOW = "shadow"
    ACTIVE = "active"


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Margins around 1/2, frozen on validation data. Raises SignalError unless 0 < issue_margin <= high_margin < 1/2."""

    issue_margin: float
    high_margin: float

    def __post_init__(self) -> None:
        if not 0 < self.issue_margin <= self.high_margin < 0.5:
            raise SignalError(f"expected 0 < issue_margin <= high_margin < 0.5, got {self.issue_margin} and {self.high_margin}")


def classify(probability_up: float, thresholds: Thresholds) -> tuple[Direction, Tier]:
    """Return the direction and tier of a calibrated probability. Raises SignalError if it is not within [0, 1]."""
    if not 0.0 <= probability_up <= 1.0:
        raise SignalError(f"expected a probability in [0, 1], got {probability_up}")
    margin = abs(probability_up - 0.5)
    if margin < thresholds.issue_margin:
        return Direction.HOLD, Tier.LOW
    direction = Direction.BUY if probability_up > 0.5 else Direction.SELL
    return direction, Tier.HIGH if margin >= thresholds.high_margin else Tier.MEDIUM


def was_right(direction: Direction, move: Decimal | float) -> bool:
    """Return whether the price moved in the direction of an issued signal. If it did not move, neither direction was right."""
    return move > 0 if direction is Direction.BUY else move < 0


@dataclass(frozen=True, slots=True)
class Signal:
    """One decision with its feature vector. Its natural key is (symbol, decided_at, deployment)."""

    symbol: Symbol
    decided_at: datetime
    deployment: str
    stage: DeploymentStage
    direction: Direction
    tier: Tier
    probability_up: float
    price: Decimal  # close of the newest bar that the decision used
    late: bool  # a newer cycle was decided before this one
    schema_name: str
    schema_hash: str
    features: tuple[float, ...]
    held_back: str | None = None  # the rate limit that it exceeds (rate_limit.py); such a signal is recorded but not issued
    known_at: datetime | None = None  # when its bars were complete, if the venue published some of them late
    market: str | None = None  # the fallback venue whose bars it was decided on; None if they are the stage's venue's
    overridden: bool = False  # the model was approved by a person although gates did not pass
    challenger: bool = False  # decided beside the model that serves; only who names the deployment follows it

    @property
    def issued(self) -> bool:
        """Whether the signal recommends a trade and is within the rate limits."""
        return self.direction is not Direction.HOLD and self.held_back is None

    @property
    def confidence(self) -> float:
        """The calibrated probability of the signal's side; for HOLD, of the likelier side."""
        return max(self.probability_up, 1.0 - self.probability_up)
