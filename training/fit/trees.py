"""The family `xgboost`: a small ensemble with one member per seed. Rows are weighted by the uniqueness of their label."""

from __future__ import annotations

import json
import time
import warnings
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import xgboost as xgb
from numpy.typing import NDArray
from typing_extensions import override
from xgboost.callback import TrainingCallback

from signalbox.labels import LabelKind
from signalbox.market.candles import MINUTE_MS
from training.config import XgboostConfig
from training.data.dataset import DECISION_MINUTES, Dataset
from training.fit.export import booster_to_onnx
from training.fit.members import FamilyName, Fit, FitSpeed, Logits, Making, OnProgress
from training.fit.uniqueness import uniqueness_weights


@dataclass(frozen=True, slots=True, eq=False)
class TreeMember:
    """A booster, cut after its best tree, or whole if its number of trees is fixed."""

    booster: xgb.Booster
    family: FamilyName = "xgboost"
    window_bars: None = None
    output: Literal["probability_pair", "logit", "score"] = "probability_pair"

    @property
    def facts(self) -> dict[str, Any]:
        return {"family": self.family, "trees": self.booster.num_boosted_rounds()}

    def logits(self, data: Dataset) -> Logits:
        return self.logits_of(data.features)

    def logits_of(self, given: NDArray[np.float32]) -> Logits:
        margins: Logits = self.booster.predict(xgb.DMatrix(given), output_margin=True).astype(np.float64)
        return margins

    def to_onnx(self, name: str) -> bytes:
        return booster_to_onnx(self.booster, self.booster.num_features(), name, self.output)


@dataclass(frozen=True, slots=True)
class TreeFamily:
    """Small gradient-boosted trees that see only the decision's own row."""

    config: XgboostConfig

    def fit(self, train: Dataset, stopping: Dataset, making: Making) -> Fit:
        """Return boosters, one per seed derived from the run's seed; with patience, cut after their best tree."""
        config, device = self.config, "cuda" if cuda_is_usable() else "cpu"
        began = time.perf_counter()
        label = train.contract.label
        parameters = config.parameters(label)
        loss = str(parameters["eval_metric"])
        members, grown, samples, computed_on = [], 0, 0, device
        phases = range(min(config.stride, config.members))
        rows = [_rows(_every(train, config.stride, phase), stopping, config) for phase in phases]
        for number in range(config.members):
            making.detail(f"xgboost {number + 1} of {config.members}")
            own, fitted, watched = rows[number % config.stride]
            history: dict[str, dict[str, list[float]]] = {}
            booster = xgb.train(
                {**parameters, "seed": making.seed * 1_000 + number, "device": device},
                fitted,
                config.max_trees,
                evals=[(watched, "early_stopping")],
                early_stopping_rounds=config.patience or None,
                evals_result=history,
                verbose_eval=False,
                callbacks=[_Report(config, number, making.on_progress)],
            )
            grown += booster.num_boosted_rounds()
            samples += booster.num_boosted_rounds() * len(own)
            computed_on = trained_on(booster)
            booster.set_param({"device": "cpu"})  # scores and exports are then the same on every machine
            losses = history["early_stopping"][loss]
            last = int(booster.best_iteration) if config.patience else len(losses) - 1
            output: Literal["probability_pair", "score"] = "probability_pair" if label is LabelKind.DIRECTION else "score"
            members.append(TreeMember(booster[: last + 1], output=output))
            making.on_epoch(f"{making.place}/xgboost-{number}", last, {"stopping_loss": float(losses[last])})
            making.on_progress((number + 1) / config.members)
        seconds = time.perf_counter() - began
        return Fit(members, FitSpeed("xgboost", computed_on, "fp32", config.members, grown, samples, seconds))


def _rows(own: Dataset, stopping: Dataset, config: XgboostConfig) -> tuple[Dataset, xgb.QuantileDMatrix, xgb.QuantileDMatrix]:
    """Return the rows to fit, binned, and those of the early-stopping period in the same bins."""
    weights = uniqueness_weights(own)
    fitted = xgb.QuantileDMatrix(own.features, label=own.target, weight=weights, max_bin=config.max_bin)
    return own, fitted, xgb.QuantileDMatrix(stopping.features, label=stopping.target, ref=fitted, max_bin=config.max_bin)


def _every(data: Dataset, stride: int, member: int) -> Dataset:
    """Return every stride-th decision time of all symbols, from the member-th on; all with a stride of 1."""
    if stride == 1:
        return data
    return data.select(data.decided_at_ms // (DECISION_MINUTES * MINUTE_MS) % stride == member % stride)


def cuda_is_usable() -> bool:
    """Return whether XGBoost was built for CUDA and finds a device; never with `xgboost-cpu`."""
    if not xgb.build_info().get("USE_CUDA"):
        return False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # without a device XGBoost warns and uses the CPU, so accepting "cuda" proves nothing
        try:
            tried = xgb.train(
                {"device": "cuda", "tree_method": "hist"}, xgb.QuantileDMatrix(np.zeros((2, 1)), label=np.zeros(2)), 1
            )
        except xgb.core.XGBoostError:
            return False
    return trained_on(tried).startswith("cuda")


def trained_on(booster: xgb.Booster) -> str:
    """Return the device that a booster reports, such as "cpu" or "cuda:0"."""
    device: str = json.loads(booster.save_config())["learner"]["generic_param"]["device"]
    return device


class _Report(TrainingCallback):
    """Reports the share of trees that are done, over all members."""

    def __init__(self, config: XgboostConfig, member: int, on_progress: OnProgress) -> None:
        super().__init__()
        self._config, self._member, self._on_progress = config, member, on_progress

    @override
    def after_iteration(self, model: xgb.Booster, epoch: int, evals_log: dict[str, Any]) -> bool:
        self._on_progress((self._member + (epoch + 1) / self._config.max_trees) / self._config.members)
        return False  # do not stop
