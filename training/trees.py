"""The first family: small XGBoost ensembles, one member a seed, rows weighted by the uniqueness of their label."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import xgboost as xgb
from typing_extensions import override
from xgboost.callback import TrainingCallback

from training.config import XgboostConfig
from training.dataset import Dataset
from training.uniqueness import uniqueness_weights


class _Report(TrainingCallback):
    """Tells the share of trees done, of all members together."""

    def __init__(self, config: XgboostConfig, member: int, tell: Callable[[float], None]) -> None:
        super().__init__()
        self._config, self._member, self._tell = config, member, tell

    @override
    def after_iteration(self, model: xgb.Booster, epoch: int, evals_log: dict[str, Any]) -> bool:
        self._tell((self._member + (epoch + 1) / self._config.max_trees) / self._config.members)
        return False  # do not stop


def fit_members(
    config: XgboostConfig, train: Dataset, stopping: Dataset, seed: int, tell: Callable[[float], None] = lambda _: None
) -> list[xgb.Booster]:
    """Return boosters cut at their best tree, one for each seed derived from `seed`."""
    weights = uniqueness_weights(train)
    fitted = xgb.QuantileDMatrix(train.features, label=train.label, weight=weights, max_bin=config.max_bin)
    watched = xgb.QuantileDMatrix(stopping.features, label=stopping.label, ref=fitted, max_bin=config.max_bin)
    boosters = []
    for member in range(config.members):
        booster = xgb.train(
            {**config.parameters, "seed": seed * 1_000 + member},
            fitted,
            config.max_trees,
            evals=[(watched, "early_stopping")],
            early_stopping_rounds=config.patience,
            verbose_eval=False,
            callbacks=[_Report(config, member, tell)],
        )
        boosters.append(booster[: booster.best_iteration + 1])
        tell((member + 1) / config.members)
    return boosters
