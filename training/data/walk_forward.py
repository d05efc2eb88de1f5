"""Walk-forward folds: each fold retrains on all data so far, freezes the model, and is tested on the period that follows.

The test periods of the folds have equal length, do not overlap, and cover the newest half of the days. Inside a fold the periods
are those of splits.py. `WalkForward` is also a scikit-learn splitter; pass the decision times as `groups`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from training.data.dataset import PURGE_MS
from training.data.splits import DAY_MS, EMBARGO_DAYS, Span, SplitName, whole_days
from training.errors import TrainingError

MIN_FOLDS: Final = 6
TESTED_SHARE: Final = 0.5  # share of all days that the test periods cover together
_TUNING_SHARES: Final = {SplitName.EARLY_STOPPING: 0.07, SplitName.CALIBRATION: 0.065, SplitName.THRESHOLDS: 0.025}
_MIN_TRAIN_DAYS: Final = 10
MIN_CALIBRATION_DAYS: Final = 36  # with 24 days the upper bound of the calibration error is .059, above what G3 allows


@dataclass(frozen=True, slots=True)
class FreshTail:
    """The days between training and deployment of a recipe that stops nowhere early: calibration, then thresholds."""

    calibration_days: int
    thresholds_days: int

    @property
    def days(self) -> int:
        """All days after training, the embargo before each period included."""
        return self.calibration_days + self.thresholds_days + 2 * EMBARGO_DAYS

    def spans(self, first: int, end: int) -> dict[SplitName, Span]:
        """Return the periods of a model that is frozen on day `end` (days since the epoch) and trained from day `first`.

        Its early-stopping period is the calibration period: nothing is stopped or chosen there, its loss is only reported.
        """
        thresholds = (end - self.thresholds_days, end)
        calibration = (thresholds[0] - EMBARGO_DAYS - self.calibration_days, thresholds[0] - EMBARGO_DAYS)
        train = (first, calibration[0] - EMBARGO_DAYS)
        found = {
            SplitName.TRAIN: train,
            SplitName.EARLY_STOPPING: calibration,
            SplitName.CALIBRATION: calibration,
            SplitName.THRESHOLDS: thresholds,
        }
        return {period: Span(start * DAY_MS, stop * DAY_MS) for period, (start, stop) in found.items()}

    def newest(self, decided_at_ms: NDArray[np.int64], purge_ms: int = PURGE_MS) -> dict[SplitName, Span]:
        """Return the periods of the model that is deployed after the last whole day. Raises MarketDataError for too few days."""
        first, last = whole_days(decided_at_ms, self.days + _MIN_TRAIN_DAYS, purge_ms)
        return self.spans(first, last)


@dataclass(frozen=True, slots=True)
class WalkForward:
    """A splitter of at least six folds. Every training period begins on the first day, so it grows from fold to fold.

    Raises TrainingError for fewer folds; `spans` raises MarketDataError if the data is too short for them.
    """

    folds: int = MIN_FOLDS
    tail: FreshTail | None = None  # None: periods in shares of all days, with one for early stopping
    purge_ms: int = PURGE_MS  # length of a label window

    def __post_init__(self) -> None:
        if self.folds < MIN_FOLDS:
            raise TrainingError(f"expected at least {MIN_FOLDS} folds, got {self.folds}")

    def spans(self, decided_at_ms: NDArray[np.int64]) -> list[dict[SplitName, Span]]:
        """Return the periods of each fold, oldest fold first, on whole UTC days."""
        first, last = whole_days(decided_at_ms, self._days_needed(), self.purge_ms)
        days = last - first
        test = int(days * TESTED_SHARE) // self.folds
        starts = [last - test * (self.folds - k) for k in range(self.folds)]
        if self.tail is None:
            return [_fold(first, start, test, days) for start in starts]
        return [
            {
                **self.tail.spans(first, start - EMBARGO_DAYS),
                SplitName.TEST: Span(start * DAY_MS, (start + test) * DAY_MS),
            }
            for start in starts
        ]

    def split(self, X: object, y: object = None, groups: object = None) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:  # noqa: ARG002, N803 - scikit-learn's signature
        """Yield (train, test) row indices of each fold. The periods between train and test are in neither.

        groups: (n,) decision times, milliseconds since the epoch, in any order. Raises TrainingError without them.
        """
        if groups is None:
            raise TrainingError("expected groups=decided_at_ms: folds are cut by time, never by row")
        times = np.asarray(groups, dtype=np.int64)
        for spans in self.spans(times):
            train, test = (spans[period].rows(times, self.purge_ms) for period in (SplitName.TRAIN, SplitName.TEST))
            yield np.flatnonzero(train), np.flatnonzero(test)

    def get_n_splits(self, X: object = None, y: object = None, groups: object = None) -> int:  # noqa: ARG002, N803 - as above
        """Return the number of folds. scikit-learn calls this."""
        return self.folds

    def _days_needed(self) -> int:
        """Return the days that leave each fold two days of test, and the first fold ten days of training."""
        if self.tail is not None:
            frozen = _MIN_TRAIN_DAYS + self.tail.days + EMBARGO_DAYS
            return max(round(2 * self.folds / TESTED_SHARE), int(frozen / (1.0 - TESTED_SHARE)) + 1)
        tuned = 1.0 - TESTED_SHARE - sum(_TUNING_SHARES.values())
        gaps = (len(SplitName) - 1) * EMBARGO_DAYS + len(_TUNING_SHARES)  # shares are rounded up
        return max(round(2 * self.folds / TESTED_SHARE), int((_MIN_TRAIN_DAYS + gaps) / tuned) + 1)


def _fold(first: int, test_start: int, test_days: int, days: int) -> dict[SplitName, Span]:
    """Return the periods of one fold, laid out backwards from its test period."""
    found: dict[SplitName, tuple[int, int]] = {SplitName.TEST: (test_start, test_start + test_days)}
    end = test_start - EMBARGO_DAYS
    for period in (SplitName.THRESHOLDS, SplitName.CALIBRATION, SplitName.EARLY_STOPPING):
        start = end - max(1, int(np.ceil(days * _TUNING_SHARES[period])))
        found[period] = (start, end)
        end = start - EMBARGO_DAYS
    found[SplitName.TRAIN] = (first, end)
    return _in_time_order(found)


def _in_time_order(found: Mapping[SplitName, tuple[int, int]]) -> dict[SplitName, Span]:
    return {period: Span(found[period][0] * DAY_MS, found[period][1] * DAY_MS) for period in SplitName}
