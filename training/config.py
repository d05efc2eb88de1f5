"""The configuration of a training run: one TOML file, strict: nothing unknown passes, nothing is assumed."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from training.errors import ConfigError
from training.splits import Period
from training.walk_forward import MIN_FOLDS

QUICK: Final = Path(__file__).parent / "configs" / "quick.toml"
BASE: Final = "base"  # the name of [xgboost] among the candidates
_Share = Annotated[float, Field(gt=0, lt=1)]
_Count = Annotated[int, Field(gt=0)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, strict=True)


class Periods(_Part):
    """Shares of the days."""

    train: _Share
    early_stopping: _Share
    calibration: _Share
    thresholds: _Share
    test: _Share

    @model_validator(mode="after")
    def _whole(self) -> Self:
        total = sum(self.shares.values())
        if abs(total - 1.0) > 1e-9:
            raise ValueError(f"expected shares that sum to 1, was {total:g}")
        return self

    @property
    def shares(self) -> dict[Period, float]:
        return {period: getattr(self, period.value) for period in Period}


class Coverage(_Part):
    """Shares of the threshold period's decisions that are issued, and of tier HIGH."""

    issue: _Share
    high: _Share

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.high > self.issue:
            raise ValueError("expected high <= issue")
        return self


class XgboostConfig(_Part):
    """One configuration of the trees."""

    members: _Count
    threads: _Count
    max_trees: _Count
    patience: _Count
    max_depth: Annotated[int, Field(gt=0, le=12)]
    eta: Annotated[float, Field(gt=0, le=1)]
    max_bin: Annotated[int, Field(ge=2)]
    min_child_weight: Annotated[float, Field(ge=0)]
    subsample: Annotated[float, Field(gt=0, le=1)]
    colsample_bytree: Annotated[float, Field(gt=0, le=1)]
    reg_lambda: Annotated[float, Field(ge=0)]

    @property
    def parameters(self) -> dict[str, Any]:
        """What XGBoost is given."""
        own = self.model_dump(exclude={"members", "threads", "max_trees", "patience"})
        fixed = {"objective": "binary:logistic", "eval_metric": "logloss", "tree_method": "hist", "verbosity": 0}
        return {**fixed, **own, "nthread": self.threads}


class Variant(_Part):
    """Another configuration to try: what differs from [xgboost]."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,30}$")]
    max_trees: _Count | None = None
    max_depth: Annotated[int, Field(gt=0, le=12)] | None = None
    eta: Annotated[float, Field(gt=0, le=1)] | None = None
    min_child_weight: Annotated[float, Field(ge=0)] | None = None
    subsample: Annotated[float, Field(gt=0, le=1)] | None = None
    colsample_bytree: Annotated[float, Field(gt=0, le=1)] | None = None
    reg_lambda: Annotated[float, Field(ge=0)] | None = None


class TrainConfig(_Part):
    """A whole run."""

    family: Literal["xgboost"]
    schema_name: Annotated[str, Field(alias="schema")]
    seed: Annotated[int, Field(ge=0)]
    folds: Annotated[int, Field(ge=0)]
    periods: Periods
    coverage: Coverage
    xgboost: XgboostConfig
    variants: Annotated[list[Variant], Field(max_length=4)] = []  # five configurations or fewer

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        if 0 < self.folds < MIN_FOLDS:
            raise ValueError(f"expected 0 or at least {MIN_FOLDS} folds, was {self.folds}")
        names = [BASE, *(variant.name for variant in self.variants)]
        if len(set(names)) != len(names):
            raise ValueError(f"expected variants of different names, none of them {BASE!r}")
        return self

    @property
    def candidates(self) -> dict[str, XgboostConfig]:
        """Every configuration that is tried, by name."""
        base = self.xgboost
        changes = {v.name: v.model_dump(exclude={"name"}, exclude_none=True) for v in self.variants}
        return {BASE: base, **{name: base.model_copy(update=change) for name, change in changes.items()}}


def read_config(path: Path, *, folds: int | None = None, seed: int | None = None) -> TrainConfig:
    """Return the configuration of a file, with the command line's own say. Raises ConfigError naming every fault."""
    try:
        told: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: expected TOML: {error}") from error
    told |= {key: value for key, value in (("folds", folds), ("seed", seed)) if value is not None}
    try:
        return TrainConfig.model_validate(told)
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, fault['loc'])) or path.name}: {fault['msg']}" for fault in error.errors())
        raise ConfigError(f"{path.name}: {faults}") from error
