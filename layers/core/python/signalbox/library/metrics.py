"""Metric lines that a job prints for CloudWatch, and the regular expressions that find them: one line per figure or epoch.

Both are defined here, so that no metric definition looks for a line that no job prints. SageMaker allows a limited number of
definitions, and everything that one expression finds becomes one curve, so each curve of a network needs its own definition. Only
the run's own networks have definitions; the lines of walk-forward folds are in the log alone.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Final

MAX_DEFINITIONS: Final = 40  # SageMaker's limit for a job
WHOLE: Final = "whole"  # name that training gives to fits of the whole run, as opposed to those of a fold
_NUMBER: Final = r"(-?[0-9]+(?:\.[0-9]+)?(?:e[+-]?[0-9]+)?)"


class JobMetric(StrEnum):
    """Figures of a model's test period; docs/evaluation.md says what each means."""

    PRECISION = "issued:precision"
    PRECISION_LOW = "issued:precision_low"  # lower 95 % confidence bound of the precision, which gate G1 checks
    COVERAGE = "issued:coverage"
    CALIBRATION_ERROR = "issued:calibration_error"
    NET_BPS = "issued:net_bps"
    SIGNALS = "issued:signals"
    GATES_PASSED = "gates:passed"


class EpochFigure(StrEnum):
    """Figures of one training epoch of a network, or of a finished ensemble of trees."""

    TRAIN_LOSS = "train_loss"
    STOPPING_LOSS = "stopping_loss"  # on the early-stopping period
    SAMPLES_A_SECOND = "samples_a_second"


_OF_TREES: Final = (EpochFigure.STOPPING_LOSS,)
DRAWN: Final[Mapping[str, tuple[int, tuple[EpochFigure, ...]]]] = {  # per family: the number of members and their figures
    "lstm": (3, tuple(EpochFigure)),
    "transformer": (3, tuple(EpochFigure)),
    "xgboost": (5, _OF_TREES),
}


def metric_line(metric: JobMetric, value: float) -> str:
    """Return the line of a finite figure, such as `[metric] issued:precision=0.571200;`."""
    return f"[metric] {metric}={value:.6f};"


def metric_pattern(metric: JobMetric) -> str:
    """Return the regular expression that finds the figure; its first group is the number."""
    return rf"\[metric\] {re.escape(metric.value)}={_NUMBER};"


def epoch_line(series: str, epoch: int, figures: Mapping[str, float]) -> str:
    """Return the line of an epoch, such as `[metric] whole/lstm-0 epoch=4; train_loss=0.690112; stopping_loss=0.689911;`.

    series: PLACE/FAMILY-NUMBER. epoch: counted from 0. Figures that are not finite are left out.
    """
    text = "".join(f" {name}={value:.6f};" for name, value in figures.items() if math.isfinite(value))
    return f"[metric] {series} epoch={epoch};{text}"


def epoch_pattern(series: str, figure: EpochFigure) -> str:
    """Return the regular expression that finds one figure in the lines of a series; its first group is the number."""
    return rf"\[metric\] {re.escape(series)} epoch=.* {figure.value}={_NUMBER};"


def metric_definitions() -> list[dict[str, str]]:
    """Return the `MetricDefinitions` of an evaluation job."""
    return [{"Name": metric.value, "Regex": metric_pattern(metric)} for metric in JobMetric]


def training_definitions() -> list[dict[str, str]]:
    """Return the `MetricDefinitions` of a training job: figures of its test, and curves of its own networks."""
    return metric_definitions() + [
        {"Name": f"{member}:{figure}", "Regex": epoch_pattern(f"{WHOLE}/{member}", figure)} for member, figure in _curves()
    ]


def _curves() -> Iterator[tuple[str, EpochFigure]]:
    for family, (members, figures) in DRAWN.items():
        for number in range(members):
            for figure in figures:
                yield f"{family}-{number}", figure
