"""Configuration of a training run: one strict TOML file. An unknown key is refused, and so is a missing required one."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from signalbox.inference.manifest import MAX_WINDOW_BARS
from signalbox.labels import LabelKind, SignalContract, UnknownContractError, contract_named
from signalbox.market.candles import MINUTE_MS
from training.data.splits import Span, SplitName, split_chronologically
from training.data.walk_forward import MIN_CALIBRATION_DAYS, MIN_FOLDS, FreshTail, WalkForward
from training.errors import ConfigError

QUICK: Final = Path(__file__).parent / "configs" / "quick.toml"
STANDARD: Final = QUICK.with_name("standard.toml")
BASE: Final = "base"  # the name of [xgboost] among the candidates
_Share = Annotated[float, Field(gt=0, lt=1)]
_Count = Annotated[int, Field(gt=0)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, strict=True)


class Periods(_Part):
    """Shares of the days, one for each period; they sum to 1."""

    train: _Share
    early_stopping: _Share
    calibration: _Share
    thresholds: _Share
    test: _Share

    @model_validator(mode="after")
    def _whole(self) -> Self:
        total = sum(self.shares.values())
        if abs(total - 1.0) > 1e-9:
            raise ValueError(f"expected period shares that sum to 1, but they sum to {total:g}")
        return self

    @property
    def shares(self) -> dict[SplitName, float]:
        return {period: getattr(self, period.value) for period in SplitName}


class CoverageConfig(_Part):
    """Shares of the threshold period's decisions: those that are issued as signals, and those of tier HIGH."""

    issue: _Share
    high: _Share

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.high > self.issue:
            raise ValueError(f"expected high <= issue, got high {self.high:g} and issue {self.issue:g}")
        return self


class Weights(_Part):
    """Settings for learning the weights of the model families."""

    shrinkage: Annotated[float, Field(ge=0, le=1)]  # pulls the learnt weights towards equal ones; 1 makes them equal


class XgboostConfig(_Part):
    """One configuration of the gradient-boosted trees."""

    members: _Count
    threads: _Count
    max_trees: _Count
    patience: Annotated[int, Field(ge=0)]  # stop after so many trees without a better loss; 0: always fit all max_trees
    stride: _Count = 1  # member k fits every stride-th decision from the k-th on: neighbours share most of a long horizon
    max_depth: Annotated[int, Field(gt=0, le=12)]
    eta: Annotated[float, Field(gt=0, le=1)]
    max_bin: Annotated[int, Field(ge=2)]
    min_child_weight: Annotated[float, Field(ge=0)]
    subsample: Annotated[float, Field(gt=0, le=1)]
    colsample_bytree: Annotated[float, Field(gt=0, le=1)]
    reg_lambda: Annotated[float, Field(ge=0)]

    def parameters(self, label: LabelKind) -> dict[str, Any]:
        """Return the parameters that are passed to XGBoost for a kind of label."""
        own = self.model_dump(exclude={"members", "threads", "max_trees", "patience", "stride"})
        goal: dict[str, Any] = {"objective": "binary:logistic", "eval_metric": "logloss"}
        if label is LabelKind.SCALED_RETURN:  # a base score of 0: the mean return of the past is no forecast
            goal = {"objective": "reg:squarederror", "eval_metric": "rmse", "base_score": 0.0}
        return {**goal, "tree_method": "hist", "verbosity": 0, **own, "nthread": self.threads}


class NeuralConfig(_Part):
    """Settings of either neural network. It sees the newest `window_bars` rows; the last is the decision's own."""

    members: _Count
    threads: _Count  # on a CPU the model depends on it, because it changes the order of floating-point sums
    window_bars: Annotated[int, Field(ge=2, le=MAX_WINDOW_BARS)]
    epochs: _Count  # maximum
    patience: _Count  # stop after this many epochs without a better log loss on the early-stopping period
    stride: _Count  # an epoch uses every stride-th decision of a symbol; the next epoch uses the ones that follow them
    batch: _Count
    learning_rate: Annotated[float, Field(gt=0, lt=1)]  # the peak: the rate rises from 0 and then falls along a cosine
    warm_up: Annotated[float, Field(ge=0, lt=1)]  # share of all steps in which the learning rate rises
    weight_decay: Annotated[float, Field(ge=0)]
    clip_norm: Annotated[float, Field(gt=0)]  # largest gradient norm; a larger gradient is scaled down
    dropout: Annotated[float, Field(ge=0, lt=1)]
    precision: Literal["auto", "fp32", "tf32", "bf16", "fp16"]  # on a GPU; a CPU always uses fp32. auto: the fastest


