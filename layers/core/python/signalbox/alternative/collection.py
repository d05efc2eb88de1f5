"""One run of the collection of alternative data: asks every source and adds what is new to the lake.

Sources, kinds and subjects are independent: one that fails is recorded and the next run asks for its period again. The newest
values are asked for again each time, because sources publish late and revise. Candles and cycles know nothing of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Final, Protocol

from signalbox.alternative.observations import (
    RULES,
    WHOLE_MARKET,
    MarketObservation,
    ObservationError,
    ObservationKey,
    ObservationKind,
    merge,
)
from signalbox.events import CollectionProblem
from signalbox.market.collection import VenueError

OVERLAP_STEPS: Final = 12  # values of a regular series that are asked for again
EVENT_OVERLAP: Final = timedelta(hours=6)  # of events
FIRST_LOOK: Final = timedelta(days=2)  # how far back a series without any value begins
_SILENT: Final = frozenset({CollectionProblem.VENUE_TIMEOUT, CollectionProblem.VENUE_UNAVAILABLE})
OF_THE_MARKET: Final = frozenset({ObservationKind.FEAR_AND_GREED, ObservationKind.ECONOMIC_EVENT})


@dataclass(frozen=True, slots=True)
class RawObservation:
    """A value as its source gave it. published_at: None where the source states no other instant than `observed_at`."""

    observed_at: datetime
    value: Decimal
    item: str = ""
    published_at: datetime | None = None


class ObservationSource(Protocol):
    """A source of values."""

    @property
    def name(self) -> str:
        """The source's name, part of every key and path."""

    @property
    def kinds(self) -> Sequence[ObservationKind]:
        """The kinds of values that it has."""

    def fetch(self, kind: ObservationKind, subject: str, since: datetime, until: datetime) -> Sequence[RawObservation]:
        """Return the values with since <= observed_at <= until, in any order. Raises VenueError."""


@dataclass(frozen=True, slots=True, order=True)
class ObservationDay:
    """A file of the lake: a source's values of one kind and UTC day, by `observed_at`."""

    source: str
    kind: ObservationKind
    day: date

    @property
    def path(self) -> str:
        return f"alt/source={self.source}/kind={self.kind}/date={self.day.isoformat()}.jsonl.gz"


class ObservationLake(Protocol):
    """Files of observations."""

    def days(self, source: str, kind: ObservationKind) -> Sequence[ObservationDay]:
        """Return the days that have a file, oldest first."""

    def read(self, day: ObservationDay) -> tuple[MarketObservation, ...]:
        """Return a day's observations; none if no file is readable. A bad file is set aside."""

    def write(self, day: ObservationDay, observations: Sequence[MarketObservation]) -> None:
        """Replace a day's file as one step."""


@dataclass(frozen=True, slots=True)
class SeriesOutcome:
    """The result for one source, kind and subject. added: new values and versions; revised: versions among them."""

    source: str
    kind: ObservationKind
    subject: str
    added: int = 0
    revised: int = 0
    late: int = 0
    refused: tuple[str, ...] = ()
    problem: CollectionProblem | None = None
    detail: str = ""


def collect_observations(
    sources: Sequence[ObservationSource],
    symbols: Sequence[str],
    *,
    lake: ObservationLake,
    clock: Callable[[], datetime],
    since: datetime | None = None,
    until: datetime | None = None,
) -> tuple[SeriesOutcome, ...]:
    """Ask each source for each of its series once, and write what is new.

    clock: the instant at which an answer is known, read after it arrived. since: where to begin; default: some values before the
    newest one. until: where to end; default: the clock. A source that does not answer is not asked again in this run.
    """
    outcomes: list[SeriesOutcome] = []
    for source in sources:
        silent: SeriesOutcome | None = None
        for kind in source.kinds:
            days = _KindDays(source.name, kind, lake)
            try:
                for subject in (WHOLE_MARKET,) if kind in OF_THE_MARKET else symbols:
                    if silent is not None:
                        outcomes.append(replace(silent, kind=kind, subject=subject))
                        continue
                    outcomes.append(found := _collect(source, subject, days, clock, since, until))
                    if found.problem in _SILENT:
                        silent = found
            finally:
                days.write()
    return tuple(outcomes)


class _KindDays:
    """The day files of one source and kind during a run: each is read once, and written once if it changed."""

    def __init__(self, source: str, kind: ObservationKind, lake: ObservationLake) -> None:
        self.kind = kind
        self._source, self._lake = source, lake
        self._stored: tuple[ObservationDay, ...] | None = None
        self._kept: dict[ObservationDay, tuple[MarketObservation, ...]] = {}
        self._changed: set[ObservationDay] = set()

    def begin(self, subject: str, end: datetime) -> datetime:
        """Return where to begin: some values before the newest one, so that revisions and late values are seen."""
        step = RULES[self.kind].step
        overlap = EVENT_OVERLAP if step is None else OVERLAP_STEPS * step
        if self._stored is None:
            self._stored = tuple(self._lake.days(self._source, self.kind))
        for day in reversed(self._stored):
            instants = [one.observed_at for one in self._read(day) if one.subject == subject and one.observed_at <= end]
            if instants:
                return max(instants) - overlap
        return end - max(FIRST_LOOK, overlap)

    def add(self, found: Sequence[MarketObservation]) -> tuple[list[MarketObservation], set[ObservationKey]]:
        """Merge values into their days. Return those that are new, and the keys that had a version before."""
        by_day: dict[ObservationDay, list[MarketObservation]] = {}
        for one in found:
            by_day.setdefault(ObservationDay(self._source, self.kind, one.observed_at.astimezone(UTC).date()), []).append(one)
        news: list[MarketObservation] = []
        known: set[ObservationKey] = set()
        for day in sorted(by_day):
            kept = self._read(day)
            merged = merge(kept, by_day[day])
            if fresh := set(merged) - set(kept):
                self._kept[day] = merged
                self._changed.add(day)
            news += fresh
            known |= {one.key for one in kept}
        return news, known

    def write(self) -> None:
        """Write every day that changed."""
        for day in sorted(self._changed):
            self._lake.write(day, self._kept[day])
        self._changed.clear()

    def _read(self, day: ObservationDay) -> tuple[MarketObservation, ...]:
        if day not in self._kept:
            self._kept[day] = self._lake.read(day)
        return self._kept[day]


def _collect(  # noqa: PLR0917 - what, from where, of which period
    source: ObservationSource,
    subject: str,
    days: _KindDays,
    clock: Callable[[], datetime],
    since: datetime | None,
    until: datetime | None,
) -> SeriesOutcome:
    kind, end = days.kind, until or clock()
    begin = since or days.begin(subject, end)
    try:
        raw = source.fetch(kind, subject, begin, end)
    except VenueError as error:
        return SeriesOutcome(source.name, kind, subject, problem=error.problem, detail=str(error))
    known_at = clock()
    found, refused = [], []
    for one in raw:
        try:
            found.append(
                MarketObservation(
                    source.name,
                    kind,
                    subject,
                    one.observed_at,
                    one.published_at or one.observed_at,
                    known_at,
                    one.value,
                    one.item,
                )
            )
        except ObservationError as error:
            refused.append(str(error))
    news, known = days.add(found)
    return SeriesOutcome(
        source.name,
        kind,
        subject,
        added=len(news),
        revised=sum(one.key in known for one in news),
        late=sum(one.is_late for one in news if one.key not in known),
        refused=tuple(refused),
    )
