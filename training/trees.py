"""The first family: small XGBoost ensembles, one member a seed. The configuration is fixed; nothing is searched."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import xgboost as xgb
from typing_extensions import override
from xgboost.callback import TrainingCallback

from training.dataset import Dataset
from training.uniqueness import uniqueness_weights

MEMBERS: Final = 3  # three seeds averaged are worth more than new columns
THREADS: Final = 2  # fixed: the order of floating-point sums, and so the model, depends on it
MAX_TREES: Final = 300
PATIENCE: Final = 40  # trees without a better log loss on the early-stopping period
PARAMETERS: Final[dict[str, Any]] = {
    "objective": "binary:logistic",
    "eval_metric": "logloss",
    "tree_method": "hist",
    "max_depth": 4,
    "eta": 0.04,
    "max_bin": 128,
    "min_child_weight": 300,
    "subsample": 0.6,
    "colsample_bytree": 0.6,
    "lambda": 10.0,
    "nthread": THREADS,
    "verbosity": 0,
}


class _Report(TrainingCallback):
    """Tells the share of trees done, of all members together."""

    def __init__(self, member: int, tell: Callable[[float], None]) -> None:
        super().__init__()
        self._member, self._tell = member, tell

    @override
    def after_iteration(self, model: xgb.Booster, epoch: int, evals_log: dict[str, Any]) -> bool:
        self._tell((self._member + (epoch + 1) / MAX_TREES) / MEMBERS)
        return False  # do not stop


def fit_members(train: Dataset, stopping: Dataset, seed: int, tell: Callable[[float], None]) -> list[xgb.Booster]:
    """Return boosters cut at their best tree, one for each of MEMBERS seeds derived from `seed`."""
    weights = uniqueness_weights(train)
    fitted = xgb.QuantileDMatrix(train.features, label=train.label, weight=weights, max_bin=PARAMETERS["max_bin"])
    watched = xgb.QuantileDMatrix(stopping.features, label=stopping.label, ref=fitted, max_bin=PARAMETERS["max_bin"])
    boosters = []
    for member in range(MEMBERS):
        booster = xgb.train(
            {**PARAMETERS, "seed": seed * 1_000 + member},
            fitted,
            MAX_TREES,
            evals=[(watched, "early_stopping")],
            early_stopping_rounds=PATIENCE,
            verbose_eval=False,
            callbacks=[_Report(member, tell)],
        )
        boosters.append(booster[: booster.best_iteration + 1])
        tell((member + 1) / MEMBERS)
    return boosters