class LstmConfig(NeuralConfig):
    """A recurrent network over the window. Bidirectional: it reads the window both ways, never beyond its last bar."""

    hidden: _Count
    layers: _Count
    bidirectional: bool


class TransformerConfig(NeuralConfig):
    """A Transformer encoder that reads the window in patches of `patch_bars` bars."""

    d_model: _Count
    heads: _Count
    layers: _Count
    patch_bars: _Count

    @model_validator(mode="after")
    def _divides(self) -> Self:
        if self.window_bars % self.patch_bars:
            raise ValueError(f"expected window_bars to be a multiple of patch_bars, got {self.window_bars} and {self.patch_bars}")
        if self.d_model % self.heads:
            raise ValueError(f"expected d_model to be a multiple of heads, got {self.d_model} and {self.heads}")
        return self


class Refit(_Part):
    """Judge by the walk-forward alone, then fit the bundle on everything until so many days before the end.

    A model is calibrated on `calibration_days` and its thresholds are set on the `thresholds_days` after them, in every fold and
    in the bundle, so that each fold is deployed as freshly as the bundle will be.
    """

    calibration_days: Annotated[int, Field(ge=MIN_CALIBRATION_DAYS)]
    thresholds_days: Annotated[int, Field(ge=7)]

    @property
    def tail(self) -> FreshTail:
        return FreshTail(self.calibration_days, self.thresholds_days)


