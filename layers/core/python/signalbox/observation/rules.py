"""The rules of one observation: what is watched, for how long, and each criterion with its limit.

The document is hashed before the observation starts, and its id is the beginning of that hash. So nobody changes a limit
afterwards: another document is another observation. No field has a default, because what is not written cannot be held to.
"""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, model_validator

from signalbox.inference.manifest import Gate, Sha256
from signalbox.market.clock import CYCLE, cycle_of
from signalbox.observation.errors import ObservationRulesError

MAX_RULES_BYTES: Final = 16_384
ID_LENGTH: Final = 16
MAX_DAYS: Final = 92
STARTS_WITHIN: Final = timedelta(days=30)

Share = Annotated[float, Field(ge=0, le=1)]
Probability = Annotated[float, Field(gt=0, lt=1)]


def _on_a_cycle(instant: datetime) -> datetime:
    if instant != cycle_of(instant):
        raise ValueError(f"expected a five-minute boundary, got {instant.isoformat()}")
    return instant.astimezone(UTC)  # one instant, one id, and what is printed as UTC is UTC


class _RulesPart(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class ObservedModel(_RulesPart):
    """What is watched: one deployment, and the bundle that it has to be."""

    deployment: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
    bundle_sha256: Sha256
    symbols: Annotated[tuple[Annotated[str, Field(pattern=r"^[A-Z0-9]{1,20}-[A-Z0-9]{1,20}$")], ...], Field(min_length=1)]
    horizon_minutes: Annotated[int, Field(gt=0, le=10_080)]
    evaluated_share: Annotated[float, Field(gt=0, le=1)]  # of decisions that its evaluation issued

    @model_validator(mode="after")
    def _each_symbol_once(self) -> Self:
        if len(set(self.symbols)) != len(self.symbols):
            raise ValueError("expected each symbol once")
        return self


class GateClaim(_RulesPart):
    """What the evaluation claims, and the tests of it. A precision is a share of settled clusters that were right.

    precision: what the gate promises. null_precision: a model without skill. alpha: the risk of GO for such a model, and of NO-GO
    by the evidence against the claim for one that keeps it. beta: the risk of NO-GO for a model at `precision`.
    """

    gate: Gate
    precision: Probability
    null_precision: Probability
    alpha: Annotated[float, Field(gt=0, le=0.2)]
    beta: Annotated[float, Field(gt=0, le=0.5)]
    minimum_clusters: Annotated[int, Field(ge=10, le=10_000)]

    @model_validator(mode="after")
    def _claim_is_above_the_null(self) -> Self:
        if self.null_precision >= self.precision:
            raise ValueError(f"expected null_precision < precision, got {self.null_precision} and {self.precision}")
        return self


class OperationLimits(_RulesPart):
    """What must hold whatever the market does. A breach ends in NO-GO at once.

    decided_share: least share of slots (a symbol in a cycle) with a decision in time. rate_factor: the share of signals may be
    from 1 / rate_factor to rate_factor of the evaluated one. parity: largest difference between a recorded probability and the
    same graph run again. stale_decisions: decisions on a price that was not of their own minute.
    """

    decided_share: Share
    rate_factor: Annotated[float, Field(gt=1, le=10)]
    parity: Annotated[float, Field(gt=0, le=0.01)]
    stale_decisions: Annotated[int, Field(ge=0, le=1_000)]
    feature_mismatches: Annotated[int, Field(ge=0, le=1_000)]


class MoneyLimits(_RulesPart):
    """What the model's expectancy assumes. cost_bps: of one fill, slippage and fee, in basis points of its value.

    cost_factor: the measured cost of the paper fills may be up to so many times the assumed one. minimum_fills: fewer prove
    nothing.
    minimum_expectancy_bps: NO-GO if the whole 95 % interval of a signal's expectancy after costs is below.
    """

    cost_bps: Annotated[float, Field(gt=0, le=1_000)]
    cost_factor: Annotated[float, Field(ge=1, le=10)]
    minimum_fills: Annotated[int, Field(ge=1, le=100_000)]
    minimum_expectancy_bps: Annotated[float, Field(ge=-1_000, le=1_000)]


class ObservationRules(_RulesPart):
    """The whole document. days: how long it takes at least. last_days: from then on missing evidence is NO-GO, not EXTEND."""

    format: Literal[1]
    model: ObservedModel
    starts_at: Annotated[AwareDatetime, AfterValidator(_on_a_cycle)]
    days: Annotated[int, Field(ge=1, le=MAX_DAYS)]
    last_days: Annotated[int, Field(ge=1, le=MAX_DAYS)]
    claim: GateClaim
    operation: OperationLimits
    money: MoneyLimits

    @model_validator(mode="after")
    def _ends_after_it_may_be_judged(self) -> Self:
        if self.last_days < self.days:
            raise ValueError(f"expected last_days of at least days, got {self.last_days} and {self.days}")
        return self

    @property
    def text(self) -> str:
        """The document as it is hashed and stored: JSON with sorted keys and without spaces."""
        return json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"), allow_nan=False)

    @property
    def sha256(self) -> str:
        """The hash of `text`."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def observation(self) -> str:
        """The id of the observation: the beginning of the hash."""
        return self.sha256[:ID_LENGTH]

    @property
    def ends_at(self) -> datetime:
        """When the observation has taken its days."""
        return self.starts_at + timedelta(days=self.days)

    @property
    def last_at(self) -> datetime:
        """When an observation without a verdict has failed."""
        return self.starts_at + timedelta(days=self.last_days)

    @property
    def horizon(self) -> timedelta:
        """From a decision to its outcome."""
        return timedelta(minutes=self.model.horizon_minutes)

    def slots(self, until: datetime) -> int:
        """Return how many decisions are due from the start to `until`: one a symbol and cycle."""
        return max((min(until, self.last_at) - self.starts_at) // CYCLE, 0) * len(self.model.symbols)

    def require_ahead(self, now: datetime) -> None:
        """Raise ObservationRulesError unless the observation begins after `now`: rules are fixed before what they judge."""
        if not now <= self.starts_at <= now + STARTS_WITHIN:
            raise ObservationRulesError(
                f"starts_at: expected from {now.isoformat(timespec='seconds')} to {STARTS_WITHIN.days} days later, got"
                f" {self.starts_at.isoformat()}; rules are fixed before the observation begins"
            )


def parse_rules(content: str | bytes) -> ObservationRules:
    """Return the rules of a JSON document. Raises ObservationRulesError that names each wrong field."""
    if len(content) > MAX_RULES_BYTES:
        raise ObservationRulesError(f"expected rules of at most {MAX_RULES_BYTES} bytes, got {len(content)}")
    try:
        return ObservationRules.model_validate_json(content)
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'rules'}: {e['msg']}" for e in error.errors()[:5])
        raise ObservationRulesError(f"the rules are not valid: {wrong}") from error


def preset(model: ObservedModel, starts_at: datetime, *, days: int, last_days: int) -> ObservationRules:
    """Return the rules that are used unless an operator writes others; docs/observation.md says where each limit comes from."""
    return ObservationRules(
        format=1,
        model=model,
        starts_at=starts_at,
        days=days,
        last_days=last_days,
        claim=GateClaim(gate=Gate.G1, precision=0.68, null_precision=0.55, alpha=0.05, beta=0.10, minimum_clusters=20),
        operation=OperationLimits(decided_share=0.995, rate_factor=2.0, parity=1e-5, stale_decisions=0, feature_mismatches=0),
        money=MoneyLimits(cost_bps=3.25, cost_factor=1.5, minimum_fills=20, minimum_expectancy_bps=0.0),
    )


def changed_from_preset(rules: ObservationRules) -> tuple[str, ...]:
    """Return the limits that are not the preset's, each with both values. Other rules are allowed; reports name them."""
    usual = preset(rules.model, rules.starts_at, days=rules.days, last_days=rules.last_days).model_dump(mode="json")
    own = rules.model_dump(mode="json")
    return tuple(
        f"{part}.{name} {value} instead of {usual[part][name]}"
        for part in ("claim", "operation", "money")
        for name, value in own[part].items()
        if value != usual[part][name]
    )
