"""What a job prints for CloudWatch, and the expressions that find it again: a line a figure of the test, a line an epoch.

Both sides are made here, so that a metric definition cannot ask for a line that no job prints. SageMaker takes a limited number
of definitions and makes one curve of all that one expression finds: each network's figure that is to be a curve of its own needs
a definition of its own. Those of the run's own networks have one; the lines of a walk-forward's folds are in the log.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Final

MAX_DEFINITIONS: Final = 40  # SageMaker's limit for a job
WHOLE: Final = "whole"  # the place of the run's own fits, as training names them
_NUMBER: Final = r"(-?[0-9]+(?:\.[0-9]+)?(?:e[+-]?[0-9]+)?)"


class JobMetric(StrEnum):
    """Figures of the test period of a model; what each means is in docs/evaluation.md."""

    PRECISION = "issued:precision"
    PRECISION_LOW = "issued:precision_low"  # its lower 95 % bound, which G1 asks about
    COVERAGE = "issued:coverage"
    CALIBRATION_ERROR = "issued:calibration_error"
    NET_BPS = "issued:net_bps"
    SIGNALS = "issued:signals"
    GATES_PASSED = "gates:passed"


class EpochFigure(StrEnum):
    """Figures of an epoch of one network, or of one ensemble of trees when it has grown."""

    TRAIN_LOSS = "train_loss"
    STOPPING_LOSS = "stopping_loss"  # on the early-stopping period
    SAMPLES_A_SECOND = "samples_a_second"


_OF_TREES: Final = (EpochFigure.STOPPING_LOSS,)
DRAWN: Final[Mapping[str, tuple[int, tuple[EpochFigure, ...]]]] = {  # family: how many members, which figures
    "lstm": (3, tuple(EpochFigure)),
    "transformer": (3, tuple(EpochFigure)),
    "xgboost": (5, _OF_TREES),
}


def metric_line(metric: JobMetric, value: float) -> str:
    """Return the line of a finite figure: `[metric] issued:precision=0.571200;`."""
    return f"[metric] {metric}={value:.6f};"


def metric_pattern(metric: JobMetric) -> str:
    """Return the regular expression whose first group is the figure."""
    return rf"\[metric\] {re.escape(metric.value)}={_NUMBER};"


def epoch_line(series: str, epoch: int, figures: Mapping[str, float]) -> str:
    """Return the line of an epoch: `[metric] whole/lstm-0 epoch=4; train_loss=0.690112; stopping_loss=0.689911;`.

    series: PLACE/FAMILY-NUMBER. epoch: from 0. What is not finite is left out.
    """
    text = "".join(f" {name}={value:.6f};" for name, value in figures.items() if math.isfinite(value))
    return f"[metric] {series} epoch={epoch};{text}"


def epoch_pattern(series: str, figure: EpochFigure) -> str:
    """Return the regular expression whose first group is a figure of the lines of one series."""
    return rf"\[metric\] {re.escape(series)} epoch=.* {figure.value}={_NUMBER};"


def metric_definitions() -> list[dict[str, str]]:
    """Return `MetricDefinitions` of a job that judges."""
    return [{"Name": metric.value, "Regex": metric_pattern(metric)} for metric in JobMetric]


def training_definitions() -> list[dict[str, str]]:
    """Return `MetricDefinitions` of a training: the figures of its test, and the curves of its own networks."""
    return metric_definitions() + [
        {"Name": f"{member}:{figure}", "Regex": epoch_pattern(f"{WHOLE}/{member}", figure)} for member, figure in _curves()
    ]


def _curves() -> Iterator[tuple[str, EpochFigure]]:
    for family, (members, figures) in DRAWN.items():
        for number in range(members):
            for figure in figures:
                yield f"{family}-{number}", figure
