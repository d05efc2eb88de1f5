"""Values observed beside candles, and which version of each was known at an instant.

An observation says what a value was (`observed_at`), when its source published it, and when we knew it. A value is used from
`known_at` on, never before: history that was fetched later was not known then. A source that publishes another value for the same
thing adds a version; no version is ever changed or removed, so what was known at an instant stays the same for ever.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from itertools import pairwise
from types import MappingProxyType
from typing import Final, TypeAlias

from signalbox.errors import SignalboxError
from signalbox.market.candles import is_bounded

WHOLE_MARKET: Final = "ALL"  # the subject of what concerns no single symbol
MAX_TEXT: Final = 80  # characters of a subject or item


class ObservationError(SignalboxError):
    """An observation with invalid values, such as one known before it was published."""


class ObservationKind(StrEnum):
    """What a value measures. Sizes are in base currency."""

    FUNDING_RATE = "funding_rate"  # what longs pay shorts at `observed_at`, as a fraction: 0.0001 is 0.01 %
    OPEN_INTEREST = "open_interest"  # of the perpetual in the source's own unit, so only its changes compare between sources
    LONG_SHORT_RATIO = "long_short_ratio"  # accounts that are long to accounts that are short
    LIQUIDATION = "liquidation"  # size of one forced order; the item begins with the side of the position, long or short
    FEAR_AND_GREED = "fear_and_greed"  # 0 (fear) to 100 (greed), of the whole market
    ECONOMIC_EVENT = (
        "economic_event"  # importance from 1 to 3 of a release that is scheduled for `observed_at`; the item names it
    )


@dataclass(frozen=True, slots=True)
class KindRules:
    """The timing of a kind. step: between two values of a regular series; None for events.

    late_after: a value that becomes known longer after its publication is late.
    """

    step: timedelta | None
    late_after: timedelta
    is_ahead: bool = False  # whether it is published before the instant that it is about


RULES: Final = MappingProxyType(
    {
        ObservationKind.FUNDING_RATE: KindRules(timedelta(hours=8), timedelta(minutes=30)),
        ObservationKind.OPEN_INTEREST: KindRules(timedelta(minutes=5), timedelta(minutes=30)),
        ObservationKind.LONG_SHORT_RATIO: KindRules(timedelta(minutes=5), timedelta(minutes=30)),
        ObservationKind.LIQUIDATION: KindRules(None, timedelta(minutes=30)),
        ObservationKind.FEAR_AND_GREED: KindRules(timedelta(days=1), timedelta(hours=2)),
        ObservationKind.ECONOMIC_EVENT: KindRules(None, timedelta(days=1), is_ahead=True),
    }
)
ObservationKey: TypeAlias = tuple[str, ObservationKind, str, str, datetime]


@dataclass(frozen=True, slots=True)
class MarketObservation:
    """One version of one value. Instants are UTC. subject: a symbol, or WHOLE_MARKET. item: tells values of one instant apart.

    Raises ObservationError if a text is empty or too long, the value is not a bounded number, or the instants are in an
    impossible order: no value is known before it is published, or published before it happens unless its kind is announced ahead.
    """

    source: str
    kind: ObservationKind
    subject: str
    observed_at: datetime
    published_at: datetime
    known_at: datetime
    value: Decimal
    item: str = ""

    def __post_init__(self) -> None:
        where = f"{self.source} {self.kind} {self.subject} {self.observed_at.isoformat()}"
        if not self.source or not 0 < len(self.subject) <= MAX_TEXT or len(self.item) > MAX_TEXT:
            raise ObservationError(f"{where}: expected a source, a subject and an item of at most {MAX_TEXT} characters")
        if any(instant.utcoffset() != timedelta(0) for instant in (self.observed_at, self.published_at, self.known_at)):
            raise ObservationError(f"{where}: expected instants in UTC")
        if not self.value.is_finite() or not is_bounded(self.value):
            raise ObservationError(f"{where}: expected a number below 10^18 with at most 36 decimals, got {self.value}")
        if self.published_at > self.known_at:
            raise ObservationError(f"{where}: published at {self.published_at.isoformat()}, after it was known")
        if self.observed_at > self.published_at and not RULES[self.kind].is_ahead:
            raise ObservationError(f"{where}: published at {self.published_at.isoformat()}, before it happened")

    @property
    def key(self) -> ObservationKey:
        """The natural key of the value, which all its versions share."""
        return (self.source, self.kind, self.subject, self.item, self.observed_at)

    @property
    def is_late(self) -> bool:
        """Whether it was known so long after its publication that a decision at that time missed it."""
        return self.known_at - self.published_at > RULES[self.kind].late_after


def merge(kept: Sequence[MarketObservation], fetched: Iterable[MarketObservation]) -> tuple[MarketObservation, ...]:
    """Return the kept versions and the fetched ones that differ from them, sorted by key and by when they were known.

    A fetched value that equals the newest version is no news. A version that was known before the newest one is out of order and
    is dropped: it would change what was known.
    """
    newest: dict[ObservationKey, MarketObservation] = {}
    for one in kept:
        before = newest.get(one.key)
        if before is None or before.known_at < one.known_at:
            newest[one.key] = one
    added: list[MarketObservation] = []
    for one in sorted(fetched, key=lambda found: found.known_at):
        before = newest.get(one.key)
        if before is None or (before.value != one.value and before.known_at < one.known_at):
            newest[one.key] = one
            added.append(one)
    return tuple(sorted((*kept, *added), key=lambda one: (one.observed_at, one.subject, one.item, one.known_at)))


def as_known(observations: Iterable[MarketObservation], at: datetime) -> tuple[MarketObservation, ...]:
    """Return the newest version of each value that was known at an instant, sorted by `observed_at`."""
    found: dict[ObservationKey, MarketObservation] = {}
    for one in observations:
        if one.known_at <= at and (one.key not in found or found[one.key].known_at < one.known_at):
            found[one.key] = one
    return tuple(sorted(found.values(), key=lambda one: (one.observed_at, one.subject, one.item)))


@dataclass(frozen=True, slots=True)
class ObservationQuality:
    """How complete and how late one source's series of one kind and subject is.

    missing: absent steps between its first and last value.
    """

    source: str
    kind: ObservationKind
    subject: str
    values: int
    first: datetime
    last: datetime
    missing: int
    first_missing: datetime | None
    late: int
    revised: int  # versions that replaced a value


def assess_observations(observations: Iterable[MarketObservation]) -> tuple[ObservationQuality, ...]:
    """Return the quality of every series, sorted by source, kind and subject."""
    series: dict[tuple[str, ObservationKind, str], list[MarketObservation]] = {}
    for one in observations:
        series.setdefault((one.source, one.kind, one.subject), []).append(one)
    return tuple(_assess(*key, series[key]) for key in sorted(series))


def _assess(source: str, kind: ObservationKind, subject: str, found: Sequence[MarketObservation]) -> ObservationQuality:
    first_versions: dict[ObservationKey, MarketObservation] = {}
    for one in sorted(found, key=lambda version: version.known_at):
        first_versions.setdefault(one.key, one)
    instants = sorted({one.observed_at for one in found})
    missing, first_missing = 0, None
    if (step := _step(kind, instants)) is not None:
        for before, after in pairwise(instants):
            absent = round((after - before) / step) - 1
            if absent > 0:
                missing += absent
                first_missing = first_missing or before + step
    return ObservationQuality(
        source,
        kind,
        subject,
        len(first_versions),
        instants[0],
        instants[-1],
        missing,
        first_missing,
        sum(one.is_late for one in first_versions.values()),
        len(found) - len(first_versions),
    )


def _step(kind: ObservationKind, instants: Sequence[datetime]) -> timedelta | None:
    """Return the step of a series: its kind's, or a shorter one that it keeps most of the time (funding every 1 or 4 hours)."""
    stated = RULES[kind].step
    steps = sorted(after - before for before, after in pairwise(instants))
    return min(stated, steps[len(steps) // 2]) if stated is not None and steps else stated
