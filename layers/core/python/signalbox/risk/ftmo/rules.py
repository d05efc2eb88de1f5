"""FTMO's rules as versioned configuration: `ftmo-2step` and `ftmo-1step`. A version never changes; new terms get a new version.

C0 is the initial capital, B_d the balance at 00:00 Europe/Prague of day d (B_1 = C0), E the equity.
  max_daily_loss: broken when E < B_d - daily_loss_fraction * C0, at any moment.
  max_loss:       broken when E < reference - max_loss_fraction * C0; the reference is C0 (STATIC) or the highest midnight
                  balance, C0 included (TRAILING).
Sources: docs/architecture.md section 7 for all of 2-step and for the trailing limit of 1-step; FTMO's public terms for the other
1-step rules (3 % a day, 10 % target, best day at most half of the profit, no minimum of trading days).
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from enum import StrEnum
from types import MappingProxyType
from typing import Annotated, Final, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, model_validator

Fraction: TypeAlias = Annotated[Decimal, Field(gt=0, lt=1, allow_inf_nan=False)]  # 0.05 is 5 %


class LossReference(StrEnum):
    """What the overall loss is measured from: the initial capital, or the highest midnight balance."""

    STATIC = "STATIC"
    TRAILING = "TRAILING"


class InternalStops(BaseModel):
    """Used shares of a loss limit at which we act ourselves, before the rule is broken.

    midnight_minutes: this long before a midnight its new limits apply already, if they are tighter; 0 turns this off. A profit
    or loss closed during the day moves the limits at midnight although no price moves then.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    alert: Fraction
    block: Fraction  # no new risk
    flatten: Fraction
    midnight_minutes: Annotated[int, Field(ge=0, le=1380)]  # the shortest day has 23 hours

    @model_validator(mode="after")
    def _in_order(self) -> InternalStops:
        if not self.alert < self.block < self.flatten:
            raise ValueError(f"expected alert < block < flatten, got {self.alert}, {self.block} and {self.flatten}")
        return self


class FtmoPhase(BaseModel):
    """One phase of the evaluation."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: Annotated[str, Field(pattern=r"^[a-z]+$")]
    profit_target_fraction: Fraction  # of C0; measured on the closed balance with no position open


class FtmoRules(BaseModel):
    """One rule set. Every fraction is of the initial capital unless it says otherwise.

    continues: earlier versions whose accounts continue under this one, because only our internal stops changed, not FTMO's rules.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: Annotated[str, Field(pattern=r"^ftmo-[a-z0-9]+$")]
    version: Annotated[str, Field(pattern=r"^\d{4}-\d{2}\.\d+$")]
    time_zone: Annotated[str, Field(min_length=1)]
    daily_loss_fraction: Fraction
    max_loss_fraction: Fraction
    max_loss_reference: LossReference
    phases: Annotated[tuple[FtmoPhase, ...], Field(min_length=1)]
    minimum_trading_days: Annotated[int, Field(ge=0, le=60)]
    best_day_fraction: Fraction | None  # of the total profit; None if the rule set has no such rule
    stops: InternalStops
    continues: tuple[Annotated[str, Field(pattern=r"^\d{4}-\d{2}\.\d+$")], ...] = ()

    def phase(self, name: str | None) -> FtmoPhase:
        """Return the phase with that name, or the first phase for None. Raises KeyError."""
        if name is None:
            return self.phases[0]
        return {phase.name: phase for phase in self.phases}[name]


_STOPS: Final = InternalStops(alert=Decimal("0.5"), block=Decimal("0.8"), flatten=Decimal("0.9"), midnight_minutes=30)
FTMO_2STEP: Final = FtmoRules(
    name="ftmo-2step",
    version="2026-11.2",
    time_zone="Europe/Prague",
    daily_loss_fraction=Decimal("0.05"),
    max_loss_fraction=Decimal("0.10"),
    max_loss_reference=LossReference.STATIC,
    phases=(
        FtmoPhase(name="challenge", profit_target_fraction=Decimal("0.10")),
        FtmoPhase(name="verification", profit_target_fraction=Decimal("0.05")),
    ),
    minimum_trading_days=4,
    best_day_fraction=None,
    stops=_STOPS,
    continues=("2026-11.1",),
)
FTMO_1STEP: Final = FtmoRules(
    name="ftmo-1step",
    version="2026-11.2",
    time_zone="Europe/Prague",
    daily_loss_fraction=Decimal("0.03"),
    max_loss_fraction=Decimal("0.10"),
    max_loss_reference=LossReference.TRAILING,
    phases=(FtmoPhase(name="challenge", profit_target_fraction=Decimal("0.10")),),
    minimum_trading_days=0,
    best_day_fraction=Decimal("0.5"),
    stops=_STOPS,
    continues=("2026-11.1",),
)
RULES: Final[Mapping[str, FtmoRules]] = MappingProxyType({rules.name: rules for rules in (FTMO_2STEP, FTMO_1STEP)})
