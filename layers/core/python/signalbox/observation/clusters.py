"""Settled signals, and the clusters of them that a sequential test may count as one observation each.

Outcomes within one horizon share most of their minutes, so counting each signal would make noise look like proof. A cluster
begins with the first signal after the outcomes of the cluster before are known, and takes one horizon. Its figure is the share
of right ones among the signals of its first instant; those decided later in it belong to it and are not counted again. So the
figure of each cluster is unknown when it begins, and everything before it is settled: what the tests of this package need
(docs/decisions/0132-clusters-are-settled-one-after-another.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby

from signalbox.market.candles import Symbol


@dataclass(frozen=True, slots=True)
class SettledSignal:
    """An issued signal whose horizon has passed. net_bps: after the assumed costs of entry and exit, of the entry's value."""

    symbol: Symbol
    decided_at: datetime
    is_right: bool
    net_bps: float


@dataclass(frozen=True, slots=True)
class SignalCluster:
    """One observation of a test. right: share of right signals at its first instant, in [0, 1]. signals: all of it."""

    begins_at: datetime
    right: float
    signals: int


def clusters_of(settled: Iterable[SettledSignal], horizon: timedelta) -> tuple[SignalCluster, ...]:
    """Return the clusters, oldest first. Signals may come in any order."""
    found: list[SignalCluster] = []
    ordered = sorted(settled, key=lambda one: (one.decided_at, one.symbol))
    begins, first, members = None, list[SettledSignal](), 0
    for at, together in groupby(ordered, key=lambda one: one.decided_at):
        group = list(together)
        if begins is None or at >= begins + horizon:
            if begins is not None:
                found.append(_cluster(begins, first, members))
            begins, first, members = at, group, 0
        members += len(group)
    if begins is not None:
        found.append(_cluster(begins, first, members))
    return tuple(found)


def _cluster(begins: datetime, first: Sequence[SettledSignal], members: int) -> SignalCluster:
    return SignalCluster(begins, sum(one.is_right for one in first) / len(first), members)
