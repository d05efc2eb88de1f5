"""Prepares a SageMaker job for `run_train` and `run_evaluate`: its candles, configuration, metrics and log."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from signalbox.inference import Verdict
from signalbox.library.metrics import JobMetric, epoch_line, metric_line
from signalbox.market.lake import CANDLES
from training.config import QUICK
from training.errors import ConfigError
from training.judge.assessment import Assessment
from training.write.tracking import Tracking


def candles_folder(channel: Path, lake: Path) -> Path:
    """Return a folder that `find_candle_files` can read: the channel itself, or a lake made at `lake` that links to it.

    S3 strips the prefix that a channel is filled from: of `s3://bucket/candles/venue=.../` only `venue=.../` arrives.
    """
    if not any(channel.glob("venue=*")):
        return channel
    lake.mkdir(parents=True)
    (lake / CANDLES).symlink_to(channel.absolute(), target_is_directory=True)
    return lake


def config_path(name: str) -> Path:
    """Return a configuration that ships with the code. Raises ConfigError that lists them if `name` is not one."""
    path = QUICK.with_name(f"{name}.toml")
    if not path.is_file():
        there = ", ".join(sorted(one.stem for one in QUICK.parent.glob("*.toml")))
        raise ConfigError(f"config: expected one of {there}, got {name!r}")
    return path


def metric_lines(assessment: Assessment) -> Iterator[str]:
    """Yield one log line per finite metric, in the form that the job's metric definitions match."""
    issued = assessment.evaluation.issued
    net = next(iter(issued.net_bps.values()))  # of the first cost model, which gate G4 uses
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


def print_line(line: str) -> None:
    """Print a line and flush it: a job's log is read while it runs, and an interrupted job loses what was buffered."""
    print(line, flush=True)


class LoggedTracking:
    """A tracker that also prints one line per epoch, for the log and the metric definitions. It wraps any other tracker."""

    def __init__(self, kept: Tracking, write: Callable[[str], None] = print_line) -> None:
        self._kept, self._write = kept, write

    def begin(self, name: str, parameters: Mapping[str, Any]) -> None:
        """Begin the wrapped tracker's run."""
        self._kept.begin(name, parameters)

    def metrics(self, series: str, step: int, figures: Mapping[str, float]) -> None:
        """Print the figures, then pass them on. In this order a slow tracking server delays no log line."""
        self._write(epoch_line(series, step, figures))
        self._kept.metrics(series, step, figures)

    def artefacts(self, folder: Path) -> None:
        """Pass the files of a folder to the wrapped tracker."""
        self._kept.artefacts(folder)

    def end(self, *, finished: bool) -> None:
        """End the wrapped tracker's run."""
        self._kept.end(finished=finished)