class Variant(_Part):
    """One more configuration to try: the values that replace those of [xgboost]."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,30}$")]
    max_trees: _Count | None = None
    max_depth: Annotated[int, Field(gt=0, le=12)] | None = None
    eta: Annotated[float, Field(gt=0, le=1)] | None = None
    min_child_weight: Annotated[float, Field(ge=0)] | None = None
    subsample: Annotated[float, Field(gt=0, le=1)] | None = None
    colsample_bytree: Annotated[float, Field(gt=0, le=1)] | None = None
    reg_lambda: Annotated[float, Field(ge=0)] | None = None


class TrainConfig(_Part):
    """The configuration of a whole run."""

    families: Annotated[list[Literal["xgboost", "lstm", "transformer"]], Field(min_length=1)]
    schema_name: Annotated[str, Field(alias="schema")]
    contract_name: Annotated[str, Field(alias="contract", pattern=r"^[a-z][a-z0-9]{0,15}(@[1-9][0-9]{0,3})?$")] = "dir60"
    seed: Annotated[int, Field(ge=0)]
    folds: Annotated[int, Field(ge=0)]
    fold_families: list[Literal["xgboost", "lstm", "transformer"]] | None = None  # None: all families, which gate G6 needs
    periods: Periods | None = None  # of the one fit that is judged on its own test period
    refit: Refit | None = None  # instead of periods
    coverage: CoverageConfig
    weights: Weights
    xgboost: XgboostConfig | None = None
    lstm: LstmConfig | None = None
    transformer: TransformerConfig | None = None
    variants: Annotated[list[Variant], Field(max_length=4)] = []  # with [xgboost] itself, at most five configurations

    @model_validator(mode="after")
    def _fits_the_contract(self) -> Self:
        try:
            contract = self.contract
        except UnknownContractError as error:
            raise ValueError(f"contract: {error}") from error
        if contract.label is not LabelKind.DIRECTION and self.families != ["xgboost"]:
            raise ValueError(
                f"families: expected xgboost alone for contract {contract.title}, got {', '.join(self.families)}: "
                "networks are fitted to directions only"
            )
        return self

    @property
    def contract(self) -> SignalContract:
        """The contract that the run is for. Raises UnknownContractError."""
        name, _, version = self.contract_name.partition("@")
        return contract_named(name, int(version) if version else None)

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        if 0 < self.folds < MIN_FOLDS:
            raise ValueError(f"folds: expected 0 or at least {MIN_FOLDS}, got {self.folds}")
        if len(set(self.families)) != len(self.families):
            raise ValueError(f"families: expected each family once, got {', '.join(self.families)}")
        for family in self.families:
            if getattr(self, family) is None:
                raise ValueError(f"no section [{family}]: families names it, so the file must have it")
        if unknown := sorted(set(self.folded) - set(self.families)):
            raise ValueError(f"fold_families: {', '.join(unknown)} must also be in families")
        if not self.folded:
            raise ValueError("fold_families is empty: name at least one family, or set folds = 0")
        self._require_one_judgement()
        if self.variants and "xgboost" not in self.families:
            raise ValueError("variants change [xgboost]: add xgboost to families, or remove the variants")
        names = [BASE, *(variant.name for variant in self.variants)]
        if len(set(names)) != len(names):
            raise ValueError(f"variants: each name must be unique and must not be {BASE!r}")
        return self

    def _require_one_judgement(self) -> None:
        if (self.periods is None) == (self.refit is None):
            raise ValueError("expected either [periods] (judged on a test period) or [refit] (judged by the walk-forward)")
        if self.refit is None:
            return
        if not self.folds or not self.folds_are_whole:
            raise ValueError(
                f"refit: the walk-forward is the judgement; expected folds of at least {MIN_FOLDS} with all families"
            )
        if self.families != ["xgboost"] or self.xgboost is None or self.xgboost.patience or self.variants:
            raise ValueError(
                "refit: no period is left to stop or choose on; expected families = ['xgboost'], patience = 0 and no variants"
            )

    @property
    def candidates(self) -> dict[str, XgboostConfig | None]:
        """Every configuration to try, by name, with the settings of its trees; None if the run has no trees."""
        base = self.xgboost if "xgboost" in self.families else None
        if base is None:
            return {BASE: None}
        changes = {v.name: v.model_dump(exclude={"name"}, exclude_none=True) for v in self.variants}
        return {BASE: base, **{name: base.model_copy(update=change) for name, change in changes.items()}}

    @property
    def neural(self) -> dict[Literal["lstm", "transformer"], LstmConfig | TransformerConfig]:
        """The neural networks to fit, by family."""
        found: dict[Literal["lstm", "transformer"], LstmConfig | TransformerConfig] = {}
        if self.lstm is not None and "lstm" in self.families:
            found["lstm"] = self.lstm
        if self.transformer is not None and "transformer" in self.families:
            found["transformer"] = self.transformer
        return found

    @property
    def folded(self) -> list[Literal["xgboost", "lstm", "transformer"]]:
        """The families that the walk-forward folds fit."""
        return self.families if self.fold_families is None else self.fold_families

    @property
    def folds_are_whole(self) -> bool:
        """Whether the folds fit every family. Only then do they evaluate the same recipe as the run itself."""
        return set(self.folded) == set(self.families)

    @property
    def walk_forward(self) -> WalkForward:
        """The walk-forward's folds. Raises TrainingError if the configuration has none."""
        return WalkForward(self.folds, None if self.refit is None else self.refit.tail, self.purge_ms)

    @property
    def purge_ms(self) -> int:
        """Milliseconds from a decision until its outcome is known."""
        return self.contract.window_minutes * MINUTE_MS

    def spans(self, decided_at_ms: NDArray[np.int64]) -> dict[SplitName, Span]:
        """Return the periods of the bundle's own fit. With `refit` they reach the end of the data, and none is a test period.

        Raises MarketDataError if the data is too short for them.
        """
        if self.refit is not None:
            return self.refit.tail.newest(decided_at_ms, self.purge_ms)
        if self.periods is None:  # the validator refuses that
            raise ConfigError("expected periods or refit in the configuration")
        return split_chronologically(decided_at_ms, self.periods.shares, self.purge_ms)

    @property
    def for_folds(self) -> TrainConfig:
        """The configuration that each fold fits."""
        return self.model_copy(update={"families": [family for family in self.families if family in self.folded]})

    @property
    def window_bars(self) -> int:
        """The longest window of any family in bars; 1 if every family needs only the decision's own row."""
        return max((network.window_bars for network in self.neural.values()), default=1)


def read_config(
    path: Path, *, folds: int | None = None, seed: int | None = None, families: Sequence[str] | None = None
) -> TrainConfig:
    """Return the configuration of a file, with the command line's overrides. Raises ConfigError that names every fault."""
    try:
        values: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: is not valid TOML: {error}") from error
    asked = {"folds": folds, "seed": seed, "families": None if families is None else list(families)}
    values |= {key: value for key, value in asked.items() if value is not None}
    try:
        return TrainConfig.model_validate(values)
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, fault['loc'])) or path.name}: {fault['msg']}" for fault in error.errors())
        raise ConfigError(f"{path.name}: {faults}") from error
