"""Reads how a bundle was made: the periods it has seen, the number of configurations tried, and their returns.

All of it is in files whose sha256 the manifest records. What a bundle does not record is unknown, and the stricter case is
assumed.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import numpy as np

from signalbox.inference import BundleManifest
from signalbox.inference.judged import read_arrays
from signalbox.inference.manifest import REPORT_FILE
from signalbox.library.judgements import read_object
from signalbox.market.candles import to_ms
from training.data.splits import DAY_MS, Span, SplitName
from training.judge.overfitting import Trials

TRIALS_FILE: Final = "trials.npz"


@dataclass(frozen=True, slots=True)
class History:
    """How a bundle was made. seen: the periods that shaped it, by what each was used for."""

    seen: dict[str, Span]
    trials: Trials
    train_up_rate: float | None


@dataclass(frozen=True, slots=True)
class Overlap:
    """The part of an evaluated period that the bundle has already seen."""

    days: float
    periods: tuple[str, ...]
    first: datetime | None
    last: datetime | None

    @property
    def in_sample(self) -> bool:
        return self.days > 0

    def to_json(self) -> dict[str, Any]:
        ends = {"first": self.first, "last": self.last}
        instants = {name: None if instant is None else instant.isoformat() for name, instant in ends.items()}
        return {"in_sample": self.in_sample, "days": round(self.days, 2), "periods": list(self.periods), **instants}


def read_history(folder: Path, manifest: BundleManifest) -> History:
    """Return the history of a bundle that `load_bundle` has accepted."""
    report = read_object((folder / REPORT_FILE).read_bytes(), REPORT_FILE)
    periods = report.get("periods") or {}
    seen = {name: _span(period) for name, period in periods.items() if name != SplitName.TEST.value}
    if not seen:  # the bundle does not say which part was the test, so all of it counts as seen
        training = manifest.training
        seen = {"all its data": Span(to_ms(training.start), to_ms(training.end))}
    daily = None
    if TRIALS_FILE in manifest.files:
        found = read_arrays((folder / TRIALS_FILE).read_bytes(), {"daily_bps": (2,)})["daily_bps"]
        daily = np.asarray(found, dtype=np.float64)
    return History(seen, Trials(report.get("configurations_tried"), daily), report.get("train_up_rate"))


def overlap_of(span: Span, seen: dict[str, Span]) -> Overlap:
    """Return the overlap of a period with the periods that a bundle has seen."""
    shared = {
        name: Span(max(one.start_ms, span.start_ms), min(one.end_ms, span.end_ms))
        for name, one in seen.items()
        if one.start_ms < span.end_ms and span.start_ms < one.end_ms
    }
    if not shared:
        return Overlap(0.0, (), None, None)
    first, last = min(one.start for one in shared.values()), max(one.end for one in shared.values())
    return Overlap(sum(one.end_ms - one.start_ms for one in shared.values()) / DAY_MS, tuple(shared), first, last)


def _span(period: dict[str, str]) -> Span:
    return Span(to_ms(datetime.fromisoformat(period["start"])), to_ms(datetime.fromisoformat(period["end"])))
