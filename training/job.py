"""What a job of the cloud needs around `run_train` and `run_evaluate`: its candles, its configuration, its figures, its log."""

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


def print_line(line: str) -> None:
    """Print a line at once: a job's log is read while it runs, and what an interrupted one held back is lost."""
    print(line, flush=True)


class LoggedTracking:
    """A diary that also prints a line an epoch, for the log and its metric definitions. The diary may be any other."""

    def __init__(self, kept: Tracking, write: Callable[[str], None] = print_line) -> None:
        self._kept, self._write = kept, write

    def begin(self, name: str, parameters: Mapping[str, Any]) -> None:
        """Open the diary."""
        self._kept.begin(name, parameters)

    def metrics(self, series: str, step: int, figures: Mapping[str, float]) -> None:
        """Print the figures, then write them down: a diary whose server is slow holds back no line."""
        self._write(epoch_line(series, step, figures))
        self._kept.metrics(series, step, figures)

    def artefacts(self, folder: Path) -> None:
        """Keep the files of a folder."""
        self._kept.artefacts(folder)

    def end(self, *, finished: bool) -> None:
        """Close the diary."""
        self._kept.end(finished=finished)
