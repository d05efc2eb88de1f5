"""What a job prints for CloudWatch: one line a figure, and the expression that finds it again.

Both are made here, so that a metric definition cannot ask for a line that no job prints.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final

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


def metric_line(metric: JobMetric, value: float) -> str:
    """Return the line of a finite figure: `[metric] issued:precision=0.571200;`."""
    return f"[metric] {metric}={value:.6f};"


def metric_pattern(metric: JobMetric) -> str:
    """Return the regular expression whose first group is the figure."""
    return rf"\[metric\] {re.escape(metric.value)}={_NUMBER};"


def metric_definitions() -> list[dict[str, str]]:
    """Return `MetricDefinitions` of a training job."""
    return [{"Name": metric.value, "Regex": metric_pattern(metric)} for metric in JobMetric]
