"""RiskLimits: what an account may do, as one frozen model without defaults, and a versioned preset for each kind of account.

Fractions are of equity unless the name says otherwise: 0.05 is 5 %, 2 is twice the equity. A preset never changes; a new value
gets a new version, so that a recorded decision can be judged again.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from enum import StrEnum
from types import MappingProxyType
from typing import Annotated, Final, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, model_validator

Share: TypeAlias = Annotated[Decimal, Field(gt=0, le=1, allow_inf_nan=False)]
Leverage: TypeAlias = Annotated[Decimal, Field(gt=0, le=100, allow_inf_nan=False)]
Slippage: TypeAlias = Annotated[Decimal, Field(ge=0, lt=Decimal("0.5"), allow_inf_nan=False)]


class Funding(StrEnum):
    """How orders are paid for: CASH pays in full and never sells short; MARGIN needs a fraction of the notional."""

    CASH = "CASH"
    MARGIN = "MARGIN"


class AccountKind(StrEnum):
    """Kinds of account that have a preset."""

    PAPER = "paper"
    LIVE_SPOT = "live-spot"
    FTMO_2STEP = "ftmo-2step"
    FTMO_1STEP = "ftmo-1step"


class RiskLimits(BaseModel):
    """All limits of the pre-trade checks, bounded. An unknown field, a missing field or a float is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    version: Annotated[str, Field(pattern=r"^[a-z0-9-]{3,40}\.\d+$")]
    funding: Funding
    loss_floors_required: bool  # refuse new risk if the snapshot lacks the account's loss limits
    max_account_age_seconds: Annotated[int, Field(ge=1, le=600)]
    max_price_age_seconds: Annotated[int, Field(ge=1, le=900)]
    max_price_deviation_fraction: Share  # of the mark, for limit prices
    market_slippage_fraction: Slippage  # of the mark, in the direction that hurts a market order
    stop_slippage_fraction: Slippage  # of the stop price, beyond it
    worst_move_fraction: Share  # of the price; assumed loss of a position without a stop
    max_symbol_exposure_fraction: Leverage
    max_group_exposure_fraction: Leverage
    max_account_exposure_fraction: Leverage
    max_funding_use_fraction: Share  # of equity for margin, or of cash
    midnight_guard_minutes: Annotated[int, Field(ge=0, le=1500)]  # loss floors that begin within this time count already
    throttle_window_seconds: Annotated[int, Field(ge=1, le=3600)]
    max_orders_per_window: Annotated[int, Field(ge=1, le=10_000)]
    reserved_for_reducing: Annotated[int, Field(ge=1, le=10_000)]  # additional orders per window, for reduce-only orders

    @model_validator(mode="after")
    def _symbol_within_group_within_account(self) -> RiskLimits:
        if not self.max_symbol_exposure_fraction <= self.max_group_exposure_fraction <= self.max_account_exposure_fraction:
            raise ValueError("exposure limits must be ordered: symbol <= group <= account")
        return self


_COMMON: Final[Mapping[str, object]] = MappingProxyType(
    {
        "max_account_age_seconds": 60,
        "max_price_age_seconds": 180,
        "max_price_deviation_fraction": Decimal("0.05"),
        "market_slippage_fraction": Decimal("0.002"),
        "stop_slippage_fraction": Decimal("0.005"),
        "worst_move_fraction": Decimal("0.10"),
        "max_funding_use_fraction": Decimal("0.9"),
        "throttle_window_seconds": 60,
        "max_orders_per_window": 20,
        "reserved_for_reducing": 20,
    }
)
_FTMO: Final[Mapping[str, object]] = MappingProxyType(
    {
        **_COMMON,
        "funding": Funding.MARGIN,
        "loss_floors_required": True,
        "max_symbol_exposure_fraction": Decimal(1),
        "max_group_exposure_fraction": Decimal("1.5"),
        "max_account_exposure_fraction": Decimal(2),
        "midnight_guard_minutes": 90,  # a little more than a signal's horizon of 60 minutes
    }
)
PRESETS: Final[Mapping[AccountKind, RiskLimits]] = MappingProxyType(
    {
        AccountKind.PAPER: RiskLimits.model_validate(
            {
                **_COMMON,
                "version": "paper.1",
                "funding": Funding.MARGIN,
                "loss_floors_required": False,
                "max_symbol_exposure_fraction": Decimal("0.5"),
                "max_group_exposure_fraction": Decimal(1),
                "max_account_exposure_fraction": Decimal(1),
                "midnight_guard_minutes": 0,
            }
        ),
        AccountKind.LIVE_SPOT: RiskLimits.model_validate(
            {
                **_COMMON,
                "version": "live-spot.1",
                "funding": Funding.CASH,
                "loss_floors_required": False,
                "max_symbol_exposure_fraction": Decimal("0.25"),
                "max_group_exposure_fraction": Decimal("0.5"),
                "max_account_exposure_fraction": Decimal("0.5"),
                "midnight_guard_minutes": 0,
            }
        ),
        AccountKind.FTMO_2STEP: RiskLimits.model_validate({**_FTMO, "version": "ftmo-2step.1"}),
        AccountKind.FTMO_1STEP: RiskLimits.model_validate({**_FTMO, "version": "ftmo-1step.1"}),
    }
)
