"""Fourteen features of alternative data, as they were known at each decision.

They and the fifty of `v50` are the experimental schema `v64x`. It is not in `signalbox.features.SCHEMAS`: no bundle can name it
and no cycle computes it until its added value was measured (`signalbox features value`). An absent or outdated value is NaN,
never 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from signalbox.alternative.observations import WHOLE_MARKET, MarketObservation, ObservationKind
from signalbox.market.candles import to_ms

SCHEMA_NAME: Final = "v64x"
NAMES: Final = (
    "funding_rate",
    "funding_rate_change_24h",
    "funding_rate_mean_7d",
    "open_interest_change_1h",
    "open_interest_change_24h",
    "open_interest_change_7d",
    "long_short_log_ratio",
    "long_short_change_1h",
    "long_short_change_24h",
    "liquidated_long_1h",
    "liquidated_short_1h",
    "fear_and_greed",
    "fear_and_greed_change_7d",
    "hours_to_release",
)
OUTDATED_AFTER: Final = MappingProxyType(
    {
        ObservationKind.FUNDING_RATE: timedelta(hours=16),
        ObservationKind.OPEN_INTEREST: timedelta(hours=1),
        ObservationKind.LONG_SHORT_RATIO: timedelta(hours=1),
        ObservationKind.FEAR_AND_GREED: timedelta(days=2),
    }
)
_HOUR_MS: Final = 3_600_000
_DAY_MS: Final = 24 * _HOUR_MS
_FUNDINGS: Final = 21  # of a week
_IMPORTANT: Final = 3
_FARTHEST_HOURS: Final = 24.0
_Values = NDArray[np.float64]


def alternative_features(
    observations: Iterable[MarketObservation], symbol: str, decided_at_ms: NDArray[np.int64], *, lag: timedelta | None = None
) -> _Values:
    """Return the features of a symbol at decisions, (n, 14) float64 in the order of NAMES.

    decided_at_ms: (n,) int64, milliseconds since the epoch. A value counts from the instant at which it was known.
    lag: assume instead that each first version was known this long after its publication. It is for history that was fetched
    afterwards, of which nobody knows when it could be had; what is measured with it rests on that assumption.
    """
    series = _Series(observations, symbol, lag)
    at = decided_at_ms
    columns = [
        *_funding(series, at),
        *_open_interest(series, at),
        *_long_short(series, at),
        series.sizes("long", at),
        series.sizes("short", at),
        series.mean(ObservationKind.FEAR_AND_GREED, at) / 100.0,
        _change(series, ObservationKind.FEAR_AND_GREED, at, 7 * _DAY_MS) / 100.0,
        series.hours_to_release(at),
    ]
    return np.column_stack(columns)


def _funding(series: _Series, at: NDArray[np.int64]) -> list[_Values]:
    kind = ObservationKind.FUNDING_RATE
    week = np.stack([series.mean(kind, at - 8 * _HOUR_MS * i) for i in range(_FUNDINGS)])
    return [series.mean(kind, at), _change(series, kind, at, _DAY_MS), week.mean(axis=0)]


def _open_interest(series: _Series, at: NDArray[np.int64]) -> list[_Values]:
    kind = ObservationKind.OPEN_INTEREST
    return [series.log_change(kind, at, span) for span in (_HOUR_MS, _DAY_MS, 7 * _DAY_MS)]


def _long_short(series: _Series, at: NDArray[np.int64]) -> list[_Values]:
    kind = ObservationKind.LONG_SHORT_RATIO
    with np.errstate(invalid="ignore", divide="ignore"):
        level = np.log(series.mean(kind, at))
    return [level, series.log_change(kind, at, _HOUR_MS), series.log_change(kind, at, _DAY_MS)]


def _change(series: _Series, kind: ObservationKind, at: NDArray[np.int64], span: int) -> _Values:
    return series.mean(kind, at) - series.mean(kind, at - span)


class _Steps:
    """The newest value of one source as a step function of when it was known."""

    def __init__(self, versions: Sequence[MarketObservation], known_ms: Sequence[int]) -> None:
        order = np.argsort(np.array(known_ms, dtype=np.int64), kind="stable")
        observed = np.array([to_ms(one.observed_at) for one in versions], dtype=np.int64)[order]
        values = np.array([float(one.value) for one in versions])[order]
        # a version of an older instant than the newest known one is no news
        newest = np.maximum.accumulate(observed)
        counts = observed >= newest
        self._known = np.array(known_ms, dtype=np.int64)[order][counts]
        self._observed, self._values = observed[counts], values[counts]

    def at(self, instants: NDArray[np.int64], outdated_ms: int) -> _Values:
        """Return the value known at each instant, NaN where there is none or it is outdated."""
        place = np.searchsorted(self._known, instants, side="right") - 1
        found = np.where(place >= 0, self._values[place], np.nan)
        outdated: _Values = np.where((place >= 0) & (instants - self._observed[place] <= outdated_ms), found, np.nan)
        return outdated


class _Series:
    """The observations that concern a symbol, by kind and source."""

    def __init__(self, observations: Iterable[MarketObservation], symbol: str, lag: timedelta | None) -> None:
        versions: dict[ObservationKind, dict[str, list[tuple[int, MarketObservation]]]] = {}
        seen = set()
        for one in sorted(observations, key=lambda found: found.known_at):
            if one.subject not in {symbol, WHOLE_MARKET}:
                continue
            known = to_ms(one.known_at)
            if lag is not None and one.key not in seen:
                known = to_ms(one.published_at + lag)
            seen.add(one.key)
            versions.setdefault(one.kind, {}).setdefault(one.source, []).append((known, one))
        self._versions = versions
        self._steps: Mapping[ObservationKind, list[_Steps]] = {
            kind: [_Steps([one for _, one in found], [known for known, _ in found]) for found in versions.get(kind, {}).values()]
            for kind in OUTDATED_AFTER
        }

    def mean(self, kind: ObservationKind, at: NDArray[np.int64]) -> _Values:
        """Return the mean of the sources that have a current value."""
        return _mean([one.at(at, _outdated(kind)) for one in self._steps[kind]], at)

    def log_change(self, kind: ObservationKind, at: NDArray[np.int64], span: int) -> _Values:
        """Return the mean of the sources' log changes. A log change, because each source counts in its own unit."""
        with np.errstate(invalid="ignore", divide="ignore"):
            changes = [np.log(one.at(at, _outdated(kind)) / one.at(at - span, _outdated(kind))) for one in self._steps[kind]]
        return _mean([np.where(np.isfinite(change), change, np.nan) for change in changes], at)

    def sizes(self, side: str, at: NDArray[np.int64]) -> _Values:
        """Return log(1 + size) of the positions of a side that were liquidated and known within the last hour."""
        found = [row for rows in self._versions.get(ObservationKind.LIQUIDATION, {}).values() for row in rows]
        if not found:
            return np.full(at.shape, np.nan)
        events = sorted(
            (max(known, to_ms(one.observed_at)), float(one.value)) for known, one in found if one.item.startswith(side)
        )
        times = np.array([time for time, _ in events], dtype=np.int64)
        totals = np.concatenate([[0.0], np.cumsum([size for _, size in events])])
        within = totals[np.searchsorted(times, at, side="right")] - totals[np.searchsorted(times, at - _HOUR_MS, side="right")]
        begun = min(known for known, _ in found)
        sums: _Values = np.where(at >= begun, np.log1p(np.maximum(within, 0.0)), np.nan)
        return sums

    def hours_to_release(self, at: NDArray[np.int64]) -> _Values:
        """Return the hours until the next important release that was known, at most 24; NaN before any calendar was known."""
        rows = [row for found in self._versions.get(ObservationKind.ECONOMIC_EVENT, {}).values() for row in found]
        nearest = np.full(at.shape, np.nan)
        if rows:
            nearest[at >= min(known for known, _ in rows)] = _FARTHEST_HOURS
        for known, one in rows:
            due = to_ms(one.observed_at)
            if one.value >= _IMPORTANT:
                first, last = np.searchsorted(at, [max(known, due - _DAY_MS), due])
                window = slice(int(first), int(last))
                nearest[window] = np.fmin(nearest[window], (due - at[window]) / _HOUR_MS)
        return nearest


def _outdated(kind: ObservationKind) -> int:
    return OUTDATED_AFTER[kind] // timedelta(milliseconds=1)


def _mean(columns: Sequence[_Values], at: NDArray[np.int64]) -> _Values:
    if not columns:
        return np.full(at.shape, np.nan)
    table = np.stack(columns)
    there = np.isfinite(table)
    count = there.sum(axis=0)
    with np.errstate(invalid="ignore"):
        mean: _Values = np.where(count > 0, np.where(there, table, 0.0).sum(axis=0) / np.maximum(count, 1), np.nan)
    return mean
