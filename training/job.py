"""What a job of the cloud needs around `run_train` and `run_evaluate`: its candles, its configuration, its figures."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

from signalbox.inference import Verdict
from signalbox.library.metrics import JobMetric, metric_line
from signalbox.market.lake import CANDLES
from training.assessment import Assessment
from training.config import QUICK
from training.errors import ConfigError


def candles_folder(channel: Path, lake: Path) -> Path:
    """Return a folder that `find_candle_files` can read: the channel, or a lake made at `lake` that links to it.

    S3 strips the prefix that a channel was filled from, so of `s3://bucket/candles/venue=.../` only `venue=.../` arrives.
    """
    if not any(channel.glob("venue=*")):
        return channel
    lake.mkdir(parents=True)
    (lake / CANDLES).symlink_to(channel.absolute(), target_is_directory=True)
    return lake


def config_path(name: str) -> Path:
    """Return a configuration that ships with the code. Raises ConfigError naming those there are."""
    path = QUICK.with_name(f"{name}.toml")
    if not path.is_file():
        there = ", ".join(sorted(one.stem for one in QUICK.parent.glob("*.toml")))
        raise ConfigError(f"config: expected one of {there}, was {name!r}")
    return path


def metric_lines(assessment: Assessment) -> Iterator[str]:
    """Yield a line for each figure that could be computed, as the metric definitions of the job look for it."""
    issued = assessment.evaluation.issued
    net = next(iter(issued.net_bps.values()))  # by the first cost model, which G4 asks about
    figures = {
        JobMetric.PRECISION: issued.precision.value,
        JobMetric.PRECISION_LOW: issued.precision.low,
        JobMetric.COVERAGE: issued.coverage,
        JobMetric.CALIBRATION_ERROR: issued.calibration_error.value,
        JobMetric.NET_BPS: net.value,
        JobMetric.SIGNALS: float(issued.precision.n),
        JobMetric.GATES_PASSED: float(sum(result.verdict is Verdict.PASS for result in assessment.gates.values())),
    }
    for metric, value in figures.items():
        if math.isfinite(value):
            yield metric_line(metric, value)
