"""The configuration of a training run: one TOML file, strict: nothing unknown passes, nothing is assumed."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from signalbox.inference.manifest import MAX_WINDOW_BARS
from training.data.splits import SplitName
from training.data.walk_forward import MIN_FOLDS
from training.errors import ConfigError

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
    def shares(self) -> dict[SplitName, float]:
        return {period: getattr(self, period.value) for period in SplitName}


class CoverageConfig(_Part):
    """Shares of the threshold period's decisions that are issued, and of tier HIGH."""

    issue: _Share
    high: _Share

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.high > self.issue:
            raise ValueError("expected high <= issue")
        return self


class Weights(_Part):
    """How the families' weights are learnt."""

    shrinkage: Annotated[float, Field(ge=0, le=1)]  # of the learnt weights towards equal ones


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


class NeuralConfig(_Part):
    """What both families of neural networks are told. They look at the newest `window_bars` rows, the decision's last."""

    members: _Count
    threads: _Count  # on a CPU: the order of floating-point sums, and so the model, depends on it
    window_bars: Annotated[int, Field(ge=2, le=MAX_WINDOW_BARS)]
    epochs: _Count  # at most
    patience: _Count  # epochs without a better log loss on the early-stopping period
    stride: _Count  # an epoch takes each stride-th decision of a symbol, the next epoch the ones after them
    batch: _Count
    learning_rate: Annotated[float, Field(gt=0, lt=1)]  # at its highest; rises from 0, then falls as a cosine
    warm_up: Annotated[float, Field(ge=0, lt=1)]  # share of all steps
    weight_decay: Annotated[float, Field(ge=0)]
    clip_norm: Annotated[float, Field(gt=0)]  # of the gradient
    dropout: Annotated[float, Field(ge=0, lt=1)]
    precision: Literal["auto", "fp32", "tf32", "bf16", "fp16"]  # of a GPU; a CPU always computes in fp32. auto: what is fastest


class LstmConfig(NeuralConfig):
    """A recurrent network over the window; bidirectional means both ways over the past, never beyond it."""

    hidden: _Count
    layers: _Count
    bidirectional: bool


class TransformerConfig(NeuralConfig):
    """A Transformer encoder over patches of the window."""

    d_model: _Count
    heads: _Count
    layers: _Count
    patch_bars: _Count

    @model_validator(mode="after")
    def _divides(self) -> Self:
        if self.window_bars % self.patch_bars:
            raise ValueError(f"expected window_bars to be a multiple of patch_bars, was {self.window_bars} and {self.patch_bars}")
        if self.d_model % self.heads:
            raise ValueError(f"expected d_model to be a multiple of heads, was {self.d_model} and {self.heads}")
        return self


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

    families: Annotated[list[Literal["xgboost", "lstm", "transformer"]], Field(min_length=1)]
    schema_name: Annotated[str, Field(alias="schema")]
    seed: Annotated[int, Field(ge=0)]
    folds: Annotated[int, Field(ge=0)]
    fold_families: list[Literal["xgboost", "lstm", "transformer"]] | None = None  # None: all, so that G6 can be judged
    periods: Periods
    coverage: CoverageConfig
    weights: Weights
    xgboost: XgboostConfig | None = None
    lstm: LstmConfig | None = None
    transformer: TransformerConfig | None = None
    variants: Annotated[list[Variant], Field(max_length=4)] = []  # five configurations or fewer

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        if 0 < self.folds < MIN_FOLDS:
            raise ValueError(f"expected 0 or at least {MIN_FOLDS} folds, was {self.folds}")
        if len(set(self.families)) != len(self.families):
            raise ValueError(f"expected families of different names, was {', '.join(self.families)}")
        for family in self.families:
            if getattr(self, family) is None:
                raise ValueError(f"expected a section [{family}], as families names it")
        if unknown := sorted(set(self.folded) - set(self.families)):
            raise ValueError(f"expected fold_families to be among families, was {', '.join(unknown)}")
        if not self.folded:
            raise ValueError("expected fold_families to name a family, or folds = 0")
        if self.variants and "xgboost" not in self.families:
            raise ValueError("expected no variants where xgboost is not among families")
        names = [BASE, *(variant.name for variant in self.variants)]
        if len(set(names)) != len(names):
            raise ValueError(f"expected variants of different names, none of them {BASE!r}")
        return self

    @property
    def candidates(self) -> dict[str, XgboostConfig | None]:
        """Every configuration that is tried, by name: what its trees are like; None where there are no trees."""
        base = self.xgboost if "xgboost" in self.families else None
        if base is None:
            return {BASE: None}
        changes = {v.name: v.model_dump(exclude={"name"}, exclude_none=True) for v in self.variants}
        return {BASE: base, **{name: base.model_copy(update=change) for name, change in changes.items()}}

    @property
    def neural(self) -> dict[Literal["lstm", "transformer"], LstmConfig | TransformerConfig]:
        """The networks to fit."""
        found: dict[Literal["lstm", "transformer"], LstmConfig | TransformerConfig] = {}
        if self.lstm is not None and "lstm" in self.families:
            found["lstm"] = self.lstm
        if self.transformer is not None and "transformer" in self.families:
            found["transformer"] = self.transformer
        return found

    @property
    def folded(self) -> list[Literal["xgboost", "lstm", "transformer"]]:
        """The families of the walk-forward."""
        return self.families if self.fold_families is None else self.fold_families

    @property
    def folds_are_whole(self) -> bool:
        """The walk-forward fits every family: it is of the recipe that is judged."""
        return set(self.folded) == set(self.families)

    @property
    def for_folds(self) -> TrainConfig:
        """What each fold fits."""
        return self.model_copy(update={"families": [family for family in self.families if family in self.folded]})

    @property
    def window_bars(self) -> int:
        """The longest window of a family; 1 where rows will do."""
        return max((network.window_bars for network in self.neural.values()), default=1)


def read_config(
    path: Path, *, folds: int | None = None, seed: int | None = None, families: Sequence[str] | None = None
) -> TrainConfig:
    """Return the configuration of a file, with the command line's own say. Raises ConfigError naming every fault."""
    try:
        values: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: expected TOML: {error}") from error
    asked = {"folds": folds, "seed": seed, "families": None if families is None else list(families)}
    values |= {key: value for key, value in asked.items() if value is not None}
    try:
        return TrainConfig.model_validate(values)
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, fault['loc'])) or path.name}: {fault['msg']}" for fault in error.errors())
        raise ConfigError(f"{path.name}: {faults}") from error
